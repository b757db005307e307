"""Accepting readings (G6, G14): check each, keep the good ones, say what is wrong with the others.

What stands here parses and validates; `connector.absorbing` stores what is good, in one transaction with the stream.
"""

from __future__ import annotations

import math
import re
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import numpy as np

from connector.lines import Groups, Line, Lines, PlainLine, group_lines
from shared.columns import Format
from shared.errors import Refused
from shared.limits import (
    INGEST_BODY_BYTES_MAX,
    INGEST_LINES_MAX,
    INGEST_REFUSALS_SHOWN_MAX,
    NUMBER_EXACT_MAX,
    READING_AHEAD_MS_MAX,
    READING_VALUE_BYTES_MAX,
)

_L = TypeVar("_L")


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


# Brackets nested a thousand deep are no reading either.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LINES = msgspec.json.Decoder(Line)
_PLAIN_LINES = msgspec.json.Decoder(PlainLine)
_NEWLINE = 10
_SHORT_BYTES = 4_096
# JSON has no NaN, but many programs write it: such a line is named rather than called garbage.
_NOT_FINITE = re.compile(rb'"value"\s*:\s*[-+]?(nan|inf(inity)?)\s*[,}]', re.IGNORECASE)


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
