"""Watches that the oldest thing without a word moves (G9): what was lost on a link is found by its standing still."""

from __future__ import annotations

from shared.limits import REDELIVER_AFTER_MS_MAX, RESYNC_AFTER_MS


class Watch:
    """Knows since when the head of a queue stands still; patience doubles with each question that did not help."""

    def __init__(self) -> None:
        self._head = 0
        self._since_ms = 0
        self._patience_ms = RESYNC_AFTER_MS

    def on_head(self, row: int, now_ms: int) -> None:
        """Note which row is the oldest now, 0 for none."""
        if row != self._head:
            self._head, self._since_ms, self._patience_ms = row, now_ms, RESYNC_AFTER_MS

    def on_time(self, now_ms: int) -> None:
        """Begin to wait anew where the clock was set back to before the wait began."""
        self._since_ms = min(self._since_ms, now_ms)

    @property
    def due_ms(self) -> int | None:
        """When it has stood still for too long, None where there is nothing."""
        return self._since_ms + self._patience_ms if self._head else None

    def on_resync(self, now_ms: int) -> int:
        """The other ends are asked what they have; return the row to insist on, 0 where asking may be enough."""
        if not self._head or now_ms < self._since_ms + self._patience_ms:
            return 0
        insist = self._head if self._patience_ms > RESYNC_AFTER_MS else 0
        self._since_ms = now_ms
        self._patience_ms = min(2 * self._patience_ms, REDELIVER_AFTER_MS_MAX)
        return insist
