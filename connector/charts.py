"""What a chart of one series shows: readings folded into slices of time, at a cost that does not grow with the history.

A slice keeps its lowest and its highest reading, so a spike of one millisecond still shows in a month. Up to READ_MAX
readings are folded exactly; of a longer span, the first few of each slice are read, and the chart says so.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from connector import history
from connector.gaps import SeriesGap
from connector.history import Reading
from shared.batches import Value
from shared.database import Database

# Twice as many points are drawn: the lowest and the highest of each slice. A wide screen has as many pixels.
SLICES_MAX: Final = 1_000
# Numbers folded exactly: about 300 ms of one reader, and 50 MB for that time. Strings and booleans are folded one by
# one, and take longer.
READ_MAX: Final = 1_000_000
STATES_READ_MAX: Final = 50_000
SAMPLED_PER_SLICE: Final = 40
# Slices read in one go, so that others who read are not kept waiting.
_SLICES_AT_ONCE: Final = 100
# A line breaks where readings stop for ten times as long as they usually do.
_BREAK_AFTER: Final = 10


@dataclass(frozen=True, slots=True)
class Slice:
    """The readings of one slice of time. `count` of them were read; times are ms since 1970."""

    first_ms: int
    last_ms: int
    count: int
    low: Value
    low_ms: int
    high: Value
    high_ms: int
    last: Value


@dataclass(frozen=True, slots=True)
class Folded:
    """A series over a span. `is_sampled`: only the first readings of each slice were read."""

    slices: tuple[Slice, ...]
    from_ms: int
    to_ms: int
    is_sampled: bool

    @property
    def count(self) -> int:
        """Readings that were read."""
        return sum(each.count for each in self.slices)


async def read_folded(database: Database, series_id: int, from_ms: int, to_ms: int) -> Folded:
    """Read a series over a span, the last millisecond left out, and fold it into at most SLICES_MAX slices."""
    width_ms = slice_ms(from_ms, to_ms, SLICES_MAX)

    def exact(connection: sqlite3.Connection) -> tuple[Slice, ...] | None:
        times, values = history.columns_between(connection, series_id, from_ms, to_ms, READ_MAX + 1)
        is_number = values.dtype != object
        if len(times) > (READ_MAX if is_number else STATES_READ_MAX):
            return None
        if is_number:
            return fold_numbers(times, values, from_ms, width_ms)
        return fold(list(zip(times.tolist(), values.tolist(), strict=True)), from_ms, width_ms)

    slices = await database.read(exact)
    if slices is not None:
        return Folded(slices, from_ms, to_ms, is_sampled=False)
    found: list[Slice] = []
    for first_ms in range(from_ms, to_ms, width_ms * _SLICES_AT_ONCE):
        last_ms = min(to_ms, first_ms + width_ms * _SLICES_AT_ONCE)
        found += await database.read(partial(_sampled, series_id, first_ms, last_ms, width_ms))
    return Folded(tuple(found), from_ms, to_ms, is_sampled=True)


def _sampled(series_id: int, from_ms: int, to_ms: int, width_ms: int, connection: sqlite3.Connection) -> list[Slice]:
    rows: list[Reading] = []
    for at_ms in range(from_ms, to_ms, width_ms):
        rows += history.between(connection, series_id, at_ms, min(to_ms, at_ms + width_ms), SAMPLED_PER_SLICE)
    return list(fold(rows, from_ms, width_ms))


def slice_ms(from_ms: int, to_ms: int, slices: int) -> int:
    """Return the width of a slice where a span is cut into so many."""
    return max(1, math.ceil((to_ms - from_ms) / slices))


def fold(rows: Sequence[Reading], from_ms: int, width_ms: int) -> tuple[Slice, ...]:
    """Fold readings in the order of time into slices of a width, counted from `from_ms`; empty slices are left out."""
    slices: list[Slice] = []
    start = 0
    while start < len(rows):
        place = (rows[start][0] - from_ms) // width_ms
        end = start + 1
        while end < len(rows) and (rows[end][0] - from_ms) // width_ms == place:
            end += 1
        slices.append(_slice(rows[start:end]))
        start = end
    return tuple(slices)


def fold_numbers(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], from_ms: int, width_ms: int
) -> tuple[Slice, ...]:
    """Do as `fold` does, for columns of numbers."""
    places = (times - from_ms) // width_ms
    starts = np.flatnonzero(np.diff(places, prepend=places[:1] - 1)).tolist()
    return tuple(_number_slice(times[start:end], values[start:end]) for start, end in pairwise([*starts, len(times)]))


def _number_slice(times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> Slice:
    low, high = int(values.argmin()), int(values.argmax())
    return Slice(
        int(times[0]),
        int(times[-1]),
        len(times),
        float(values[low]),
        int(times[low]),
        float(values[high]),
        int(times[high]),
        float(values[-1]),
    )


def _slice(rows: Sequence[Reading]) -> Slice:
    low = min(rows, key=_value)
    high = max(rows, key=_value)
    return Slice(rows[0][0], rows[-1][0], len(rows), low[1], low[0], high[1], high[0], rows[-1][1])


def _value(row: Reading) -> Value:
    return row[1]


def coarser(slices: Sequence[Slice], from_ms: int, width_ms: int) -> tuple[Slice, ...]:
    """Fold slices again, into wider ones."""
    groups: dict[int, list[Slice]] = {}
    for each in slices:
        groups.setdefault((each.first_ms - from_ms) // width_ms, []).append(each)
    return tuple(_joined(group) for group in groups.values())


def _joined(group: Sequence[Slice]) -> Slice:
    low = min(group, key=lambda each: each.low)
    high = max(group, key=lambda each: each.high)
    count = sum(each.count for each in group)
    return Slice(
        group[0].first_ms, group[-1].last_ms, count, low.low, low.low_ms, high.high, high.high_ms, group[-1].last
    )


# --- what is drawn ----------------------------------------------------------------------------------------------------

Point = tuple[int, float | None]
Band = tuple[int, int, Value | None]


def points(slices: Sequence[Slice], gaps: Sequence[SeriesGap]) -> list[Point]:
    """Return the points of a line: each slice's lowest and highest, and None where the line is broken.

    It is broken by a gap, and where readings stop for much longer than they usually do.
    """
    drawn: list[Point] = []
    break_ms = _break_ms(slices)
    last_ms = None
    for each in slices:
        if last_ms is not None and (each.first_ms - last_ms > break_ms or _is_cut(last_ms, each.first_ms, gaps)):
            drawn.append((last_ms + 1, None))
        ends = {each.low_ms: each.low, each.high_ms: each.high}
        drawn += [(at_ms, float(ends[at_ms])) for at_ms in sorted(ends)]
        last_ms = each.last_ms
    return drawn


def _break_ms(slices: Sequence[Slice]) -> float:
    steps = [after.first_ms - before.last_ms for before, after in pairwise(slices)]
    return max(1_000.0, _BREAK_AFTER * median(steps)) if steps else math.inf


def _is_cut(from_ms: int, to_ms: int, gaps: Sequence[SeriesGap]) -> bool:
    return any(gap.count is not None and gap.first_ms < to_ms and gap.last_ms > from_ms for gap in gaps)


SEVERAL: Final = None
"""The value of a band in which a state changed more often than can be drawn."""


def bands(slices: Sequence[Slice], to_ms: int, gaps: Sequence[SeriesGap]) -> list[Band]:
    """Return from when to when a state had which value: until the next reading, a gap, or `to_ms`."""
    drawn: list[Band] = []
    for at, each in enumerate(slices):
        value = each.last if each.low == each.high else SEVERAL
        end_ms = slices[at + 1].first_ms if at + 1 < len(slices) else max(each.last_ms + 1, to_ms)
        cuts = [gap.first_ms for gap in gaps if gap.count is not None and each.last_ms < gap.first_ms < end_ms]
        end_ms = min(cuts, default=end_ms)
        if value is SEVERAL:
            drawn.append((each.first_ms, max(each.last_ms, each.first_ms + 1), SEVERAL))
            if end_ms > each.last_ms:
                drawn.append((each.last_ms, end_ms, each.last))
        elif drawn and drawn[-1][1] == each.first_ms and drawn[-1][2] == value and drawn[-1][2] is not SEVERAL:
            drawn[-1] = (drawn[-1][0], end_ms, value)
        else:
            drawn.append((each.first_ms, end_ms, value))
    return drawn
