"""Lines of readings as they come in, and as columns: one list of series, and per line its place, time and value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from shared.columns import Ints
from shared.limits import NUMBER_EXACT_MAX

Doubles: TypeAlias = npt.NDArray[np.float64]


class Line(msgspec.Struct, frozen=True, gc=False):
    """One reading as it comes in; without a timestamp it is given one on arrival.

    It holds nothing that could hold it again, so the collector of cycles need not look at it.
    """

    device: str
    resource: str
    value: int | float | str | bool
    timestamp: int | float | str | None = None


class PlainLine(msgspec.Struct, frozen=True, gc=False):
    """What nearly all lines are: a number at a whole millisecond. Decoded as such it need not be looked at again."""

    device: str
    resource: str
    value: float
    timestamp: int


@dataclass(slots=True)
class Group:
    """Lines of one series, in the order of arrival."""

    times: list[int | float | str | None] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


Groups = dict[tuple[str, str], Group]

_KEY, _TIMESTAMP, _VALUE = attrgetter("device", "resource"), attrgetter("timestamp"), attrgetter("value")


class Lines:
    """Lines of a request as columns: `keys[index[i]]` is the series of line i, `numbers[i]` its number for the sender.

    `times_ms` and `doubles` are there where all times are whole milliseconds, and all values doubles as they stand.
    Iterating yields the keys, as it does for `Groups`.
    """

    __slots__ = ("_times", "_values", "doubles", "index", "keys", "numbers", "times_ms")

    def __init__(
        self,
        keys: list[tuple[str, str]],
        index: npt.NDArray[np.int32],
        times_ms: Ints | None,
        doubles: Doubles | None,
        times: list[Any] | None = None,
        values: list[Any] | None = None,
    ) -> None:
        """`times` and `values` as they were sent are needed where there are no columns of them."""
        self.keys = keys
        self.index = index
        self.numbers: Sequence[int] = range(1, len(index) + 1)
        self.times_ms = times_ms
        self.doubles = doubles
        self._times = times
        self._values = values

    @classmethod
    def listed(cls, keys: list[tuple[str, str]], index: list[int], times: list[Any], values: list[Any]) -> Lines:
        """Make columns of lists."""
        places = np.fromiter(index, np.int32, len(index))
        return cls(keys, places, _whole(times), doubles_of(values), times, values)

    @property
    def times(self) -> Sequence[Any]:
        """The time of each line as it was sent."""
        if self._times is None:
            self._times = [] if self.times_ms is None else self.times_ms.tolist()
        return self._times

    @property
    def values(self) -> Sequence[Any]:
        """The value of each line; of columns a double, also where the sender wrote a whole number."""
        if self._values is None:
            self._values = [] if self.doubles is None else self.doubles.tolist()
        return self._values

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Lines:
        """Make columns of lines numbered from 1."""
        places: dict[tuple[str, str], int] = defaultdict(count().__next__)
        index = list(map(places.__getitem__, map(_KEY, lines)))
        return cls.listed(list(places), index, list(map(_TIMESTAMP, lines)), list(map(_VALUE, lines)))

    @classmethod
    def of_plain(cls, lines: Sequence[PlainLine]) -> Lines | None:
        """Make columns of plain lines; None where a number is too large for that."""
        places: dict[tuple[str, str], int] = defaultdict(count().__next__)
        index = np.fromiter(map(places.__getitem__, map(_KEY, lines)), np.int32, len(lines))
        try:
            times_ms = np.fromiter(map(_TIMESTAMP, lines), np.int64, len(lines))
        except OverflowError:
            return None
        doubles = np.fromiter(map(_VALUE, lines), np.float64, len(lines))
        # Beyond, a whole number may have been rounded on its way to a double.
        sure = np.abs(doubles).max() < NUMBER_EXACT_MAX
        return cls(list(places), index, times_ms, doubles) if sure else None

    @classmethod
    def ungrouped(cls, groups: Groups) -> Lines:
        """Make columns of groups."""
        index = [place for place, group in enumerate(groups.values()) for _ in group.lines]
        times = [at for group in groups.values() for at in group.times]
        lines = cls.listed(list(groups), index, times, [value for group in groups.values() for value in group.values])
        lines.numbers = [number for group in groups.values() for number in group.lines]
        return lines

    @classmethod
    def joined(cls, parts: Sequence[Lines]) -> Lines:
        """Put the parts of one request behind each other; their numbers stay."""
        if len(parts) == 1:
            return parts[0]
        places: dict[tuple[str, str], int] = {}
        moved = [
            np.array([places.setdefault(key, len(places)) for key in part.keys], np.int32)[part.index] for part in parts
        ]
        times_ms = [part.times_ms for part in parts if part.times_ms is not None]
        doubles = [part.doubles for part in parts if part.doubles is not None]
        in_columns = len(times_ms) == len(doubles) == len(parts)
        lines = cls(
            list(places),
            np.concatenate(moved),
            np.concatenate(times_ms) if in_columns else None,
            np.concatenate(doubles) if in_columns else None,
            None if in_columns else [at for part in parts for at in part.times],
            None if in_columns else [value for part in parts for value in part.values],
        )
        begun = 1
        for part in parts:
            if not isinstance(part.numbers, range) or part.numbers.start != begun:
                lines.numbers = [number for each in parts for number in each.numbers]
                break
            begun += len(part)
        return lines

    def numbered_from(self, first: int) -> Lines:
        """Count the lines from `first` on."""
        self.numbers = range(first, first + len(self.index))
        return self

    def grouped(self) -> Groups:
        """Return the lines by series."""
        groups: Groups = {key: Group() for key in self.keys}
        found = zip(self.index.tolist(), self.times, self.values, self.numbers, strict=True)
        for place, at, value, number in found:
            group = groups[self.keys[place]]
            group.times.append(at)
            group.values.append(value)
            group.lines.append(number)
        return groups

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.index)


def _whole(times: Sequence[Any]) -> Ints | None:
    try:
        return np.fromiter(times, np.int64, len(times)) if set(map(type, times)) == {int} else None
    except OverflowError:
        return None


def doubles_of(values: Sequence[Any]) -> Doubles | None:
    """Return values as doubles; None where one is no number, or would not come out as it went in."""
    kinds = set(map(type, values))
    if not kinds <= {float, int}:
        return None
    try:
        doubles = np.fromiter(values, np.float64, len(values))
    except OverflowError:
        return None
    # Whole numbers that a double may not hold are looked at one by one.
    exact = kinds == {float} or np.abs(doubles).max(initial=0.0) < NUMBER_EXACT_MAX
    return doubles if exact and np.isfinite(doubles).all() else None


def group_lines(lines: Iterable[tuple[int, Line]], groups: Groups) -> None:
    """Put (number, line) pairs into the groups of their series."""
    for number, line in lines:
        key = (line.device, line.resource)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group()
        group.times.append(line.timestamp)
        group.values.append(line.value)
        group.lines.append(number)
