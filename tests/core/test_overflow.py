"""What gives way at the byte cap, by resource (G5, rows N3 and N4): exact below, at and above it."""

from __future__ import annotations

import pytest

from connector.streams import Streams
from shared.batches import Series
from shared.core.engine import PairEngine
from shared.core.entries import CAUSE_BYTE_CAP
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.outbox import Outbox, OutboxLimits
from shared.core.overflow import DROP_OLDEST, REFUSE_NEW, Overflow
from shared.errors import Refused
from shared.limits import CREDIT_BYTES, SEGMENT_READINGS_MAX
from shared.sealing import Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store, rows, series


def outbox(store: Streams, *, bytes_max: int, refuse: bool = False, takes: str = "keep drop") -> Outbox:
    made = Outbox(keys(Side.SOURCE), CODEC, chance().randbytes, OutboxLimits(1 << 60, bytes_max, refuse))
    made.load(store, frozenset(takes.split()))
    return made


def choose(store: Streams, **overflow: str) -> None:
    for alias, choice in overflow.items():
        store.connection.execute("UPDATE resource SET overflow = ? WHERE alias = ?", (choice, alias))


def feed(store: Streams, box: Outbox, now_ms: int, *batch: Series) -> GapTally:
    box.accept(store, list(batch), now_ms)
    tally = GapTally(CAUSE_BYTE_CAP)
    box.drop_over_cap(store, tally)
    for ledger in (store.ledger(), *store.resource_ledgers().values()):
        assert ledger.balanced, ledger
    return tally


def counted(store: Streams) -> dict[str, tuple[int, int]]:
    """Readings that wait and that were dropped, by resource."""
    return {name: (each.queued, each.dropped_total) for name, each in store.resource_ledgers().items()}


def one(at_ms: int, resource: str) -> Series:
    return series(at_ms, resource=resource)


def body_bytes(store: Streams) -> list[int]:
    return [size for (size,) in rows(store, "SELECT LENGTH(body) FROM tail ORDER BY row")]  # type: ignore[misc]


@pytest.mark.parametrize(("spare_bytes", "dropped"), [(1, 0), (0, 0), (-1, 1)])
def test_n4_the_oldest_goes_only_where_the_cap_is_passed_and_no_more_than_is_needed(
    spare_bytes: int, dropped: int
) -> None:
    store = open_store("drop")
    box = outbox(store, bytes_max=1 << 40)
    for at_ms in range(5):
        feed(store, box, NOW_MS + at_ms, one(at_ms, "drop"))
    box.limits = OutboxLimits(1 << 60, sum(body_bytes(store)) + spare_bytes)
    box.drop_over_cap(store, GapTally(CAUSE_BYTE_CAP))
    assert counted(store) == {"drop": (5 - dropped, dropped)}
    assert store.waiting_bytes() == sum(body_bytes(store)) <= box.limits.bytes_max


@pytest.mark.parametrize(("spare_bytes", "refused"), [(1, False), (0, True), (-1, True)])
def test_n4_new_readings_are_refused_from_the_cap_on_and_none_is_dropped(spare_bytes: int, refused: bool) -> None:
    store = open_store("keep")
    choose(store, keep=REFUSE_NEW)
    box = outbox(store, bytes_max=1 << 40)
    for at_ms in range(5):
        feed(store, box, NOW_MS, one(at_ms, "keep"))
    box.limits = OutboxLimits(1 << 60, store.waiting_bytes() + spare_bytes)
    if refused:
        with pytest.raises(Refused, match="outbox is full"):
            box.accept(store, [one(9, "keep")], NOW_MS)
    else:
        feed(store, box, NOW_MS, one(9, "keep"))
    assert counted(store) == {"keep": (5 if refused else 6, 0)}


def test_n4_what_may_be_dropped_gives_way_to_what_may_not_until_none_is_left() -> None:
    store = open_store("keep", "drop")
    choose(store, keep=REFUSE_NEW)
    box = outbox(store, bytes_max=700)
    refused = 0
    for at_ms in range(40):
        try:
            tally = feed(store, box, NOW_MS + at_ms, one(at_ms, "keep"), one(at_ms, "drop"))
            assert {row.resource for notice in tally.notices("g", 1) for row in notice.rows} <= {"drop"}
        except Refused:
            refused += 1
    found = counted(store)
    assert found["keep"] == (40 - refused, 0)
    assert found["drop"] == (0, 40 - refused)
    assert refused > 10
    assert 700 <= store.waiting_bytes() == store.kept_bytes() < 900


