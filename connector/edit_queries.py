"""Questions about edits: history of changes, conflicts, permissions, policies, and what ingestion has to know of a device.

All are pure functions of a connection; those of ingestion are made for being asked once per device and request.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from shared.core.fields import (
    CONNECTOR_OBJECT,
    POLICY_CLASSES,
    Grant,
    Subject,
    pattern_matches,
    policy_field,
)
from shared.errors import Refused

_PAGE_MAX: Final = 500


class ChangeRow(msgspec.Struct, frozen=True):
    """One change of one field. `before` and `after` are JSON, None for none; `identity` None: about all devices.

    `field` is name, description, exists, locked, configuration, or begins with tag/, grant/, publish-as/, set/, policy/.
    `state` is pending, applied, refused (`reason`: a code of shared.errors) or conflict (`reason`: the policy).
    """

    change_id: int
    identity: str | None
    field: str
    before: str | None
    after: str | None
    who: str
    site_id: str
    ours: bool
    at_ms: int
    state: str
    reason: str


class ConflictRow(msgspec.Struct, frozen=True):
    """Two edits that did not know each other: what was kept and what lost, as JSON. `closed_ms` None: still open."""

    conflict_id: int
    identity: str | None
    object: str
    field: str
    kept: str | None
    kept_site_id: str
    kept_who: str
    lost: str | None
    lost_site_id: str
    lost_who: str
    policy: str
    found_ms: int
    closed_ms: int | None
    closed_how: str
    closed_by: str


class RequestRow(msgspec.Struct, frozen=True):
    """What was asked of the other side: `state` is pending, done or refused (`reason`: a code of shared.errors)."""

    request_id: str
    alias: str
    who: str
    asked_ms: int
    state: str
    reason: str
    answered_ms: int | None


_CHANGE: Final = "change_id, identity, field, before, after, who, site_id, ours, at_ms, state, reason"
_CONFLICT: Final = ", ".join(field.name for field in msgspec.structs.fields(ConflictRow))
_REQUEST: Final = ", ".join(field.name for field in msgspec.structs.fields(RequestRow))


def list_changes(
    connection: sqlite3.Connection,
    connector_id: str,
    *,
    identity: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[ChangeRow]:
    """Return changes, newest first: of one device, or of the whole connector; `before_id` goes on after a page."""
    of_device = "AND identity = :identity" if identity is not None else ""
    rows = connection.execute(
        f"SELECT {_CHANGE} FROM change WHERE connector_id = :connector {of_device} AND change_id < :before"  # noqa: S608
        " ORDER BY change_id DESC LIMIT :limit",
        {
            "connector": connector_id,
            "identity": identity,
            "before": before_id if before_id is not None else 1 << 62,
            "limit": max(1, min(limit, _PAGE_MAX)),
        },
    )
    return [ChangeRow(r[0], r[1], r[2], r[3], r[4], r[5], r[6], bool(r[7]), r[8], r[9], r[10]) for r in rows]


def list_conflicts(
    connection: sqlite3.Connection,
    connector_id: str,
    *,
    identity: str | None = None,
    closed: bool = False,
    before_id: int | None = None,
    limit: int = 50,
) -> list[ConflictRow]:
    """Return conflicts, newest first: open ones, or with `closed` all of them."""
    where = ["connector_id = :connector", "conflict_id < :before"]
    if identity is not None:
        where.append("identity = :identity")
    if not closed:
        where.append("closed_ms IS NULL")
    rows = connection.execute(
        f"SELECT {_CONFLICT} FROM conflict WHERE {' AND '.join(where)} ORDER BY conflict_id DESC LIMIT :limit",  # noqa: S608
        {
            "connector": connector_id,
            "identity": identity,
            "before": before_id if before_id is not None else 1 << 62,
            "limit": max(1, min(limit, _PAGE_MAX)),
        },
    )
    return [ConflictRow(*row) for row in rows]


def open_conflict(connection: sqlite3.Connection, connector_id: str, conflict_id: int) -> ConflictRow:
    """Return a conflict that is still open; raises Refused('not_found')."""
    row = connection.execute(
        f"SELECT {_CONFLICT} FROM conflict WHERE connector_id = ? AND conflict_id = ? AND closed_ms IS NULL",  # noqa: S608
        (connector_id, conflict_id),
    ).fetchone()
    if row is None:
        raise Refused("not_found", what="open conflict")
    return ConflictRow(*row)


def field_states(connection: sqlite3.Connection, connector_id: str, identity: str) -> dict[str, str]:
    """Return the fields of a device that are pending, refused or in conflict; all others are applied on both sides."""
    key = (connector_id, identity)
    states = {
        row[0]: row[1]
        for row in connection.execute(
            "SELECT field, state FROM change WHERE connector_id = ? AND identity = ? AND open = 1 ORDER BY change_id",
            key,
        )
    }
    conflicts = connection.execute(
        "SELECT DISTINCT field FROM conflict WHERE connector_id = ? AND identity = ? AND closed_ms IS NULL", key
    )
    return states | {row[0]: "conflict" for row in conflicts}


def list_grants(connection: sqlite3.Connection, connector_id: str, identity: str | None) -> list[tuple[Subject, Grant]]:
    """Return who may do what with a device, or (None) with all devices of the connector, by subject."""
    device_id = 0
    if identity is not None:
        found = connection.execute(
            "SELECT device_id FROM device WHERE connector_id = ? AND identity = ?", (connector_id, identity)
        ).fetchone()
        if found is None:
            return []
        (device_id,) = found
    return grants_of(connection, connector_id, device_id)


def grants_of(connection: sqlite3.Connection, connector_id: str, device_id: int) -> list[tuple[Subject, Grant]]:
    """Return who may do what with a device, or (0) with all devices of the connector, by subject."""
    rows = connection.execute(  # in the terms of its index, which has them in this order
        "SELECT subject_kind, subject, site_id, level, expires_ms FROM grant_row"
        " WHERE connector_id = ? AND ifnull(device_id, 0) = ? ORDER BY subject_kind, subject, site_id",
        (connector_id, device_id),
    )
    return [(Subject(kind, name, site_id), Grant(level, until)) for kind, name, site_id, level, until in rows]


def list_publish_as(connection: sqlite3.Connection, connector_id: str, identity: str) -> list[str]:
    """Return the patterns of devices that a gateway may report for."""
    rows = connection.execute(
        "SELECT pattern FROM publish_as JOIN device USING (device_id) WHERE connector_id = ? AND identity = ?"
        " ORDER BY pattern",
        (connector_id, identity),
    )
    return [row[0] for row in rows]


def is_locked(connection: sqlite3.Connection, connector_id: str, identity: str) -> bool:
    """Whether nothing may be taken from a device; False for one that is not there."""
    row = connection.execute(
        "SELECT locked FROM device WHERE connector_id = ? AND identity = ?", (connector_id, identity)
    ).fetchone()
    return bool(row and row[0])


def may_report_for(connection: sqlite3.Connection, connector_id: str, gateway: str, identity: str) -> bool:
    """Whether a gateway may report for a device: for itself always, for others where one of its patterns fits."""
    return identity == gateway or any(
        pattern_matches(pattern, identity) for pattern in list_publish_as(connection, connector_id, gateway)
    )


def policies(connection: sqlite3.Connection, connector_id: str) -> dict[str, str]:
    """Return what decides conflicts, by class: newer, source or target."""
    found: dict[str, str] = {}
    for kind in POLICY_CLASSES:
        row = connection.execute(
            "SELECT value FROM cell WHERE connector_id = ? AND object = ? AND field = ?",
            (connector_id, CONNECTOR_OBJECT, policy_field(kind)),
        ).fetchone()
        found[kind.value] = msgspec.json.decode(row[0], type=str) if row and row[0] else "newer"
    return found


def list_requests(connection: sqlite3.Connection, connector_id: str) -> list[RequestRow]:
    """Return the latest request about each resource that the other side was asked to make."""
    rows = connection.execute(
        f"SELECT {_REQUEST} FROM request WHERE connector_id = ? ORDER BY alias",  # noqa: S608
        (connector_id,),
    )
    return [RequestRow(*row) for row in rows]
