"""Versioned state in SQLite, the history of changes to it, conflicts, and how far each device is in step."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from connector import history
from connector.catalogue import Catalogue
from connector.pair_rows import PairRows, pack, unpack
from connector.projection import project, project_set_values
from shared.core.cells import Cell, cell_hash, digest
from shared.core.entries import Definition
from shared.core.fields import identity_of
from shared.core.judge import PeerRights
from shared.core.ports import Change, Undone
from shared.errors import PairhubError, Refused
from shared.foreign import read_json
from shared.limits import CHANGES_KEPT_MAX, CHANGES_KEPT_MS, CONFLICTS_KEPT_MAX

_LOST_EDITS: Final = "lost_edits "  # and the connector's ID: a fact of the table meta
# What nobody foresees of what is foreign: a value that no column takes, a sum that none does, or a mistake of ours.
_UNFORESEEN: Final = (ArithmeticError, LookupError, TypeError, AttributeError, RecursionError, sqlite3.IntegrityError)
_COLUMNS: Final = "object, field, value, source_count, target_count, stamp_ms, site_id, side, who, refused"


class EditRows(PairRows):
    """shared.core.ports.ControlStore: cells and what goes with them.

    Between `begin_edits` and `finish_edits` the digest and `device.sync` are kept up in one go: thousands of devices may
    be edited at once.
    """

    def __init__(self, connection: sqlite3.Connection, connector_id: str, catalogue: Catalogue) -> None:
        super().__init__(connection, connector_id, catalogue)
        self._many = False
        self._digest: int | None = None
        self._touched: dict[str | None, None] = {}

    def attempt(self, work: Callable[[], object]) -> None:
        before = self._many, self._digest, dict(self._touched)
        noted = self._catalogue.feed.noted
        self._run("SAVEPOINT attempt")
        try:
            work()
        except (msgspec.MsgspecError, PairhubError, ValueError):
            self._run("RELEASE attempt")
            raise
        except _UNFORESEEN as error:
            self._run("ROLLBACK TO attempt")
            self._run("RELEASE attempt")
            self._many, self._digest, self._touched = before
            self._catalogue.feed.discard(noted)
            self._catalogue.forget()
            raise Undone(f"it could not be taken: {type(error).__name__}: {error}") from error
        self._run("RELEASE attempt")

    def begin_edits(self) -> None:
        """Many edits follow, and then `finish_edits` in the same unit of work."""
        self._many = True
        stored = self._run("SELECT digest FROM cell_digest WHERE connector_id = ?", (self._id,)).fetchone()
        self._digest = int.from_bytes(stored[0], "big") if stored is not None else None

    def finish_edits(self) -> None:
        """Write what was put off."""
        self._many = False
        self._save_digest()
        for identity in self._touched:
            refresh_sync(self._connection, self._id, identity)
        self._touched.clear()

    def _save_digest(self) -> None:
        if self._digest is not None:
            self._run(
                "UPDATE cell_digest SET digest = ? WHERE connector_id = ?", (self._digest.to_bytes(16, "big"), self._id)
            )

    def _touch(self, identity: str | None) -> None:
        """Let `device.sync` follow, now or with the others."""
        if self._many:
            self._touched[identity] = None
        else:
            refresh_sync(self._connection, self._id, identity)

    # --- cells ----------------------------------------------------------------------------------------------------------

    def cell(self, object: str, field: str) -> Cell | None:
        row = self._run(
            f"SELECT {_COLUMNS} FROM cell WHERE connector_id = ? AND object = ? AND field = ?",  # noqa: S608
            (self._id, object, field),
        ).fetchone()
        return Cell(*row) if row else None

    def cells(self) -> list[Cell]:
        rows = self._run(f"SELECT {_COLUMNS} FROM cell WHERE connector_id = ?", (self._id,))  # noqa: S608
        return [Cell(*row) for row in rows]

    def cells_digest(self) -> bytes:
        self._save_digest()
        row = self._run("SELECT digest FROM cell_digest WHERE connector_id = ?", (self._id,)).fetchone()
        if row is not None:
            return bytes(row[0])
        found = digest(self.cells())
        self._run("INSERT INTO cell_digest VALUES (?, ?)", (self._id, found))
        return found

    def count_fields(self, object: str, like: str) -> int:
        # The key's order makes this a walk over one device's fields of one kind.
        row = self._run(
            "SELECT COUNT(*) FROM cell WHERE connector_id = ? AND object = ? AND field >= ? AND field < ?"
            " AND value IS NOT NULL",
            (self._id, object, like, like[:-1] + chr(ord(like[-1]) + 1)),
        ).fetchone()
        return int(row[0])

    def save_cell(self, cell: Cell, control_row: int | None, now_ms: int) -> None:
        if not self._many:
            self.begin_edits()
            self.save_cell(cell, control_row, now_ms)
            self.finish_edits()
            return
        if self._digest is not None:
            old = self.cell(cell.object, cell.field)
            self._digest ^= cell_hash(cell) ^ (cell_hash(old) if old else 0)
        self._run(
            f"INSERT OR REPLACE INTO cell (connector_id, control_row, changed_ms, {_COLUMNS})"  # noqa: S608
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._id, control_row, now_ms, *msgspec.structs.astuple(cell)),
        )
        if project(self._connection, self._id, cell, now_ms):
            self._catalogue.forget()

    # --- history and conflicts --------------------------------------------------------------------------------------------

    def add_change(self, change: Change, now_ms: int) -> None:
        identity = identity_of(change.object)
        self._run(
            "UPDATE change SET open = 0 WHERE connector_id = ? AND identity IS ? AND open = 1 AND object = ? AND field = ?"
            " AND state = 'refused'",
            (self._id, identity, change.object, change.field),
        )
        self._run(
            "INSERT INTO change (connector_id, identity, object, field, before, after, who, site_id, ours, at_ms, state,"
            " reason, open, control_row) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._id,
                identity,
                change.object,
                change.field,
                change.before,
                change.after,
                change.who,
                change.site_id,
                change.ours,
                now_ms,
                change.state,
                change.reason,
                change.state == "pending",
                change.control_row,
            ),
        )
        self._touch(identity)

    def settle_own_change(self, object: str, field: str, state: str, reason: str) -> None:
        self._run(
            "UPDATE change SET state = ?1, reason = ?2, open = ?1 = 'refused' WHERE change_id ="
            " (SELECT change_id FROM change WHERE connector_id = ?3 AND identity IS ?6 AND object = ?4 AND field = ?5"
            " AND ours = 1 ORDER BY change_id DESC LIMIT 1) AND state IN ('pending', 'applied')",
            (state, reason, self._id, object, field, identity_of(object)),
        )
        self._touch(identity_of(object))

    def settle_sent(self, epoch: int, up_to: int) -> None:
        """The other side applied entries of our log: the changes that they carried are not pending any more."""
        rows = self._run(
            "SELECT row FROM control_out WHERE connector_id = ? AND epoch = ? AND number <= ?", (self._id, epoch, up_to)
        ).fetchall()
        touched: dict[str | None, None] = {}
        for (row,) in rows:
            found = self._run("SELECT DISTINCT identity FROM change WHERE control_row = ?", (row,)).fetchall()
            touched.update(dict.fromkeys(identity for (identity,) in found))
            self._run(
                "UPDATE change SET state = 'applied', open = 0 WHERE control_row = ? AND state = 'pending'", (row,)
            )
            self._run("UPDATE change SET control_row = NULL WHERE control_row = ?", (row,))
        for identity in touched:
            refresh_sync(self._connection, self._id, identity)

    def add_conflict(self, kept: Cell, lost: Cell, policy: str, now_ms: int) -> None:
        identity = identity_of(kept.object)
        known = self._run(
            "SELECT 1 FROM conflict WHERE connector_id = ? AND object = ? AND field = ? AND closed_ms IS NULL"
            " AND kept IS ? AND lost IS ?",
            (self._id, kept.object, kept.field, kept.value, lost.value),
        ).fetchone()
        if known is not None:
            return
        self._run(
            "INSERT INTO conflict (connector_id, identity, object, field, kept, kept_site_id, kept_who, lost, lost_site_id,"
            " lost_who, policy, found_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._id,
                identity,
                kept.object,
                kept.field,
                kept.value,
                kept.site_id,
                kept.who,
                lost.value,
                lost.site_id,
                lost.who,
                policy,
                now_ms,
            ),
        )
        self._touch(identity)

    def close_conflicts(self, object: str, field: str, who: str, now_ms: int) -> None:
        done = self._run(
            "UPDATE conflict SET closed_ms = ?, closed_how = 'edited', closed_by = ? WHERE connector_id = ?"
            " AND object = ? AND field = ? AND closed_ms IS NULL",
            (now_ms, who, self._id, object, field),
        )
        if done.rowcount:
            self._touch(identity_of(object))

    # --- rights and requests ----------------------------------------------------------------------------------------------

    def peer_rights(self) -> PeerRights:
        return peer_rights(self._connection, self._id)

    def lost_edits(self) -> tuple[int, int] | None:
        """Return from when to when (stamps, ms) edits are missing since a restore, None where none are."""
        row = self._run("SELECT value FROM meta WHERE name = ?", (_LOST_EDITS + self._id,)).fetchone()
        return unpack(row[0], type=tuple[int, int]) if row else None

    def save_lost_edits(self, span: tuple[int, int] | None) -> None:
        if span is None:
            self._run("DELETE FROM meta WHERE name = ?", (_LOST_EDITS + self._id,))
        else:
            self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_LOST_EDITS + self._id, pack(span)))

    def create_resource(self, definition: Definition, now_ms: int) -> str:
        """Make a resource that the other side asked for; return the code of a refusal, empty where it is here now."""
        # Lists of resources read accounts, which read this: here, not above.
        from connector.resources import NewResource, create_resource

        present = next((mine for mine in self._own_definitions() if mine.alias == definition.alias), None)
        if present is not None:
            return "" if present.accepts == definition.accepts else "exists"
        allowed = read_json(definition.allowed) if definition.allowed else None
        new = NewResource(
            alias=definition.alias,
            format=definition.format,
            unit=definition.unit,
            allowed=allowed,
            settable=definition.settable,
        )
        try:
            create_resource(self._connection, self._id, new, now_ms)
        except Refused as refused:
            return refused.code
        project_set_values(self._connection, self._id, definition.alias)
        return ""

    def _own_definitions(self) -> list[Definition]:
        rows = self._run(
            "SELECT alias, format, unit, allowed, settable, remote_sync FROM resource WHERE connector_id = ? ORDER BY alias",
            (self._id,),
        )
        return [Definition(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5])) for row in rows]

    def answer_request(self, request_id: str, code: str, now_ms: int) -> None:
        self._run(
            "UPDATE request SET state = ?, reason = ?, answered_ms = ? WHERE connector_id = ? AND request_id = ?",
            ("refused" if code else "done", code[:64], now_ms, self._id, request_id),
        )


def peer_rights(connection: sqlite3.Connection, connector_id: str) -> PeerRights:
    """Return what a connector lets its partner do (G18); everything where nobody has set it."""
    row = connection.execute("SELECT rights FROM peer_right WHERE connector_id = ?", (connector_id,)).fetchone()
    return unpack(row[0], type=PeerRights) if row else PeerRights()


def change_peer_rights(
    connection: sqlite3.Connection, connector_id: str, named: Mapping[str, bool], who: str, site_id: str, now_ms: int
) -> None:
    """Give or take the named rights of a connector's partner, and note it in the history, which stays here.

    The others stay as this unit of work finds them, so that of two people who take one each, none gives one back.
    """
    present = peer_rights(connection, connector_id)
    rights = msgspec.structs.replace(present, **named)
    before = msgspec.json.encode(present).decode()
    after = msgspec.json.encode(rights).decode()
    if before == after:
        return
    connection.execute("INSERT OR REPLACE INTO peer_right VALUES (?, ?)", (connector_id, pack(rights)))
    connection.execute(
        "INSERT INTO change (connector_id, object, field, before, after, who, site_id, ours, at_ms, state)"
        " VALUES (?, 'connector', 'peer-rights', ?, ?, ?, ?, 1, ?, 'applied')",
        (connector_id, before, after, who, site_id, now_ms),
    )


def close_conflict(
    connection: sqlite3.Connection, connector_id: str, conflict_id: int, how: str, who: str, now_ms: int
) -> None:
    """Settle one conflict: `restored` or `dismissed`."""
    row = connection.execute(
        "UPDATE conflict SET closed_ms = ?, closed_how = ?, closed_by = ? WHERE connector_id = ? AND conflict_id = ?"
        " AND closed_ms IS NULL RETURNING identity",
        (now_ms, how, who, connector_id, conflict_id),
    ).fetchone()
    if row is not None:
        refresh_sync(connection, connector_id, row[0])


def dismiss_refused(connection: sqlite3.Connection, connector_id: str, identity: str) -> None:
    """Put away that edits of a device were refused."""
    connection.execute(
        "UPDATE change SET open = 0 WHERE connector_id = ? AND identity = ? AND open = 1 AND state = 'refused'",
        (connector_id, identity),
    )
    refresh_sync(connection, connector_id, identity)


def add_request(
    connection: sqlite3.Connection, connector_id: str, request_id: str, alias: str, who: str, now_ms: int
) -> None:
    """Note what was asked of the other side; of each resource the latest request is kept."""
    connection.execute("DELETE FROM request WHERE connector_id = ? AND alias = ?", (connector_id, alias))
    connection.execute(
        "INSERT INTO request (connector_id, request_id, alias, who, asked_ms, state) VALUES (?, ?, ?, ?, ?, 'pending')",
        (connector_id, request_id, alias, who, now_ms),
    )


def refresh_sync(connection: sqlite3.Connection, connector_id: str, identity: str | None) -> None:
    """Let `device.sync` follow what is open about a device: conflict before refused before pending."""
    if identity is None:
        return
    key = (connector_id, identity)
    conflict = connection.execute(
        "SELECT 1 FROM conflict WHERE connector_id = ? AND identity = ? AND closed_ms IS NULL LIMIT 1", key
    ).fetchone()
    states = {
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT state FROM change WHERE connector_id = ? AND identity = ? AND open = 1", key
        )
    }
    sync = "conflict" if conflict else next((state for state in ("refused", "pending") if state in states), "synced")
    connection.execute(
        "UPDATE device SET sync = ?1 WHERE connector_id = ?2 AND identity = ?3 AND sync <> ?1", (sync, *key)
    )


def sweep(connection: sqlite3.Connection, now_ms: int, rows_max: int) -> bool:
    """Delete a bite of history that is past its time or number; return whether more may wait."""
    gone = _sweep_readings(connection, rows_max)
    for (connector_id,) in connection.execute("SELECT connector_id FROM connector").fetchall():
        last = connection.execute(
            "SELECT change_id FROM change WHERE connector_id = ? ORDER BY change_id DESC LIMIT 1 OFFSET ?",
            (connector_id, CHANGES_KEPT_MAX),
        ).fetchone()
        gone += connection.execute(
            "DELETE FROM change WHERE change_id IN (SELECT change_id FROM change WHERE connector_id = ? AND open = 0"
            " AND (change_id <= ? OR at_ms < ?) ORDER BY change_id LIMIT ?)",
            (connector_id, last[0] if last else 0, now_ms - CHANGES_KEPT_MS, rows_max),
        ).rowcount
        last = connection.execute(
            "SELECT conflict_id FROM conflict WHERE connector_id = ? ORDER BY conflict_id DESC LIMIT 1 OFFSET ?",
            (connector_id, CONFLICTS_KEPT_MAX),
        ).fetchone()
        gone += connection.execute(
            "DELETE FROM conflict WHERE conflict_id IN (SELECT conflict_id FROM conflict WHERE connector_id = ?"
            " AND closed_ms IS NOT NULL AND (conflict_id <= ? OR closed_ms < ?) ORDER BY conflict_id LIMIT ?)",
            (connector_id, last[0] if last else 0, now_ms - CHANGES_KEPT_MS, rows_max),
        ).rowcount
    return gone >= rows_max


def _sweep_readings(connection: sqlite3.Connection, rows_max: int) -> int:
    """Delete readings of deleted devices."""
    row = connection.execute("SELECT series_id FROM gone_series LIMIT 1").fetchone()
    if row is None:
        return 0
    if not history.forget_series(connection, row[0], limit=rows_max):
        connection.execute("DELETE FROM gone_series WHERE series_id = ?", (row[0],))
    return rows_max  # its rest, or the next series, may be waiting
