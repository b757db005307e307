"""Readings as columns: the form in which they are checked, stored, packed and moved, thousands in one step of numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Format = Literal["number", "string", "boolean"]
FORMATS: Final[tuple[Format, ...]] = ("number", "string", "boolean")
Value = float | str | bool
Ints: TypeAlias = npt.NDArray[np.int64]
Values: TypeAlias = npt.NDArray[Any]
SeriesName: TypeAlias = tuple[str, str, Format]  # device, resource, format


class Series(msgspec.Struct):
    """Readings of one resource of one device: `times_ms` (UTC since 1970) and as many `values` of one format."""

    device: str
    resource: str
    format: Format
    times_ms: list[int]
    values: list[Any]

    def __len__(self) -> int:
        return len(self.times_ms)


class Columns:
    """Readings of many series, those of one series behind each other; no series is empty.

    `lengths[i]` readings are of `series[i]`. `values` are doubles where every series is of numbers, else objects.
    Never changed once made: parts may share memory.
    """

    __slots__ = ("lengths", "series", "times_ms", "values")

    def __init__(self, series: list[SeriesName], lengths: Ints, times_ms: Ints, values: Values) -> None:
        self.series = series
        self.lengths = lengths
        self.times_ms = times_ms
        self.values = values

    def __len__(self) -> int:
        return len(self.times_ms)

    @property
    def starts(self) -> Ints:
        """Where each series begins."""
        starts: Ints = np.cumsum(self.lengths) - self.lengths
        return starts

    @property
    def numeric(self) -> bool:
        """Whether all series are of numbers, so that `values` are doubles."""
        return self.values.dtype != object

    def spans(self) -> tuple[Ints, Ints]:
        """Return the earliest and the latest time of each series."""
        starts = self.starts
        return np.minimum.reduceat(self.times_ms, starts), np.maximum.reduceat(self.times_ms, starts)

    def counts(self) -> dict[str, int]:
        """Return the readings per resource."""
        counts: dict[str, int] = {}
        for (_, resource, _), length in zip(self.series, self.lengths.tolist(), strict=True):
            counts[resource] = counts.get(resource, 0) + length
        return counts

    def pick(self, wanted: Sequence[bool]) -> Columns:
        """Return only these series, marked by position."""
        mask = np.array(wanted, dtype=bool)
        rows = np.repeat(mask, self.lengths)
        series = [name for name, keep in zip(self.series, wanted, strict=True) if keep]
        values = self.values[rows]
        if values.dtype == object and all(name[2] == "number" for name in series):
            values = values.astype(np.float64)
        return Columns(series, self.lengths[mask], self.times_ms[rows], values)

    def part(self, start: int, stop: int) -> Columns:
        """Return the readings `start..stop` (counted over all series), which may cut series in two."""
        ends = np.cumsum(self.lengths)
        lengths = np.minimum(ends, stop) - np.maximum(ends - self.lengths, start)
        inside = lengths > 0
        series = [self.series[at] for at in np.flatnonzero(inside)]
        return Columns(series, lengths[inside], self.times_ms[start:stop], self.values[start:stop])

    def one(self, at: int) -> Columns:
        """Return the readings of one series."""
        start = int(self.starts[at])
        return self.part(start, start + int(self.lengths[at]))

    def listed(self) -> list[Series]:
        """Return it series by series, as plain lists."""
        batch, at = [], 0
        for (device, resource, kind), length in zip(self.series, self.lengths.tolist(), strict=True):
            values = self.values[at : at + length].tolist()
            batch.append(Series(device, resource, kind, self.times_ms[at : at + length].tolist(), values))
            at += length
        return batch


Batch: TypeAlias = Columns | Sequence[Series]


def as_columns(batch: Batch) -> Columns:
    """Return a batch as columns; series without readings are left out."""
    if isinstance(batch, Columns):
        return batch
    filled = [series for series in batch if len(series)]
    times = [at_ms for series in filled for at_ms in series.times_ms]
    values = [value for series in filled for value in series.values]
    return Columns(
        [(series.device, series.resource, series.format) for series in filled],
        np.array([len(series) for series in filled], dtype=np.int64),
        np.array(times, dtype=np.int64),
        as_values(values, numeric=all(series.format == "number" for series in filled)),
    )


def as_values(values: Sequence[Any], *, numeric: bool) -> Values:
    """Return values as doubles, or as objects."""
    if numeric:
        return np.array(values, dtype=np.float64)
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def joined(parts: Iterable[Columns]) -> Columns:
    """Join batches into one, readings of the same series behind each other, in the order of the parts."""
    parts = [part for part in parts if len(part)]
    return parts[0] if len(parts) == 1 else regrouped(*parts)


def regrouped(*parts: Columns) -> Columns:
    """Join batches in which the same series may stand in several places."""
    places: dict[SeriesName, int] = {}
    owners: list[npt.NDArray[np.int32]] = []
    for part in parts:
        mine = np.array([places.setdefault(name, len(places)) for name in part.series], dtype=np.int32)
        owners.append(np.repeat(mine, part.lengths))
    if not parts:
        return Columns([], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    numeric = all(part.numeric for part in parts)
    values = np.concatenate([part.values if numeric else part.values.astype(object) for part in parts])
    times = np.concatenate([part.times_ms for part in parts])
    lengths = np.bincount(owner, minlength=len(places)).astype(np.int64)
    return Columns(list(places), lengths, times[order], values[order])
