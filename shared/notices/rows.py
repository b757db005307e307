"""Repairs and the notices of them in SQLite, in tables `repair` and `notice`: what lets a restart announce nothing twice.

Functions run inside a unit of work and never commit; `RepairStore` says what they promise.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from shared.core.repair_kinds import REPAIRS
from shared.core.repairs import Finding, Repair
from shared.foreign import read_json
from shared.limits import REPAIRS_KEPT_MAX, REPAIRS_KEPT_MS
from shared.notices.notice import Notice
from shared.notices.store import Addressed

T = TypeVar("T")
_log = logging.getLogger(__name__)


def save_repairs(connection: sqlite3.Connection, repairs: Iterable[Repair], notices: Iterable[Addressed]) -> None:
    """Write down how repairs stand (raised, told, cleared), and that notices wait."""
    for repair in repairs:
        facts = msgspec.json.encode(dict(repair.finding.facts)).decode()
        connection.execute(
            "INSERT INTO repair (code, scope, subject, since_ms, facts, told, cleared_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (code, scope, subject, since_ms) DO UPDATE SET"
            " facts = excluded.facts, told = excluded.told, cleared_ms = excluded.cleared_ms",
            (*repair.key, repair.since_ms, facts, repair.told, repair.cleared_ms),
        )
    for channel, notice in notices:
        connection.execute(
            "INSERT OR IGNORE INTO notice (channel, notice_id, made_ms, body) VALUES (?, ?, ?, ?)",
            (channel, notice.id, notice.at_ms, msgspec.json.encode(notice)),
        )


def open_repairs(connection: sqlite3.Connection) -> list[Repair]:
    """Return the repairs that were open; those of kinds that this release does not know are left out."""
    rows = connection.execute(
        "SELECT code, scope, subject, since_ms, facts, told, cleared_ms FROM repair WHERE cleared_ms IS NULL ORDER BY since_ms"
    )
    return [repair for row in rows if (repair := _repair(row)) is not None]


def cleared_repairs(connection: sqlite3.Connection, limit: int) -> list[Repair]:
    """Return the repairs that are over, the last one first."""
    rows = connection.execute(
        "SELECT code, scope, subject, since_ms, facts, told, cleared_ms FROM repair WHERE cleared_ms IS NOT NULL"
        " ORDER BY cleared_ms DESC LIMIT ?",
        (limit,),
    )
    return [repair for row in rows if (repair := _repair(row)) is not None]


def forget_repairs(connection: sqlite3.Connection, now_ms: int) -> None:
    """Delete repairs that were over long ago, and all but the last ones."""
    connection.execute(
        "DELETE FROM repair WHERE cleared_ms < ?1 OR rowid IN (SELECT rowid FROM repair WHERE cleared_ms IS NOT NULL"
        " ORDER BY cleared_ms DESC LIMIT -1 OFFSET ?2)",
        (now_ms - REPAIRS_KEPT_MS, REPAIRS_KEPT_MAX),
    )


def waiting_notices(connection: sqlite3.Connection, channel: str) -> list[Notice]:
    """Return the notices that wait for a channel, oldest first."""
    rows = connection.execute("SELECT body FROM notice WHERE channel = ? ORDER BY made_ms, notice_id", (channel,))
    return [notice for row in rows if (notice := _read(row[0], Notice, "a notice that waits")) is not None]


def forget_notices(connection: sqlite3.Connection, gone: Iterable[tuple[str, str]]) -> None:
    """Delete notices, by (channel, notice ID), that were delivered or given up."""
    connection.executemany("DELETE FROM notice WHERE channel = ? AND notice_id = ?", list(gone))


def _repair(row: sqlite3.Row) -> Repair | None:
    if row["code"] not in REPAIRS:
        return None
    facts = _read(row["facts"], dict[str, str], "a repair")
    if facts is None:
        return None
    finding = Finding(row["code"], row["scope"], row["subject"], tuple(facts.items()))
    return Repair(finding, row["since_ms"], bool(row["told"]), row["cleared_ms"])


def _read(text: str | bytes, kind: type[T], what: str) -> T | None:
    """Return what a column holds; None, and a line in the log, where the disk damaged it: a daemon starts all the same."""
    try:
        found: T = read_json(text, kind)
        return found
    except msgspec.DecodeError as error:
        _log.error("%s cannot be read and is passed over: %s", what, error)
        return None
