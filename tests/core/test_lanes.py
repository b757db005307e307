"""The order in which frames leave a link (G6)."""

from __future__ import annotations

from shared.core.lanes import Lanes
from shared.limits import BACKFILL_AFTER_LIVE_BYTES
from shared.messages import LANE_BACKFILL, LANE_CONTROL, LANE_LIVE, AskHeld, Sealed


def sealed(lane: int, size: int = 100) -> Sealed:
    return Sealed(lane, b"h", b"b" * size)


def drained(lanes: Lanes) -> list[object]:
    taken: list[object] = []
    while (frame := lanes.take()) is not None:
        taken.append(frame.lane if isinstance(frame, Sealed) else type(frame).__name__)
    return taken


def test_control_goes_before_live_and_live_before_backfill() -> None:
    lanes = Lanes()
    for frame in (sealed(LANE_BACKFILL), sealed(LANE_LIVE), sealed(LANE_CONTROL), AskHeld()):
        lanes.put(frame)
    assert drained(lanes) == [LANE_CONTROL, "AskHeld", LANE_LIVE, LANE_BACKFILL]


def test_backfill_gets_a_tenth_however_much_live_there_is() -> None:
    lanes = Lanes()
    size = BACKFILL_AFTER_LIVE_BYTES // 9
    for _ in range(90):
        lanes.put(sealed(LANE_LIVE, size))
    for _ in range(20):
        lanes.put(sealed(LANE_BACKFILL, size))
    assert drained(lanes)[:50].count(LANE_BACKFILL) == 5


def test_bytes_are_counted_in_and_out() -> None:
    lanes = Lanes()
    lanes.put(sealed(LANE_LIVE, 300))
    lanes.put(sealed(LANE_CONTROL, 50))
    lanes.put(AskHeld())
    assert (lanes.queued_bytes, lanes.urgent_count, len(lanes)) == (350, 2, 3)
    drained(lanes)
    assert (lanes.queued_bytes, len(lanes)) == (0, 0)
