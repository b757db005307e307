"""People, their sessions, the keys of programs, and the audit log in SQLite.

Verbs run in the caller's transaction; `SessionRows` is the store that `web.sessions` asks for.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from shared.database import Database
from shared.errors import Refused
from shared.limits import API_KEYS_MAX
from web.api_keys import ApiKey
from web.sessions import SessionRow

ROLES = ("admin", "operator", "viewer", "auditor")
PERSON_NAME_CHARS_MAX = 64
AUDIT_DETAIL_CHARS_MAX = 1_024
_FIRST_CHAIN = bytes(32)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may log in."""

    name: str
    password_hash: str
    role: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key, and when a program used it last."""

    key: ApiKey
    used_ms: int | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit log. `origin` is the address it came from."""

    at_ms: int
    who: str
    what: str
    origin: str
    detail: str = ""


# --- people -----------------------------------------------------------------------------------------------------------


def count_people(connection: sqlite3.Connection) -> int:
    """Return how many people may log in; 0 means that the first run is still open."""
    (count,) = connection.execute("SELECT COUNT(*) FROM person").fetchone()
    return int(count)


def find_person(connection: sqlite3.Connection, name: str) -> Person | None:
    """Return the person of that name, whatever its case."""
    row = connection.execute(
        "SELECT name, password_hash, role, created_ms FROM person WHERE name = ?", (name,)
    ).fetchone()
    return Person(*row) if row else None


def create_first_person(connection: sqlite3.Connection, name: str, password_hash: str, now_ms: int) -> Person:
    """Make the first person, an admin; raises Refused('exists') where somebody was faster."""
    if count_people(connection):
        raise Refused("exists", what="user")
    connection.execute("INSERT INTO person VALUES (?, ?, 'admin', ?)", (name, password_hash, now_ms))
    return Person(name, password_hash, "admin", now_ms)


def replace_password(connection: sqlite3.Connection, name: str, password_hash: str) -> None:
    """Store another hash of a person's password."""
    connection.execute("UPDATE person SET password_hash = ? WHERE name = ?", (password_hash, name))


# --- keys of programs -------------------------------------------------------------------------------------------------


def list_keys(connection: sqlite3.Connection) -> list[KeyRow]:
    """Return the keys that are not revoked, oldest first."""
    rows = connection.execute(
        "SELECT key_id, name, secret_hash, hint, scopes, created_ms, expires_ms, connector_id, device, used_ms"
        " FROM api_key WHERE revoked_ms IS NULL ORDER BY created_ms, key_id"
    )
    return [
        KeyRow(
            ApiKey(
                key_id=row[0],
                name=row[1],
                secret_hash=row[2],
                hint=row[3],
                scopes=_scopes(row[4]),
                created_ms=row[5],
                expires_ms=row[6],
                connector_id=row[7],
                device=row[8],
            ),
            row[9],
        )
        for row in rows
    ]


def _scopes(stored: str) -> frozenset[str]:
    return frozenset(msgspec.json.decode(stored, type=list[str]))


def add_key(connection: sqlite3.Connection, key: ApiKey) -> None:
    """Store a new key; raises Refused('exists', 'invalid', 'not_found')."""
    others = list_keys(connection)
    if any(other.key.name == key.name for other in others):
        raise Refused("exists", what="key")
    if len(others) >= API_KEYS_MAX:
        raise Refused("invalid", what="Key", why=f"a site takes at most {API_KEYS_MAX}")
    if (
        key.device is not None
        and not connection.execute(
            "SELECT 1 FROM device WHERE connector_id = ? AND identity = ?", (key.connector_id, key.device)
        ).fetchone()
    ):
        raise Refused("not_found", what="device")
    scopes = msgspec.json.encode(sorted(key.scopes)).decode()
    connection.execute(
        "INSERT INTO api_key (key_id, name, secret_hash, hint, scopes, created_ms, expires_ms, connector_id, device)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(key.key_id, key.name, key.secret_hash, key.hint, scopes, key.created_ms, key.expires_ms),
            *(key.connector_id, key.device),
        ),
    )


def revoke_key(connection: sqlite3.Connection, key_id: str, now_ms: int) -> None:
    """Close a key for good; the row stays, so that the audit log can be read against it."""
    connection.execute("UPDATE api_key SET revoked_ms = ? WHERE key_id = ? AND revoked_ms IS NULL", (now_ms, key_id))


