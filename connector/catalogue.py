"""Devices, resources, series and their readings in SQLite: the part of the store that both ingestion and streams use."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from connector import history
from connector.flow import FlowMeter
from shared.batches import Series
from shared.core.cells import DESCRIPTION, EXISTS, NAME, Cell, device_identity, tag_pair

# Known series per process: bounded so that a month of changing devices does not grow memory.
_SERIES_CACHED_MAX = 65_536


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series as known: its key, and the format of its resource."""

    series_id: int
    device_id: int
    resource_id: int
    format: str


class Catalogue:
    """Finds series by name, keeping what it found. Call `forget` after a unit of work was undone or objects changed."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], SeriesRow] = {}
        self.flow = FlowMeter()

    def forget(self) -> None:
        """Drop what is cached."""
        self._series.clear()

    def find(self, connection: sqlite3.Connection, connector_id: str, device: str, resource: str) -> SeriesRow | None:
        """Return the series of a device and a resource, made where both exist; None where one does not."""
        key = (connector_id, device, resource)
        known = self._series.get(key)
        if known is not None:
            return known
        row = connection.execute(
            "SELECT device_id, resource_id, format FROM device, resource"
            " WHERE device.connector_id = ?1 AND identity = ?2 AND resource.connector_id = ?1 AND alias = ?3",
            key,
        ).fetchone()
        if row is None:
            return None
        connection.execute("INSERT OR IGNORE INTO series (device_id, resource_id) VALUES (?, ?)", (row[0], row[1]))
        (series_id,) = connection.execute(
            "SELECT series_id FROM series WHERE device_id = ? AND resource_id = ?", (row[0], row[1])
        ).fetchone()
        if len(self._series) >= _SERIES_CACHED_MAX:
            self._series.clear()
        found = self._series[key] = SeriesRow(series_id, row[0], row[1], row[2])
        return found

    def spans(
        self, connection: sqlite3.Connection, connector_id: str, batch: Sequence[Series]
    ) -> list[tuple[int, int, int]]:
        """Return (series_id, first ms, last ms) of each series in a batch; those that are gone are left out."""
        spans = []
        for series in batch:
            row = self.find(connection, connector_id, series.device, series.resource)
            if row is not None:
                spans.append((row.series_id, min(series.times_ms), max(series.times_ms)))
        return spans

    def apply(self, connection: sqlite3.Connection, connector_id: str, series: Series, now_ms: int) -> bool:
        """Store readings from the other side, keeping the greater of two values (G6); False where they must be held."""
        row = self.find(connection, connector_id, series.device, series.resource)
        if row is None or row.format != series.format:
            return False
        history.insert(connection, row.series_id, series)
        self.note_state(connection, row, series, now_ms)
        return True

    def note_state(self, connection: sqlite3.Connection, row: SeriesRow, series: Series, now_ms: int) -> None:
        """Let the state of a series and its device follow new readings: the latest timestamp wins."""
        self.flow.note(row.resource_id, len(series), now_ms)
        latest_ms = max(series.times_ms)
        value = (
            series.values[-1] if series.times_ms[-1] == latest_ms else series.values[series.times_ms.index(latest_ms)]
        )
        connection.execute(
            "UPDATE series SET last_ms = ?1, reported = ?2, set_value = ?2, received_ms = ?4"
            " WHERE series_id = ?3 AND (last_ms IS NULL OR last_ms <= ?1)",
            (latest_ms, value, row.series_id, now_ms),
        )
        connection.execute(
            "UPDATE device SET last_seen_ms = ?1 WHERE device_id = ?2 AND (last_seen_ms IS NULL OR last_seen_ms < ?1)",
            (now_ms, row.device_id),
        )

    def project(self, connection: sqlite3.Connection, connector_id: str, cell: Cell, now_ms: int) -> None:
        """Let devices and tags follow a cell."""
        identity = device_identity(cell.object)
        if identity is None:
            return
        if cell.field == EXISTS:
            self._project_existence(connection, connector_id, identity, cell.value, now_ms)
        elif cell.field in (NAME, DESCRIPTION):
            text = msgspec.json.decode(cell.value, type=str) if cell.value is not None else ""
            connection.execute(
                f"UPDATE device SET {cell.field} = ? WHERE connector_id = ? AND identity = ?",  # noqa: S608  # two names of ours
                (text, connector_id, identity),
            )
        elif (pair := tag_pair(cell.field)) is not None:
            if cell.value is None:
                connection.execute(
                    "DELETE FROM tag WHERE name = ? AND value = ? AND device_id ="
                    " (SELECT device_id FROM device WHERE connector_id = ? AND identity = ?)",
                    (*pair, connector_id, identity),
                )
            else:
                connection.execute(
                    "INSERT OR IGNORE INTO tag (device_id, name, value)"
                    " SELECT device_id, ?, ? FROM device WHERE connector_id = ? AND identity = ?",
                    (*pair, connector_id, identity),
                )

    def _project_existence(
        self, connection: sqlite3.Connection, connector_id: str, identity: str, value: str | None, now_ms: int
    ) -> None:
        if value is None:
            connection.execute("DELETE FROM device WHERE connector_id = ? AND identity = ?", (connector_id, identity))
            self.forget()
            return
        done = connection.execute(
            "INSERT OR IGNORE INTO device (connector_id, identity, name, created_ms) VALUES (?, ?, ?, ?)",
            (connector_id, identity, identity, now_ms),
        )
        if done.rowcount:
            # Fields may have arrived before the device did: cells are merged in any order.
            object_name = f"device/{identity}"
            rows = connection.execute(
                "SELECT object, field, value, source_count, target_count, stamp_ms, site_id FROM cell"
                " WHERE connector_id = ? AND object = ? AND field <> ?",
                (connector_id, object_name, EXISTS),
            ).fetchall()
            for row in rows:
                self.project(connection, connector_id, Cell(*row), now_ms)
