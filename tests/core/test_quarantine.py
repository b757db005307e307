"""G7: what is genuine and cannot be applied is kept, tried again, or given up by a person; the account stays balanced."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from connector.catalogue import Catalogue
from connector.streams import Streams
from shared.batches import BatchCodec, Series
from shared.columns import as_columns
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Send
from shared.core.entries import CAUSE_DISCARDED, GapEntry, GapNotice, decode_entry, encode_entry
from shared.core.intervals import IntervalSet
from shared.core.outbox import OutboxLimits
from shared.core.ports import ENTRY_KIND, EpochOut
from shared.errors import Refused
from shared.limits import CREDIT_BYTES, DAY_MS, QUARANTINE_TRY_EVERY_MS, READING_AHEAD_MS_MAX
from shared.messages import LANE_CONTROL, LANE_LIVE, Held, Sealed
from shared.sealing import Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store, rows, series

SOURCE = keys(Side.SOURCE)
EPOCH = 5
AHEAD_MS = NOW_MS + READING_AHEAD_MS_MAX + 3 * DAY_MS


class Target:
    """A target's engine on a real store, with a link."""

    def __init__(self, limits: OutboxLimits | None = None) -> None:
        self.store = open_store()
        self.limits = limits
        self.effects: list[Effect] = []
        self.now_ms = NOW_MS
        self.number = 0
        self.start()

    def start(self) -> None:
        self.engine = PairEngine(keys=keys(Side.TARGET), site_id="t", chance=chance(7).randbytes, limits=self.limits)
        self.engine.load(self.store, self.now_ms)
        self.engine.on_link_opened(self.store, peer_linked=True, credit_bytes=CREDIT_BYTES, now_ms=self.now_ms)
        self.engine.on_frame(self.store, Held(True, []), self.now_ms)
        self.engine.flush(self.store, self.now_ms)

    def segment(self, *batch: Series, plain: bytes | None = None, count: int | None = None) -> None:
        self.number += 1
        self.take(
            Kind.SEGMENT,
            CODEC.encode(batch) if plain is None else plain,
            sum(map(len, batch)) if count is None else count,
        )

    def take(self, kind: Kind, plain: bytes, count: int = 0, number: int = 0) -> None:
        sealed = SOURCE.seal(
            kind,
            plain,
            epoch=EPOCH,
            number=number or self.number,
            accepted_ms=NOW_MS,
            count=count,
            nonce=chance(self.number).randbytes(12),
        )
        lane = LANE_LIVE if kind is Kind.SEGMENT else LANE_CONTROL
        self.effects = self.engine.on_frame(self.store, Sealed(lane, *sealed), self.now_ms)
        self.effects += self.engine.flush(self.store, self.now_ms)

    @property
    def counts(self) -> tuple[int, int, dict[str, int]]:
        """(applied, quarantined, dropped) of the epoch."""
        epoch = self.store.epoch_in(EPOCH)
        assert epoch is not None
        return epoch.applied, epoch.quarantined, epoch.dropped

    @property
    def kept(self) -> list[int]:
        return [item.row for item in self.store.quarantined_after(0, 100)]

    def pass_time(self, by_ms: int) -> None:
        self.now_ms += by_ms
        due_ms = self.engine.next_deadline_ms(self.store)
        assert due_ms is not None
        if due_ms <= self.now_ms:
            self.engine.on_deadline(self.store, self.now_ms)
            self.engine.flush(self.store, self.now_ms)


def test_a_segment_from_a_clock_far_ahead_is_applied_by_itself_once_its_time_has_come() -> None:
    target = Target()
    target.segment(series(AHEAD_MS))
    assert (target.counts, len(target.kept)) == ((0, 1, {}), 1)
    target.pass_time(QUARANTINE_TRY_EVERY_MS)
    assert target.counts == (0, 1, {})
    target.pass_time(4 * DAY_MS)
    assert (target.counts, target.kept) == ((1, 0, {}), [])
    assert rows(target.store, "SELECT at_ms FROM reading") == [(AHEAD_MS,)]


def test_a_start_tries_everything_again_because_the_release_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target()
    for _ in range(20):
        target.segment(series(NOW_MS - 5), plain=b"of a later release", count=3)
    target.segment(series(NOW_MS - 4))
    assert target.counts == (1, 60, {})
    later = as_columns([series(1, 2, 3)])
    with monkeypatch.context() as patched:  # the later release, which can read it
        patched.setattr(BatchCodec, "decode_columns", lambda *_args, **_more: later)
        target.start()
        for _ in range(3):
            assert target.engine.next_deadline_ms(target.store) == 0
            target.pass_time(1)
    assert (target.counts, target.kept) == ((61, 0, {}), [])


def test_a_retry_by_hand_says_why_it_still_does_not_work_and_changes_no_count() -> None:
    target = Target()
    target.segment(plain=b"no batch", count=4)
    (row,) = target.kept
    reason, _ = target.engine.quarantine.retry(target.store, row, NOW_MS)
    assert "malformed batch" in reason
    assert (target.counts, target.kept) == ((0, 4, {}), [row])
    assert rows(target.store, "SELECT tried_ms FROM quarantine") == [(NOW_MS,)]
    with pytest.raises(Refused):
        target.engine.quarantine.retry(target.store, row + 1, NOW_MS)