@pytest.mark.parametrize("takes", ["keep drop", ""])
def test_n4_kept_and_droppable_readings_of_one_batch_never_share_a_segment_or_a_piece_of_the_tail(takes: str) -> None:
    store = open_store("keep", "drop")
    choose(store, keep=REFUSE_NEW)
    box = outbox(store, bytes_max=1 << 40, takes=takes)
    many = range(SEGMENT_READINGS_MAX)
    feed(store, box, NOW_MS, series(*many, resource="keep"), series(*many, resource="drop"))
    feed(store, box, NOW_MS, one(10**6, "keep"), one(10**6, "drop"))
    for table in ("segment", "tail"):
        mixed = f"SELECT COUNT(*) FROM {table} WHERE (counts LIKE '%keep%') + (counts LIKE '%drop%') <> 1"
        wrong = f"SELECT COUNT(*) FROM {table} WHERE kept <> (counts LIKE '%keep%')"
        assert rows(store, mixed) == rows(store, wrong) == [(0,)]
    box.limits = OutboxLimits(1 << 60, 1)
    box.drop_over_cap(store, GapTally(CAUSE_BYTE_CAP))
    assert counted(store) == {"drop": (0, len(many) + 1), "keep": (len(many) + 1, 0)}


def test_n4_an_older_tail_goes_before_a_newer_segment() -> None:
    store = open_store("held", "drop")
    box = outbox(store, bytes_max=1 << 40, takes="drop")
    feed(store, box, NOW_MS, one(1, "held"))
    feed(store, box, NOW_MS + 1, series(*range(SEGMENT_READINGS_MAX), resource="drop"))
    feed(store, box, NOW_MS + 2, one(2, "held"))
    box.limits = OutboxLimits(1 << 60, store.waiting_bytes() - 1)
    box.drop_over_cap(store, GapTally(CAUSE_BYTE_CAP))
    assert counted(store) == {"drop": (SEGMENT_READINGS_MAX, 0), "held": (1, 1)}


def test_n4_a_backlog_beyond_a_lowered_cap_goes_bit_by_bit_and_what_comes_meanwhile_makes_room_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.core.outbox.SEGMENT_READINGS_MAX", 1)  # a long backlog, made quickly
    store = open_store("keep", "drop")
    choose(store, keep=REFUSE_NEW)
    store.save_peer_definitions(store.definitions())

    def started(bytes_max: int) -> PairEngine:
        limits = OutboxLimits(1 << 60, bytes_max)
        engine = PairEngine(keys=keys(Side.SOURCE), site_id="s", chance=chance().randbytes, limits=limits)
        engine.load(store, NOW_MS)
        return engine

    ample, count = started(1 << 40), 400
    for at_ms in range(count):
        ample.accept(store, [one(at_ms, "keep"), one(at_ms, "drop")], NOW_MS)
    engine = started(store.waiting_bytes() * 6 // 10)
    due_ms: int | None = NOW_MS
    dropped, comes = 0, 100  # more than goes at once
    while due_ms is not None and due_ms < NOW_MS + 1_000:
        before_bytes = store.waiting_bytes()
        was = dropped
        if was == 64:
            engine.accept(store, [one(count + at, "drop") for at in range(comes)], NOW_MS)
        engine.enforce_cap(store, due_ms)
        engine.flush(store, due_ms)
        dropped = counted(store)["drop"][1]
        assert was < dropped <= was + (comes + 1 if was == 64 else 64), "the writer has other things to do as well"
        assert store.waiting_bytes() <= before_bytes
        due_ms = engine.next_deadline_ms(store)
    assert store.waiting_bytes() <= engine.outbox.limits.bytes_max
    assert counted(store)["keep"] == (count, 0)
    assert all(ledger.balanced for ledger in (store.ledger(), *store.resource_ledgers().values()))


def test_n4_kept_bytes_leave_with_their_segments_and_new_readings_are_taken_again() -> None:
    store = open_store("keep")
    choose(store, keep=REFUSE_NEW)
    box = outbox(store, bytes_max=50)
    feed(store, box, NOW_MS, *[one(at_ms, "keep") for at_ms in range(100)])
    box.on_link_opened(store, {}, NOW_MS)
    box.set_reachable(True)
    box.add_credit(CREDIT_BYTES)
    box.pump(store, NOW_MS)
    assert store.kept_bytes() == store.waiting_bytes() > 50
    (segment,) = store.segments_numbered(next(iter(store.epochs_out())), IntervalSet([1, 1]))
    store.settle_segments(segment.epoch, IntervalSet([segment.number] * 2), [segment], NOW_MS)
    assert store.kept_bytes() == store.waiting_bytes() == 0
    box.accept(store, [one(1_000, "keep")], NOW_MS)
    assert store.waiting_bytes() > 0


def test_a_resource_follows_the_site_unless_it_has_a_choice_of_its_own() -> None:
    for refuse in (False, True):
        policy = Overflow(refuse, {"keep": REFUSE_NEW, "drop": DROP_OLDEST})
        assert [policy.keeps(name) for name in ("keep", "drop", "other")] == [True, False, refuse]
        assert not policy.keeps_all
        assert not policy.keeps_none
    assert Overflow(True).keeps_all
    assert Overflow(False).keeps_none
