"""What goes first, and how much of a backlog is on its way at a time (G6)."""

from __future__ import annotations

from random import Random

from connector.streams import Streams
from shared.batches import Series
from shared.core.drain import DrainBudget
from shared.core.lanes import Lanes
from shared.core.outbox import Outbox, OutboxLimits
from shared.core.sending import Outgoing
from shared.limits import (
    BACKFILL_FRAMES_AT_ONCE,
    BACKFILL_IN_FLIGHT_BYTES,
    BACKFILL_READINGS_AT_ONCE,
    CREDIT_BYTES,
    HOUR_MS,
    LIVE_AGE_MS,
    SECOND_MS,
    SEGMENT_READINGS_MAX,
)
from shared.messages import LANE_BACKFILL, LANE_CONTROL, LANE_LIVE, Credit, Sealed
from shared.sealing import Header, Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store

_NOISE = Random(3)  # incompressible, so that sizes are sizes


def _behind(segments: int, accepted_ms: int, **limits: int) -> tuple[Streams, Outbox]:
    """A source with so many full segments, none of them sent, and no link."""
    store = open_store()
    box = Outbox(keys(Side.SOURCE), CODEC, chance(1).randbytes, OutboxLimits(**limits))  # type: ignore[arg-type]
    box.load(store, frozenset({"r"}))
    for at in range(segments):
        _accept(store, box, at * SEGMENT_READINGS_MAX, SEGMENT_READINGS_MAX, accepted_ms)
    return store, box


def _accept(store: Streams, box: Outbox, first_ms: int, count: int, now_ms: int) -> None:
    times_ms = list(range(first_ms, first_ms + count))
    box.accept(store, [Series("d", "r", "number", times_ms, [_NOISE.random() for _ in times_ms])], now_ms)


def _link(store: Streams, box: Outbox, now_ms: int = NOW_MS) -> list[Outgoing]:
    box.on_link_opened(store, {}, now_ms)
    box.set_reachable(True)
    box.add_credit(64 * CREDIT_BYTES)
    return box.pump(store, now_ms)


def _bytes(sent: list[Outgoing], lane: int) -> int:
    return sum(len(one.body) for one in sent if one.lane == lane)


def _readings(sent: list[Outgoing], lane: int) -> list[int]:
    return [Header.unpack(one.header).count for one in sent if one.lane == lane]


def test_what_is_accepted_now_passes_a_backlog_of_the_last_minute() -> None:
    store, box = _behind(8, NOW_MS - SECOND_MS)
    first = _link(store, box)
    assert _readings(first, LANE_LIVE) == [SEGMENT_READINGS_MAX]  # newest first, and the next one after its word
    _accept(store, box, 10**9, 3, NOW_MS)
    sent = box.pump(store, NOW_MS)
    assert _readings(sent, LANE_LIVE) == [3]


def test_what_was_accepted_so_long_ago_or_less_when_the_link_opens_is_live() -> None:
    lanes = []
    for past_ms in (-1, 0, 1):
        store, box = _behind(1, NOW_MS - 5_000 - past_ms, live_age_ms=5_000)
        (sent,) = _link(store, box)
        lanes.append(sent.lane)
    assert lanes == [LANE_LIVE, LANE_LIVE, LANE_BACKFILL]


def test_what_is_accepted_while_the_link_is_open_is_live_however_little_of_before_is() -> None:
    store, box = _behind(1, NOW_MS - 1, live_age_ms=0)
    (before,) = _link(store, box)
    assert before.lane == LANE_BACKFILL
    lanes = []
    for at, (accepted_ms, sent_ms) in enumerate(
        (
            (NOW_MS, NOW_MS),
            (NOW_MS, NOW_MS + LIVE_AGE_MS),  # it had to wait, and is not what is new any more a moment later
            (NOW_MS, NOW_MS + LIVE_AGE_MS + 1),
            (NOW_MS - HOUR_MS, NOW_MS - HOUR_MS),  # the clock was set back
        )
    ):
        _accept(store, box, 10**9 + at, 1, accepted_ms)
        (sent,) = box.pump(store, sent_ms)
        lanes.append(sent.lane)
    assert lanes == [LANE_LIVE, LANE_LIVE, LANE_BACKFILL, LANE_LIVE]


