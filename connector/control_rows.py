"""A control log in SQLite, both ends of it, and the definitions of both sides."""

from __future__ import annotations

from collections.abc import Sequence

from connector.edit_rows import EditRows
from connector.pair_rows import pack, readable, unpack
from shared.core.entries import Definition
from shared.core.ledger import Ledger
from shared.core.ports import ControlRow

# Earlier starts of the other side whose logs are remembered; older ones have nothing under way any more.
_CONTROL_EPOCHS_KEPT = 256


class ControlRows(EditRows):
    """shared.core.ports.ControlStore; versioned state stands in edit_rows."""

    # --- control log --------------------------------------------------------------------------------------------------

    def append_control(self, epoch: int, number: int, entry: bytes, header: bytes, body: bytes, now_ms: int) -> int:
        done = self._run(
            "INSERT INTO control_out (connector_id, epoch, number, entry, header, body, created_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._id, epoch, number, entry, header, body, now_ms),
        )
        return int(done.lastrowid or 0)

    def renumber_control(self, row: int, epoch: int, number: int, header: bytes, body: bytes) -> None:
        self._run(
            "UPDATE control_out SET epoch = ?, number = ?, header = ?, body = ? WHERE row = ?",
            (epoch, number, header, body, row),
        )

    def control_rows(self, after_row: int, limit: int) -> list[ControlRow]:
        rows = self._run(
            "SELECT row, epoch, number, entry, header, body FROM control_out WHERE connector_id = ? AND row > ?"
            " ORDER BY row LIMIT ?",
            (self._id, after_row, limit),
        )
        return [ControlRow(*row) for row in rows]

    def remove_control(self, epoch: int, up_to: int) -> int:
        self.settle_sent(epoch, up_to)
        done = self._run(
            "DELETE FROM control_out WHERE connector_id = ? AND epoch = ? AND number <= ?", (self._id, epoch, up_to)
        )
        return done.rowcount

    def control_acknowledged(self) -> tuple[int, int] | None:
        row = self._run("SELECT epoch, acknowledged FROM control_epoch WHERE connector_id = ?", (self._id,)).fetchone()
        return (row[0], row[1]) if row else None

    def save_control_acknowledged(self, epoch: int, up_to: int) -> None:
        self._run("INSERT OR REPLACE INTO control_epoch VALUES (?, ?, ?)", (self._id, epoch, up_to))

    def forget_control_acknowledged(self) -> None:
        self._run("DELETE FROM control_epoch WHERE connector_id = ?", (self._id,))

    def control_in(self) -> dict[int, int]:
        rows = self._run(
            "SELECT epoch, up_to FROM control_in WHERE connector_id = ? ORDER BY updated_ms, epoch", (self._id,)
        )
        return {row[0]: row[1] for row in rows}

    def save_control_in(self, epoch: int, up_to: int, now_ms: int) -> None:
        updated_ms = self._last_stamp("control_in", now_ms)
        done = self._run(
            "UPDATE control_in SET up_to = ?, updated_ms = ? WHERE connector_id = ? AND epoch = ?",
            (up_to, updated_ms, self._id, epoch),
        )
        if done.rowcount:
            return
        self._run("INSERT INTO control_in VALUES (?, ?, ?, ?)", (self._id, epoch, up_to, updated_ms))
        # One epoch per start of the other side: the old ones are of no use once their entries were carried over.
        self._run(
            "DELETE FROM control_in WHERE connector_id = ?1 AND epoch NOT IN"
            " (SELECT epoch FROM control_in WHERE connector_id = ?1 ORDER BY updated_ms DESC LIMIT ?2)",
            (self._id, _CONTROL_EPOCHS_KEPT),
        )

    def quarantine_entry(self, epoch: int, number: int, reason: str, entry: bytes, now_ms: int) -> None:
        self._run(
            "INSERT INTO quarantine (connector_id, kind, epoch, number, count, reason, arrived_ms, header, body)"
            " VALUES (?, 1, ?, ?, 0, ?, ?, x'', ?)",
            (self._id, epoch, number, reason, now_ms, entry),
        )

    # --- definitions ------------------------------------------------------------------------------------------------------

    def definitions(self) -> list[Definition]:
        rows = self._run(
            "SELECT alias, format, unit, allowed, settable, remote_sync FROM resource WHERE connector_id = ? ORDER BY alias",
            (self._id,),
        )
        return [Definition(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5])) for row in rows]

    def peer_definitions(self) -> list[Definition] | None:
        rows = self._run("SELECT definition FROM peer_resource WHERE connector_id = ? ORDER BY position", (self._id,))
        # One that is damaged comes again: the other side says them anew where we know others than it has.
        known = [readable(row[0], Definition, "a resource of the other side") for row in rows]
        return [definition for definition in known if definition is not None]

    def save_peer_definitions(self, definitions: Sequence[Definition]) -> None:
        self._run("DELETE FROM peer_resource WHERE connector_id = ?", (self._id,))
        self._connection.executemany(
            "INSERT INTO peer_resource VALUES (?, ?, ?)",
            [(self._id, position, pack(definition)) for position, definition in enumerate(definitions)],
        )

    def save_peer_ledger(self, ledger: Ledger, stated_ms: int) -> None:
        self._run("INSERT OR REPLACE INTO peer_ledger VALUES (?, ?, ?, NULL)", (self._id, pack(ledger), stated_ms))

    def peer_ledger(self) -> tuple[Ledger, int] | None:
        """Return the other side's last stated ledger and when it was stated."""
        row = self._run("SELECT ledger, stated_ms FROM peer_ledger WHERE connector_id = ?", (self._id,)).fetchone()
        return (unpack(row[0], type=Ledger), row[1]) if row else None
