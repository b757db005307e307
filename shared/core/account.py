"""The account by resource (G1): what of the recorded readings is not applied, and what was counted since a cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from shared.core.intervals import IntervalSet
from shared.limits import APART_RESOURCES_STATED_MAX, CUTS_KEPT_MAX, CUTS_RESOURCES_MAX

# The name of what no resource can be given for: of before a restore, or in a segment that nobody can read.
UNKNOWN_RESOURCE: Final = ""


class Apart(msgspec.Struct, array_like=True):
    """Of the readings that one epoch's recorded segments brought, those that are not applied. Usually nothing.

    `held` is by resource, `dropped` by cause and resource. Where nobody could read what is inside, the segments' numbers
    stand, as flat intervals: the origin knows what they hold.
    """

    held: dict[str, int] = {}
    dropped: dict[str, dict[str, int]] = {}
    quarantined: list[int] = []
    discarded: list[int] = []

    def __bool__(self) -> bool:
        return bool(self.held or self.dropped or self.quarantined or self.discarded)

    def hold(self, resource: str, count: int) -> None:
        """So many more wait for their device or resource."""
        if count:
            self.held[resource] = self.held.get(resource, 0) + count

    def waiting(self, resource: str, held: int) -> int:
        """Return how many of the epoch's `held` may be of a resource: what is known of others is not of this one.

        A segment made again from history may have brought more than it counts, and that waits uncounted.
        """
        others = sum(count for name, count in self.held.items() if name not in (resource, UNKNOWN_RESOURCE))
        return max(0, held - others)

    def release(self, resource: str, count: int) -> int:
        """So many wait no longer; return how many of them were known to be of the resource."""
        known = self._take(resource, count)
        self._take(UNKNOWN_RESOURCE, count - known)
        return known

    def _take(self, resource: str, count: int) -> int:
        there = self.held.get(resource, 0)
        if there > count:
            self.held[resource] = there - count
            return count
        self.held.pop(resource, None)
        return there

    def drop(self, cause: str, resource: str, count: int) -> None:
        """So many were given up at the destination."""
        if count:
            by_resource = self.dropped.setdefault(cause, {})
            by_resource[resource] = by_resource.get(resource, 0) + count

    def quarantine(self, number: int) -> None:
        """A segment is put into quarantine."""
        self.quarantined = _with(self.quarantined, number)

    def take_out(self, number: int) -> None:
        """A segment leaves quarantine, to be applied."""
        numbers = IntervalSet(self.quarantined)
        numbers.discard(number)
        self.quarantined = numbers.flat()

    def discard(self, number: int) -> None:
        """A person discards a segment in quarantine."""
        self.take_out(number)
        self.discarded = _with(self.discarded, number)

    def stated(self) -> Apart | None:
        """Return it for a statement: of a bounded size, the rest under no name; None where there is nothing to say."""
        if not self:
            return None
        dropped = {cause: _bounded(counts) for cause, counts in self.dropped.items()}
        return Apart(_bounded(self.held), dropped, list(self.quarantined), list(self.discarded))


def _with(flat: list[int], number: int) -> list[int]:
    numbers = IntervalSet(flat)
    numbers.add(number)
    return numbers.flat()


def _bounded(counts: Mapping[str, int]) -> dict[str, int]:
    if len(counts) <= APART_RESOURCES_STATED_MAX:
        return dict(counts)
    first = sorted(counts, key=lambda resource: (-counts[resource], resource))
    named = {resource: counts[resource] for resource in first[:APART_RESOURCES_STATED_MAX]}
    rest = sum(counts[resource] for resource in first[APART_RESOURCES_STATED_MAX:])
    named[UNKNOWN_RESOURCE] = named.get(UNKNOWN_RESOURCE, 0) + rest
    return named


def add_counts(into: dict[str, int], counts: Mapping[str, int], sign: int = 1) -> None:
    """Add counts by name to others."""
    for name, count in counts.items():
        into[name] = into.get(name, 0) + sign * count


class Cuts:
    """What a destination applied since each of its last statements, by resource: so that two books compare at one cut.

    In memory only: what was stated before a start, or too long ago, is not known.
    """

    def __init__(self) -> None:
        self._stated: deque[tuple[int, dict[str, int]]] = deque()
        self._since: dict[str, int] = {}
        self._kept = 0  # resources in all of them

    def forget(self) -> None:
        """Forget everything: a unit of work was undone."""
        self._stated.clear()
        self._since = {}
        self._kept = 0

    def on_applied(self, resource: str, count: int) -> None:
        """So many readings were applied, or are so no longer."""
        self._since[resource] = self._since.get(resource, 0) + count

    def on_statement(self, number: int) -> None:
        """A statement of this number says everything up to now."""
        if self._stated:
            last, _ = self._stated[-1]
            self._stated[-1] = last, self._since
            self._kept += len(self._since)
        self._stated.append((number, {}))
        self._since = {}
        while len(self._stated) > CUTS_KEPT_MAX or (self._kept > CUTS_RESOURCES_MAX and len(self._stated) > 1):
            self._kept -= len(self._stated.popleft()[1])

    def since(self, number: int) -> dict[str, int] | None:
        """Return what was applied since the statement of this number; None where that is not known."""
        if not self._stated or not self._stated[0][0] <= number <= self._stated[-1][0]:
            return None
        found = dict(self._since)
        for at, applied in self._stated:
            if at >= number:
                add_counts(found, applied)
        return found
