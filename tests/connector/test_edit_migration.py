"""Devices of before generations, grants and history come through the upgrade as they were."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from connector.catalogue import Catalogue
from connector.device_edits import DeviceEdits, NewDevice
from connector.streams import Streams
from shared.core.edits import Edits
from shared.core.fields import NAME, fields_object
from shared.core.judge import why_wrong
from shared.sealing import Side

_SCRIPTS = sorted((Path(__file__).parents[2] / "connector" / "sql").glob("*.sql"))
_OLD_CELL = "INSERT INTO cell VALUES ('C', ?, ?, ?, ?, ?, 7, 'site', NULL, 7)"


def _upgraded() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for script in _SCRIPTS[:3]:
        connection.executescript(script.read_text(encoding="utf-8"))
    connection.execute("INSERT INTO connector (connector_id, name, role, created_ms) VALUES ('C', 'c', 'source', 0)")
    connection.execute("INSERT INTO device (connector_id, identity, name, created_ms) VALUES ('C', 'pump', 'Pump', 0)")
    connection.execute("INSERT INTO tag VALUES (1, 'a', 'b')")
    connection.execute(_OLD_CELL, ("device/pump", "exists", "true", 1, 0))
    connection.execute(_OLD_CELL, ("device/pump", "name", '"Pump"', 1, 2))
    connection.execute(_OLD_CELL, ("device/pump", 'tag/["a","b"]', "true", 1, 0))
    for script in _SCRIPTS[3:]:
        connection.executescript(script.read_text(encoding="utf-8"))
    return connection


def test_devices_of_before_generations_are_of_the_first_and_can_be_edited() -> None:
    connection = _upgraded()
    store = Streams(connection, "C", Catalogue())
    assert [why_wrong(cell) for cell in store.cells()] == ["", "", ""]
    assert {(cell.object, cell.value, cell.side) for cell in store.cells()} == {
        ("device/pump", "1", 0),
        ("generation/1/pump", '"Pump"', 1),
        ("generation/1/pump", "true", 0),
    }
    assert DeviceEdits(connection, "C").generation("pump") == 1
    edits = [
        (fields_object("pump", 1), NAME, '"new"'),
        *DeviceEdits(connection, "C").creation(NewDevice(identity="fan")),
    ]
    Edits(Side.SOURCE, "site").edit(store, edits, who="ann", now_ms=9, queue=None)
    shown = connection.execute("SELECT identity, name, generation, sync FROM device ORDER BY 1").fetchall()
    assert shown == [("fan", "fan", 1, "synced"), ("pump", "new", 1, "synced")]
