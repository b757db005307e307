"""Absorbing: the lines of all requests that share a commit, checked and stored together, column by column (G6, G14).

Numbers with whole milliseconds, each at another one and none at one that is taken, go through in a few steps of numpy. A
series with anything else in it is looked at line by line, so that each line gets its own refusal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from connector import history
from connector.catalogue import Catalogue, SeriesRow
from connector.history_parts import Opened, codec
from connector.lines import Groups, Lines
from connector.readings import Checker, Definition, Outcome, definitions_of, read_time
from shared.batches import Packed, pack
from shared.columns import Columns, Ints, SeriesName, as_values, joined
from shared.errors import Refused
from shared.limits import HISTORY_ROWS_MAX, READING_AHEAD_MS_MAX

Key = tuple[str, str]


@dataclass(slots=True)
class Request:
    """The lines of one request, and what becomes of them."""

    lines: Lines
    reporters: Sequence[str] = ()
    """Identities that report, each of which has to be allowed to (connector.ingest.permission)."""
    outcome: Outcome = field(default_factory=Outcome)

    @classmethod
    def of(cls, lines: Lines | Groups, reporters: Sequence[str] = ()) -> Request:
        """Make one of lines in either form."""
        return cls(lines if isinstance(lines, Lines) else Lines.ungrouped(lines), reporters)

    def turn_away(self, refused: Mapping[str, Refused]) -> None:
        """Refuse the lines of some devices, and go on with the others."""
        kept = self.lines.grouped()
        for key in [key for key in kept if key[0] in refused]:
            for number in kept.pop(key).lines:
                self.outcome.refuse(number, refused[key[0]])
        self.lines = Lines.ungrouped(kept)


@dataclass(slots=True)
class _Stream:
    """One series of the batch: what it is checked against and where it is stored."""

    key: Key
    definition: Definition
    row: SeriesRow
    checker: Checker

    @property
    def name(self) -> SeriesName:
        return self.key[0], self.key[1], self.definition.format


def absorb(
    connection: sqlite3.Connection,
    catalogue: Catalogue,
    connector_id: str,
    requests: Sequence[Request],
    now_ms: int,
) -> list[Packed]:
    """Write what is good into history and state, count into the outcomes; return, packed, what belongs to the stream.

    Devices exist already (see Ingestion.take).
    """
    if not any(len(request.lines) for request in requests):
        return []
    batch = _Batch(connection, catalogue, connector_id, requests, now_ms)
    columns = batch.plainly() or joined(batch.taken())
    columns = columns.of(batch.generations)
    if not len(columns):
        return []
    streamed = [batch.definitions[name[1]].remote_sync for name in columns.series]
    for_stream: list[Packed] = []
    for wanted in (True, False):
        chosen = [each is wanted for each in streamed]
        if not any(chosen):
            continue
        part = columns if all(chosen) else columns.pick(chosen)
        for piece in pack(part, codec()):
            rows = [batch.rows[name[:2]] for name in piece.columns.series]
            ids = [row.series_id for row in rows]
            body = piece.body if len(piece) > HISTORY_ROWS_MAX else None
            history.add(connection, connector_id, piece.columns, ids, body)
            catalogue.note_states(connection, rows, piece.columns, now_ms)
            catalogue.feed.note(connector_id, piece.columns)
            if wanted:
                for_stream.append(piece)
    return for_stream


class _Batch:
    """Everything that is absorbed together."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        catalogue: Catalogue,
        connector_id: str,
        requests: Sequence[Request],
        now_ms: int,
    ) -> None:
        self.definitions = definitions_of(connection, connector_id)
        self.rows: dict[Key, SeriesRow] = {}
        self.generations: dict[str, int] = {}
        """Of devices that were made again: what is accepted now is theirs, whatever comes of them later (G13)."""
        self._connection = connection
        self._catalogue = catalogue
        self._connector_id = connector_id
        self._requests = requests
        self._now_ms = now_ms
        self._latest_ms = now_ms + READING_AHEAD_MS_MAX
        self._streams: dict[Key, _Stream | Refused] = {}
        self._places: dict[Key, int] = {}
        self._careful: set[int] = set()
        self._opened: Opened = {}

    def plainly(self) -> Columns | None:
        """Return the readings of a single request that is as most are: numbers, each series in order of time, all new.

        None where it is not so plain, or there is more than one: then `taken` tells.
        """
        if len(self._requests) != 1:
            return None
        (request,) = self._requests
        times, values, index = request.lines.times_ms, request.lines.doubles, request.lines.index
        if times is None or values is None or not len(times):
            return None
        streams: list[_Stream] = []
        for key in request.lines.keys:
            stream = self._stream(key)
            if isinstance(stream, Refused) or not stream.checker.plain_numbers:
                return None
            streams.append(stream)
        lengths = np.bincount(index, minlength=len(streams)).astype(np.int64, copy=False)
        ends = np.add.accumulate(lengths)
        if len(streams) > 1:
            order = np.argsort(index, kind="stable")
            times, values = times[order], values[order]
        later = times[1:] > times[:-1]
        later[ends[:-1] - 1] = True  # the first one of a series is later than nothing
        if not (np.logical_and.reduce(later) and np.logical_and.reduce(lengths)):
            return None
        if not self._are_new(streams, times[ends - lengths].tolist()) or times[ends - 1].max() > self._latest_ms:
            return None
        request.outcome.accepted += len(times)
        return Columns([stream.name for stream in streams], lengths, times, values)

    def _are_new(self, streams: Sequence[_Stream], firsts_ms: Sequence[int]) -> bool:
        """Whether the first times of these series come after all that is there."""
        return all(
            first_ms > max(-1, self._catalogue.last_ms(self._connection, stream.row.series_id))
            for stream, first_ms in zip(streams, firsts_ms, strict=True)
        )

    def taken(self) -> Iterator[Columns]:
        """Yield what is new and good."""
        owners = [self._place(request.lines) for request in self._requests]
        streams = list(self._streams.values())
        plain = np.array(
            [isinstance(stream, _Stream) and stream.checker.plain_numbers for stream in streams], dtype=bool
        )
        self._careful = set(np.flatnonzero(~plain).tolist())
        for request, owner in zip(self._requests, owners, strict=True):
            self._look_over(request.lines, owner)
        yield from self._in_columns(owners)
        for place in sorted(self._careful):
            stream = streams[place]
            if isinstance(stream, Refused):
                self._refuse_all(stream, place, owners)
            else:
                yield from self._line_by_line(stream, place, owners)

    def _place(self, lines: Lines) -> npt.NDArray[np.int32]:
        """Return per line the place of its series among all of the batch."""
        places: list[int] = []
        for key in lines.keys:
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = len(self._places)
                self._streams[key] = self._stream(key)
            places.append(place)
        return np.array(places, dtype=np.int32)[lines.index]

    def _stream(self, key: Key) -> _Stream | Refused:
        definition = self.definitions.get(key[1])
        if definition is None:
            return Refused("unknown_resource", resource=key[1])
        row = self._catalogue.find(self._connection, self._connector_id, *key)
        if row is None:
            return Refused("unknown_device", device=key[0])
        self.rows[key] = row
        if row.generation > 1:
            self.generations[key[0]] = row.generation
        return _Stream(key, definition, row, Checker(definition))

    def _look_over(self, lines: Lines, owner: npt.NDArray[np.int32]) -> None:
        """Note the series that have to be looked at line by line for what stands in this request."""
        if lines.times_ms is None or lines.doubles is None:
            wrong = np.array(
                [
                    type(at) is not int or not 0 <= at <= self._latest_ms or not _is_plain(value)
                    for at, value in zip(lines.times, lines.values, strict=True)
                ],
                dtype=bool,
            )
        else:
            wrong = (lines.times_ms < 0) | (lines.times_ms > self._latest_ms)
        if wrong.any():
            self._careful.update(np.unique(owner[wrong]).tolist())

    # --- in columns -------------------------------------------------------------------------------------------------------

    def _in_columns(self, owners: Sequence[npt.NDArray[np.int32]]) -> Iterator[Columns]:
        """Yield the series that are good, in order of time; those with a time twice, or taken, are left to be looked at."""
        sure = np.ones(len(self._places), dtype=bool)
        sure[list(self._careful)] = False
        parts = [self._sure(request.lines, sure[owner]) for request, owner in zip(self._requests, owners, strict=True)]
        owner = np.concatenate([each[sure[each]] for each in owners])
        if not len(owner):
            return
        asked = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        order = np.argsort(owner, kind="stable")
        owner, asked = owner[order], asked[order]
        times = np.concatenate([part[0] for part in parts])[order]
        values = np.concatenate([part[1] for part in parts])[order]
        lengths = np.bincount(owner, minlength=len(self._places))
        present = np.flatnonzero(lengths)
        lengths = lengths[present].astype(np.int64)
        if not self._rising(times, lengths).all():  # requests that came over several connections overtake each other
            order = np.lexsort((times, owner))
            asked, times, values = asked[order], times[order], values[order]
        good = self._in_order(times, lengths, present)
        streams = list(self._streams.values())
        names = [stream.name for place in present if isinstance(stream := streams[place], _Stream)]
        columns = Columns(names, lengths, times, values)
        if not good.all():
            self._careful.update(present[~good].tolist())
            asked = asked[np.repeat(good, lengths)]
            columns = columns.pick(good.tolist())
        for request, count in zip(self._requests, np.bincount(asked, minlength=len(parts)).tolist(), strict=True):
            request.outcome.accepted += count
        yield columns

    def _sure(self, lines: Lines, wanted: npt.NDArray[np.bool_]) -> tuple[Ints, npt.NDArray[np.float64]]:
        if lines.times_ms is not None and lines.doubles is not None:
            everything = bool(wanted.all())
            return (lines.times_ms, lines.doubles) if everything else (lines.times_ms[wanted], lines.doubles[wanted])
        rows = np.flatnonzero(wanted).tolist()
        times = np.array([lines.times[row] for row in rows], dtype=np.int64)
        return times, np.array([lines.values[row] for row in rows], dtype=np.float64)

    @staticmethod
    def _rising(times: Ints, lengths: Ints) -> npt.NDArray[np.bool_]:
        """Tell of each time whether it is the first of its series, or later than the one before it."""
        rising = np.ones(len(times), dtype=bool)
        rising[1:] = times[1:] > times[:-1]
        rising[np.cumsum(lengths) - lengths] = True
        return rising

    def _in_order(self, times: Ints, lengths: Ints, present: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Tell of each series whether its times rise, and nothing is there at any of them."""
        starts = np.cumsum(lengths) - lengths
        streams = list(self._streams.values())
        good: npt.NDArray[np.bool_] = np.logical_and.reduceat(self._rising(times, lengths), starts)
        ids = [stream.row.series_id for place in present if isinstance(stream := streams[place], _Stream)]
        last_ms = np.array([self._catalogue.last_ms(self._connection, series_id) for series_id in ids], dtype=np.int64)
        # Large requests that overtake each other between two commits bring what is late, but new.
        for at in np.flatnonzero(good & (times[starts] <= last_ms)).tolist():
            mine = times[starts[at] : starts[at] + lengths[at]]
            late = mine[mine <= last_ms[at]]
            good[at] = not history.is_any_there(self._connection, ids[at], late, self._opened)
        return good

    # --- line by line -----------------------------------------------------------------------------------------------------

    def _lines_of(
        self, place: int, owners: Sequence[npt.NDArray[np.int32]]
    ) -> Iterator[tuple[Outcome, list[tuple[Any, Any, int]]]]:
        for request, owner in zip(self._requests, owners, strict=True):
            rows = np.flatnonzero(owner == place).tolist()
            if rows:
                lines = request.lines
                yield request.outcome, [(lines.times[row], lines.values[row], lines.numbers[row]) for row in rows]

    def _refuse_all(self, refusal: Refused, place: int, owners: Sequence[npt.NDArray[np.int32]]) -> None:
        for outcome, lines in self._lines_of(place, owners):
            for _, _, number in lines:
                outcome.refuse(number, refusal)

    def _line_by_line(self, stream: _Stream, place: int, owners: Sequence[npt.NDArray[np.int32]]) -> Iterator[Columns]:
        last_ms = self._catalogue.last_ms(self._connection, stream.row.series_id)
        fresh: dict[int, Any] = {}
        for outcome, lines in self._lines_of(place, owners):
            checked = self._checked(stream.checker, lines, outcome, max(last_ms, *fresh, -1) if fresh else last_ms)
            self._keep_new(stream, checked, outcome, fresh)
        if fresh:
            numeric = stream.definition.format == "number"
            times = np.array(list(fresh), dtype=np.int64)
            yield Columns(
                [stream.name], np.array([len(fresh)]), times, as_values(list(fresh.values()), numeric=numeric)
            )

    def _checked(
        self, checker: Checker, lines: Sequence[tuple[Any, Any, int]], outcome: Outcome, last_ms: int
    ) -> list[tuple[int, Any, int]]:
        """Check times and values; lines that fail are refused, those without a time are given one."""
        checked: list[tuple[int, Any, int]] = []
        next_ms = max(self._now_ms, last_ms + 1)
        stated = {at for at, _, _ in lines if type(at) is int}
        for timestamp, value, number in lines:
            try:
                stored = checker.check(value)
                if timestamp is None:
                    while next_ms in stated:
                        next_ms += 1
                    at_ms, next_ms = next_ms, next_ms + 1  # strictly increasing (G6)
                else:
                    at_ms = read_time(timestamp, self._now_ms)
            except Refused as refusal:
                outcome.refuse(number, refusal)
                continue
            checked.append((at_ms, stored, number))
        return checked

    def _keep_new(
        self, stream: _Stream, checked: Sequence[tuple[int, Any, int]], outcome: Outcome, fresh: dict[int, Any]
    ) -> None:
        """Leave out what is there already: the same value is `repeated`, another is `timestamp_taken` (G6)."""
        last_ms = self._catalogue.last_ms(self._connection, stream.row.series_id)
        doubtful = [at_ms for at_ms, _, _ in checked if at_ms <= last_ms]
        known = history.at(self._connection, stream.row.series_id, doubtful, self._opened) if doubtful else {}
        for at_ms, value, number in checked:
            there = fresh.get(at_ms, known.get(at_ms))
            if there is None:
                fresh[at_ms] = value
                outcome.accepted += 1
            elif there == value:
                outcome.repeated += 1
            else:
                outcome.refuse(number, Refused("timestamp_taken", resource=stream.definition.alias))


def _is_plain(value: Any) -> bool:
    """Whether a value is a finite double as it stands."""
    return type(value) is float and value - value == 0.0