@pytest.mark.parametrize(
    ("batch", "plain", "named"),
    [([series(AHEAD_MS, AHEAD_MS + 1)], None, [("d", "r", 2)]), ([], b"no batch", [])],
)
def test_what_a_person_discards_is_a_gap_that_the_other_side_is_told_of_and_the_account_balances(
    batch: list[Series], plain: bytes | None, named: list[tuple[str, str, int]]
) -> None:
    target = Target()
    target.segment(*batch, plain=plain, count=2)
    (row,) = target.kept
    target.engine.quarantine.discard(target.store, row, NOW_MS)
    assert (target.counts, target.kept) == ((0, 0, {CAUSE_DISCARDED: 2}), [])
    (notice,) = target.store.own_gaps()
    assert (notice.cause, notice.count, notice.epochs) == (CAUSE_DISCARDED, 2, [])
    assert [(each.device, each.resource, each.count) for each in notice.rows] == named
    told = [decode_entry(entry.entry) for entry in target.store.control_rows(0, 10)]
    assert GapEntry(notice) in told
    with pytest.raises(Refused):
        target.engine.quarantine.discard(target.store, row, NOW_MS)


def test_g1_the_source_counts_what_was_applied_after_all_and_what_was_discarded() -> None:
    target = Target()
    target.segment(series(AHEAD_MS))
    target.segment(plain=b"no batch", count=2)
    first, second = target.kept
    target.engine.quarantine.discard(target.store, second, NOW_MS)
    target.now_ms = AHEAD_MS
    assert target.engine.quarantine.retry(target.store, first, AHEAD_MS)[0] == ""
    public, private = target.engine.inbox.state(target.store, whole=True)
    epoch = EpochOut(EPOCH, 2)
    for part, stated in zip(public, private, strict=True):
        epoch.recorded.update(IntervalSet(part.recorded))
        epoch.applied, epoch.quarantined, epoch.dropped = stated.applied, stated.quarantined, stated.dropped
    assert (epoch.applied, epoch.quarantined, epoch.dropped) == (1, 0, {CAUSE_DISCARDED: 2})
    assert epoch.recorded_count == 3


def test_a_segment_that_comes_again_after_it_was_discarded_or_applied_changes_nothing() -> None:
    target = Target()
    target.segment(series(AHEAD_MS))
    target.engine.quarantine.discard(target.store, target.kept[0], NOW_MS)
    target.take(Kind.SEGMENT, CODEC.encode([series(AHEAD_MS)]), 1)
    assert (target.counts, target.kept) == ((0, 0, {CAUSE_DISCARDED: 1}), [])


def test_a_poisonous_entry_is_passed_kept_and_taken_once_this_side_understands_it() -> None:
    target = Target()
    gap = b"\x92\xa7unknown\x01"
    target.take(Kind.CONTROL, gap, number=1)
    target.take(Kind.CONTROL, encode_entry(GapEntry(_notice("after"))), number=2)
    (item,) = target.store.quarantined_after(0, 10)
    assert (item.kind, item.number, item.count) == (ENTRY_KIND, 1, 0)
    assert len(target.store.gaps(ours=False)) == 1
    target.store.connection.execute("UPDATE quarantine SET body = ?", (encode_entry(GapEntry(_notice("before"))),))
    target.pass_time(QUARANTINE_TRY_EVERY_MS)
    assert target.kept == []
    assert {notice.gap_id for notice in target.store.gaps(ours=False)} == {"before", "after"}


def test_a_poisonous_entry_that_is_discarded_is_gone_and_is_no_gap() -> None:
    target = Target()
    target.take(Kind.CONTROL, b"\x91\xa1x", number=1)
    effects = target.engine.quarantine.discard(target.store, target.kept[0], NOW_MS)
    assert not any(isinstance(effect, Send) for effect in effects)
    assert (target.kept, target.store.own_gaps()) == ([], [])


def _notice(gap_id: str) -> GapNotice:
    return GapNotice(gap_id, "retention", 1, 1, 2, [], [], NOW_MS)


def test_g7_a_number_is_given_once_so_that_no_page_that_is_open_means_another_thing() -> None:
    store = open_store()

    def quarantine(reason: str) -> int:
        store.quarantine(EPOCH, 1, 10, reason, b"header", b"body", NOW_MS)
        newest = store.quarantined_after(0, 9)[-1]
        assert newest.reason == reason
        return newest.row

    numbers = [quarantine("first"), quarantine("second")]
    for reason in ("third", "fourth"):
        store.remove_quarantined(numbers[-1])
        assert store.quarantined(numbers[-1]) is None
        numbers.append(quarantine(reason))
    store.remove_quarantined(numbers[0])
    store.remove_quarantined(numbers[-1])
    numbers += [quarantine("fifth"), quarantine("sixth")]
    assert numbers == sorted(set(numbers))
    assert [item.reason for item in store.quarantined_after(numbers[0], 9)] == ["fifth", "sixth"]


def test_g7_numbers_of_before_the_upgrade_are_not_given_again() -> None:
    scripts = sorted((Path(__file__).parents[2] / "connector" / "sql").glob("*.sql"))
    numbered = next(at for at, script in enumerate(scripts) if "quarantine_numbers" in script.name)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for script in scripts[:numbered]:
        connection.executescript(script.read_text(encoding="utf-8"))
    connection.execute("INSERT INTO connector (connector_id, name, role, created_ms) VALUES ('C', 'c', 'target', 0)")
    store = Streams(connection, "C", Catalogue())
    store.quarantine(EPOCH, 1, 10, "before", b"header", b"body", NOW_MS)
    for script in scripts[numbered:]:
        connection.executescript(script.read_text(encoding="utf-8"))
    (before,) = store.quarantined_after(0, 9)
    store.remove_quarantined(before.row)
    store.quarantine(EPOCH, 2, 10, "since", b"header", b"body", NOW_MS)
    (since,) = store.quarantined_after(0, 9)
    assert (before.reason, since.reason, since.row > before.row) == ("before", "since", True)