def touch_key(connection: sqlite3.Connection, key_id: str, now_ms: int) -> None:
    """Note that a program used the key."""
    connection.execute("UPDATE api_key SET used_ms = ? WHERE key_id = ?", (now_ms, key_id))


# --- audit ------------------------------------------------------------------------------------------------------------


def add_audit(connection: sqlite3.Connection, row: AuditRow) -> None:
    """Append a line, chained to the one before."""
    last = connection.execute("SELECT chain FROM audit ORDER BY audit_id DESC LIMIT 1").fetchone()
    detail = row.detail[:AUDIT_DETAIL_CHARS_MAX]
    row = AuditRow(row.at_ms, row.who, row.what, row.origin, detail)
    connection.execute(
        "INSERT INTO audit (at_ms, who, what, origin, detail, chain) VALUES (?, ?, ?, ?, ?, ?)",
        (row.at_ms, row.who, row.what, row.origin, row.detail, _link(last[0] if last else _FIRST_CHAIN, row)),
    )


def list_audit(connection: sqlite3.Connection, limit: int = 200) -> list[AuditRow]:
    """Return the newest lines, newest first."""
    rows = connection.execute(
        "SELECT at_ms, who, what, origin, detail FROM audit ORDER BY audit_id DESC LIMIT ?", (limit,)
    )
    return [AuditRow(*row) for row in rows]


def audit_page(
    connection: sqlite3.Connection, before_id: int | None, limit: int
) -> list[tuple[int, int, str, str, str, str]]:
    """Return lines before one, newest first: (audit_id, at_ms, who, what, origin, detail)."""
    rows = connection.execute(
        "SELECT audit_id, at_ms, who, what, origin, detail FROM audit WHERE audit_id < ? ORDER BY audit_id DESC LIMIT ?",
        (before_id if before_id is not None else 1 << 62, limit),
    )
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


def broken_audit_id(connection: sqlite3.Connection) -> int | None:
    """Return the first line that does not follow from those before it; None where the log is as it was written."""
    chain = _FIRST_CHAIN
    for row in connection.execute(
        "SELECT audit_id, chain, at_ms, who, what, origin, detail FROM audit ORDER BY audit_id"
    ):
        chain = _link(chain, AuditRow(*row[2:]))
        if chain != row[1]:
            return int(row[0])
    return None


def _link(before: bytes, row: AuditRow) -> bytes:
    return sha256(before + msgspec.msgpack.encode([row.at_ms, row.who, row.what, row.origin, row.detail])).digest()


# --- sessions ---------------------------------------------------------------------------------------------------------


class SessionRows:
    """Sessions in the site's database: a `web.sessions.SessionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert_session(self, row: SessionRow) -> None:
        """Store a new session."""
        values = (row.id_hash, row.user_name, row.created_ms, row.used_ms, row.address, row.user_agent)
        await self._run("INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)", *values)

    async def find_session(self, id_hash: bytes) -> SessionRow | None:
        """Return the session, or `None`."""
        query = "SELECT id_hash, user_name, created_ms, used_ms, address, user_agent FROM session WHERE id_hash = ?"
        row = await self._database.read(lambda c: c.execute(query, (id_hash,)).fetchone())
        return SessionRow(*row) if row else None

    async def touch_session(self, id_hash: bytes, used_ms: int) -> None:
        """Note that the session was used."""
        await self._run("UPDATE session SET used_ms = ? WHERE id_hash = ?", used_ms, id_hash)

    async def delete_session(self, id_hash: bytes) -> None:
        """Forget the session."""
        await self._run("DELETE FROM session WHERE id_hash = ?", id_hash)

    async def delete_sessions_of(self, user_name: str) -> None:
        """Forget all sessions of a user."""
        await self._run("DELETE FROM session WHERE user_name = ?", user_name)

    async def delete_stale_sessions(self, created_before_ms: int, used_before_ms: int) -> None:
        """Forget sessions created or last used before these moments."""
        await self._run("DELETE FROM session WHERE created_ms < ? OR used_ms < ?", created_before_ms, used_before_ms)

    async def _run(self, statement: str, *values: object) -> None:
        def unit(connection: sqlite3.Connection) -> None:
            connection.execute(statement, values)

        await self._database.write(unit)
