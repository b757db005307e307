"""History: the readings of a site, by series (one resource of one device) and millisecond (G6). All access goes through here.

Times are ms since 1970; spans take their first millisecond in and leave their last one out. Values are float, str or
bool. Functions run in the caller's transaction and never commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from shared.batches import Series, Value

Reading = tuple[int, Value]
FAR_MS = 1 << 62
_INSERT_GREATER = (
    "INSERT INTO reading (series_id, at_ms, value) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value > value"
)


def find_series(connection: sqlite3.Connection, connector_id: str, device: str, resource: str) -> int | None:
    """Return the ID of a series, None where nothing was ever read of it."""
    row = connection.execute(
        "SELECT series_id FROM series JOIN device USING (device_id) JOIN resource USING (resource_id)"
        " WHERE device.connector_id = ? AND identity = ? AND alias = ?",
        (connector_id, device, resource),
    ).fetchone()
    return None if row is None else int(row[0])


def insert(connection: sqlite3.Connection, series_id: int, series: Series) -> None:
    """Add readings; of two values at one millisecond the greater one stays (G6)."""
    connection.executemany(
        _INSERT_GREATER, [(series_id, at, value) for at, value in zip(series.times_ms, series.values, strict=True)]
    )


def between(
    connection: sqlite3.Connection, series_id: int, from_ms: int = 0, to_ms: int = FAR_MS, limit: int = -1
) -> list[Reading]:
    """Return the readings of one series in a span, oldest first, `limit` at most (-1: all)."""
    rows = connection.execute(
        "SELECT at_ms, value FROM reading WHERE series_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms LIMIT ?",
        (series_id, from_ms, to_ms, limit),
    ).fetchall()
    return _typed(connection, series_id, rows)


def latest(
    connection: sqlite3.Connection, series_id: int, count: int, from_ms: int = 0, to_ms: int = FAR_MS
) -> list[Reading]:
    """Return the newest readings of one series in a span, oldest first, `count` at most."""
    rows = connection.execute(
        "SELECT at_ms, value FROM reading WHERE series_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms DESC LIMIT ?",
        (series_id, from_ms, to_ms, count),
    ).fetchall()
    return _typed(connection, series_id, rows[::-1])


def at(connection: sqlite3.Connection, series_id: int, times_ms: Iterable[int]) -> dict[int, Value]:
    """Return what is there at these milliseconds."""
    rows = [
        (at_ms, row[0])
        for at_ms in times_ms
        if (
            row := connection.execute(
                "SELECT value FROM reading WHERE series_id = ? AND at_ms = ?", (series_id, at_ms)
            ).fetchone()
        )
        is not None
    ]
    return dict(_typed(connection, series_id, rows))


def counts(connection: sqlite3.Connection, connector_id: str, from_ms: int, to_ms: int) -> dict[str, int]:
    """Return how many readings of each resource (by alias) are in a span."""
    rows = connection.execute(
        "SELECT alias, SUM((SELECT COUNT(*) FROM reading WHERE reading.series_id = series.series_id"
        " AND at_ms >= ? AND at_ms < ?)) FROM series JOIN resource USING (resource_id)"
        " WHERE connector_id = ? GROUP BY alias",
        (from_ms, to_ms, connector_id),
    )
    return {row[0]: row[1] for row in rows}


def forget_connector(connection: sqlite3.Connection, connector_id: str) -> None:
    """Delete all readings of a connector."""
    connection.execute(
        "DELETE FROM reading WHERE series_id IN"
        " (SELECT series_id FROM series JOIN device USING (device_id) WHERE connector_id = ?)",
        (connector_id,),
    )


def forget_before(connection: sqlite3.Connection, before_ms: int, *, limit: int) -> bool:
    """Delete a bite of the readings that are older; return whether there may be more."""
    gone = connection.execute(
        "DELETE FROM reading WHERE (series_id, at_ms) IN (SELECT series_id, at_ms FROM series JOIN reading USING (series_id)"
        " WHERE at_ms < ? LIMIT ?)",
        (before_ms, limit),
    ).rowcount
    return gone >= limit


def _typed(connection: sqlite3.Connection, series_id: int, rows: Sequence[Sequence[Value]]) -> list[Reading]:
    kind = connection.execute(
        "SELECT format FROM series JOIN resource USING (resource_id) WHERE series_id = ?", (series_id,)
    ).fetchone()
    boolean = kind is not None and kind[0] == "boolean"
    return [(int(row[0]), bool(row[1]) if boolean else row[1]) for row in rows]
