"""What is known of the readings of each resource, cheap enough to ask while a page is open: latest, waiting."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Latest:
    """How many devices reported a resource, and the newest reading of any of them. Times are ms since 1970."""

    devices: int = 0
    at_ms: int | None = None
    value: Any = None
    device: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of a resource: see ResourceRow."""

    tail: int = 0
    outbox: int = 0
    held: int = 0
    lag_ms: int | None = None

    @property
    def count(self) -> int:
        """Readings accepted here that the other side has not recorded."""
        return self.tail + self.outbox


NO_LATEST: Final = Latest()
NO_WAITING: Final = Waiting()


def latest_of(connection: sqlite3.Connection, connector_id: str) -> dict[int, Latest]:
    """Return the newest reading by resource ID; costs a look at every series of the connector."""
    # With MAX alone in a group, SQLite takes the other columns from the row that holds the greatest.
    rows = connection.execute(
        "SELECT series.resource_id, COUNT(*), MAX(series.last_ms), reported, identity FROM series"
        " JOIN resource USING (resource_id) JOIN device USING (device_id)"
        " WHERE resource.connector_id = ? GROUP BY series.resource_id",
        (connector_id,),
    )
    return {row[0]: Latest(row[1], row[2], row[3], row[4] if row[2] is not None else "") for row in rows}


def waiting_of(connection: sqlite3.Connection, connector_id: str) -> dict[str, Waiting]:
    """Return what waits by alias, from the counts that the store keeps."""
    rows = connection.execute(
        "SELECT resource, tail_count, outbox_count, held_count, first_ms, accepted_ms, applied_ms FROM waiting"
        " WHERE connector_id = ?",
        (connector_id,),
    )
    return {row[0]: Waiting(row[1], row[2], row[3], _lag_ms(row[1] + row[2], *row[4:])) for row in rows}


def _lag_ms(count: int, first_ms: int | None, accepted_ms: int | None, applied_ms: int | None) -> int | None:
    if accepted_ms is None:
        return None
    if count == 0:
        return 0
    reached_ms = applied_ms if applied_ms is not None else first_ms
    return max(0, accepted_ms - (reached_ms if reached_ms is not None else accepted_ms))


def has_readings(connection: sqlite3.Connection, resource_id: int) -> bool:
    """Whether a resource ever had a reading here."""
    row = connection.execute(
        "SELECT 1 FROM series WHERE resource_id = ? AND last_ms IS NOT NULL LIMIT 1", (resource_id,)
    ).fetchone()
    return row is not None


# --- series -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeriesState:
    """A device that reported a resource, and its last reading."""

    identity: str
    name: str
    series_id: int
    last_ms: int | None
    value: Any


def list_series(
    connection: sqlite3.Connection, connector_id: str, resource: str, *, search: str = "", limit: int
) -> tuple[list[SeriesState], int]:
    """Return the devices that reported a resource, those last heard first, and how many match the search in all."""
    like = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    where = (
        " FROM series JOIN resource USING (resource_id) JOIN device USING (device_id) WHERE resource.connector_id = ?1"
        " AND alias = ?2 AND (?3 = '%%' OR identity LIKE ?3 ESCAPE '\\' OR name LIKE ?3 ESCAPE '\\')"
    )
    (total,) = connection.execute("SELECT COUNT(*)" + where, (connector_id, resource, like)).fetchone()
    rows = connection.execute(
        "SELECT identity, name, series_id, last_ms, reported, format"
        + where
        + " ORDER BY last_ms IS NULL, last_ms DESC, identity LIMIT ?4",
        (connector_id, resource, like, limit),
    )
    return [_series_state(row) for row in rows], int(total)


def find_series(connection: sqlite3.Connection, connector_id: str, resource: str, device: str) -> SeriesState | None:
    """Return one device's series of a resource; None where it never reported it."""
    row = connection.execute(
        "SELECT identity, name, series_id, last_ms, reported, format FROM series JOIN resource USING (resource_id)"
        " JOIN device USING (device_id) WHERE resource.connector_id = ? AND alias = ? AND identity = ?",
        (connector_id, resource, device),
    ).fetchone()
    return _series_state(row) if row else None


def _series_state(row: sqlite3.Row) -> SeriesState:
    value = bool(row[4]) if row[5] == "boolean" and row[4] is not None else row[4]
    return SeriesState(row[0], row[1], row[2], row[3], value)
