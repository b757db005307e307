"""Accepting readings (G6, G14): check each, keep the good ones, say what is wrong with the others.

What stands here parses and validates; `connector.absorbing` stores what is good, in one transaction with the stream.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from shared.columns import Format, Ints
from shared.errors import Refused
from shared.limits import (
    INGEST_BODY_BYTES_MAX,
    INGEST_LINES_MAX,
    INGEST_REFUSALS_SHOWN_MAX,
    NUMBER_EXACT_MAX,
    READING_AHEAD_MS_MAX,
    READING_VALUE_BYTES_MAX,
)

Doubles: TypeAlias = npt.NDArray[np.float64]
_L = TypeVar("_L")


class Line(msgspec.Struct, frozen=True, gc=False):
    """One reading as it comes in; without a timestamp it is given one on arrival.

    It holds nothing that could hold it again, so the collector of cycles need not look at it.
    """

    device: str
    resource: str
    value: int | float | str | bool
    timestamp: int | float | str | None = None


class _PlainLine(msgspec.Struct, frozen=True, gc=False):
    """What nearly all lines are: a number at a whole millisecond. Decoded as such it need not be looked at again."""

    device: str
    resource: str
    value: float
    timestamp: int


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that was not taken: its number in the request (from 1), the code and the sentence.

    `at` says where it stands in a body that has no lines of its own, as in `payload[3].values.temperature`.
    """

    line: int
    code: str
    message: str
    at: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of a request's lines. `accepted` are new; `repeated` were there with the same value."""

    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    refusals: list[RefusedLine] = field(default_factory=list)

    def refuse(self, line: int, refusal: Refused) -> None:
        """Count a line that is not taken; the first INGEST_REFUSALS_SHOWN_MAX are kept with their words."""
        self.refused += 1
        if len(self.refusals) < INGEST_REFUSALS_SHOWN_MAX:
            self.refusals.append(RefusedLine(line, refusal.code, str(refusal)))


@dataclass(frozen=True, slots=True)
class Definition:
    """What readings are checked against."""

    alias: str
    format: Format
    allowed: str | None
    remote_sync: bool


@dataclass(slots=True)
class _Group:
    """Lines of one series, in the order of arrival."""

    times: list[int | float | str | None] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


Groups = dict[tuple[str, str], _Group]

# Brackets nested a thousand deep are no reading either.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LINES = msgspec.json.Decoder(Line)
_PLAIN_LINES = msgspec.json.Decoder(_PlainLine)
_KEY, _TIMESTAMP, _VALUE = attrgetter("device", "resource"), attrgetter("timestamp"), attrgetter("value")
_NEWLINE = 10
_SHORT_BYTES = 4_096
# JSON has no NaN, but many programs write it: such a line is named rather than called garbage.
_NOT_FINITE = re.compile(rb'"value"\s*:\s*[-+]?(nan|inf(inity)?)\s*[,}]', re.IGNORECASE)


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
    def of_plain(cls, lines: Sequence[_PlainLine]) -> Lines | None:
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
        groups: Groups = {key: _Group() for key in self.keys}
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


def parse_lines(body: bytes, outcome: Outcome, first: int = 1) -> Lines:
    """Read newline-delimited JSON, one reading a line; what is no reading is refused in `outcome`. Raises Refused.

    Lines are numbered from `first`.
    """
    if len(body) > INGEST_BODY_BYTES_MAX:
        raise Refused("body_too_large", most=INGEST_BODY_BYTES_MAX)
    plain = _decoded(_PLAIN_LINES, body)
    columns = Lines.of_plain(plain) if plain else None
    if columns is not None:
        return columns.numbered_from(first)
    if lines := _decoded(_LINES, body):
        return Lines.of(lines).numbered_from(first)
    # Blank lines, two objects in one, or what is none: refusals name lines as the sender counts them.
    groups: Groups = {}
    _parse_one_by_one(body, groups, outcome, first)
    return Lines.ungrouped(groups)


def _decoded(decoder: msgspec.json.Decoder[_L], body: bytes) -> list[_L]:
    """Return all lines of a body; nothing where one is no such line. Raises Refused('too_many_lines')."""
    try:
        lines = decoder.decode_lines(body)
    except UNREADABLE:
        return []
    if len(lines) > INGEST_LINES_MAX:
        raise Refused("too_many_lines", most=INGEST_LINES_MAX)
    return lines if len(lines) == count_lines(body) else []


def count_lines(body: bytes) -> int:
    """Return the lines of a body, blank ones too; the last one may lack its newline."""
    return _newlines(body) + (not body.endswith(b"\n"))


