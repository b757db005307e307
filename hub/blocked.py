"""Attempts that the hub turned away: counts by door and reason since its start, and the last ones. In memory, bounded."""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import Final

import msgspec

from shared.errors import REFUSALS
from shared.limits import BLOCKED_LAST_MAX, FACT_CHARS_MAX, NAME_CHARS_MAX
from shared.logs import in_one_line


class Door(StrEnum):
    """Where somebody tried to get in."""

    LINK = "link"
    ENROLMENT = "enrolment"
    PAIRING = "pairing"
    LOG_IN = "log_in"
    API = "api"


# What is turned away without a refusal of the table: the reason has no sentence, because nobody is left to read it.
FLOOD: Final = "flood_of_frames"
NO_HELLO: Final = "no_hello_in_time"
NOT_READING: Final = "does_not_read"
PROTOCOL_BROKEN: Final = "protocol_broken"
WRONG_PASSWORD: Final = "wrong_password"  # noqa: S105  # a reason
WRONG_SETUP_TOKEN: Final = "wrong_setup_token"  # noqa: S105  # a reason
TOO_OFTEN: Final = "too_often"
OTHER: Final = "other"
_REASONS: Final = frozenset(
    (*REFUSALS, FLOOD, NO_HELLO, NOT_READING, PROTOCOL_BROKEN, WRONG_PASSWORD, WRONG_SETUP_TOKEN, TOO_OFTEN)
)


class BlockedCount(msgspec.Struct, frozen=True):
    """How often something was turned away since the hub started."""

    door: str
    reason: str
    count: int
    last_ms: int


class BlockedAttempt(msgspec.Struct, frozen=True):
    """Attempts of one address, of one kind. `who` is what it called itself: a claim, proven by nothing."""

    at_ms: int
    door: str
    reason: str
    address: str
    who: str
    times: int


class BlockedReport(msgspec.Struct, frozen=True):
    """All of it: the counts, the most frequent first, and the last attempts, the newest first."""

    since_ms: int
    total: int
    counts: list[BlockedCount]
    last: list[BlockedAttempt]


class BlockedAttempts:
    """Counts and remembers. Who tries again and again takes one place, so that he cannot push out the others."""

    def __init__(self, since_ms: int) -> None:
        """`since_ms` is the wall clock at the hub's start."""
        self._since_ms = since_ms
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}
        self._last: OrderedDict[tuple[str, str, str, str], tuple[int, int]] = OrderedDict()

    def note(self, door: Door, reason: str, address: str, who: str = "", *, at_ms: int) -> None:
        """Count one. A reason that is none of ours (another program may have chosen it) counts as `other`."""
        reason = reason if reason in _REASONS else OTHER
        count, _ = self._counts.get((door, reason), (0, 0))
        self._counts[door, reason] = count + 1, at_ms
        who = in_one_line(who[:NAME_CHARS_MAX])[:NAME_CHARS_MAX]  # a claim of anybody's, which pages show
        key = (door.value, reason, address[:FACT_CHARS_MAX], who)
        times, _ = self._last.pop(key, (0, 0))
        self._last[key] = times + 1, at_ms
        if len(self._last) > BLOCKED_LAST_MAX:
            self._last.popitem(last=False)

    def report(self) -> BlockedReport:
        """Return what is known now."""
        counts = [BlockedCount(*key, *value) for key, value in self._counts.items()]
        counts.sort(key=lambda each: (-each.count, each.door, each.reason))
        last = [BlockedAttempt(at_ms, *key, times) for key, (times, at_ms) in reversed(self._last.items())]
        return BlockedReport(self._since_ms, sum(each.count for each in counts), counts, last)
