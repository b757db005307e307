"""Filling history with what a replay brings (N9): only what is not there; what is there stays, also with another value."""

from __future__ import annotations

import sqlite3

import numpy as np
import numpy.typing as npt

from connector import history
from connector.catalogue import Catalogue, SeriesRow
from connector.history_parts import Opened
from shared.columns import Columns, Ints, Values
from shared.core.replay_job import Filled


def fill(
    connection: sqlite3.Connection, catalogue: Catalogue, connector_id: str, columns: Columns, now_ms: int
) -> list[Filled | None]:
    """Keep the readings whose millisecond is free, and tell per series what became of them.

    None: its device or resource is not here, or has another format or generation. States follow where a reading is the
    newest of its series; when a device was last seen does not, for nothing comes from it now.
    """
    rows = catalogue.rows(connection, connector_id, columns)
    missing = np.zeros(len(columns), dtype=bool)
    filled: list[Filled | None] = []
    opened: Opened = {}
    for row, start, length in zip(rows, columns.starts.tolist(), columns.lengths.tolist(), strict=True):
        if row is None:
            filled.append(None)
            continue
        part = slice(start, start + length)
        free, differing = _free(connection, row, columns.times_ms[part], columns.values[part], opened)
        missing[part] = free
        added = int(free.sum())
        filled.append(Filled(added, length - added, differing))
    _keep(connection, catalogue, connector_id, columns, rows, missing, now_ms)
    return filled


def _free(
    connection: sqlite3.Connection, row: SeriesRow, times_ms: Ints, values: Values, opened: Opened
) -> tuple[npt.NDArray[np.bool_], int]:
    """Return which milliseconds are free, and how many of the others have another value here."""
    there_ms, there = history.columns_between(
        connection, row.series_id, int(times_ms.min()), int(times_ms.max()) + 1, -1, opened
    )
    if not len(there_ms):
        return np.ones(len(times_ms), dtype=bool), 0
    at = np.minimum(np.searchsorted(there_ms, times_ms), len(there_ms) - 1)
    taken = there_ms[at] == times_ms
    differing = int((there[at][taken] != values[taken]).sum())
    return ~taken, differing


def _keep(
    connection: sqlite3.Connection,
    catalogue: Catalogue,
    connector_id: str,
    columns: Columns,
    rows: list[SeriesRow | None],
    missing: npt.NDArray[np.bool_],
    now_ms: int,
) -> None:
    lengths = np.add.reduceat(missing, columns.starts).astype(np.int64) if len(columns) else columns.lengths
    used = lengths > 0
    if not used.any():
        return
    kept = Columns(
        [name for name, one in zip(columns.series, used.tolist(), strict=True) if one],
        lengths[used],
        columns.times_ms[missing],
        columns.values[missing],
    )
    series = [row for row, one in zip(rows, used.tolist(), strict=True) if one]
    history.add(connection, connector_id, kept, [row.series_id if row else 0 for row in series])
    catalogue.note_states(connection, series, kept, now_ms, came_now=False)
    catalogue.feed.note(connector_id, kept, [True] * len(series))
