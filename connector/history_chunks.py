"""Chunks of history: made of new readings of one series and the small chunks of it that still grow, and written.

To make them takes time and only reads; to write them takes next to none. So they are made beside the writer, and whether
what they were made of is still there is looked at in the transaction that writes them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from connector.history_parts import Part, opened_chunk, pack_chunk, tidy
from shared.columns import Values
from shared.limits import HISTORY_CHUNK_READINGS_MAX, HISTORY_CHUNK_READINGS_MIN, HISTORY_CHUNK_TEXT_BYTES_MAX

# Small chunks of a series that new readings may be put into, the latest ones; chunks looked into for readings that are
# there already.
_GROWING_MAX: Final = 4
_OVERLAPPING_MAX: Final = 4
# A chunk of so many times the readings that were added last is left as it is: writing it again costs more than it saves.
_ADDED_WORTH: Final = 12
# Of a chunk that leaves more of the pages empty, the rest is worth writing it again.
_WASTED_PART: Final = 0.08
# Readings with a hole of so many times their own span between them are not put into one chunk, unless they are few. While a
# backlog drains, its oldest and its newest readings come side by side: a chunk of both would span all that is still to
# come, and be opened for each part of it.
_HOLE_SPANS: Final = 4
_FEW: Final = 256
# Rows that follow each other are not quite of one size.
_ROW_SPREAD: Final = 1.02
# Pages of the database, their head, what a chunk has beside its body, and the part of a long row that stands in a leaf.
_PAGE_BYTES: Final = 4_096
_PAGE_HEAD_BYTES: Final = 8
_ROW_BYTES: Final = 32
_IN_LEAF_BYTES_MAX: Final = _PAGE_BYTES - 35
_IN_LEAF_BYTES_MIN: Final = (_PAGE_BYTES - 12) * 32 // 255 - 23

_Seen: TypeAlias = tuple[int, int, int, int]
"""Row, first ms, last ms and count of a chunk. Only folding adds any; what expires goes, or is cut and begins later."""


@dataclass(frozen=True, slots=True)
class MadeChunks:
    """Chunks of one series that wait to be written."""

    series_id: int
    part: Part
    """The new readings that they were made of."""
    growing: tuple[_Seen, ...]
    """The small chunks that there were."""
    grown: tuple[_Seen, ...]
    """Those of them that they take the place of."""
    relied_on: tuple[_Seen, ...]
    """Chunks that hold some of the readings already."""
    rows: tuple[tuple[int, int, int, bool, bytes], ...]
    """First ms, last ms, count, whether it still grows, body."""

    @property
    def body_bytes(self) -> int:
        """What is to be written."""
        return sum(len(row[-1]) for row in self.rows)


def make_chunks(connection: sqlite3.Connection, series_id: int, part: Part) -> MadeChunks:
    """Make chunks of new readings of a series; only reads."""
    growing = connection.execute(
        "SELECT row, first_ms, last_ms, count, body FROM chunk WHERE series_id = ? AND growing ORDER BY row DESC LIMIT ?",
        (series_id, _GROWING_MAX),
    ).fetchall()
    left = growing[::-1]
    grown: list[_Seen] = []
    relied_on: list[_Seen] = []
    rows: list[tuple[int, int, int, bool, bytes]] = []
    for some in _without_holes(part):
        mine = [row for row in left if _is_near(row, some)]
        left = [row for row in left if row not in mine]
        grown += map(_seen, mine)
        # What is there already stays in front: of equal values the first one counts.
        whole = tidy([*(opened_chunk(connection, row) for row in mine), some])
        there, fresh = _not_there(connection, series_id, whole, grown)
        relied_on += there
        rows += _packed(fresh, len(some[0]))
    return MadeChunks(series_id, part, tuple(map(_seen, growing)), tuple(grown), tuple(relied_on), tuple(rows))


def _packed(part: Part, added: int) -> list[tuple[int, int, int, bool, bytes]]:
    """Return the rows of chunks for readings, `added` of which are new."""
    pieces = _pieces(part)
    rows = []
    for times, values in pieces:
        body = pack_chunk((times, values))
        # Halves of what had grown too large would be opened again together, and again.
        grows = (
            len(pieces) == 1
            and _grows(len(times), added, len(body))
            and _text_bytes(values) < HISTORY_CHUNK_TEXT_BYTES_MAX // 2
        )
        rows.append((int(times[0]), int(times[-1]), len(times), grows, body))
    return rows


def _without_holes(part: Part) -> list[Part]:
    """Cut readings where the widest hole between two of them is one; both sides in turn."""
    part = tidy([part])
    times, values = part
    if len(times) < _FEW:
        return [part]
    at = int(np.argmax(times[1:] - times[:-1])) + 1
    spans = int(times[at - 1] - times[0]), int(times[-1] - times[at])
    if int(times[at] - times[at - 1]) <= _HOLE_SPANS * max(spans):
        return [part]
    return [*_without_holes((times[:at], values[:at])), *_without_holes((times[at:], values[at:]))]


def _is_near(row: sqlite3.Row, part: Part) -> bool:
    """Whether a chunk and new readings leave no hole between them, or are few together."""
    _, first_ms, last_ms, count, _ = row
    times = part[0]
    if not len(times) or count + len(times) < _FEW:
        return True
    hole_ms = max(int(times[0]) - last_ms, first_ms - int(times[-1]))
    return bool(hole_ms <= _HOLE_SPANS * max(last_ms - first_ms, int(times[-1] - times[0])))


def write_chunks(connection: sqlite3.Connection, made: MadeChunks) -> None:
    """Write chunks; made anew where what they were made of has changed meanwhile. What is of no series any more goes."""
    if connection.execute("SELECT 1 FROM series WHERE series_id = ?", (made.series_id,)).fetchone() is None:
        return
    if not _is_as_seen(connection, made):
        made = make_chunks(connection, made.series_id, made.part)
    connection.executemany("DELETE FROM chunk WHERE row = ?", [(seen[0],) for seen in made.grown])
    connection.executemany(
        "INSERT INTO chunk (series_id, first_ms, last_ms, count, growing, body) VALUES (?, ?, ?, ?, ?, ?)",
        [(made.series_id, *row) for row in made.rows],
    )


def _is_as_seen(connection: sqlite3.Connection, made: MadeChunks) -> bool:
    growing = connection.execute(
        "SELECT row, first_ms, last_ms, count FROM chunk WHERE series_id = ? AND growing ORDER BY row DESC LIMIT ?",
        (made.series_id, _GROWING_MAX),
    )
    if tuple(map(_seen, growing.fetchall())) != made.growing:
        return False
    for seen in made.relied_on:
        row = connection.execute(
            "SELECT row, first_ms, last_ms, count FROM chunk WHERE row = ? AND series_id = ?", (seen[0], made.series_id)
        ).fetchone()
        if row is None or _seen(row) != seen:
            return False
    return True


def _seen(row: sqlite3.Row) -> _Seen:
    return row[0], row[1], row[2], row[3]


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


def _not_there(
    connection: sqlite3.Connection, series_id: int, part: Part, grown: Sequence[_Seen]
) -> tuple[list[_Seen], Part]:
    """Leave out what other chunks than the grown ones hold with the same value; return those, too."""
    times, values = part
    if not len(times):
        return [], part
    overlapping = connection.execute(
        "SELECT row, first_ms, last_ms, count, body FROM chunk WHERE series_id = ? AND first_ms <= ? AND last_ms >= ?"
        " LIMIT ?",
        (series_id, int(times[-1]), int(times[0]), _OVERLAPPING_MAX + len(grown)),
    ).fetchall()
    relied_on = []
    for row in overlapping:
        if not len(times):
            break
        if _seen(row) in grown:
            continue
        relied_on.append(_seen(row))
        there, valued = opened_chunk(connection, row)
        if not len(there):  # damaged
            continue
        at = np.minimum(np.searchsorted(there, times), len(there) - 1)
        fresh = (there[at] != times) | (valued[at] != values).astype(bool)
        times, values = times[fresh], values[fresh]
    return relied_on, (times, values)
