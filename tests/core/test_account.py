"""The account by resource (G1, row N4): what balances, at both sides, and what no resource can be given for."""

from __future__ import annotations

import pytest

from connector.streams import Streams
from shared.core.account import UNKNOWN_RESOURCE, Apart, Cuts
from shared.core.entries import CAUSE_BYTE_CAP, CAUSE_DESTINATION_RESTORED, CAUSE_DISCARDED, CAUSE_ORIGIN_RESTORED
from shared.core.gaps import GapTally
from shared.core.inbox import Inbox
from shared.core.intervals import IntervalSet
from shared.core.ledger import Ledger
from shared.core.ledger_news import LedgerNews
from shared.core.outbox import Outbox, OutboxLimits
from shared.core.ports import EpochOut
from shared.limits import (
    APART_RESOURCES_STATED_MAX,
    CREDIT_BYTES,
    CUTS_KEPT_MAX,
    DAY_MS,
    RESOURCE_LEDGERS_STATED_MAX,
    RETENTION_MS,
)
from shared.sealing import Kind, Side
from tests.core.stores import CODEC, NOW_MS, add_resource, chance, keys, open_store, series

SOURCE = keys(Side.SOURCE)


def outbox(store: Streams, *, linked: bool = True) -> Outbox:
    made = Outbox(SOURCE, CODEC, chance().randbytes, OutboxLimits())
    made.load(store, frozenset({"r", "q"}))
    if linked:
        made.on_link_opened(store, {}, NOW_MS)
        made.set_reachable(True)
        made.add_credit(CREDIT_BYTES)
    return made


def accept(store: Streams, box: Outbox, now_ms: int = NOW_MS, **times_ms: list[int]) -> None:
    for resource, times in times_ms.items():
        row = store._catalogue.find(store.connection, "C0NNECT0", "d", resource)
        assert row is not None
        store.connection.executemany(
            "INSERT OR IGNORE INTO reading VALUES (?, ?, ?)", [(row.series_id, at, float(at % 10)) for at in times]
        )
    box.accept(store, [series(*times, resource=resource) for resource, times in times_ms.items()], now_ms)


def state(
    store: Streams, box: Outbox, flat: list[int], *, fresh: bool = False, apart: Apart | None = None, **counts: int
) -> None:
    (epoch,) = store.epochs_out()
    dropped = {CAUSE_DISCARDED: counts.pop(CAUSE_DISCARDED)} if CAUSE_DISCARDED in counts else {}
    stated = EpochOut(epoch, 0, IntervalSet(flat), **counts, dropped=dropped, apart=apart or Apart())  # type: ignore[arg-type]
    tally, closed = GapTally(CAUSE_DESTINATION_RESTORED), GapTally(CAUSE_ORIGIN_RESTORED)
    box.on_stated(store, stated, fresh=fresh, now_ms=NOW_MS, tally=tally, closed=closed)
    for ledger in (store.ledger(), *store.resource_ledgers().values()):
        assert ledger.balanced, ledger


def test_n4_each_resource_has_its_own_account_from_the_tail_to_the_other_side() -> None:
    store = open_store("r", "q")
    box = outbox(store, linked=False)
    accept(store, box, r=[1, 2], q=[3])
    assert store.resource_ledgers() == {"q": Ledger(1, tail=1), "r": Ledger(2, tail=2)}
    box.on_link_opened(store, {}, NOW_MS)
    box.set_reachable(True)
    box.add_credit(CREDIT_BYTES)
    box.pump(store, NOW_MS)
    assert store.resource_ledgers() == {"q": Ledger(1, outbox=1), "r": Ledger(2, outbox=2)}
    state(store, box, [1, 1], applied=3)
    assert store.resource_ledgers() == {"q": Ledger(1, applied=1), "r": Ledger(2, applied=2)}


def test_n4_what_the_other_side_holds_is_counted_by_resource() -> None:
    store = open_store("r", "q")
    box = outbox(store)
    accept(store, box, r=[1, 2], q=[3])
    state(store, box, [1, 1], applied=2, held=1, apart=Apart(held={"q": 1}))
    assert store.resource_ledgers() == {"q": Ledger(1, held=1), "r": Ledger(2, applied=2)}


def test_n4_what_is_in_quarantine_and_discarded_there_is_counted_by_resource_here() -> None:
    store = open_store("r", "q")
    box = outbox(store)
    accept(store, box, r=[1, 2], q=[3])
    accept(store, box, r=[4])
    state(store, box, [1, 2], applied=1, quarantined=3, apart=Apart(quarantined=[1, 1]))
    assert store.resource_ledgers() == {"q": Ledger(1, quarantined=1), "r": Ledger(3, 1, quarantined=2)}
    state(store, box, [1, 2], applied=1, discarded=3, apart=Apart(discarded=[1, 1]))
    assert store.resource_ledgers() == {
        "q": Ledger(1, dropped={CAUSE_DISCARDED: 1}),
        "r": Ledger(3, 1, dropped={CAUSE_DISCARDED: 2}),
    }


