"""How many pairs of a site are at work at once: where many are, what may wait a moment is done for several things at once."""

from __future__ import annotations

from shared.limits import CROWD_PAIRS_MIN, SECOND_MS


class Crowd:
    """Counts the pairs that had something to do within a second. Used by the store's one writer only."""

    def __init__(self) -> None:
        self._since_ms = 0
        self._busy: set[str] = set()
        self._is_great = False

    def note(self, connector_id: str, now_ms: int) -> bool:
        """A connector's pair has something to do now (ms); return whether many have had, in the last whole second."""
        if not self._since_ms <= now_ms < self._since_ms + SECOND_MS:
            just_before = self._since_ms <= now_ms < self._since_ms + 2 * SECOND_MS
            self._is_great = just_before and len(self._busy) >= CROWD_PAIRS_MIN
            self._since_ms = now_ms
            self._busy.clear()
        self._busy.add(connector_id)
        return self._is_great
