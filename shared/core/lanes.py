"""What waits on one link, to be sent or to be taken, most urgent first (G6): control, then live, then backfill's tenth."""

from __future__ import annotations

from collections import deque

from shared.errors import ProtocolError
from shared.limits import (
    BACKFILL_AFTER_LIVE_BYTES,
    BACKFILL_FRAMES_AT_ONCE,
    BACKFILL_READINGS_AT_ONCE,
    LINK_QUEUE_BYTES_MAX,
    LINK_QUEUE_FRAMES_MAX,
)
from shared.messages import LANE_BACKFILL, LANE_LIVE, AnyFrame, Sealed, encode_frame
from shared.sealing import Header


class Lanes:
    """A queue of frames. Whoever fills it bounds it: segments by credit, the rest by `is_full`, or by count and bytes."""

    def __init__(self) -> None:
        self._urgent: deque[AnyFrame] = deque()
        self._urgent_bytes: deque[int] = deque()  # what each of these takes
        self._live: deque[Sealed] = deque()
        self._backfill: deque[Sealed] = deque()
        self._live_run_bytes = 0
        self.queued_bytes = 0
        """Bytes that wait: sealed bodies, and whatever else a frame carries, as it is sent."""

    def put(self, frame: AnyFrame) -> None:
        """Queue a frame in its lane; what is no segment is control."""
        if isinstance(frame, Sealed):
            size = len(frame.body)
            self.queued_bytes += size
            if frame.lane in (LANE_LIVE, LANE_BACKFILL):
                (self._live if frame.lane == LANE_LIVE else self._backfill).append(frame)
                return
        else:
            size = len(encode_frame(frame))
            self.queued_bytes += size
        self._urgent.append(frame)
        self._urgent_bytes.append(size)

    def take(self) -> AnyFrame | None:
        """Take the most urgent frame; None where nothing waits."""
        if self._urgent:
            return self._take_urgent()
        backfill_next = self._backfill and (not self._live or self._live_run_bytes >= BACKFILL_AFTER_LIVE_BYTES)
        lane = self._backfill if backfill_next else self._live
        if not lane:
            return None
        segment = lane.popleft()
        self.queued_bytes -= len(segment.body)
        self._live_run_bytes = 0 if backfill_next else self._live_run_bytes + len(segment.body)
        return segment

    def take_some(self, frames_max: int) -> list[AnyFrame]:
        """Take what one unit of work is to take of what is urgent or live."""
        taken: list[AnyFrame] = []
        while len(taken) < frames_max and (self._urgent or self._live):
            if self._urgent:
                taken.append(self._take_urgent())
            else:
                taken.append(segment := self._live.popleft())
                self.queued_bytes -= len(segment.body)
        return taken

    def take_backfill(self) -> list[AnyFrame]:
        """Take what one unit of work is to take of a backlog: so little that live finds its turn a few milliseconds later."""
        taken: list[AnyFrame] = []
        readings = 0
        while self._backfill and readings < BACKFILL_READINGS_AT_ONCE and len(taken) < BACKFILL_FRAMES_AT_ONCE:
            taken.append(frame := self._backfill.popleft())
            self.queued_bytes -= len(frame.body)
            readings += _readings(frame)
        return taken

    def _take_urgent(self) -> AnyFrame:
        self.queued_bytes -= self._urgent_bytes.popleft()
        return self._urgent.popleft()

    @property
    def is_full(self) -> bool:
        """Whether no more should be read for now, of frames or of bytes."""
        return len(self) >= LINK_QUEUE_FRAMES_MAX or self.queued_bytes > LINK_QUEUE_BYTES_MAX

    @property
    def urgent_count(self) -> int:
        """Frames that bypass credit and wait."""
        return len(self._urgent)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._live) + len(self._backfill)


def _readings(frame: Sealed) -> int:
    """Return how many readings a segment says it has; one that says nothing is taken alone."""
    try:
        return Header.unpack(frame.header).count
    except ProtocolError:
        return BACKFILL_READINGS_AT_ONCE
