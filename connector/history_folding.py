"""Folding: what history took in as rows and recent batches becomes chunks of one series, in the background, in small bites.

Batches that hold many series with few readings each are first folded into greater batches (level 1): a chunk is then
opened and written again for many new readings, not for one. A bite that is interrupted is done again: what is in two
places counts once wherever history is read.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from connector.history_parts import (
    Part,
    codec,
    open_recent,
    pack_chunk,
    pack_ids,
    part_at,
    rows_part,
    tidy,
    unpack_chunk,
)
from shared.columns import Columns, Values, joined
from shared.database import Database
from shared.errors import StorageFailed
from shared.limits import (
    HISTORY_CHUNK_READINGS_MAX,
    HISTORY_CHUNK_READINGS_MIN,
    HISTORY_CHUNK_TEXT_BYTES_MAX,
    HISTORY_FOLD_BATCHES_MAX,
    HISTORY_FOLD_READINGS_MAX,
    HISTORY_FOLD_ROWS_MAX,
    HISTORY_FOLD_SERIES_MAX,
    HISTORY_FOLD_TWICE_READINGS_MAX,
    HISTORY_FOLD_WRITTEN_MAX,
    HISTORY_LOOSE_ROWS_MAX,
    HISTORY_RECENT_MAX,
    WRITER_PATIENCE_S,
)

_log = logging.getLogger(__name__)
_LOOK_EVERY_S: Final = 0.25
# While readings pour in, a quarter of a second of them is room that the file keeps.
_LOOK_BUSY_S: Final = 0.05
# How much more is written at a time where units of work queue up: folding must not fall behind a stream without a pause.
_BUSY_PARTS: Final = 2
# Below this many readings a series, a batch is folded into a greater batch first.
_DENSE: Final = 128
# Small chunks of a series taken up by one that is written; chunks looked into for readings that are there already.
_GROWING_MAX: Final = 4
_OVERLAPPING_MAX: Final = 4
# A chunk of so many times the readings that were added last is left as it is: writing it again costs more than it saves.
_ADDED_WORTH: Final = 12
# Of a chunk that leaves more of the pages empty, the rest is worth writing it again.
_WASTED_PART: Final = 0.08
# Rows that follow each other are not quite of one size.
_ROW_SPREAD: Final = 1.02
# Pages of the database, their head, what a chunk has beside its body, and the part of a long row that stands in a leaf.
_PAGE_BYTES: Final = 4_096
_PAGE_HEAD_BYTES: Final = 8
_ROW_BYTES: Final = 32
_IN_LEAF_BYTES_MAX: Final = _PAGE_BYTES - 35
_IN_LEAF_BYTES_MIN: Final = (_PAGE_BYTES - 12) * 32 // 255 - 23


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
    """Return the oldest recent batches of a connector and a level, as many as are folded at once."""
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
    return Bite(connector_id, level, tuple(taken), joined(open_recent(connection, row, {}) for row in taken))


def fold(
    connection: sqlite3.Connection, bite: Bite, from_series: int, written_max: int = HISTORY_FOLD_WRITTEN_MAX
) -> int | None:
    """Write a part of a bite; return the series to go on from, None once all is written and the batches are gone."""
    columns = bite.columns
    if bite.dense:
        written = 0
        for at in range(from_series, len(columns.series)):
            if at - from_series >= HISTORY_FOLD_SERIES_MAX or written >= written_max:
                return at
            _write_chunk(connection, int(columns.series[at][0]), part_at(columns, at))
            written += int(columns.lengths[at])
    elif len(columns):
        _write_level(connection, bite)
    connection.executemany("DELETE FROM recent WHERE row = ?", [(row,) for row in bite.rows])
    return None


def has_many_rows(connection: sqlite3.Connection, *, everything: bool = False) -> bool:
    """Tell whether there are so many loose rows that they are worth folding."""
    (held,) = connection.execute("SELECT COUNT(*) FROM reading").fetchone()
    return bool(held > (0 if everything else HISTORY_LOOSE_ROWS_MAX))


def fold_rows(connection: sqlite3.Connection, *, everything: bool = False) -> bool:
    """Fold loose rows of the series that have most of them, once there are many; return whether it did.

    In one unit of work: until then more may come for the same milliseconds.
    """
    if not has_many_rows(connection, everything=everything):
        return False
    found = connection.execute(
        "SELECT series_id, format FROM reading LEFT JOIN series USING (series_id) LEFT JOIN resource USING (resource_id)"
        " GROUP BY series_id ORDER BY COUNT(*) DESC LIMIT ?",
        (HISTORY_FOLD_SERIES_MAX,),
    ).fetchall()
    room = HISTORY_FOLD_ROWS_MAX
    for series_id, kind in found:
        rows = connection.execute(
            "SELECT at_ms, value FROM reading WHERE series_id = ? ORDER BY at_ms LIMIT ?", (series_id, room)
        ).fetchall()
        _write_chunk(connection, series_id, rows_part(rows, kind))
        connection.execute("DELETE FROM reading WHERE series_id = ? AND at_ms <= ?", (series_id, rows[-1][0]))
        room -= len(rows)
        if room <= 0:
            break
    return True


def _write_level(connection: sqlite3.Connection, bite: Bite) -> None:
    columns = bite.columns
    bare = Columns([("", "", name[2]) for name in columns.series], columns.lengths, columns.times_ms, columns.values)
    connection.execute(
        "INSERT INTO recent (connector_id, level, first_ms, last_ms, count, series, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            bite.connector_id,
            bite.level + 1,
            int(columns.times_ms.min()),
            int(columns.times_ms.max()),
            len(columns),
            pack_ids([int(name[0]) for name in columns.series]),
            codec().encode(bare),
        ),
    )


def _write_chunk(connection: sqlite3.Connection, series_id: int, part: Part) -> None:
    """Write readings of one series, together with small chunks of it that still grow. What is of no series goes."""
    if connection.execute("SELECT 1 FROM series WHERE series_id = ?", (series_id,)).fetchone() is None:
        return
    growing = connection.execute(
        "SELECT row, body FROM chunk WHERE series_id = ? AND growing ORDER BY row LIMIT ?", (series_id, _GROWING_MAX)
    ).fetchall()
    # What is there already stays in front: of equal values the first one counts.
    whole = tidy([*(unpack_chunk(body) for _, body in growing), part])
    connection.executemany("DELETE FROM chunk WHERE row = ?", [(row,) for row, _ in growing])
    pieces = _pieces(_not_there(connection, series_id, whole))
    for some in pieces:
        times, values = some
        body = pack_chunk(some)
        # Halves of what had grown too large would be opened again together, and again.
        grows = (
            len(pieces) == 1
            and _grows(len(times), len(part[0]), len(body))
            and _text_bytes(values) < HISTORY_CHUNK_TEXT_BYTES_MAX // 2
        )
        connection.execute(
            "INSERT INTO chunk (series_id, first_ms, last_ms, count, growing, body) VALUES (?, ?, ?, ?, ?, ?)",
            (series_id, int(times[0]), int(times[-1]), len(times), grows, body),
        )


def _grows(readings: int, added: int, body_bytes: int) -> bool:
    """Whether a chunk is to be opened again for later readings: where that is cheap, or for the room that it wastes."""
    if readings < HISTORY_CHUNK_READINGS_MIN:
        return True
    if readings + added > HISTORY_CHUNK_READINGS_MAX:  # the next time would make two of it
        return False
    return readings < _ADDED_WORTH * added or _wasted_bytes(body_bytes) > body_bytes * _WASTED_PART


def _wasted_bytes(body_bytes: int) -> float:
    """Return about how much room a row with such a body leaves empty in a database: what of it stands in a leaf, and how

    many such rows fill one. Pages it continues on are full (the format of SQLite's files, 1.6: cells and their overflow).
    """
    row_bytes = body_bytes + _ROW_BYTES
    in_leaf = row_bytes
    if row_bytes > _IN_LEAF_BYTES_MAX:
        in_leaf = _IN_LEAF_BYTES_MIN + (row_bytes - _IN_LEAF_BYTES_MIN) % (_PAGE_BYTES - 4)
        in_leaf = in_leaf if in_leaf <= _IN_LEAF_BYTES_MAX else _IN_LEAF_BYTES_MIN
    rows = max(1.0, (_PAGE_BYTES - _PAGE_HEAD_BYTES) // (in_leaf * _ROW_SPREAD))
    return (_PAGE_BYTES - _PAGE_HEAD_BYTES) / rows - in_leaf


def _pieces(part: Part) -> list[Part]:
    """Cut readings into chunks of about the same size, by readings and by text."""
    times, values = part
    wanted = max(-(-len(times) // HISTORY_CHUNK_READINGS_MAX), -(-_text_bytes(values) // HISTORY_CHUNK_TEXT_BYTES_MAX))
    if wanted < 2:
        return [part] if len(times) else []
    wanted = min(wanted, len(times))
    return list(zip(np.array_split(times, wanted), np.array_split(values, wanted), strict=True))


def _text_bytes(values: Values) -> int:
    """Return about how much memory the texts take."""
    if values.dtype != object:
        return 0
    return sum(4 * len(value) for value in values.tolist() if isinstance(value, str))


def _not_there(connection: sqlite3.Connection, series_id: int, part: Part) -> Part:
    """Leave out what overlapping chunks hold with the same value."""
    times, values = part
    overlapping = connection.execute(
        "SELECT body FROM chunk WHERE series_id = ? AND first_ms <= ? AND last_ms >= ? LIMIT ?",
        (series_id, int(times[-1]), int(times[0]), _OVERLAPPING_MAX),
    ).fetchall()
    for (body,) in overlapping:
        if not len(times):
            break
        there, valued = unpack_chunk(body)
        at = np.minimum(np.searchsorted(there, times), len(there) - 1)
        fresh = (there[at] != times) | (valued[at] != values).astype(bool)
        times, values = times[fresh], values[fresh]
    return times, values


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
            many = await self._database.read(lambda c: has_many_rows(c, everything=everything))
            return many and await self._database.write(lambda c: fold_rows(c, everything=everything), patient=True)
        connector_id, level = self._due.pop()
        bite = await self._database.read(lambda c: bite_of(c, connector_id, level))
        if bite.rows:  # a connector may be gone since it was looked at
            await self._fold(bite)
        return True

    async def _fold(self, bite: Bite) -> None:
        """Fold a bite in small parts; in greater ones while the writer is so busy that each has to wait its turn."""
        series: int | None = 0
        part = HISTORY_FOLD_WRITTEN_MAX
        while series is not None:
            offered_s = time.monotonic()
            series, begun_s = await self._database.write(
                lambda c, at=series, some=part: (fold(c, bite, at, some), time.monotonic()),  # type: ignore[misc]
                patient=True,
            )
            is_busy = begun_s - offered_s > WRITER_PATIENCE_S
            part = (_BUSY_PARTS if is_busy else 1) * HISTORY_FOLD_WRITTEN_MAX


def fold_all(connection: sqlite3.Connection) -> None:
    """Fold everything there is, in the caller's transaction."""
    while (bite := next_bite(connection, everything=True)) is not None:
        series: int | None = 0
        while series is not None:
            series = fold(connection, bite, series)
    while fold_rows(connection, everything=True):
        pass
