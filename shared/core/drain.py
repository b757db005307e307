"""How fast a backlog may drain: the operator's budget in bytes per second (G6). Live readings never ask it."""

from __future__ import annotations

from typing import Final

from shared.limits import SECOND_MS

# What was not used is kept for so long, and no longer: a pause must not be followed by a flood.
_SAVED_MS: Final = SECOND_MS


class DrainBudget:
    """A token bucket. Time comes as an argument, ms; going back in it gives nothing and takes nothing."""

    def __init__(self, bytes_per_s: int = 0) -> None:
        """`bytes_per_s`: 0 for no bound."""
        self._bytes_per_s = bytes_per_s
        self._room_bytes = 0.0
        self._at_ms: int | None = None

    @property
    def bytes_per_s(self) -> int:
        """The budget; 0 for no bound."""
        return self._bytes_per_s

    def set(self, bytes_per_s: int, now_ms: int) -> None:
        """Change the budget from now on; what was saved under the old one stays within the new one's bound."""
        self._gain(now_ms)
        self._bytes_per_s = bytes_per_s
        self._room_bytes = min(self._room_bytes, self._most_bytes)

    @property
    def _most_bytes(self) -> float:
        return self._bytes_per_s * _SAVED_MS / SECOND_MS

    def _gain(self, now_ms: int) -> None:
        if self._at_ms is not None and now_ms > self._at_ms:
            gained = self._bytes_per_s * (now_ms - self._at_ms) / SECOND_MS
            self._room_bytes = min(self._most_bytes, self._room_bytes + gained)
        self._at_ms = now_ms

    def has_room(self, now_ms: int) -> bool:
        """Whether something may be sent now; one segment may go beyond the room, and is paid for afterwards."""
        if not self._bytes_per_s:
            return True
        self._gain(now_ms)
        return self._room_bytes >= 0

    def spend(self, sent_bytes: int) -> None:
        """So much was sent."""
        if self._bytes_per_s:
            self._room_bytes -= sent_bytes

    def next_ms(self, now_ms: int) -> int:
        """When there is room again, ms; now where there is some."""
        if self.has_room(now_ms):
            return now_ms
        return now_ms + 1 + int(-self._room_bytes * SECOND_MS / self._bytes_per_s)
