"""Readings as columns: the form in which they are checked, stored, packed and moved, thousands in one step of numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """Readings of one resource of one device: `times_ms` (UTC since 1970) and as many `values` of one format.

    `generation` is that of the device when they were accepted (G13), 0 where nobody wrote it down.
    """

    device: str
    resource: str
    format: Format
    times_ms: list[int]
    values: list[Any]
    generation: int = 0

    def __len__(self) -> int:
        return len(self.times_ms)


class Columns:
    """Readings of many series, those of one series behind each other; no series is empty.

    `lengths[i]` readings are of `series[i]`. `values` are doubles where every series is of numbers, else objects.
    `generations` names the devices that were made again before these readings were accepted (G13), perhaps some that
    have none here: all others are of their first generation. None: nobody wrote it down, as in earlier releases.
    Never changed once made: parts may share memory.
    """

    __slots__ = ("generations", "lengths", "series", "times_ms", "values")

    def __init__(
        self,
        series: list[SeriesName],
        lengths: Ints,
        times_ms: Ints,
        values: Values,
        generations: Mapping[str, int] | None = None,
    ) -> None:
        self.series = series
        self.lengths = lengths
        self.times_ms = times_ms
        self.values = values
        self.generations = generations

    def __len__(self) -> int:
        return len(self.times_ms)

    @property
    def starts(self) -> Ints:
        """Where each series begins."""
        starts: Ints = np.add.accumulate(self.lengths) - self.lengths
        return starts

    @property
    def numeric(self) -> bool:
        """Whether all series are of numbers, so that `values` are doubles."""
        return self.values.dtype != object

    def generation(self, device: str) -> int:
        """Return the generation of a device when these readings of it were accepted; 0 where nobody wrote it down."""
        return 0 if self.generations is None else self.generations.get(device, 1)

    def of(self, generations: Mapping[str, int]) -> Columns:
        """Return the same, of devices of these generations."""
        return Columns(self.series, self.lengths, self.times_ms, self.values, generations)

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
        return Columns(series, self.lengths[mask], self.times_ms[rows], values, self.generations)

    def where(self, wanted: npt.NDArray[np.bool_]) -> Columns:
        """Return only these readings, marked by position; a series of which none is wanted goes."""
        lengths: Ints = np.add.reduceat(wanted.astype(np.int64), self.starts)
        inside = lengths > 0
        series = [self.series[at] for at in np.flatnonzero(inside)]
        values = self.values[wanted]
        if values.dtype == object and all(name[2] == "number" for name in series):
            values = values.astype(np.float64)
        return Columns(series, lengths[inside], self.times_ms[wanted], values, self.generations)

    def part(self, start: int, stop: int) -> Columns:
        """Return the readings `start..stop` (counted over all series), which may cut series in two."""
        ends = np.cumsum(self.lengths)
        lengths = np.minimum(ends, stop) - np.maximum(ends - self.lengths, start)
        inside = lengths > 0
        series = [self.series[at] for at in np.flatnonzero(inside)]
        return Columns(series, lengths[inside], self.times_ms[start:stop], self.values[start:stop], self.generations)

    def one(self, at: int) -> Columns:
        """Return the readings of one series."""
        start = int(self.starts[at])
        return self.part(start, start + int(self.lengths[at]))

    def listed(self) -> list[Series]:
        """Return it series by series, as plain lists."""
        batch, at = [], 0
        for (device, resource, kind), length in zip(self.series, self.lengths.tolist(), strict=True):
            values = self.values[at : at + length].tolist()
            times_ms = self.times_ms[at : at + length].tolist()
            batch.append(Series(device, resource, kind, times_ms, values, self.generation(device)))
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
        _generations_of(filled),
    )


def _generations_of(batch: Sequence[Series]) -> dict[str, int] | None:
    if not all(series.generation for series in batch):
        return None
    return {series.device: series.generation for series in batch if series.generation > 1}


def as_values(values: Sequence[Any], *, numeric: bool) -> Values:
    """Return values as doubles, or as objects."""
    if numeric:
        return np.array(values, dtype=np.float64)
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def fitting(parts: Sequence[Columns]) -> int:
    """Return how many of the parts, from the first one on, may be joined: none of their devices has two generations."""
    if not any(part.generations for part in parts) and len({part.generations is None for part in parts}) < 2:
        return len(parts)
    known: dict[str, int] = {}
    for count, part in enumerate(parts):
        mine = {name[0]: part.generation(name[0]) for name in part.series}
        if (part.generations is None) is not (parts[0].generations is None):
            return count
        if any(known.get(device, generation) != generation for device, generation in mine.items()):
            return count
        known.update(mine)
    return len(parts)


def joined(parts: Iterable[Columns]) -> Columns:
    """Join batches into one, readings of the same series behind each other, in the order of the parts.

    Where they say of which generations their devices are, no device has two (`fitting`).
    """
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
    lengths = np.bincount(owner, minlength=len(places)).astype(np.int64)
    numeric = all(part.numeric for part in parts)
    # One column after the other: of a great batch each is a megabyte, and so is what it is made of.
    del owners, owner
    values = np.concatenate([part.values if numeric else part.values.astype(object) for part in parts])[order]
    times = np.concatenate([part.times_ms for part in parts])[order]
    return Columns(list(places), lengths, times, values, _all_generations(parts))


def _all_generations(parts: Sequence[Columns]) -> Mapping[str, int] | None:
    if any(part.generations is None for part in parts):
        return None
    # A part may name a device that it has no readings of, and another part has those of another generation.
    return {
        name[0]: part.generations[name[0]]
        for part in parts
        if part.generations
        for name in part.series
        if name[0] in part.generations
    }
