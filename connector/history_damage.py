"""Damaged history: what of it cannot be read any more is set aside by whoever meets it first, and all goes on without it.

SQLite keeps no checksum of what lies in a row: a block that the disk lost is not seen until somebody opens that row. It is
kept as it is, in case somebody can read it after all, until its connector or its retention ends. What was there counts as
missing from then on: the same readings are taken again, from a device or by a replay.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np

from shared.database_connections import DamageMet

Table = Literal["recent", "chunk"]
Seen = tuple[int, int, int, int, bytes]
"""Row, first ms, last ms, count and body of a batch or chunk as somebody met it."""

_log = logging.getLogger(__name__)
_IDS: Final = np.dtype("<i8")  # as in `recent`
# Row, first ms, last ms, count and body: what a reader saw is no longer so where another has set it aside meanwhile, and
# something else may have taken its row.
_TAKEN: Final[dict[Table, str]] = {
    "recent": "INSERT INTO damaged (connector_id, first_ms, last_ms, count, series, body)"
    " SELECT connector_id, first_ms, last_ms, count, series, body FROM recent"
    " WHERE row = ? AND first_ms = ? AND last_ms = ? AND count = ? AND body = ?",
    "chunk": "INSERT INTO damaged (connector_id, first_ms, last_ms, count, series_id, body)"
    " SELECT connector_id, first_ms, chunk.last_ms, count, series_id, body FROM chunk"
    " JOIN series USING (series_id) JOIN device USING (device_id)"
    " WHERE row = ? AND first_ms = ? AND chunk.last_ms = ? AND count = ? AND body = ?",
}
_GONE: Final[dict[Table, str]] = {
    "recent": "DELETE FROM recent WHERE row = ? AND first_ms = ? AND last_ms = ? AND count = ? AND body = ?",
    "chunk": "DELETE FROM chunk WHERE row = ? AND first_ms = ? AND last_ms = ? AND count = ? AND body = ?",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """What is set aside of one connector: how many readings it held, and their span."""

    connector_id: str
    name: str
    count: int
    first_ms: int
    last_ms: int


def set_aside(connection: sqlite3.Connection, table: Table, seen: Seen, why: object) -> None:
    """Set a batch or chunk aside that cannot be read, if it is still as it was seen.

    On a connection that only reads, raises DamageMet instead: Database.read has it done by the writer, and asks again.
    """
    try:
        connection.execute(_TAKEN[table], seen)
        gone = connection.execute(_GONE[table], seen).rowcount
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        raise DamageMet(f"history is damaged: {why}", partial(set_aside, table=table, seen=seen, why=why)) from error
    if gone:
        _log.error("damaged history is set aside (%s %d): %s", table, seen[0], why)


def spans(connection: sqlite3.Connection, series_id: int, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """Return (first ms, last ms) of what is set aside and may have held readings of a series in a span, the oldest first."""
    found = connection.execute(
        "SELECT series_id, series, MAX(first_ms, ?2), MIN(last_ms, ?3 - 1) FROM damaged"
        " WHERE last_ms >= ?2 AND first_ms < ?3 AND (series_id = ?1 OR series_id IS NULL) ORDER BY first_ms",
        (series_id, from_ms, to_ms),
    )
    return [(row[2], row[3]) for row in found if row[0] is not None or _holds(row[1], series_id)]


def _holds(packed: bytes, series_id: int) -> bool:
    whole = packed[: len(packed) // _IDS.itemsize * _IDS.itemsize]
    return bool((np.frombuffer(whole, dtype=_IDS) == series_id).any())


def damages(connection: sqlite3.Connection) -> tuple[Damage, ...]:
    """Return what is set aside, one for each connector that has some."""
    found = connection.execute(
        "SELECT connector_id, name, SUM(count), MIN(first_ms), MAX(last_ms) FROM damaged JOIN connector USING (connector_id)"
        " GROUP BY connector_id ORDER BY connector_id"
    )
    return tuple(Damage(*row) for row in found)


def forget_expired(connection: sqlite3.Connection, now_ms: int) -> None:
    """Delete what no resource of its connector would keep any more; nothing where one keeps for ever (`retention_ms` 0)."""
    connection.execute(
        "DELETE FROM damaged WHERE last_ms < ? - (SELECT MAX(retention_ms) FROM resource"
        " WHERE resource.connector_id = damaged.connector_id HAVING MIN(retention_ms) > 0)",
        (now_ms,),
    )
