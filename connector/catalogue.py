"""Devices, resources, series and their readings in SQLite: the part of the store that both ingestion and streams use."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from connector import history
from connector.flow import FlowMeter
from connector.reading_feed import ReadingFeed
from shared.columns import Columns

# A device's own write sets both values, unless an operator has set one since (G19).
_FOLLOW: Final = (
    "UPDATE series SET last_ms = ?1, reported = ?2, received_ms = ?4,"
    " set_value = CASE WHEN set_ms IS NULL OR set_ms <= ?1 THEN ?2 ELSE set_value END,"
    " set_ms = CASE WHEN set_ms IS NULL OR set_ms <= ?1 THEN ?1 ELSE set_ms END"
    " WHERE series_id = ?3 AND (last_ms IS NULL OR last_ms <= ?1)"
)
# Known series per process: bounded so that a month of changing devices does not grow memory.
_SERIES_CACHED_MAX = 65_536


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series as known: its key, and the format of its resource."""

    series_id: int
    device_id: int
    resource_id: int
    format: str
    generation: int
    """Of its device (G13)."""


class Catalogue:
    """Finds series by name, keeping what it found. Call `forget` after a unit of work was undone or objects changed."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], SeriesRow] = {}
        self._last_ms: dict[int, int] = {}
        self._made_again = False  # whether any device of the known series is of a later generation than the first
        self.flow = FlowMeter()
        self.feed = ReadingFeed()

    def forget(self) -> None:
        """Drop what is cached."""
        self._series.clear()
        self._last_ms.clear()
        self._made_again = False

    def find(self, connection: sqlite3.Connection, connector_id: str, device: str, resource: str) -> SeriesRow | None:
        """Return the series of a device and a resource, made where both exist; None where one does not."""
        key = (connector_id, device, resource)
        known = self._series.get(key)
        if known is not None:
            return known
        row = connection.execute(
            "SELECT device_id, resource_id, format, generation FROM device, resource"
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
            self.forget()
        found = self._series[key] = SeriesRow(series_id, *row)
        self._made_again |= found.generation > 1
        return found

    def rows(self, connection: sqlite3.Connection, connector_id: str, columns: Columns) -> list[SeriesRow | None]:
        """Return the series of these columns; None where a device or resource is missing or has another format.

        And where the device here is of another generation than the readings say (G13).
        """
        names = columns.series
        found = (self.find(connection, connector_id, name[0], name[1]) for name in names)
        rows = [
            row if row is not None and row.format == name[2] else None for row, name in zip(found, names, strict=True)
        ]
        if columns.generations is None or not (columns.generations or self._made_again):
            return rows
        return [
            row if row is not None and row.generation == columns.generation(name[0]) else None
            for row, name in zip(rows, names, strict=True)
        ]

    def last_ms(self, connection: sqlite3.Connection, series_id: int) -> int:
        """Return the latest time of a series, -1 where it has no readings."""
        known = self._last_ms.get(series_id)
        if known is None:
            row = connection.execute("SELECT last_ms FROM series WHERE series_id = ?", (series_id,)).fetchone()
            known = self._last_ms[series_id] = -1 if row is None or row[0] is None else int(row[0])
        return known

    def apply(
        self, connection: sqlite3.Connection, connector_id: str, columns: Columns, body: bytes | None, now_ms: int
    ) -> list[bool]:
        """Store readings from the other side, keeping the greater of two values (G6); tell per series whether it could.

        False: its device or resource is not here, or has another format, or the device is of another generation than
        when they were accepted. `body` is the batch as it was packed.
        """
        rows = self.rows(connection, connector_id, columns)
        history.add(connection, connector_id, columns, [row.series_id if row else 0 for row in rows], body)
        self.note_states(connection, rows, columns, now_ms)
        applied = [row is not None for row in rows]
        self.feed.note(connector_id, columns, applied)
        return applied

    def note_states(
        self,
        connection: sqlite3.Connection,
        rows: Sequence[SeriesRow | None],
        columns: Columns,
        now_ms: int,
        *,
        came_now: bool = True,
    ) -> None:
        """Let the states of series and their devices follow new readings: the latest timestamp wins.

        Without `came_now` no device sent them just now: they count in no rate, and nobody was seen.
        """
        states: list[tuple[int, Any, int, int]] = []
        stops = np.add.accumulate(columns.lengths)
        starts = stops - columns.lengths
        latest = np.maximum.reduceat(columns.times_ms, starts) if len(columns) else columns.times_ms
        ends_ms = columns.times_ms[stops - 1]
        values = columns.values[stops - 1].tolist()
        seen = zip(rows, latest.tolist(), ends_ms.tolist(), values, columns.lengths.tolist(), strict=True)
        for at, (row, latest_ms, end_ms, value, length) in enumerate(seen):
            if row is None:
                continue
            if came_now:
                self.flow.note(row.resource_id, length, now_ms)
            if latest_ms != end_ms:  # out of order
                start = int(stops[at]) - length
                value = columns.values[start : start + length].tolist()[
                    int(columns.times_ms[start : start + length].argmax())
                ]
            if latest_ms >= self.last_ms(connection, row.series_id):
                self._last_ms[row.series_id] = latest_ms
                states.append((latest_ms, value, row.series_id, now_ms))
        connection.executemany(_FOLLOW, states)
        if not came_now:
            return
        connection.executemany(
            "UPDATE device SET last_seen_ms = ?1 WHERE device_id = ?2 AND last_seen_ms IS NOT ?1",
            [(now_ms, device_id) for device_id in dict.fromkeys(row.device_id for row in rows if row is not None)],
        )