def test_n4_what_was_discarded_there_before_its_first_word_came_is_counted_by_resource_here() -> None:
    store = open_store("r", "q")
    box = outbox(store)
    accept(store, box, r=[1, 2], q=[3])
    state(store, box, [1, 1], discarded=3, apart=Apart(discarded=[1, 1]))
    assert store.resource_ledgers() == {
        "q": Ledger(1, dropped={CAUSE_DISCARDED: 1}),
        "r": Ledger(2, dropped={CAUSE_DISCARDED: 2}),
    }


def test_n4_what_leaves_quarantine_to_be_applied_is_applied_by_resource() -> None:
    store = open_store("r", "q")
    box = outbox(store)
    accept(store, box, r=[1], q=[3])
    state(store, box, [1, 1], applied=0, quarantined=2, apart=Apart(quarantined=[1, 1]))
    state(store, box, [1, 1], applied=2)
    assert store.resource_ledgers() == {"q": Ledger(1, 1), "r": Ledger(1, 1)}
    assert store.connection.execute("SELECT COUNT(*) FROM set_aside").fetchone() == (0,)


@pytest.mark.parametrize("sealed", [True, False])
def test_n4_what_is_given_up_is_counted_by_resource_and_cause(sealed: bool) -> None:
    store = open_store("r", "q")
    box = outbox(store, linked=sealed)
    accept(store, box, r=[1, 2], q=[3])
    tally = GapTally(CAUSE_BYTE_CAP)
    box.expire(store, NOW_MS + RETENTION_MS, tally)
    dropped = {CAUSE_BYTE_CAP: 1}, {CAUSE_BYTE_CAP: 2}
    assert store.resource_ledgers() == {"q": Ledger(1, dropped=dropped[0]), "r": Ledger(2, dropped=dropped[1])}
    if sealed:  # it had arrived all the same: the destination's first word wins
        state(store, box, [1, 1], applied=3)
        assert store.resource_ledgers() == {"q": Ledger(1, 1), "r": Ledger(2, 2)}


def test_n4_a_restored_destination_gets_again_what_is_there_and_the_rest_is_named_by_resource() -> None:
    store = open_store("r", "q")
    box = outbox(store)
    accept(store, box, r=[1, 2], q=[3])
    state(store, box, [1, 1], applied=3)
    store.connection.execute("DELETE FROM reading WHERE at_ms = 2")
    state(store, box, [], fresh=True, applied=0)
    assert store.resource_ledgers() == {
        "q": Ledger(1, outbox=1),
        "r": Ledger(2, outbox=1, dropped={CAUSE_DESTINATION_RESTORED: 1}),
    }


def test_n4_what_a_restored_source_learns_of_is_of_no_known_resource() -> None:
    store = open_store("r")
    box = outbox(store)
    accept(store, box, r=[1])
    state(store, box, [1, 3], applied=7)
    assert store.resource_ledgers() == {"r": Ledger(1, 1), UNKNOWN_RESOURCE: Ledger(6, 6, adopted=6, unknown=True)}


def test_n4_a_deleted_resource_keeps_its_account() -> None:
    store = open_store("r", "q")
    box = outbox(store)
    accept(store, box, q=[3])
    state(store, box, [1, 1], applied=1)
    store.connection.execute("DELETE FROM resource WHERE alias = 'q'")
    assert store.resource_ledgers() == {"q": Ledger(1, 1)}


# --- the target's own side --------------------------------------------------------------------------------------------


def sealed(number: int, *resources: str, count: int | None = None, plain: bytes | None = None) -> tuple[bytes, bytes]:
    batch = [series(number * 10 + at, resource=resource) for at, resource in enumerate(resources)]
    return SOURCE.seal(
        Kind.SEGMENT,
        CODEC.encode(batch) if plain is None else plain,
        epoch=5,
        number=number,
        accepted_ms=NOW_MS,
        count=len(batch) if count is None else count,
        nonce=chance(number).randbytes(12),
    )


def applied(store: Streams, box: Inbox) -> dict[str, int]:
    box.flush(store)
    rows = store.connection.execute("SELECT resource, applied_count FROM waiting WHERE applied_count <> 0")
    return dict(rows.fetchall())


def test_n4_a_target_counts_what_it_applies_and_holds_by_resource_and_releases_it() -> None:
    store, box = open_store("r"), Inbox(keys(Side.TARGET), CODEC)
    box.on_segment(store, *sealed(1, "r", "q", "r"), NOW_MS)
    assert applied(store, box) == {"r": 2}
    _, (stated,) = box.state(store, whole=True)
    assert stated.apart == Apart(held={"q": 1})
    add_resource(store, "q")
    assert box.release_held(store, None, "q", 0, NOW_MS, GapTally("device_replaced")) == (1, None)
    assert applied(store, box) == {"r": 2, "q": 1}
    assert box.state(store, whole=True)[1][0].apart is None


