"""Accepting readings (G6, G14): check each, keep the good ones, say what is wrong with the others.

The pure half parses and validates; `store_readings` runs in one unit of work with the stream, so that the toggle is
read, the history written and the stream fed in the same transaction.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from connector import history
from connector.catalogue import Catalogue, SeriesRow
from shared.batches import Format, Series
from shared.errors import Refused
from shared.limits import (
    INGEST_BODY_BYTES_MAX,
    INGEST_LINES_MAX,
    INGEST_REFUSALS_SHOWN_MAX,
    NUMBER_EXACT_MAX,
    READING_AHEAD_MS_MAX,
    READING_VALUE_BYTES_MAX,
)


class Line(msgspec.Struct, frozen=True):
    """One reading as it comes in; without a timestamp it is given one on arrival."""

    device: str
    resource: str
    value: int | float | str | bool
    timestamp: int | float | str | None = None


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
# JSON has no NaN, but many programs write it: such a line is named rather than called garbage.
_NOT_FINITE = re.compile(rb'"value"\s*:\s*[-+]?(nan|inf(inity)?)\s*[,}]', re.IGNORECASE)


def parse_ndjson(body: bytes, outcome: Outcome) -> Groups:
    """Read newline-delimited JSON, one reading a line; what is no reading is refused in `outcome`. Raises Refused."""
    if len(body) > INGEST_BODY_BYTES_MAX:
        raise Refused("body_too_large", most=INGEST_BODY_BYTES_MAX)
    groups: Groups = {}
    try:
        lines = _LINES.decode_lines(body)
    except UNREADABLE:
        _parse_one_by_one(body, groups, outcome)
        return groups
    if len(lines) > INGEST_LINES_MAX:
        raise Refused("too_many_lines", most=INGEST_LINES_MAX)
    if len(lines) == body.count(b"\n") + (not body.endswith(b"\n")):
        group_lines(enumerate(lines, start=1), groups)
    else:  # blank lines, or two objects in one: refusals name lines as the sender counts them
        _parse_one_by_one(body, groups, outcome)
    return groups


def _parse_one_by_one(body: bytes, groups: Groups, outcome: Outcome) -> None:
    texts = body.split(b"\n")
    if len(texts) > INGEST_LINES_MAX + 1:
        raise Refused("too_many_lines", most=INGEST_LINES_MAX)
    for number, text in enumerate(texts, start=1):
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


@dataclass(frozen=True, slots=True)
class Stored:
    """New readings of one request: all of them, and those whose Remote-Sync toggle is on."""

    count: int
    for_stream: list[Series]


def store_readings(
    connection: sqlite3.Connection,
    catalogue: Catalogue,
    connector_id: str,
    groups: Groups,
    outcome: Outcome,
    now_ms: int,
) -> Stored:
    """Write what is good into history and state; devices exist already (see Site.ingest). Counts into `outcome`."""
    definitions = definitions_of(connection, connector_id)
    for_stream: list[Series] = []
    count = 0
    for (device, resource), group in groups.items():
        definition = definitions.get(resource)
        row = catalogue.find(connection, connector_id, device, resource) if definition is not None else None
        if definition is None or row is None:
            known = definition is not None
            refusal = (
                Refused("unknown_device", device=device) if known else Refused("unknown_resource", resource=resource)
            )
            for line in group.lines:
                outcome.refuse(line, refusal)
            continue
        series = _insert(connection, row, device, definition, group, outcome, now_ms)
        if series is None:
            continue
        count += len(series)
        catalogue.note_state(connection, row, series, now_ms)
        if definition.remote_sync:
            for_stream.append(series)
    outcome.accepted += count
    return Stored(count, for_stream)


def _insert(
    connection: sqlite3.Connection,
    row: SeriesRow,
    device: str,
    definition: Definition,
    group: _Group,
    outcome: Outcome,
    now_ms: int,
) -> Series | None:
    """Insert the new readings of one series; return them, None where there are none."""
    (last_ms,) = connection.execute("SELECT last_ms FROM series WHERE series_id = ?", (row.series_id,)).fetchone()
    times, values, lines = _checked(definition, group, outcome, now_ms, last_ms)
    if not times:
        return None
    ascending = all(a < b for a, b in pairwise(times))
    if not (ascending and (last_ms is None or times[0] > last_ms)):
        times, values = _only_new(connection, row.series_id, definition, times, values, lines, outcome)
        if not times:
            return None
    series = Series(device, definition.alias, definition.format, times, values)
    history.insert(connection, row.series_id, series)
    return series


def _checked(
    definition: Definition, group: _Group, outcome: Outcome, now_ms: int, last_ms: int | None
) -> tuple[list[int], list[Any], list[int]]:
    """Check times and values; lines that fail are refused, the others returned as columns."""
    checker = Checker(definition)
    latest_ms = now_ms + READING_AHEAD_MS_MAX
    if (
        checker.plain_numbers
        and all(type(at) is int and 0 <= at <= latest_ms for at in group.times)
        and all(type(value) is float and value - value == 0.0 for value in group.values)
    ):
        return list(group.times), group.values, group.lines  # type: ignore[arg-type]
    times: list[int] = []
    values: list[Any] = []
    lines: list[int] = []
    next_ms = now_ms if last_ms is None else max(now_ms, last_ms + 1)
    stated = {at for at in group.times if type(at) is int}
    for timestamp, value, line in zip(group.times, group.values, group.lines, strict=True):
        try:
            stored = checker.check(value)
            if timestamp is None:
                while next_ms in stated:
                    next_ms += 1
                at_ms, next_ms = next_ms, next_ms + 1  # strictly increasing (G6)
            else:
                at_ms = read_time(timestamp, now_ms)
        except Refused as refusal:
            outcome.refuse(line, refusal)
            continue
        times.append(at_ms)
        values.append(stored)
        lines.append(line)
    return times, values, lines


def _only_new(
    connection: sqlite3.Connection,
    series_id: int,
    definition: Definition,
    times: Sequence[int],
    values: Sequence[Any],
    lines: Sequence[int],
    outcome: Outcome,
) -> tuple[list[int], list[Any]]:
    """Leave out what is there already: the same value is `repeated`, another is `timestamp_taken` (G6)."""
    fresh: dict[int, Any] = {}
    known = history.at(connection, series_id, times)
    for at, value, line in zip(times, values, lines, strict=True):
        if at in fresh:
            there = fresh[at]
        else:
            if at not in known:
                fresh[at] = value
                continue
            there = known[at]
        if there == value:
            outcome.repeated += 1
        else:
            outcome.refuse(line, Refused("timestamp_taken", resource=definition.alias))
    return list(fresh), list(fresh.values())
