"""Gap notices of a pair in SQLite, ours and the other side's."""

from __future__ import annotations

import sqlite3

from connector.pair_rows import PairRows, pack, unpack
from shared.core.entries import GapNotice


def describe(connection: sqlite3.Connection, connector_id: str, notice: GapNotice) -> None:
    """Write beside a notice what it names, so that it is found by that."""
    connection.execute(
        "UPDATE gap SET named = ?, cause = ?, count = ?, first_ms = ?, last_ms = ? WHERE connector_id = ? AND gap_id = ?",
        (
            len(notice.rows),
            notice.cause,
            notice.count,
            notice.first_ms,
            notice.last_ms,
            connector_id,
            notice.gap_id,
        ),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO gap_row VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (connector_id, notice.gap_id, row.device, row.resource, row.count, row.first_ms, row.last_ms)
            for row in notice.rows
        ],
    )


class GapRows(PairRows):
    """The part of shared.core.ports.OutboxStore and InboxStore that is about gaps."""

    def add_gap(self, notice: GapNotice, *, ours: bool) -> bool:
        done = self._run(
            "INSERT OR IGNORE INTO gap (connector_id, gap_id, ours, noticed_ms, notice) VALUES (?, ?, ?, ?, ?)",
            (self._id, notice.gap_id, ours, notice.noticed_ms, pack(notice)),
        )
        if done.rowcount:
            describe(self._connection, self._id, notice)
        return done.rowcount > 0

    def own_gaps(self) -> list[GapNotice]:
        rows = self._run(
            "SELECT notice FROM gap WHERE connector_id = ? AND ours = 1 ORDER BY noticed_ms, gap_id", (self._id,)
        )
        return [unpack(row[0], type=GapNotice) for row in rows]

    def gaps(self, *, ours: bool) -> list[GapNotice]:
        rows = self._run(
            "SELECT notice FROM gap WHERE connector_id = ? AND ours = ? ORDER BY noticed_ms, gap_id", (self._id, ours)
        )
        return [unpack(row[0], type=GapNotice) for row in rows]
