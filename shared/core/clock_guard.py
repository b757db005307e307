"""Doubt about the wall clock (G5): while in doubt nothing expires, so that a wrong clock can never lose data."""

from __future__ import annotations

from dataclasses import dataclass

from shared.limits import CLOCK_JUMP_MS_MAX


@dataclass(slots=True)
class ClockGuard:
    """Compares the wall clock with the monotonic one, and with what the hub and the peer say."""

    _offset_ms: int | None = None
    jumped_ms: int = 0
    hub_off_ms: int = 0
    peer_off_ms: int = 0

    def on_tick(self, wall_ms: int, monotonic_ms: int) -> None:
        """Take a look at both clocks; a jump of more than an hour raises doubt until others agree with the new time."""
        offset_ms = wall_ms - monotonic_ms
        if self._offset_ms is not None and abs(offset_ms - self._offset_ms) > CLOCK_JUMP_MS_MAX:
            self.jumped_ms += offset_ms - self._offset_ms
            if abs(self.jumped_ms) <= CLOCK_JUMP_MS_MAX:
                self.jumped_ms = 0  # it jumped back
        self._offset_ms = offset_ms

    def on_hub_time(self, hub_ms: int, wall_ms: int) -> None:
        """The hub said what time it is; agreement explains a jump."""
        self.hub_off_ms = hub_ms - wall_ms
        self._explain(self.hub_off_ms)

    def on_peer_time(self, peer_ms: int, wall_ms: int) -> None:
        """The other side said what time it is; agreement explains a jump."""
        self.peer_off_ms = peer_ms - wall_ms
        self._explain(self.peer_off_ms)

    def _explain(self, off_ms: int) -> None:
        if abs(off_ms) <= CLOCK_JUMP_MS_MAX:
            self.jumped_ms = 0

    @property
    def in_doubt(self) -> bool:
        """Whether expiry must wait."""
        return bool(self.jumped_ms) or max(abs(self.hub_off_ms), abs(self.peer_off_ms)) > CLOCK_JUMP_MS_MAX
