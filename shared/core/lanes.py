"""What waits to be sent on one link, most urgent first (G6): control, then live, then backfill with its tenth."""

from __future__ import annotations

from collections import deque

from shared.limits import BACKFILL_AFTER_LIVE_BYTES
from shared.messages import LANE_BACKFILL, LANE_LIVE, AnyFrame, Sealed


class Lanes:
    """A queue of frames. Whoever fills it bounds it: segments by credit, the rest by `len`."""

    def __init__(self) -> None:
        self._urgent: deque[AnyFrame] = deque()
        self._live: deque[Sealed] = deque()
        self._backfill: deque[Sealed] = deque()
        self._live_run_bytes = 0
        self.queued_bytes = 0
        """Bytes of the sealed bodies that wait."""

    def put(self, frame: AnyFrame) -> None:
        """Queue a frame in its lane; what is no segment is control."""
        if isinstance(frame, Sealed):
            self.queued_bytes += len(frame.body)
            if frame.lane in (LANE_LIVE, LANE_BACKFILL):
                (self._live if frame.lane == LANE_LIVE else self._backfill).append(frame)
                return
        self._urgent.append(frame)

    def take(self) -> AnyFrame | None:
        """Take the most urgent frame; None where nothing waits."""
        if self._urgent:
            frame = self._urgent.popleft()
            if isinstance(frame, Sealed):
                self.queued_bytes -= len(frame.body)
            return frame
        backfill_next = self._backfill and (not self._live or self._live_run_bytes >= BACKFILL_AFTER_LIVE_BYTES)
        lane = self._backfill if backfill_next else self._live
        if not lane:
            return None
        segment = lane.popleft()
        self.queued_bytes -= len(segment.body)
        self._live_run_bytes = 0 if backfill_next else self._live_run_bytes + len(segment.body)
        return segment

    @property
    def urgent_count(self) -> int:
        """Frames that bypass credit and wait."""
        return len(self._urgent)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._live) + len(self._backfill)