def test_n4_a_target_names_the_numbers_of_what_it_could_not_read_and_the_resources_of_what_it_held_too_long() -> None:
    store, box = open_store("r"), Inbox(keys(Side.TARGET), CODEC)
    box.on_segment(store, *sealed(1, "q"), NOW_MS)
    box.on_segment(store, *sealed(2, count=4, plain=b"nobody can read this"), NOW_MS)
    box.expire_held(store, NOW_MS + RETENTION_MS + DAY_MS, GapTally("held_too_long"))
    _, (stated,) = box.state(store, whole=True)
    assert stated.apart == Apart(dropped={"held_too_long": {"q": 1}}, quarantined=[2, 2])
    assert applied(store, box) == {}


def test_n4_what_an_undone_unit_of_work_counted_is_forgotten() -> None:
    store, box = open_store("r"), Inbox(keys(Side.TARGET), CODEC)
    store.connection.execute("BEGIN")
    box.on_segment(store, *sealed(1, "r"), NOW_MS)
    store.connection.execute("ROLLBACK")
    store._catalogue.forget()
    box.forget()
    box.on_segment(store, *sealed(1, "r"), NOW_MS)
    assert applied(store, box) == {"r": 1}


# --- statements -------------------------------------------------------------------------------------------------------


def test_a_statement_names_a_bounded_number_of_resources_and_sums_up_the_rest() -> None:
    apart = Apart()
    for at in range(APART_RESOURCES_STATED_MAX + 3):
        apart.hold(f"r{at:04}", 2 if at < 3 else 1)
    stated = apart.stated()
    assert stated is not None
    assert stated.held.pop(UNKNOWN_RESOURCE) == 3
    assert len(stated.held) == APART_RESOURCES_STATED_MAX
    assert stated.held["r0000"] == 2


def test_accounts_of_many_resources_are_told_in_parts_and_only_what_changed() -> None:
    store = open_store()
    store.count_accepted({f"r{at:04}": 1 for at in range(RESOURCE_LEDGERS_STATED_MAX + 1)})
    store._count(tail_count=RESOURCE_LEDGERS_STATED_MAX + 1)
    store.connection.execute("UPDATE waiting SET tail_count = 1")
    news, ledger = LedgerNews(), store.ledger()
    assert len(news.next(store, ledger)) == RESOURCE_LEDGERS_STATED_MAX
    assert news.is_due(ledger)
    assert len(news.next(store, ledger)) == 1
    assert not news.is_due(ledger)
    store.count_accepted({"r0007": 5})
    assert list(news.next(store, store.ledger())) == ["r0007"]


def test_a_cut_tells_what_was_applied_since_a_statement_and_forgets_old_ones() -> None:
    cuts = Cuts()
    cuts.on_applied("r", 1)
    assert cuts.since(1) is None
    for number in (1, 2):
        cuts.on_statement(number)
        cuts.on_applied("r", number)
        cuts.on_applied("q", 10)
    assert cuts.since(1) == {"r": 3, "q": 20}
    assert cuts.since(2) == {"r": 2, "q": 10}
    for number in range(3, CUTS_KEPT_MAX + 3):
        cuts.on_statement(number)
    assert cuts.since(2) is None
    assert cuts.since(3) == {}
    cuts.forget()
    assert cuts.since(3) is None


def test_what_waits_uncounted_is_not_taken_from_what_waits_of_another_resource() -> None:
    # Seed 606 of the simulation: a segment made again brought more of one resource than its header counts.
    apart = Apart(held={"on": 1, UNKNOWN_RESOURCE: 1})
    moved = min(3, apart.waiting("mood", 2))
    assert (moved, apart.release("mood", moved), apart.held) == (1, 0, {"on": 1})
    assert apart.waiting("on", 1) == 1


def test_the_account_of_a_resource_that_is_no_more_is_taken_back() -> None:
    # Seed 1143: the target went on showing what the source counted under no name for a while.
    ledgers = {"temp": Ledger(accepted=1, tail=1), UNKNOWN_RESOURCE: Ledger(held=3, applied=-3)}

    class Store:
        def resource_ledgers(self) -> dict[str, Ledger]:
            return ledgers

    store, news, whole = Store(), LedgerNews(), Ledger(accepted=1, tail=1)
    assert news.next(store, whole).keys() == {"temp", UNKNOWN_RESOURCE}  # type: ignore[arg-type]
    del ledgers[UNKNOWN_RESOURCE]
    assert news.next(store, whole) == {UNKNOWN_RESOURCE: Ledger()}  # type: ignore[arg-type]
    assert news.next(store, whole) == {}  # type: ignore[arg-type]
