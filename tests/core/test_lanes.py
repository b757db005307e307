"""The order in which frames leave a link (G6)."""

from __future__ import annotations

from shared.core.lanes import Lanes
from shared.limits import BACKFILL_AFTER_LIVE_BYTES, LINK_QUEUE_BYTES_MAX, LINK_QUEUE_FRAMES_MAX
from shared.messages import (
    LANE_BACKFILL,
    LANE_CONTROL,
    LANE_LIVE,
    AnyFrame,
    AskHeld,
    AskStatement,
    ClaimStep,
    Held,
    HeldEpoch,
    Notice,
    Sealed,
    Statement,
    encode_frame,
)


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
    assert (lanes.queued_bytes, lanes.urgent_count, len(lanes)) == (350 + len(encode_frame(AskHeld())), 2, 3)
    drained(lanes)
    assert (lanes.queued_bytes, len(lanes)) == (0, 0)


def test_every_frame_counts_with_what_it_carries() -> None:
    lanes = Lanes()
    frames: list[AnyFrame] = [
        AskStatement(b"p" * 16, b"n" * 5_000),
        Statement(b"h", b"p" * 5_000, b"b" * 5_000),
        ClaimStep(b"c" * 8, b"b" * 5_000),
        Held(True, [HeldEpoch(0, 1, [1 << 40] * 1_000)]),
        Notice("c", {"why": "w" * 5_000}),
    ]
    for frame in frames:
        lanes.put(frame)
    assert lanes.queued_bytes > 34_000
    assert lanes.take_some(3) == frames[:3]
    assert lanes.take_some(9) == frames[3:]
    assert lanes.queued_bytes == 0


def test_a_queue_is_full_of_few_large_frames() -> None:
    lanes = Lanes()
    # With what each says beside its body four are a little more than the bound.
    for _ in range(3):
        lanes.put(Statement(b"h", b"", bytes(LINK_QUEUE_BYTES_MAX // 4)))
    assert not lanes.is_full
    lanes.put(Statement(b"h", b"", bytes(LINK_QUEUE_BYTES_MAX // 4)))
    assert lanes.is_full


def test_a_queue_is_full_of_many_small_frames() -> None:
    lanes = Lanes()
    for _ in range(LINK_QUEUE_FRAMES_MAX - 1):
        lanes.put(AskHeld())
    assert not lanes.is_full
    lanes.put(AskHeld())
    assert lanes.is_full
