"""A real store on an in-memory database, and little makers for the tests beside it."""

from __future__ import annotations

import functools
import random
import sqlite3
from pathlib import Path

from connector.catalogue import Catalogue
from connector.streams import Streams
from shared.batches import BatchCodec, Series
from shared.core.cells import Cell
from shared.core.fields import EXISTS, device_object
from shared.migration import migrate
from shared.sealing import PairKeys, Side

PAIR, ROOT, CONNECTOR = b"p" * 16, b"r" * 32, "C0NNECT0"
NOW_MS = 1_795_000_000_000
CODEC = BatchCodec()
_SCRIPTS = Path(__file__).parents[2] / "connector" / "sql"


def keys(side: Side) -> PairKeys:
    """The keys of one side of the pair."""
    return PairKeys(PAIR, side, {1: ROOT})


def chance(seed: int = 1) -> random.Random:
    """A source of chance that repeats."""
    return random.Random(seed)


@functools.cache
def _empty_database() -> bytes:
    """A database with one connector; all steps of its schema take longer than most tests of the core."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, _SCRIPTS)
    connection.execute(
        "INSERT INTO connector (connector_id, name, role, created_ms) VALUES (?, 'c', 'source', 0)", (CONNECTOR,)
    )
    return connection.serialize()


def open_store(*resources: str, devices: tuple[str, ...] = ("d",)) -> Streams:
    """Make a store with number resources and devices."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(_empty_database())
    connection.execute("PRAGMA foreign_keys=ON")
    store = Streams(connection, CONNECTOR, Catalogue())
    for alias in resources or ("r",):
        add_resource(store, alias)
    for identity in devices:
        add_device(store, identity)
    return store


def add_resource(store: Streams, alias: str, kind: str = "number") -> None:
    """Define a resource."""
    store._connection.execute(
        "INSERT OR REPLACE INTO resource (connector_id, alias, format, remote_sync, created_ms) VALUES (?, ?, ?, 1, 0)",
        (CONNECTOR, alias, kind),
    )


def add_device(store: Streams, identity: str) -> None:
    """Create a device."""
    store.save_cell(Cell(device_object(identity), EXISTS, "1", 1, 0, NOW_MS, "s"), None, NOW_MS)


def series(*times_ms: int, device: str = "d", resource: str = "r") -> Series:
    """Readings whose value is their time's last digit."""
    return Series(device, resource, "number", list(times_ms), [float(at_ms % 10) for at_ms in times_ms])


def rows(store: Streams, query: str) -> list[tuple[object, ...]]:
    """Return what a query finds."""
    return store._connection.execute(query).fetchall()


def with_page_lost(store: Streams, content: bytes) -> Streams:
    """Return the store once more where the disk gave the page with this content back as zeros.

    It is the last one of a long row: the only one whose loss SQLite does not notice itself.
    """
    file = bytearray(store._connection.serialize())
    page_bytes = int.from_bytes(file[16:18], "big")
    (at,) = [at for at in range(0, len(file), page_bytes) if content in file[at : at + page_bytes]]
    assert file[at : at + 4] == bytes(4), "the last page of a row"
    file[at : at + page_bytes] = bytes(page_bytes)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(bytes(file))
    connection.execute("PRAGMA foreign_keys=ON")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return Streams(connection, CONNECTOR, Catalogue())


def noise(count: int, *, device: str = "d", resource: str = "r") -> Series:
    """Readings that no packing makes small."""
    drawn = chance(count)
    times_ms = [NOW_MS - 977 * at for at in range(count, 0, -1)]
    return Series(device, resource, "number", times_ms, [drawn.random() for _ in times_ms])
