"""What excuses a reading that is missing: a gap notice that both sides have, as often as it counts and no more."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Series = tuple[str, str]
_Class = tuple[int, ...]
_EVER_MS: Final = (-(1 << 62), 1 << 62)


@dataclass(frozen=True, slots=True)
class Excuse:
    """So many readings of a series between two times, ms, both included. An empty name stands for any.

    `only_gone`: only what the source has no more, for it makes again what a restored target lacks (G4).
    """

    device: str
    resource: str
    count: int
    first_ms: int
    last_ms: int
    only_gone: bool = False

    def is_about(self, series: Series, *, kept: bool) -> bool:
        """Whether it may excuse readings of this series, that the source has kept or not."""
        return self.device in ("", series[0]) and self.resource in ("", series[1]) and not (kept and self.only_gone)


def excuses_of(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> list[Excuse]:
    """Return what the notices of one side excuse that the other side has too: each row, and what is in no row.

    Of what is in no row the times may be unknown (nobody can say what a restore took, G1); the count bounds it always.
    """
    others = {notice["gap_id"]: notice for notice in there}
    found = []
    for notice in here:
        other = others.get(notice["gap_id"])
        if other is None or notice["count"] is None or other["count"] is None:
            continue
        only_gone = notice["cause"] == "destination_restored"
        rows = [
            Excuse(device, resource, count, first_ms, last_ms, only_gone)
            for device, resource, count, first_ms, last_ms in notice["rows"]
        ]
        found += [row for row in rows if row.count > 0]
        rest = min(notice["count"], other["count"]) - sum(row.count for row in rows)
        if rest > 0:
            first_ms, last_ms = _EVER_MS if only_gone else (notice["first_ms"], notice["last_ms"])
            found.append(Excuse("", "", rest, first_ms, last_ms, only_gone))
    return found


class Allotment:
    """Gives each missing reading an excuse of its own, as many as can have one: `add` all, then `allot`."""

    def __init__(self, excuses: Sequence[Excuse]) -> None:
        self._excuses = excuses
        self._free = [excuse.count for excuse in excuses]
        self._given: list[dict[_Class, int]] = [defaultdict(int) for _ in excuses]
        self._left: dict[_Class, int] = {}

    def classes(self, series: Series, times_ms: Iterable[int], *, kept: bool) -> dict[_Class, list[int]]:
        """Return readings of a series by the places of the excuses that cover them; `kept`: the source has them."""
        about = [at for at, excuse in enumerate(self._excuses) if excuse.is_about(series, kept=kept)]
        ends = sorted({end for at in about for end in (self._excuses[at].first_ms, self._excuses[at].last_ms)})
        known: dict[tuple[int, int], _Class] = {}
        found: dict[_Class, list[int]] = defaultdict(list)
        for time_ms in times_ms:
            # All between the same two ends are covered by the same.
            place = bisect_left(ends, time_ms), bisect_right(ends, time_ms)
            if place not in known:
                known[place] = tuple(
                    at for at in about if self._excuses[at].first_ms <= time_ms <= self._excuses[at].last_ms
                )
            found[known[place]].append(time_ms)
        return found

    def allot(self, covered: _Class, count: int) -> int:
        """Excuse so many readings that the same excuses cover; return how many of them have none of their own.

        What was excused before stays so, if by another excuse.
        """
        while count:
            path = self._way_to_free(covered)
            if path is None:
                return count
            taken = min([count, self._free[path[-1][1]], *(self._given[at][of] for of, at in _moves(path))])
            self._free[path[-1][1]] -= taken
            for of, at in _moves(path):
                self._given[at][of] -= taken
            for of, at in path:
                self._given[at][of] += taken
            count -= taken
        return 0

    def _way_to_free(self, covered: _Class) -> list[tuple[_Class, int]] | None:
        """Return (class, excuse) one after another: each class goes to its excuse, and the next one moves away from it."""
        came: dict[int, tuple[_Class, int]] = {}  # excuse -> the class that goes there, and the excuse it leaves
        waiting: deque[tuple[_Class, int]] = deque([(covered, -1)])
        while waiting:
            of, leaves = waiting.popleft()
            for at in of:
                if at in came:
                    continue
                came[at] = of, leaves
                if self._free[at]:
                    return _path(came, at)
                waiting.extend((other, at) for other, given in self._given[at].items() if given)
        return None


def _path(came: Mapping[int, tuple[_Class, int]], at: int) -> list[tuple[_Class, int]]:
    path: list[tuple[_Class, int]] = []
    while at >= 0:
        of, leaves = came[at]
        path.append((of, at))
        at = leaves
    return path[::-1]


def _moves(path: Sequence[tuple[_Class, int]]) -> list[tuple[_Class, int]]:
    """Return what is taken out of an excuse by a path: each class after the first leaves the excuse of the one before."""
    return [(of, path[at][1]) for at, (of, _) in enumerate(path[1:])]
