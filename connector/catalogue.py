"""Devices, resources, series and their readings in SQLite: the part of the store that both ingestion and streams use."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from connector import history
from connector.flow import FlowMeter
from connector.reading_feed import ReadingFeed
from shared.batches import Series

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
        self.feed = ReadingFeed()

    def forget(self) -> None:
        """Drop what is cached."""
        self._series.clear()
        self.feed.discard()

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
            # A device's own write sets both values, unless an operator has set one since (G19).
            "UPDATE series SET last_ms = ?1, reported = ?2, received_ms = ?4,"
            " set_value = CASE WHEN set_ms IS NULL OR set_ms <= ?1 THEN ?2 ELSE set_value END,"
            " set_ms = CASE WHEN set_ms IS NULL OR set_ms <= ?1 THEN ?1 ELSE set_ms END"
            " WHERE series_id = ?3 AND (last_ms IS NULL OR last_ms <= ?1)",
            (latest_ms, value, row.series_id, now_ms),
        )
        connection.execute(
            "UPDATE device SET last_seen_ms = ?1 WHERE device_id = ?2 AND (last_seen_ms IS NULL OR last_seen_ms < ?1)",
            (now_ms, row.device_id),
        )
