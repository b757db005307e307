"""Devices and tags: edits as cells, questions about them, and the rows that lookups and pages show."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from connector import history
from shared.core import cells
from shared.core.cells import DESCRIPTION, EXISTS, NAME, device_object, tag_field
from shared.errors import Refused
from shared.limits import (
    DESCRIPTION_CHARS_MAX,
    IDENTITY_CHARS_MAX,
    LOOKUP_PAGE_ROWS_MAX,
    MINUTE_MS,
    NAME_CHARS_MAX,
    TAG_CHARS_MAX,
)

Edit = tuple[str, str, str | None]
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


def _text(what: str, text: str, most: int, *, least: int = 1) -> str:
    text = text.strip()
    if not least <= len(text) <= most or any(ord(letter) < 32 for letter in text):
        raise Refused("invalid", what=what, why=f"it takes {least} to {most} printable characters")
    return text


def creation(identity: str, name: str = "", description: str = "") -> list[Edit]:
    """Return the edits that make a device; raises Refused('invalid')."""
    identity = _text("Identity", identity, IDENTITY_CHARS_MAX)
    name = _text("Name", name or identity, max(NAME_CHARS_MAX, len(identity)))
    description = _text("Description", description, DESCRIPTION_CHARS_MAX, least=0)
    of = device_object(identity)
    edits: list[Edit] = [(of, EXISTS, "true"), (of, NAME, _json(name))]
    return [*edits, (of, DESCRIPTION, _json(description))] if description else edits


def renaming(identity: str, name: str, description: str) -> list[Edit]:
    """Return the edits that change name and description; raises Refused('invalid')."""
    of = device_object(identity)
    name = _text("Name", name, NAME_CHARS_MAX)
    description = _text("Description", description, DESCRIPTION_CHARS_MAX, least=0)
    return [(of, NAME, _json(name)), (of, DESCRIPTION, _json(description))]


def tagging(identity: str, name: str, value: str) -> list[Edit]:
    """Return the edit that adds a (name, value) tag; raises Refused('invalid')."""
    name, value = _text("Tag name", name, TAG_CHARS_MAX), _text("Tag value", value, TAG_CHARS_MAX, least=0)
    return [(device_object(identity), tag_field(name, value), "true")]


def untagging(identity: str, name: str, value: str) -> list[Edit]:
    """Return the edit that removes a tag."""
    return [(device_object(identity), tag_field(name, value), None)]


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


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
    rows = connection.execute(
        "SELECT field FROM cell WHERE connector_id = ? AND object = ? AND control_row IN"
        " (SELECT row FROM control_out WHERE connector_id = ?)",
        (connector_id, device_object(identity), connector_id),
    )
    return {row[0] for row in rows}


def conflicting_fields(connection: sqlite3.Connection, connector_id: str, identity: str) -> set[str]:
    """Return the fields of a device with a conflict on record."""
    rows = connection.execute(
        "SELECT DISTINCT field FROM conflict WHERE connector_id = ? AND object = ?",
        (connector_id, device_object(identity)),
    )
    return {row[0] for row in rows}


def removed_pending_tags(connection: sqlite3.Connection, connector_id: str, identity: str) -> list[tuple[str, str]]:
    """Return tags removed here whose removal the other side has not applied."""
    rows = connection.execute(
        "SELECT field FROM cell WHERE connector_id = ? AND object = ? AND value IS NULL AND control_row IN"
        " (SELECT row FROM control_out WHERE connector_id = ?)",
        (connector_id, device_object(identity), connector_id),
    )
    pairs = (cells.tag_pair(row[0]) for row in rows)
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
