"""The life of a connector's link: wanted, connecting, linked, waiting with jittered backoff."""

from __future__ import annotations

from enum import Enum
from typing import Final

from shared.core.tables import Table
from shared.limits import BACKOFF_FIRST_MS, BACKOFF_HEALTHY_MS, BACKOFF_LAST_MS


class LinkState(Enum):
    """Where a link stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    LINKED = "linked"
    WAITING = "waiting"


class LinkEvent(Enum):
    """What happens to it."""

    WANTED = "wanted"
    CONNECTED = "connected"
    LOST = "lost"
    TIME_UP = "time_up"
    UNWANTED = "unwanted"


_IDLE, _CONNECTING, _LINKED, _WAITING = LinkState
LINK_TABLE: Final = Table(
    "link",
    _IDLE,
    {
        (_IDLE, LinkEvent.WANTED): _CONNECTING,
        (_CONNECTING, LinkEvent.CONNECTED): _LINKED,
        (_CONNECTING, LinkEvent.LOST): _WAITING,
        (_LINKED, LinkEvent.LOST): _WAITING,
        (_WAITING, LinkEvent.TIME_UP): _CONNECTING,
        (_WAITING, LinkEvent.UNWANTED): _IDLE,
        (_CONNECTING, LinkEvent.UNWANTED): _IDLE,
        (_LINKED, LinkEvent.UNWANTED): _IDLE,
    },
)


class Backoff:
    """How long to wait before the next attempt: doubling, with full jitter, afresh after a link that lived."""

    def __init__(self) -> None:
        self._failures = 0

    def next_ms(self, *, lived_ms: int, chance: float) -> int:
        """Return the wait after an attempt that lived `lived_ms`; `chance` is uniform in [0, 1)."""
        if lived_ms >= BACKOFF_HEALTHY_MS:
            self._failures = 0
        bound_ms = min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** min(self._failures, 20))
        self._failures += 1
        # Never quite zero: a hub that refuses at once must not be hammered.
        return int(bound_ms * (0.25 + 0.75 * chance))
