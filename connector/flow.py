"""How fast readings come in, by resource: counted as they are stored, so that a page need not count histories."""

from __future__ import annotations

from collections import deque
from typing import Final

from shared.limits import MINUTE_MS, SECOND_MS

# Rates are of the last five minutes: one reading a minute still shows, and a stop is seen soon.
WINDOW_MS: Final = 5 * MINUTE_MS
_SLICE_MS: Final = 10 * SECOND_MS


class FlowMeter:
    """Readings per minute of each resource, as they arrived here since this start.

    The writer's thread notes, the event loop asks. What a unit of work notes stays even where the unit is undone: this
    is a rate, not an account.
    """

    def __init__(self) -> None:
        self._slices: dict[int, deque[tuple[int, int]]] = {}
        self._first_ms: dict[int, int] = {}

    def note(self, resource_id: int, count: int, now_ms: int) -> None:
        """So many readings of a resource were stored."""
        slices = self._slices.get(resource_id)
        if slices is None:
            slices = self._slices[resource_id] = deque(maxlen=WINDOW_MS // _SLICE_MS + 1)
            self._first_ms[resource_id] = now_ms
        at = now_ms // _SLICE_MS
        if slices and slices[-1][0] == at:
            slices[-1] = (at, slices[-1][1] + count)
        else:
            slices.append((at, count))

    def per_minute(self, resource_id: int, now_ms: int) -> float:
        """Return the readings per minute of the last five minutes, or of as many as have been seen (one at least)."""
        slices = self._slices.get(resource_id)
        if slices is None:
            return 0.0
        newest, oldest = now_ms // _SLICE_MS, (now_ms - WINDOW_MS) // _SLICE_MS
        # A copy in one step: the writer may be adding. A clock set back leaves slices of the future, which do not count.
        count = sum(each[1] for each in tuple(slices) if oldest < each[0] <= newest)
        seen_ms = now_ms - self._first_ms[resource_id]
        return count * MINUTE_MS / min(max(seen_ms, MINUTE_MS), WINDOW_MS)
