"""Gap notices of a pair in SQLite, ours and the other side's."""

from __future__ import annotations

import sqlite3

from connector.pair_rows import PairRows, pack, readable, unpack
from shared.core.entries import GapNotice
from shared.core.gap_shares import GapShare
from shared.core.ports import Segment


def describe(connection: sqlite3.Connection, connector_id: str, notice: GapNotice) -> None:
    """Write beside a notice what it names, so that it is found by that."""
    connection.execute(
        "UPDATE gap SET named = ?, cause = ?, count = ?, taken_back = ?, first_ms = ?, last_ms = ?"
        " WHERE connector_id = ? AND gap_id = ?",
        (
            len(notice.named),
            notice.cause,
            notice.count,
            notice.taken_back,
            notice.first_ms,
            notice.last_ms,
            connector_id,
            notice.gap_id,
        ),
    )
    connection.execute("DELETE FROM gap_row WHERE connector_id = ? AND gap_id = ?", (connector_id, notice.gap_id))
    connection.executemany(
        "INSERT OR REPLACE INTO gap_row VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (connector_id, notice.gap_id, row.device, row.resource, row.count, row.first_ms, row.last_ms)
            for row in notice.named
        ],
    )


def read_notice(packed: bytes) -> GapNotice | None:
    """Return a notice; None where the disk damaged it: what it counted stays in the account."""
    return readable(packed, GapNotice, "a gap notice")


class GapRows(PairRows):
    """The part of shared.core.ports.OutboxStore and InboxStore that is about gaps."""

    def add_gap(self, notice: GapNotice, *, ours: bool) -> bool:
        """Write down a notice that is new, or takes back more than the one that is there; return whether it was either."""
        done = self._run(
            "INSERT INTO gap (connector_id, gap_id, ours, noticed_ms, notice, taken_back) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET notice = excluded.notice, taken_back = excluded.taken_back"
            " WHERE ours = excluded.ours AND taken_back < excluded.taken_back",
            (self._id, notice.gap_id, ours, notice.noticed_ms, pack(notice), notice.taken_back),
        )
        if done.rowcount:
            describe(self._connection, self._id, notice)
        return done.rowcount > 0

    def own_gaps(self) -> list[GapNotice]:
        rows = self._run(
            "SELECT notice FROM gap WHERE connector_id = ? AND ours = 1 ORDER BY noticed_ms, gap_id", (self._id,)
        )
        return [notice for row in rows if (notice := read_notice(row[0])) is not None]

    def own_gap(self, gap_id: str) -> GapNotice | None:
        found = self._run(
            "SELECT notice FROM gap WHERE connector_id = ? AND gap_id = ? AND ours = 1", (self._id, gap_id)
        ).fetchone()
        return read_notice(found[0]) if found else None

    def gap_share(self, segment: Segment) -> GapShare | None:
        (share,) = self._run("SELECT gap_share FROM segment WHERE row = ?", (segment.row,)).fetchone()
        return unpack(share, type=GapShare) if share else None

    def save_gap_share(self, epoch: int, number: int, share: GapShare) -> None:
        self._run(
            "UPDATE segment SET gap_share = ? WHERE connector_id = ? AND epoch = ? AND number = ?",
            (pack(share), self._id, epoch, number),
        )

    def gaps(self, *, ours: bool) -> list[GapNotice]:
        rows = self._run(
            "SELECT notice FROM gap WHERE connector_id = ? AND ours = ? ORDER BY noticed_ms, gap_id", (self._id, ours)
        )
        return [notice for row in rows if (notice := read_notice(row[0])) is not None]
