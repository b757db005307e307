"""Operators, their sessions and the audit in SQLite. Functions run inside a unit of work and never commit."""

from __future__ import annotations

import sqlite3
from hashlib import sha256

from hub.store.audit import chain_digest
from hub.store.rows import AuditRow, User
from shared.errors import Refused
from web.sessions import SessionRow


def add_user(connection: sqlite3.Connection, user: User, *, only_first: bool) -> None:
    """Put a user in; raises Refused('exists')."""
    if only_first and users_count(connection):
        raise Refused("exists", what="user")
    cursor = connection.execute(
        "INSERT INTO users (user_name, password_hash, created_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (user.user_name, user.password_hash, user.created_ms),
    )
    if cursor.rowcount == 0:
        raise Refused("exists", what="user")


def user(connection: sqlite3.Connection, user_name: str) -> User | None:
    """Return one user."""
    row = connection.execute("SELECT * FROM users WHERE user_name = ?", (user_name,)).fetchone()
    return None if row is None else User(**dict(row))


def users_count(connection: sqlite3.Connection) -> int:
    """Count the users."""
    return int(connection.execute("SELECT count(*) FROM users").fetchone()[0])


def insert_session(connection: sqlite3.Connection, row: SessionRow) -> None:
    """Keep a log-in."""
    connection.execute(
        "INSERT INTO sessions (id_hash, user_name, created_ms, used_ms, address, user_agent) VALUES (?, ?, ?, ?, ?, ?)",
        (row.id_hash, row.user_name, row.created_ms, row.used_ms, row.address, row.user_agent),
    )


def find_session(connection: sqlite3.Connection, id_hash: bytes) -> SessionRow | None:
    """Return a log-in."""
    row = connection.execute(
        "SELECT id_hash, user_name, created_ms, used_ms, address, user_agent FROM sessions WHERE id_hash = ?",
        (id_hash,),
    ).fetchone()
    return None if row is None else SessionRow(*row)


def touch_session(connection: sqlite3.Connection, id_hash: bytes, used_ms: int) -> None:
    """Note that a log-in was used."""
    connection.execute("UPDATE sessions SET used_ms = ? WHERE id_hash = ?", (used_ms, id_hash))


def delete_session(connection: sqlite3.Connection, id_hash: bytes) -> None:
    """Forget a log-in."""
    connection.execute("DELETE FROM sessions WHERE id_hash = ?", (id_hash,))


def delete_sessions_of(connection: sqlite3.Connection, user_name: str) -> None:
    """Forget all log-ins of a user."""
    connection.execute("DELETE FROM sessions WHERE user_name = ?", (user_name,))


def delete_stale_sessions(connection: sqlite3.Connection, created_before_ms: int, used_before_ms: int) -> None:
    """Forget log-ins that began, or were last used, before these moments."""
    connection.execute("DELETE FROM sessions WHERE created_ms < ? OR used_ms < ?", (created_before_ms, used_before_ms))


def add_audit(connection: sqlite3.Connection, *, at_ms: int, who: str, where: str, action: str, what: str) -> None:
    """Append to the audit."""
    row = connection.execute("SELECT chain FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    before = sha256(b"").digest() if row is None else bytes(row[0])
    connection.execute(
        "INSERT INTO audit (at_ms, who, place, action, what, chain) VALUES (?, ?, ?, ?, ?, ?)",
        (at_ms, who, where, action, what, chain_digest(before, at_ms, who, where, action, what)),
    )


def broken_audit_number(connection: sqlite3.Connection) -> int | None:
    """Return the first entry that does not follow from those before it; None where the audit is as it was written."""
    chain = sha256(b"").digest()
    rows = connection.execute("SELECT number, chain, at_ms, who, place, action, what FROM audit ORDER BY number")
    for number, written, *entry in rows:
        chain = chain_digest(chain, *entry)
        if chain != written:
            return int(number)
    return None


def audit(connection: sqlite3.Connection, *, rows_max: int, before: int | None) -> list[AuditRow]:
    """Return the newest entries below a number, newest first."""
    rows = connection.execute(
        "SELECT number, at_ms, who, place, action, what, chain FROM audit WHERE number < coalesce(?, 9223372036854775807)"
        " ORDER BY number DESC LIMIT ?",
        (before, rows_max),
    )
    return [AuditRow(*row) for row in rows]
