"""Connectors, their pairing windows and their pairs in SQLite. Verbs run in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from connector import history
from shared.core.completion import PAIR_TABLE, ROLL_BACK_GRACE_MS, PairEvent, PairState
from shared.core.window import Window, WindowState
from shared.errors import Refused
from shared.limits import DRAIN_BYTES_PER_S_MAX, NAME_CHARS_MAX
from shared.pairing import Agreed
from shared.sealing import PairKeys, Side

_COLUMNS = "connector_id, name, role, created_ms, disabled, creates_devices, drain_bytes_per_s"
# Pairings given up that are told of however old they seem: each is a few hundred bytes, told once a start.
_DISSOLUTIONS_KEPT_MIN = 32


@dataclass(frozen=True, slots=True)
class Connector:
    """A set of devices with one set of resources. `role` is standalone, source or target."""

    connector_id: str
    name: str
    role: str
    created_ms: int
    disabled: bool
    creates_devices: bool
    drain_bytes_per_s: int | None = None
    """What a backlog may take of the link; 0 for no bound, None for what the site's settings say."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a connector knows about its pair."""

    connector_id: str
    pair_id: bytes
    side: Side
    state: PairState
    root: bytes
    certificate: bytes
    fingerprint: str
    peer_site_id: str
    peer_site_name: str
    peer_connector_id: str
    peer_identity_key: bytes
    agreed_ms: int
    paired_ms: int | None
    roll_back_ms: int
    accepted: bool

    @property
    def keys(self) -> PairKeys:
        """Fresh keys for sealing; each user makes its own (they cache and are not for two threads)."""
        return PairKeys(self.pair_id, self.side, {1: self.root})


def create_connector(
    connection: sqlite3.Connection,
    connector_id: str,
    name: str,
    role: str,
    now_ms: int,
    *,
    creates_devices: bool = False,
) -> Connector:
    """Make a connector; raises Refused('exists', 'invalid')."""
    name = name.strip()
    if not name or len(name) > NAME_CHARS_MAX:
        raise Refused("invalid", what="Name", why=f"it takes 1 to {NAME_CHARS_MAX} characters")
    if connection.execute("SELECT 1 FROM connector WHERE name = ?", (name,)).fetchone():
        raise Refused("exists", what="connector")
    connection.execute(
        "INSERT INTO connector (connector_id, name, role, created_ms, creates_devices) VALUES (?, ?, ?, ?, ?)",
        (connector_id, name, role, now_ms, creates_devices),
    )
    connection.execute("INSERT INTO stream (connector_id) VALUES (?)", (connector_id,))
    return get_connector(connection, connector_id)


def list_connectors(connection: sqlite3.Connection) -> list[Connector]:
    """Return all connectors, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM connector ORDER BY created_ms, name"  # noqa: S608  # names of ours
    )
    return [_connector(row) for row in rows]


def get_connector(connection: sqlite3.Connection, connector_id: str) -> Connector:
    """Return one connector; raises Refused('not_found')."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM connector WHERE connector_id = ?",  # noqa: S608  # names of ours
        (connector_id,),
    ).fetchone()
    if row is None:
        raise Refused("not_found", what="connector")
    return _connector(row)


def _connector(row: sqlite3.Row) -> Connector:
    return Connector(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5]), row[6])


def rename_connector(
    connection: sqlite3.Connection, connector_id: str, name: str, *, creates_devices: bool
) -> Connector:
    """Change a connector's name and whether HTTP readings may make devices; raises Refused."""
    get_connector(connection, connector_id)
    name = name.strip()
    if not name or len(name) > NAME_CHARS_MAX:
        raise Refused("invalid", what="Name", why=f"it takes 1 to {NAME_CHARS_MAX} characters")
    other = connection.execute("SELECT connector_id FROM connector WHERE name = ?", (name,)).fetchone()
    if other is not None and other[0] != connector_id:
        raise Refused("exists", what="connector")
    connection.execute(
        "UPDATE connector SET name = ?, creates_devices = ? WHERE connector_id = ?",
        (name, creates_devices, connector_id),
    )
    return get_connector(connection, connector_id)


