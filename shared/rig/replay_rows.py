"""Rows of a CSV file as readings: which columns hold time and value, and what is wrong with the rows that are none."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shared.errors import PairhubError

TIME_NAMES: Final = ("timestamp", "time", "date", "datetime", "ts")
VALUE_NAMES: Final = ("value", "reading")
_TRUTHS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Row:
    """A reading of the file: the line it stands in (from 1), its time in ms since 1970, and the text of its value."""

    line: int
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that is no reading, and why."""

    line: int
    why: str


@dataclass(slots=True)
class Survey:
    """What a file holds, found before anything is sent. Times are ms since 1970, as in the file."""

    rows: int = 0
    """Lines with something in them, readings or not."""
    readings: int = 0
    first_ms: int = 0
    last_ms: int = 0
    format: str = ""
    """The format that fits all values: number, boolean or string; empty for a file without readings."""


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """Read a CSV file: with a header that names a time and a value column, or else time first and value second.

    Times are ISO 8601 (UTC where they name no zone) or whole ms since 1970. Raises PairhubError where the file cannot be
    read at all.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="strict") as file:
            reader = csv.reader(file)
            columns: tuple[int, int] | None = None
            for cells in reader:
                line = reader.line_num
                if columns is None:
                    columns = _columns(cells)
                    if columns is not None:
                        continue
                    columns = (0, 1)
                if any(cell.strip() for cell in cells):
                    yield _row(line, cells, columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PairhubError(f"{path} cannot be read: {error}") from error


def _columns(cells: list[str]) -> tuple[int, int] | None:
    """Return where time and value stand, None where this is no header."""
    names = [cell.strip().lower() for cell in cells]
    time = next((names.index(name) for name in TIME_NAMES if name in names), None)
    value = next((names.index(name) for name in VALUE_NAMES if name in names), None)
    return None if time is None or value is None else (time, value)


def _row(line: int, cells: list[str], columns: tuple[int, int]) -> Row | BadRow:
    if len(cells) <= max(columns):
        return BadRow(
            line, f"it has {len(cells)} columns; time and value are expected in {columns[0] + 1} and {columns[1] + 1}"
        )
    try:
        at_ms = read_moment(cells[columns[0]].strip())
    except ValueError:
        return BadRow(line, f"{cells[columns[0]].strip()[:60]!r} is neither an ISO 8601 time nor ms since 1970")
    text = cells[columns[1]].strip()
    return Row(line, at_ms, text) if text else BadRow(line, "the value is empty")


def read_moment(text: str) -> int:
    """Return ms since 1970 of an ISO 8601 time, of UTC where it names no zone, or of whole ms; raises ValueError."""
    if text.isascii() and text.isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp() * 1000 + 0.5)


def read_value(text: str, format_: str) -> Any:
    """Return a value in the format of its resource; raises ValueError with the reason."""
    if format_ == "string":
        return text
    if format_ == "boolean":
        truth = _TRUTHS.get(text.lower())
        if truth is None:
            raise ValueError(f"{text[:60]!r} is neither true nor false")
        return truth
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError("NaN and infinities are not readings")
    return number


def survey(path: Path) -> Survey:
    """Read a file through once: how many readings, from when to when, and which format fits."""
    found = Survey()
    fitting = ["number", "boolean", "string"]
    for row in read_rows(path):
        found.rows += 1
        if isinstance(row, BadRow):
            continue
        found.first_ms = min(found.first_ms, row.at_ms) if found.readings else row.at_ms
        found.last_ms = max(found.last_ms, row.at_ms) if found.readings else row.at_ms
        found.readings += 1
        while len(fitting) > 1 and not _fits(row.text, fitting[0]):
            fitting.pop(0)
    found.format = fitting[0] if found.readings else ""
    return found


def _fits(text: str, format_: str) -> bool:
    try:
        read_value(text, format_)
    except ValueError as error:
        # One NaN among numbers is a bad row, not a reason to call them all texts.
        return "NaN" in str(error)
    return True