def _newlines(body: bytes) -> int:
    if len(body) < _SHORT_BYTES:
        return body.count(b"\n")
    # bytes.count takes ten times as long where there are many.
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == _NEWLINE))


def parse_ndjson(body: bytes, outcome: Outcome) -> Groups:
    """Read newline-delimited JSON as `parse_lines` does, and group it by series."""
    return parse_lines(body, outcome).grouped()


def _parse_one_by_one(body: bytes, groups: Groups, outcome: Outcome, first: int) -> None:
    texts = body.split(b"\n")
    if len(texts) > INGEST_LINES_MAX + 1:
        raise Refused("too_many_lines", most=INGEST_LINES_MAX)
    for number, text in enumerate(texts, start=first):
        if not text.strip():
            continue
        try:
            group_lines([(number, _LINES.decode(text))], groups)
        except UNREADABLE as error:
            beyond_double = str(error).startswith("Number out of range")
            not_finite = beyond_double or _NOT_FINITE.search(text) is not None
            outcome.refuse(number, Refused("not_a_number" if not_finite else "not_json"))


def group_lines(lines: Iterable[tuple[int, Line]], groups: Groups) -> None:
    """Put (number, line) pairs into the groups of their series."""
    for number, line in lines:
        key = (line.device, line.resource)
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group()
        group.times.append(line.timestamp)
        group.values.append(line.value)
        group.lines.append(number)


def read_time(timestamp: int | float | str, now_ms: int) -> int:
    """Return ms since 1970 of a timestamp (whole ms, or ISO 8601 with a zone); raises Refused with the reason."""
    if isinstance(timestamp, float):
        # Rounding would let two readings of one millisecond meet.
        if not timestamp.is_integer():
            raise Refused("bad_time")
        timestamp = int(timestamp)
    if isinstance(timestamp, str):
        try:
            moment = datetime.fromisoformat(timestamp)
        except ValueError:
            raise Refused("bad_time") from None
        if moment.tzinfo is None:
            raise Refused("bad_time")
        timestamp = math.floor(moment.timestamp() * 1000 + 0.5)
    if timestamp < 0:
        raise Refused("before_1970")
    if timestamp > now_ms + READING_AHEAD_MS_MAX:
        raise Refused("too_far_ahead")
    return timestamp


class _Allowed(msgspec.Struct):
    low: float | None = None
    high: float | None = None
    any: list[Any] | None = None


class Checker:
    """Checks the values of one resource."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._allowed = msgspec.json.decode(definition.allowed, type=_Allowed) if definition.allowed else None

    def check(self, value: Any) -> Any:
        """Return the value as it is stored; raises Refused."""
        format_ = self._definition.format
        if format_ == "number":
            value = self._number(value)
        elif format_ == "boolean":
            if not isinstance(value, bool):
                raise Refused("wrong_format", format="boolean", resource=self._definition.alias)
        elif not isinstance(value, str):
            raise Refused("wrong_format", format="string", resource=self._definition.alias)
        elif len(value) > READING_VALUE_BYTES_MAX // 4 and len(value.encode()) > READING_VALUE_BYTES_MAX:
            raise Refused("value_too_large")
        allowed = self._allowed
        if allowed is not None:
            low, high = allowed.low, allowed.high
            if (
                (low is not None and value < low)
                or (high is not None and value > high)
                or (allowed.any is not None and value not in allowed.any)
            ):
                raise Refused("not_allowed", resource=self._definition.alias, allowed=allowed_words(allowed))
        return value

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused("wrong_format", format="number", resource=self._definition.alias)
        if isinstance(value, int) and abs(value) > NUMBER_EXACT_MAX:
            raise Refused("not_exact")
        number = float(value)
        if not math.isfinite(number):
            raise Refused("not_a_number")
        return number

    @property
    def plain_numbers(self) -> bool:
        """Whether any finite float passes, so that a whole column can be checked at once."""
        return self._definition.format == "number" and self._allowed is None


def allowed_words(allowed: _Allowed) -> str:
    """Say in words what is allowed."""
    if allowed.any is not None:
        return "one of " + ", ".join(str(value) for value in allowed.any)
    if allowed.low is None:
        return f"at most {allowed.high:g}"
    return f"at least {allowed.low:g}" if allowed.high is None else f"{allowed.low:g} to {allowed.high:g}"


def definitions_of(connection: sqlite3.Connection, connector_id: str) -> dict[str, Definition]:
    """Return a connector's resources by alias."""
    rows = connection.execute(
        "SELECT alias, format, allowed, remote_sync FROM resource WHERE connector_id = ?", (connector_id,)
    )
    return {row[0]: Definition(row[0], row[1], row[2], bool(row[3])) for row in rows}
