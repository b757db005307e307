"""Gap notices as people and programs look for them (N4): by cause, resource, device and time, in pages, and as files."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from connector.gap_rows import describe, read_notice
from shared.core.entries import GapNotice

# Notices that an export reads, and sends, in one go: memory does not grow with their number.
EXPORT_NOTICES: Final = 200
GapKey = tuple[int, str]
FIRST: Final[GapKey] = (1 << 62, "")
COLUMNS: Final = (
    "gap_id",
    "noticed",
    "named_by",
    "cause",
    "device",
    "resource",
    "count",
    "first",
    "last",
    "taken_back",
)


class GapRow(msgspec.Struct, frozen=True):
    """A gap notice and whose it is."""

    ours: bool
    notice: GapNotice

    @property
    def key(self) -> GapKey:
        """Where it stands in the list."""
        return self.notice.noticed_ms, self.notice.gap_id


@dataclass(frozen=True, slots=True)
class GapFilter:
    """Which notices are looked for; what is empty or None matches all. Times are of the readings, ms, `to_ms` not included.

    A notice that names no device or resource may be about any, and is found by time and cause only.
    """

    cause: str = ""
    resource: str = ""
    device: str = ""
    from_ms: int | None = None
    to_ms: int | None = None

    def where(self, connector_id: str) -> tuple[str, dict[str, Any]]:
        """Return the condition on table `gap`, and its values."""
        parts = ["gap.connector_id = :connector"]
        values: dict[str, Any] = {"connector": connector_id}
        for name, condition in (
            ("cause", "cause = :cause"),
            ("from_ms", "last_ms >= :from_ms"),
            ("to_ms", "first_ms < :to_ms"),
        ):
            wanted = getattr(self, name)
            if wanted not in ("", None):
                parts.append(condition)
                values[name] = wanted
        if self.resource or self.device:
            inner = (
                "SELECT 1 FROM gap_row WHERE gap_row.connector_id = gap.connector_id AND gap_row.gap_id = gap.gap_id"
            )
            for name in ("resource", "device"):
                if getattr(self, name):
                    inner += f" AND gap_row.{name} = :{name}"
                    values[name] = getattr(self, name)
            parts.append(f"EXISTS ({inner})")
        return " AND ".join(parts), values


def list_gaps(
    connection: sqlite3.Connection,
    connector_id: str,
    limit: int = 200,
    after: GapKey = FIRST,
    wanted: GapFilter | None = None,
) -> list[GapRow]:
    """Return gap notices, newest first, from behind the one with this (noticed_ms, gap_id)."""
    where, values = (wanted or GapFilter()).where(connector_id)
    rows = connection.execute(
        f"SELECT ours, notice FROM gap WHERE {where}"  # noqa: S608  # conditions of ours
        " AND (noticed_ms < :noticed_ms OR (noticed_ms = :noticed_ms AND gap_id > :gap_id))"
        " ORDER BY noticed_ms DESC, gap_id LIMIT :limit",
        values | {"noticed_ms": after[0], "gap_id": after[1], "limit": limit},
    )
    return [GapRow(row[0] != 0, notice) for row in rows if (notice := read_notice(row[1])) is not None]


@dataclass(frozen=True, slots=True)
class GapTotals:
    """How many notices match, their readings, and how many of them nobody could count."""

    notices: int
    readings: int
    uncounted: int


def totals(connection: sqlite3.Connection, connector_id: str, wanted: GapFilter | None = None) -> GapTotals:
    """Count what a filter finds."""
    where, values = (wanted or GapFilter()).where(connector_id)
    row = connection.execute(
        f"SELECT COUNT(*), COALESCE(SUM(count), 0), COUNT(*) - COUNT(count) FROM gap WHERE {where}",  # noqa: S608
        values,
    ).fetchone()
    return GapTotals(*row)


def causes(connection: sqlite3.Connection, connector_id: str) -> list[str]:
    """Return the causes there are."""
    rows = connection.execute("SELECT DISTINCT cause FROM gap WHERE connector_id = ? ORDER BY cause", (connector_id,))
    return [row[0] for row in rows if row[0]]


@dataclass(frozen=True, slots=True)
class ResourceGaps:
    """Notices that name a resource, and its readings in them."""

    notices: int
    readings: int


def by_resource(connection: sqlite3.Connection, connector_id: str) -> dict[str, ResourceGaps]:
    """Return the gaps of each resource by alias."""
    rows = connection.execute(
        "SELECT resource, COUNT(DISTINCT gap_id), SUM(count) FROM gap_row WHERE connector_id = ? GROUP BY resource",
        (connector_id,),
    )
    return {row[0]: ResourceGaps(row[1], row[2]) for row in rows}


@dataclass(frozen=True, slots=True)
class SeriesGap:
    """Readings of one series that will never arrive. `count` None: not counted, or not known to be of this series."""

    cause: str
    first_ms: int
    last_ms: int
    count: int | None


def series_gaps(
    connection: sqlite3.Connection,
    connector_id: str,
    device: str,
    resource: str,
    from_ms: int,
    to_ms: int,
    limit: int = 2_000,
) -> list[SeriesGap]:
    """Return the gaps of a series that touch a span, oldest first; notices that name no series may concern any.

    Of more than `limit` the latest are given.
    """
    rows = connection.execute(
        "SELECT cause, gap_row.first_ms, gap_row.last_ms, CASE WHEN device = '' THEN NULL ELSE gap_row.count END"
        " FROM gap_row JOIN gap USING (connector_id, gap_id) WHERE connector_id = ?1 AND resource = ?3"
        " AND device IN (?2, '') AND gap_row.last_ms >= ?4 AND gap_row.first_ms < ?5"
        " UNION ALL SELECT cause, first_ms, last_ms, NULL FROM gap"
        " WHERE connector_id = ?1 AND named <= 0 AND count IS NOT 0 AND last_ms >= ?4 AND first_ms < ?5"
        " ORDER BY 3 DESC LIMIT ?6",
        (connector_id, device, resource, from_ms, to_ms, limit),
    )
    return sorted((SeriesGap(*row) for row in rows), key=lambda each: (each.first_ms, each.last_ms))


def index_notices(connection: sqlite3.Connection, limit: int = 500) -> bool:
    """Note of a few notices from before what they name; return whether there are more."""
    rows = connection.execute(
        "SELECT connector_id, gap_id, notice FROM gap WHERE named < 0 LIMIT ?", (limit,)
    ).fetchall()
    for connector_id, gap_id, packed in rows:
        if (notice := read_notice(packed)) is not None:
            describe(connection, connector_id, notice)
        else:  # it names nothing, and is not looked at again
            connection.execute("UPDATE gap SET named = 0 WHERE connector_id = ? AND gap_id = ?", (connector_id, gap_id))
    return len(rows) == limit


# --- files ------------------------------------------------------------------------------------------------------------

Read = Callable[[GapKey], Any]


async def pages(read: Read) -> AsyncIterator[list[GapRow]]:
    """Yield all notices in pages; `read` returns EXPORT_NOTICES of them from behind a key, awaited."""
    after = FIRST
    while True:
        rows: list[GapRow] = await read(after)
        if rows:
            yield rows
        if len(rows) < EXPORT_NOTICES:
            return
        after = rows[-1].key


async def as_csv(found: AsyncIterator[list[GapRow]], time: Callable[[int], str]) -> AsyncIterator[str]:
    """Write notices as CSV, a line for each device and resource; an empty count is one that nobody can give.

    What was taken back stands in a line of its notice that names no device, so that both columns add up.
    """
    yield ",".join(COLUMNS) + "\r\n"
    async for rows in found:
        text = io.StringIO()
        csv.writer(text).writerows(line for row in rows for line in _lines(row, time))
        yield text.getvalue()


def _lines(row: GapRow, time: Callable[[int], str]) -> Iterator[tuple[object, ...]]:
    notice = row.notice
    head = notice.gap_id, time(notice.noticed_ms), "this side" if row.ours else "the other side", notice.cause
    for each in notice.named:
        yield (*head, _cell(each.device), _cell(each.resource), each.count, time(each.first_ms), time(each.last_ms), 0)
    rest = None if notice.count is None else notice.count - sum(each.count for each in notice.rows)
    if rest != 0 or notice.taken_back:
        count = "" if rest is None else rest
        yield (*head, "", "", count, time(notice.first_ms), time(notice.last_ms), notice.taken_back)


def _cell(name: str) -> str:
    """Keep a spreadsheet from taking a name of the other side for a formula."""
    return "'" + name if name[:1] in ("=", "+", "-", "@", "\t") else name


async def as_json(found: AsyncIterator[list[GapRow]], time: Callable[[int], str]) -> AsyncIterator[bytes]:
    """Write notices as one JSON list."""
    opening = b"["
    async for rows in found:
        yield opening + msgspec.json.encode([_object(row, time) for row in rows])[1:-1]
        opening = b",\n"
    yield b"]\n" if opening != b"[" else b"[]\n"


def _object(row: GapRow, time: Callable[[int], str]) -> dict[str, Any]:
    notice = row.notice
    return {
        "gap_id": notice.gap_id,
        "noticed": time(notice.noticed_ms),
        "named_by": "this side" if row.ours else "the other side",
        "cause": notice.cause,
        "count": notice.count,
        "first": time(notice.first_ms),
        "last": time(notice.last_ms),
        "taken_back": notice.taken_back,
        "rows": [
            {
                "device": each.device,
                "resource": each.resource,
                "count": each.count,
                "first": time(each.first_ms),
                "last": time(each.last_ms),
            }
            for each in notice.named
        ],
    }
