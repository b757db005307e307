"""Devices and their values: the rows that lookups and pages show; edits of them stand in device_edits."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from connector import edit_queries, history
from shared.core.fields import tag_pair
from shared.errors import Refused
from shared.limits import LOOKUP_PAGE_ROWS_MAX, MINUTE_MS

# A device is online while something of it was received within this time.
ONLINE_MS = 2 * MINUTE_MS


class DeviceRow(msgspec.Struct, frozen=True):
    """A device as lists show it. Times are ms since 1970. `online` by the clock of the site that answers."""

    identity: str
    name: str
    description: str
    online: bool
    last_seen_ms: int | None
    tags: list[tuple[str, str]]
    resources: int
    pending: int


class DevicePage(msgspec.Struct, frozen=True):
    """One page of a device list, and how many match in all."""

    rows: list[DeviceRow]
    total: int


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


def list_devices(
    connection: sqlite3.Connection,
    connector_id: str,
    now_ms: int,
    *,
    search: str = "",
    limit: int = 50,
    offset: int = 0,
) -> DevicePage:
    """Return devices whose identity, name or a tag contains `search`, by identity."""
    limit = max(1, min(limit, LOOKUP_PAGE_ROWS_MAX))
    like = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    where = (
        "connector_id = ?1 AND (?2 = '%%' OR identity LIKE ?2 ESCAPE '\\' OR name LIKE ?2 ESCAPE '\\' OR EXISTS"
        " (SELECT 1 FROM tag WHERE tag.device_id = device.device_id"
        " AND tag.name || '=' || tag.value LIKE ?2 ESCAPE '\\'))"
    )
    (total,) = connection.execute(f"SELECT COUNT(*) FROM device WHERE {where}", (connector_id, like)).fetchone()  # noqa: S608
    rows = connection.execute(
        f"SELECT device_id, identity, name, description, last_seen_ms FROM device WHERE {where}"  # noqa: S608
        " ORDER BY identity LIMIT ?3 OFFSET ?4",
        (connector_id, like, limit, offset),
    ).fetchall()
    return DevicePage([_device_row(connection, connector_id, row, now_ms) for row in rows], total)


def get_device(connection: sqlite3.Connection, connector_id: str, identity: str, now_ms: int) -> DeviceRow:
    """Return one device; raises Refused('not_found')."""
    row = connection.execute(
        "SELECT device_id, identity, name, description, last_seen_ms FROM device WHERE connector_id = ? AND identity = ?",
        (connector_id, identity),
    ).fetchone()
    if row is None:
        raise Refused("not_found", what="device")
    return _device_row(connection, connector_id, row, now_ms)


def _device_row(connection: sqlite3.Connection, connector_id: str, row: Sequence[Any], now_ms: int) -> DeviceRow:
    device_id, identity, name, description, last_seen_ms = row
    tags = connection.execute("SELECT name, value FROM tag WHERE device_id = ?", (device_id,)).fetchall()
    (resources,) = connection.execute("SELECT COUNT(*) FROM series WHERE device_id = ?", (device_id,)).fetchone()
    online = last_seen_ms is not None and now_ms - last_seen_ms < ONLINE_MS
    pending = len(pending_fields(connection, connector_id, identity))
    pairs = [(tag[0], tag[1]) for tag in tags]
    return DeviceRow(identity, name, description, online, last_seen_ms, pairs, resources, pending)


def pending_fields(connection: sqlite3.Connection, connector_id: str, identity: str) -> set[str]:
    """Return the fields of a device whose last edit here has not been applied on the other side."""
    states = edit_queries.field_states(connection, connector_id, identity)
    return {field for field, state in states.items() if state == "pending"}


def conflicting_fields(connection: sqlite3.Connection, connector_id: str, identity: str) -> set[str]:
    """Return the fields of a device with an open conflict."""
    states = edit_queries.field_states(connection, connector_id, identity)
    return {field for field, state in states.items() if state == "conflict"}


def removed_pending_tags(connection: sqlite3.Connection, connector_id: str, identity: str) -> list[tuple[str, str]]:
    """Return tags removed here whose removal the other side has not applied."""
    rows = connection.execute(
        "SELECT DISTINCT field FROM change WHERE connector_id = ? AND identity = ? AND open = 1 AND state = 'pending'"
        " AND after IS NULL",
        (connector_id, identity),
    )
    pairs = (tag_pair(row[0]) for row in rows)
    return [pair for pair in pairs if pair is not None]


def list_values(
    connection: sqlite3.Connection, connector_id: str, identity: str, *, recent: int = 60
) -> list[ValueRow]:
    """Return the state of every resource that the device has reported, with its latest readings."""
    rows = connection.execute(
        "SELECT series_id, alias, format, unit, reported, set_value, last_ms FROM series JOIN device USING (device_id)"
        " JOIN resource USING (resource_id) WHERE device.connector_id = ? AND identity = ? ORDER BY alias",
        (connector_id, identity),
    ).fetchall()
    return [
        ValueRow(
            row[1],
            row[2],
            row[3],
            _typed(row[2], row[4]),
            _typed(row[2], row[5]),
            row[6],
            history.latest(connection, row[0], recent),
        )
        for row in rows
    ]


def _typed(format_: str, value: Any) -> Any:
    return bool(value) if format_ == "boolean" and value is not None else value
