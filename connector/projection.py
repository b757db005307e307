"""Draws what people and programs read (devices, tags, grants, publish-as, set values) from versioned cells.

Cells are merged in any order, so that a field may be here before its device: what a device has is drawn when it appears.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

import msgspec

from shared.core.cells import Cell
from shared.core.fields import (
    CONFIGURATION,
    CONNECTOR_OBJECT,
    DESCRIPTION,
    EXISTS,
    LOCKED,
    NAME,
    Grant,
    device_identity,
    device_object,
    fields_address,
    fields_object,
    generation_of,
    grant_subject,
    publish_as_pattern,
    set_alias,
    tag_pair,
)

_CELL: Final = "object, field, value, source_count, target_count, stamp_ms, site_id, side, who, refused"
_DEVICE: Final = "SELECT device_id FROM device WHERE connector_id = ? AND identity = ? AND generation = ?"


def project(connection: sqlite3.Connection, connector_id: str, cell: Cell, now_ms: int) -> bool:
    """Let the tables follow a cell; return whether devices came or went, so that nothing found by name holds any more."""
    identity = device_identity(cell.object)
    if identity is not None:
        return cell.field == EXISTS and _project_existence(connection, connector_id, identity, cell, now_ms)
    if cell.object == CONNECTOR_OBJECT:
        if grant_subject(cell.field) is not None:
            _project_grant(connection, connector_id, None, cell)
        return False
    address = fields_address(cell.object)
    row = connection.execute(_DEVICE, (connector_id, *address)).fetchone() if address else None
    if row is not None:
        _project_field(connection, connector_id, int(row[0]), cell)
    return False


def _project_existence(
    connection: sqlite3.Connection, connector_id: str, identity: str, cell: Cell, now_ms: int
) -> bool:
    generation = generation_of(cell.value)
    row = connection.execute(
        "SELECT device_id, generation FROM device WHERE connector_id = ? AND identity = ?", (connector_id, identity)
    ).fetchone()
    if row is not None and row[1] == generation:
        return False
    if row is not None:
        _delete(connection, row[0])
    if generation <= 0:
        return row is not None
    connection.execute(
        "INSERT INTO device (connector_id, identity, name, created_ms, generation) VALUES (?, ?, ?, ?, ?)",
        (connector_id, identity, identity, now_ms, generation),
    )
    fields = connection.execute(
        f"SELECT {_CELL} FROM cell WHERE connector_id = ? AND object = ? AND value IS NOT NULL",  # noqa: S608
        (connector_id, fields_object(identity, generation)),
    ).fetchall()
    for found in fields:
        project(connection, connector_id, Cell(*found), now_ms)
    return True


def forget_device(connection: sqlite3.Connection, connector_id: str, identity: str) -> None:
    """Delete a device with all it has and all that was edited of it, here alone: nothing says that it was deleted."""
    row = connection.execute(
        "SELECT device_id, generation FROM device WHERE connector_id = ? AND identity = ?", (connector_id, identity)
    ).fetchone()
    if row is None:
        return
    _delete(connection, row[0])
    connection.execute(
        "DELETE FROM cell WHERE connector_id = ? AND object IN (?, ?)",
        (connector_id, device_object(identity), fields_object(identity, row[1])),
    )


def _delete(connection: sqlite3.Connection, device_id: int) -> None:
    """Delete a device with all it has; its readings go bit by bit (connector/edit_rows.sweep)."""
    connection.execute(
        "INSERT OR IGNORE INTO gone_series (series_id) SELECT series_id FROM series WHERE device_id = ?", (device_id,)
    )
    connection.execute("DELETE FROM device WHERE device_id = ?", (device_id,))


def _project_field(connection: sqlite3.Connection, connector_id: str, device_id: int, cell: Cell) -> None:
    if cell.field in _COLUMNS:
        column, absent, read = _COLUMNS[cell.field]
        connection.execute(
            f"UPDATE device SET {column} = ? WHERE device_id = ?",  # noqa: S608  # names of ours
            (absent if cell.value is None else read(cell.value), device_id),
        )
        if cell.field == NAME and cell.value is None:
            connection.execute("UPDATE device SET name = identity WHERE device_id = ?", (device_id,))
    elif (pair := tag_pair(cell.field)) is not None:
        _toggle(connection, "tag (device_id, name, value)", "name = ? AND value = ?", device_id, pair, cell.value)
    elif (pattern := publish_as_pattern(cell.field)) is not None:
        _toggle(connection, "publish_as (device_id, pattern)", "pattern = ?", device_id, (pattern,), cell.value)
    elif grant_subject(cell.field) is not None:
        _project_grant(connection, connector_id, device_id, cell)
    elif (alias := set_alias(cell.field)) is not None:
        _project_set(connection, connector_id, device_id, alias, cell)


def _toggle(
    connection: sqlite3.Connection, into: str, which: str, device_id: int, row: tuple[str, ...], value: str | None
) -> None:
    if value is None:
        table = into.partition(" ")[0]
        connection.execute(f"DELETE FROM {table} WHERE device_id = ? AND {which}", (device_id, *row))  # noqa: S608
    else:
        marks = ", ?" * len(row)
        connection.execute(f"INSERT OR IGNORE INTO {into} VALUES (?{marks})", (device_id, *row))  # noqa: S608


def _project_grant(connection: sqlite3.Connection, connector_id: str, device_id: int | None, cell: Cell) -> None:
    subject = grant_subject(cell.field)
    assert subject is not None
    key = (connector_id, device_id, subject.kind, subject.name, subject.site_id)
    connection.execute(
        "DELETE FROM grant_row WHERE connector_id = ? AND device_id IS ? AND subject_kind = ? AND subject = ?"
        " AND site_id = ?",
        key,
    )
    if cell.value is not None:
        grant = msgspec.json.decode(cell.value, type=Grant)
        connection.execute("INSERT INTO grant_row VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, grant.level, grant.expires_ms))


def _project_set(connection: sqlite3.Connection, connector_id: str, device_id: int, alias: str, cell: Cell) -> None:
    """Let what an operator has set stand where it is later than what the device wrote last, else that (G19).

    Drawn afresh each time: a refusal or a conflict may bring an earlier value back.
    """
    resource = connection.execute(
        "SELECT resource_id, format FROM resource WHERE connector_id = ? AND alias = ?", (connector_id, alias)
    ).fetchone()
    if resource is None:
        return
    value = msgspec.json.decode(cell.value) if cell.value is not None else None
    if not _fits(resource[1], value):
        value = None
    if resource[1] == "number" and value is not None:
        value = float(value)
    connection.execute("INSERT OR IGNORE INTO series (device_id, resource_id) VALUES (?, ?)", (device_id, resource[0]))
    stands = "?1 IS NOT NULL AND (last_ms IS NULL OR last_ms < ?2)"
    connection.execute(
        f"UPDATE series SET set_value = CASE WHEN {stands} THEN ?1 ELSE reported END,"  # noqa: S608
        f" set_ms = CASE WHEN {stands} THEN ?2 ELSE last_ms END WHERE device_id = ?3 AND resource_id = ?4",
        (value, cell.stamp_ms, device_id, resource[0]),
    )


def _fits(format_: str, value: Any) -> bool:
    if format_ == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool if format_ == "boolean" else str)


def project_set_values(connection: sqlite3.Connection, connector_id: str, alias: str) -> None:
    """Draw what was set for a resource before it was defined here; for those who define it."""
    rows = connection.execute(
        f"SELECT {_CELL} FROM cell WHERE connector_id = ? AND field = ? AND value IS NOT NULL",  # noqa: S608
        (connector_id, f"set/{alias}"),
    ).fetchall()
    for row in rows:
        project(connection, connector_id, Cell(*row), 0)


def _text(value: str) -> str:
    return msgspec.json.decode(value, type=str)


# field -> (column, what stands there without a cell, how its JSON is read)
_COLUMNS: Final[dict[str, tuple[str, Any, Callable[[str], Any]]]] = {
    NAME: ("name", "", _text),
    DESCRIPTION: ("description", "", _text),
    LOCKED: ("locked", 0, lambda value: int(value == "true")),
    CONFIGURATION: ("configuration", "{}", lambda value: value),
}
