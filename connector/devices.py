"""Values of devices, as lookups and pages show them; lists of devices stand in device_queries, edits in device_edits."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from connector import history
from connector.history_parts import Opened


class ValueRow(msgspec.Struct, frozen=True):
    """The state of one resource of a device, and its latest readings, oldest first."""

    alias: str
    format: str
    unit: str
    reported: Any
    set_value: Any
    at_ms: int | None
    recent: list[tuple[int, Any]]


def exists(connection: sqlite3.Connection, connector_id: str, identity: str) -> bool:
    """Whether the connector has this device."""
    found = connection.execute(
        "SELECT 1 FROM device WHERE connector_id = ? AND identity = ?", (connector_id, identity)
    ).fetchone()
    return found is not None


def list_values(
    connection: sqlite3.Connection, connector_id: str, identity: str, *, recent: int = 60
) -> list[ValueRow]:
    """Return the state of every resource that the device has reported, with its latest readings."""
    rows = connection.execute(
        "SELECT series_id, alias, format, unit, reported, set_value, last_ms FROM series JOIN device USING (device_id)"
        " JOIN resource USING (resource_id) WHERE device.connector_id = ? AND identity = ? ORDER BY alias",
        (connector_id, identity),
    ).fetchall()
    opened: Opened = {}
    return [
        ValueRow(
            row[1],
            row[2],
            row[3],
            _typed(row[2], row[4]),
            _typed(row[2], row[5]),
            row[6],
            history.latest(connection, row[0], recent, opened=opened),
        )
        for row in rows
    ]


def _typed(format_: str, value: Any) -> Any:
    return bool(value) if format_ == "boolean" and value is not None else value
