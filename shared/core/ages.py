"""How long something has waited, kept right while the wall clock is set (G5: a wrong clock never loses data)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.limits import CLOCK_JUMP_MS_MAX


@dataclass(slots=True)
class Ages:
    """Notices by how much the wall clock was moved, so that what waits can be moved along with it.

    What was accepted while the clock stood a year behind would else be a year old the moment that it is set right.
    """

    _offset_ms: int | None = None
    _before_ms: int | None = None

    def on_tick(self, wall_ms: int, monotonic_ms: int) -> int:
        """Look at both clocks; return by how many ms the wall clock was moved since the last look, 0 for little."""
        offset_ms = wall_ms - monotonic_ms
        self._before_ms, self._offset_ms = self._offset_ms, offset_ms
        moved_ms = 0 if self._before_ms is None else offset_ms - self._before_ms
        return moved_ms if abs(moved_ms) > CLOCK_JUMP_MS_MAX else 0

    def on_undone(self) -> None:
        """What followed from the last look may be undone: look again from where it began. Twice moves nothing too old."""
        self._offset_ms = self._before_ms