def test_only_so_much_backfill_is_on_its_way_however_much_credit_there_is() -> None:
    store, box = _behind(24, NOW_MS - HOUR_MS)
    sent = _link(store, box)
    one = len(sent[0].body)
    assert BACKFILL_IN_FLIGHT_BYTES <= _bytes(sent, LANE_BACKFILL) < BACKFILL_IN_FLIGHT_BYTES + one
    assert box.pump(store, NOW_MS) == []
    for row in [row for row, _, _ in store.undropped_after(0, 2)]:
        box._sending.on_word(row)
    assert len(box.pump(store, NOW_MS)) == 2


def test_a_drain_keeps_to_its_budget_and_live_is_never_throttled_by_it() -> None:
    store, box = _behind(8, NOW_MS - HOUR_MS, drain_bytes_per_s=10_000)
    sent = _link(store, box)
    assert _readings(sent, LANE_BACKFILL) == [SEGMENT_READINGS_MAX]
    due_ms = box.send_next_ms
    assert due_ms is not None
    assert abs(due_ms - NOW_MS - len(sent[0].body) / 10) <= 2
    assert box.pump(store, due_ms - 1) == []
    _accept(store, box, 10**9, 3, due_ms - 1)
    assert _readings(box.pump(store, due_ms - 1), LANE_LIVE) == [3]
    assert _readings(box.pump(store, due_ms), LANE_BACKFILL) == [SEGMENT_READINGS_MAX]
    box.set_budget(0, due_ms)
    for row in [row for row, _, _ in store.undropped_after(0, 2)]:
        box._sending.on_word(row)
    assert len(box.pump(store, due_ms)) >= 2
    assert box.send_next_ms is None


def test_what_a_budget_was_not_used_for_is_kept_for_a_second_and_no_longer() -> None:
    budget = DrainBudget(1_000)
    assert budget.has_room(NOW_MS)
    budget.spend(500)
    assert budget.next_ms(NOW_MS) == NOW_MS + 501
    assert budget.has_room(NOW_MS + HOUR_MS)
    budget.spend(1_000)
    assert budget.has_room(NOW_MS + HOUR_MS)
    budget.spend(1)
    assert not budget.has_room(NOW_MS + HOUR_MS)
    assert not budget.has_room(NOW_MS)  # a clock that goes back gives nothing


def test_a_unit_of_work_takes_what_is_urgent_before_what_is_live_and_another_one_little_backfill() -> None:
    lanes = Lanes()
    for number in range(4):
        lanes.put(_sealed(LANE_BACKFILL, number, BACKFILL_READINGS_AT_ONCE // 2))
    lanes.put(_sealed(LANE_LIVE, 9, 1))
    lanes.put(Credit(1))
    lanes.put(_sealed(LANE_CONTROL, 1, 0))
    taken = lanes.take_some(64)
    assert isinstance(taken[0], Credit)
    assert [frame.lane for frame in taken[1:] if isinstance(frame, Sealed)] == [LANE_CONTROL, LANE_LIVE]
    assert lanes.take_some(64) == []
    assert len(lanes.take_backfill()) == 2
    assert len(lanes.take_backfill()) == 2
    assert lanes.take_backfill() == []
    assert lanes.queued_bytes == 0
    for number in range(BACKFILL_FRAMES_AT_ONCE + 1):
        lanes.put(_sealed(LANE_BACKFILL, number, 1))
    assert len(lanes.take_backfill()) == BACKFILL_FRAMES_AT_ONCE


def _sealed(lane: int, number: int, count: int) -> Sealed:
    header = Header(1, Kind.SEGMENT, Side.SOURCE, b"p" * 16, 1, 1, 1, number, NOW_MS, count, b"n" * 12)
    return Sealed(lane, header.pack(), b"body")
