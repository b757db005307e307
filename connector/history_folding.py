"""Folding: what history took in as rows and recent batches becomes chunks of one series, in the background, in small bites.

Handfuls become recent batches once there are many, and recent batches chunks. Batches that hold many series with few readings
each are first folded into greater batches (level 1): a chunk is then opened and written again for many new readings, not
for one. What is to be written is made beside the writer, which only puts it where it belongs. A bite that is interrupted is
done again: what is in two places counts once wherever history is read.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from connector.history_chunks import MadeChunks, make_chunks, write_chunks
from connector.history_parts import (
    NOTHING,
    Part,
    codec,
    format_of,
    open_recent,
    pack_ids,
    part_at,
    rows_part,
)
from shared.columns import Columns, Format, Series, as_columns, joined
from shared.database import Database
from shared.errors import StorageFailed
from shared.limits import (
    HISTORY_CHUNK_TEXT_BYTES_MAX,
    HISTORY_FOLD_BATCHES_MAX,
    HISTORY_FOLD_MADE_MAX,
    HISTORY_FOLD_READINGS_MAX,
    HISTORY_FOLD_ROWS_MAX,
    HISTORY_FOLD_SERIES_MAX,
    HISTORY_FOLD_TWICE_READINGS_MAX,
    HISTORY_FOLD_WRITTEN_BYTES_MAX,
    HISTORY_LOOSE_ROWS_ALL_MAX,
    HISTORY_LOOSE_ROWS_MAX,
    HISTORY_RECENT_MAX,
)

_log = logging.getLogger(__name__)
_LOOK_EVERY_S: Final = 0.25
# While readings pour in, a quarter of a second of them is room that the file keeps.
_LOOK_BUSY_S: Final = 0.05
# Below this many readings a series, a batch is folded into a greater batch first.
_DENSE: Final = 128


@dataclass(frozen=True, slots=True)
class Bite:
    """Recent batches that are folded together, and their readings by series ID."""

    connector_id: str
    level: int
    rows: tuple[int, ...]
    columns: Columns

    @property
    def dense(self) -> bool:
        """Whether chunks are worth being opened for it; texts never make a great batch."""
        few = len(self.columns) < _DENSE * len(self.columns.series)
        return self.level > 0 or not self.columns.numeric or not few


def next_bite(connection: sqlite3.Connection, *, everything: bool = False) -> Bite | None:
    """Return which recent batches are to be folded next; `everything`: even where they are few. None where none are."""
    due = due_levels(connection, everything=everything)
    return bite_of(connection, *due[0]) if due else None


def due_levels(connection: sqlite3.Connection, *, everything: bool = False) -> list[tuple[str, int]]:
    """Return (connector, level) wherever there is something to be folded. Looks at every recent batch there is."""
    found = connection.execute(
        "SELECT connector_id, level FROM recent GROUP BY connector_id, level"
        " HAVING COUNT(*) > ? OR (level = 0 AND SUM(count) >= ?) ORDER BY level DESC, connector_id",
        (0 if everything else HISTORY_RECENT_MAX, HISTORY_FOLD_READINGS_MAX),
    )
    return [(row[0], row[1]) for row in found]


def bite_of(connection: sqlite3.Connection, connector_id: str, level: int) -> Bite:
    """Return the oldest recent batches of a connector and a level, as many as are folded at once; but those set aside."""
    rows = connection.execute(
        "SELECT row, count FROM recent WHERE connector_id = ? AND level = ? ORDER BY row LIMIT ?",
        (connector_id, level, HISTORY_FOLD_BATCHES_MAX),
    )
    taken: list[int] = []
    readings = 0
    for row, count in rows:
        taken.append(row)
        readings += count
        if readings >= (HISTORY_FOLD_TWICE_READINGS_MAX if level else HISTORY_FOLD_READINGS_MAX):
            break
    rows.close()
    found = {row: open_recent(connection, row, {}) for row in taken}
    whole = tuple(row for row, columns in found.items() if columns is not NOTHING)
    return Bite(connector_id, level, whole, joined(found.values()))


@dataclass(frozen=True, slots=True)
class Portion:
    """What one unit of work writes of a bite."""

    made: tuple[MadeChunks, ...]
    level_body: bytes | None
    """The greater batch, where the bite makes one."""
    next_series: int | None
    """The series to go on from; None where this is the last of the bite."""

    @property
    def body_bytes(self) -> int:
        """What is to be written."""
        return sum(made.body_bytes for made in self.made)


def make_portion(connection: sqlite3.Connection, bite: Bite, from_series: int) -> Portion:
    """Make some chunks of a bite, or its greater batch; only reads."""
    columns = bite.columns
    if not bite.dense:
        return Portion((), codec().encode(_bare(columns)) if len(columns) else None, None)
    made: list[MadeChunks] = []
    readings = 0
    for at in range(from_series, len(columns.series)):
        if len(made) >= HISTORY_FOLD_SERIES_MAX or readings >= HISTORY_FOLD_MADE_MAX:
            return Portion(tuple(made), None, at)
        made.append(make_chunks(connection, int(columns.series[at][0]), part_at(columns, at)))
        readings += int(columns.lengths[at])
    return Portion(tuple(made), None, None)


def write_portion(connection: sqlite3.Connection, bite: Bite, portion: Portion) -> None:
    """Write what was made of a bite; with the last of it the batches go. Of batches that are gone nothing is written."""
    is_there = "SELECT 1 FROM recent WHERE row = ?"
    if not bite.rows or connection.execute(is_there, bite.rows[:1]).fetchone() is None:
        return  # with all of their connector: they would come back
    for made in portion.made:
        write_chunks(connection, made)
    if portion.level_body is not None:
        columns = bite.columns
        ids = [int(name[0]) for name in columns.series]
        _write_recent(connection, bite.connector_id, bite.level + 1, columns, ids, portion.level_body)
    if portion.next_series is None:
        connection.executemany("DELETE FROM recent WHERE row = ?", [(row,) for row in bite.rows])


def fold(connection: sqlite3.Connection, bite: Bite, from_series: int) -> int | None:
    """Make and write a part of a bite; return the series to go on from, None once all is written and the batches are gone."""
    portion = make_portion(connection, bite, from_series)
    write_portion(connection, bite, portion)
    return portion.next_series


def due_rows(connection: sqlite3.Connection, *, everything: bool = False) -> list[str | None]:
    """Return the connectors whose loose rows are worth folding, those with most of them first; None for rows of no series."""
    (held,) = connection.execute("SELECT COUNT(*) FROM reading").fetchone()
    if not held or (held <= HISTORY_LOOSE_ROWS_MAX and not everything):
        return []
    many = 0 if everything or held > HISTORY_LOOSE_ROWS_ALL_MAX else HISTORY_LOOSE_ROWS_MAX
    found = connection.execute(
        "SELECT connector_id, SUM(held) AS held"
        " FROM (SELECT series_id, COUNT(*) AS held FROM reading GROUP BY series_id)"
        " LEFT JOIN series USING (series_id) LEFT JOIN device USING (device_id)"
        " GROUP BY connector_id HAVING SUM(held) > ? ORDER BY SUM(held) DESC, connector_id",
        (many,),
    )
    return [row[0] for row in found]


def fold_rows(connection: sqlite3.Connection, *, everything: bool = False) -> bool:
    """Make a recent batch of loose rows of the connector that has most, where there are many; return whether it did.

    In one unit of work: until then more may come for the same milliseconds.
    """
    due = due_rows(connection, everything=everything)
    if not due:
        return False
    found = connection.execute(
        "SELECT series_id, format FROM (SELECT series_id, COUNT(*) AS held FROM reading GROUP BY series_id)"
        " LEFT JOIN series USING (series_id) LEFT JOIN device USING (device_id) LEFT JOIN resource USING (resource_id)"
        " WHERE device.connector_id IS ? ORDER BY held DESC, series_id LIMIT ?",
        (due[0], HISTORY_FOLD_SERIES_MAX),
    ).fetchall()
    taken: list[Series] = []
    room, room_text_bytes = HISTORY_FOLD_ROWS_MAX, HISTORY_CHUNK_TEXT_BYTES_MAX
    for series_id, kind in found:
        rows, text_bytes = _loose_rows(connection, series_id, room, room_text_bytes)
        taken += _by_format(series_id, rows_part(rows, kind)) if due[0] is not None else ()
        connection.execute("DELETE FROM reading WHERE series_id = ? AND at_ms <= ?", (series_id, rows[-1][0]))
        room -= len(rows)
        room_text_bytes -= text_bytes
        if room <= 0 or room_text_bytes <= 0:
            break
    if due[0] is not None:
        columns = as_columns(taken)
        ids = [int(series.device) for series in taken]
        _write_recent(connection, due[0], 0, columns, ids, codec().encode(_bare(columns)))
    return True


def _loose_rows(
    connection: sqlite3.Connection, series_id: int, room: int, room_text_bytes: int
) -> tuple[list[tuple[int, Any]], int]:
    """Return the oldest loose rows of a series, one at least, and how many bytes of text are in them."""
    rows: list[tuple[int, Any]] = []
    text_bytes = 0
    found = connection.execute(
        "SELECT at_ms, value FROM reading WHERE series_id = ? ORDER BY at_ms LIMIT ?", (series_id, room)
    )
    for at_ms, value in found:
        rows.append((at_ms, value))
        text_bytes += 4 * len(value) if isinstance(value, str) else 0
        if text_bytes >= room_text_bytes:
            break
    found.close()
    return rows, text_bytes


def _by_format(series_id: int, part: Part) -> list[Series]:
    """Return readings of one series as one for each format: its resource may have had another one before."""
    times, values = part
    if values.dtype != object:
        return [Series(str(series_id), "", "number", times.tolist(), values.tolist())]
    found: dict[Format, Series] = {}
    for at_ms, value in zip(times.tolist(), values.tolist(), strict=True):
        kind = format_of(value)
        series = found.setdefault(kind, Series(str(series_id), "", kind, [], []))
        series.times_ms.append(at_ms)
        series.values.append(value)
    return list(found.values())


def _bare(columns: Columns) -> Columns:
    """Return the same without names: a recent batch has the IDs of its series beside it."""
    return Columns([("", "", name[2]) for name in columns.series], columns.lengths, columns.times_ms, columns.values)


def _write_recent(
    connection: sqlite3.Connection, connector_id: str, level: int, columns: Columns, ids: list[int], body: bytes
) -> None:
    connection.execute(
        "INSERT INTO recent (connector_id, level, first_ms, last_ms, count, series, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            connector_id,
            level,
            int(columns.times_ms.min()),
            int(columns.times_ms.max()),
            len(columns),
            pack_ids(ids),
            body,
        ),
    )


class Folding:
    """The background work of one site's history."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._due: list[tuple[str, int]] = []  # found by the last look and not yet folded

    async def run(self) -> None:
        """Fold whenever there is enough, until cancelled."""
        busy = False
        while True:
            await asyncio.sleep(_LOOK_BUSY_S if busy else _LOOK_EVERY_S)
            busy = False
            try:
                while await self.fold_once():
                    busy = True
            except StorageFailed as error:
                _log.warning("folding history put off: %s", error)

    async def fold_once(self, *, everything: bool = False) -> bool:
        """Fold one bite, if there is one; return whether there was. Raises StorageFailed."""
        if not self._due:
            self._due = (await self._database.read(lambda c: due_levels(c, everything=everything)))[::-1]
        if not self._due:  # asked by a reader first: a database at rest is to stay at rest
            many = bool(await self._database.read(lambda c: due_rows(c, everything=everything)))
            return many and await self._database.write(lambda c: fold_rows(c, everything=everything), patient=True)
        connector_id, level = self._due.pop()
        bite = await self._database.read(lambda c: bite_of(c, connector_id, level))
        if bite.rows:  # a connector may be gone since it was looked at
            await self._fold(bite)
        return True

    async def _fold(self, bite: Bite) -> None:
        """Fold a bite: made in small parts, for those who read meanwhile; written in as few as do not keep the writer."""
        series: int | None = 0
        while series is not None:
            portion = await self._database.read(lambda c, at=series: make_portion(c, bite, at))  # type: ignore[misc]
            while portion.next_series is not None and portion.body_bytes < HISTORY_FOLD_WRITTEN_BYTES_MAX:
                at = portion.next_series
                more = await self._database.read(lambda c, at=at: make_portion(c, bite, at))  # type: ignore[misc]
                portion = Portion((*portion.made, *more.made), None, more.next_series)
            await self._database.write(lambda c, some=portion: write_portion(c, bite, some), patient=True)  # type: ignore[misc]
            series = portion.next_series


def fold_all(connection: sqlite3.Connection) -> None:
    """Fold everything there is, in the caller's transaction."""
    while fold_rows(connection, everything=True):
        pass
    while (bite := next_bite(connection, everything=True)) is not None:
        series: int | None = 0
        while series is not None:
            series = fold(connection, bite, series)