def set_drain_budget(connection: sqlite3.Connection, connector_id: str, bytes_per_s: int | None) -> None:
    """Set what a backlog may take of the link (0: no bound, None: as the site's settings say); raises Refused."""
    get_connector(connection, connector_id)
    if bytes_per_s is not None and not 0 <= bytes_per_s <= DRAIN_BYTES_PER_S_MAX:
        raise Refused("invalid", what="Drain budget", why=f"it is 0 to {DRAIN_BYTES_PER_S_MAX} bytes per second")
    connection.execute("UPDATE connector SET drain_bytes_per_s = ? WHERE connector_id = ?", (bytes_per_s, connector_id))


def disable_connector(connection: sqlite3.Connection, connector_id: str, *, disabled: bool) -> None:
    """Disable or enable a connector; a paired one is refused (G16)."""
    get_connector(connection, connector_id)
    if disabled:
        _refuse_paired(connection, connector_id)
        _refuse_untold(connection, connector_id)
    connection.execute("UPDATE connector SET disabled = ? WHERE connector_id = ?", (disabled, connector_id))


def delete_connector(connection: sqlite3.Connection, connector_id: str) -> None:
    """Delete a connector with all it has; a paired one is refused (G16), a target's pending one is not."""
    connector = get_connector(connection, connector_id)
    _refuse_paired(connection, connector.connector_id)
    _refuse_untold(connection, connector.connector_id)
    history.forget_connector(connection, connector_id)
    connection.execute("DELETE FROM connector WHERE connector_id = ?", (connector_id,))


def _refuse_paired(connection: sqlite3.Connection, connector_id: str) -> None:
    pair = find_pair(connection, connector_id)
    if pair is not None and (pair.state is PairState.PAIRED or pair.side is Side.SOURCE):
        raise Refused("still_paired")


def _refuse_untold(connection: sqlite3.Connection, connector_id: str) -> None:
    """Without this connector's link nobody would tell its former peer that they parted, until the hub knows."""
    row = connection.execute(
        "SELECT 1 FROM parted WHERE connector_id = ? AND told_hub = 0 LIMIT 1", (connector_id,)
    ).fetchone()
    if row is not None:
        raise Refused("parting_untold")


# --- windows ------------------------------------------------------------------------------------------------------------


def find_window(connection: sqlite3.Connection, connector_id: str) -> Window | None:
    """Return the last pairing window of a connector, open or over."""
    row = connection.execute(
        "SELECT window_id, code, opened_ms, expires_ms, attempts_left, state FROM pairing_window WHERE connector_id = ?",
        (connector_id,),
    ).fetchone()
    return Window(row[0], row[1], row[2], row[3], row[4], WindowState(row[5])) if row else None


def save_window(connection: sqlite3.Connection, connector_id: str, window: Window) -> None:
    """Keep a window as it stands now."""
    connection.execute(
        "INSERT OR REPLACE INTO pairing_window VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            connector_id,
            window.window_id,
            window.code,
            window.opened_ms,
            window.expires_ms,
            window.attempts_left,
            window.state.value,
        ),
    )


def forget_window(connection: sqlite3.Connection, connector_id: str) -> None:
    """Put the page back to *idle*."""
    connection.execute("DELETE FROM pairing_window WHERE connector_id = ?", (connector_id,))


# --- pairs --------------------------------------------------------------------------------------------------------------

_PAIR_COLUMNS = (
    "connector_id, pair_id, side, state, root, certificate, fingerprint, peer_site_id, peer_site_name,"
    " peer_connector_id, peer_identity_key, agreed_ms, paired_ms, roll_back_ms, accepted"
)


def find_pair(connection: sqlite3.Connection, connector_id: str) -> Pair | None:
    """Return the pair of a connector."""
    row = connection.execute(f"SELECT {_PAIR_COLUMNS} FROM pair WHERE connector_id = ?", (connector_id,)).fetchone()  # noqa: S608
    return _pair(row) if row else None


def list_pairs(connection: sqlite3.Connection) -> list[Pair]:
    """Return all pairs of the site."""
    return [_pair(row) for row in connection.execute(f"SELECT {_PAIR_COLUMNS} FROM pair")]  # noqa: S608


def _pair(row: sqlite3.Row) -> Pair:
    values = (row[0], row[1], Side(row[2]), PairState(row[3]), *row[4:14], bool(row[14]))
    return Pair(*values)


def save_agreed(connection: sqlite3.Connection, connector_id: str, side: Side, agreed: Agreed, now_ms: int) -> Pair:
    """File a pair as pending and give the connector its role; raises Refused where it has one already."""
    if find_pair(connection, connector_id) is not None:
        raise Refused("source_paired" if side is Side.SOURCE else "target_paired")
    peer = agreed.target if side is Side.SOURCE else agreed.source
    connection.execute(
        f"INSERT INTO pair ({_PAIR_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, 1)",  # noqa: S608
        (
            connector_id,
            agreed.pair_id,
            side,
            PairState.PENDING.value,
            agreed.root,
            agreed.certificate,
            agreed.fingerprint,
            peer.site_id,
            peer.site_name,
            peer.connector_id,
            peer.identity_key,
            now_ms,
            now_ms + ROLL_BACK_GRACE_MS,
        ),
    )
    connection.execute("UPDATE connector SET role = ? WHERE connector_id = ?", (side.word, connector_id))
    pair = find_pair(connection, connector_id)
    assert pair is not None
    return pair


def hold_pending(connection: sqlite3.Connection, connector_id: str, *, roll_back_ms: int, needs_accept: bool) -> None:
    """Set when a source rolls its pending pair back, and whether a person has to accept it before that."""
    connection.execute(
        "UPDATE pair SET roll_back_ms = ?, accepted = ? WHERE connector_id = ?",
        (roll_back_ms, not needs_accept, connector_id),
    )


def accept_pending(connection: sqlite3.Connection, connector_id: str) -> Pair:
    """A person at the source accepts the pending pair; raises Refused('not_found') where there is none."""
    connection.execute("UPDATE pair SET accepted = 1 WHERE connector_id = ?", (connector_id,))
    pair = find_pair(connection, connector_id)
    if pair is None or pair.side is not Side.SOURCE:
        raise Refused("not_found", what="pairing to accept")
    return pair


def complete_pair(connection: sqlite3.Connection, connector_id: str, event: PairEvent, now_ms: int) -> Pair | None:
    """Make a pending pair *paired*; return it as it is now, whatever it was; None where there is none."""
    pair = find_pair(connection, connector_id)
    if pair is None:
        return None
    state = PAIR_TABLE.after(pair.state, event)
    connection.execute(
        "UPDATE pair SET state = ?, paired_ms = COALESCE(paired_ms, ?) WHERE connector_id = ?",
        (state.value, now_ms, connector_id),
    )
    return find_pair(connection, connector_id)


def remove_pair(connection: sqlite3.Connection, connector_id: str, event: PairEvent) -> None:
    """Undo a pending pair; a source is standalone again, a target stays a target without a peer."""
    pair = find_pair(connection, connector_id)
    if pair is None:
        return
    PAIR_TABLE.after(pair.state, event)
    connection.execute("DELETE FROM pair WHERE connector_id = ?", (connector_id,))
    if pair.side is Side.SOURCE:
        connection.execute("UPDATE connector SET role = 'standalone' WHERE connector_id = ?", (connector_id,))
    for table in ("control_out", "control_in", "control_epoch", "peer_resource", "peer_ledger", "peer_resource_ledger"):
        connection.execute(f"DELETE FROM {table} WHERE connector_id = ?", (connector_id,))  # noqa: S608  # names of ours


def save_dissolution(
    connection: sqlite3.Connection, pair_id: bytes, connector_id: str, statement: bytes, now_ms: int
) -> None:
    """Keep the signed word that a pair was rolled back, for a target that asks later."""
    connection.execute(
        "INSERT OR REPLACE INTO dissolution VALUES (?, ?, ?, ?)", (pair_id, connector_id, statement, now_ms)
    )


def forget_dissolutions(connection: sqlite3.Connection, before_ms: int) -> None:
    """Forget old ones, but never the last few: one may be old only by a clock that was wrong, and untold as yet."""
    connection.execute(
        "DELETE FROM dissolution WHERE dissolved_ms < ? AND rowid <="
        " (SELECT rowid FROM dissolution ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
        (before_ms, _DISSOLUTIONS_KEPT_MIN),
    )


def dissolutions(connection: sqlite3.Connection, connector_id: str) -> list[bytes]:
    """Return the rolled-back statements of a connector."""
    rows = connection.execute("SELECT statement FROM dissolution WHERE connector_id = ?", (connector_id,))
    return [row[0] for row in rows]
