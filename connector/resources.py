"""Resource definitions of a connector, the other side's, and how the two compare (W9, G14)."""

from __future__ import annotations

import sqlite3
from typing import Any, get_args

import msgspec

from shared.batches import Format
from shared.core.entries import Definition
from shared.errors import Refused
from shared.limits import ALIAS_CHARS_MAX, UNIT_CHARS_MAX


class ResourceRow(msgspec.Struct, frozen=True):
    """A resource with what is known of its readings and of the other side.

    `match` is `same`, `missing_there`, `missing_here`, `different` or `alone` (no peer). `different` names what differs.
    """

    alias: str
    format: str
    unit: str
    allowed: Any
    settable: bool
    remote_sync: bool
    devices: int
    last_value: Any
    last_ms: int | None
    waiting: int
    held: int
    match: str
    different: list[str]


class NewResource(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as people and programs give it. `allowed` is {"low": x, "high": y} or {"any": [...]}, or None."""

    alias: str
    format: str
    unit: str = ""
    allowed: dict[str, Any] | None = None
    settable: bool = False
    remote_sync: bool = False


def create_resource(connection: sqlite3.Connection, connector_id: str, new: NewResource, now_ms: int) -> None:
    """Make a resource; raises Refused('invalid', 'exists')."""
    alias = new.alias.strip()
    if not 1 <= len(alias) <= ALIAS_CHARS_MAX or any(ord(letter) < 32 for letter in alias):
        raise Refused("invalid", what="Alias", why=f"it takes 1 to {ALIAS_CHARS_MAX} printable characters")
    if new.format not in get_args(Format):
        raise Refused("invalid", what="Format", why="it is number, string or boolean")
    if len(new.unit) > UNIT_CHARS_MAX:
        raise Refused("invalid", what="Unit", why=f"it takes at most {UNIT_CHARS_MAX} characters")
    if connection.execute(
        "SELECT 1 FROM resource WHERE connector_id = ? AND alias = ?", (connector_id, alias)
    ).fetchone():
        raise Refused("exists", what="resource")
    connection.execute(
        "INSERT INTO resource (connector_id, alias, format, unit, allowed, settable, remote_sync, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (connector_id, alias, new.format, new.unit.strip(), _allowed(new), new.settable, new.remote_sync, now_ms),
    )


def _allowed(new: NewResource) -> str | None:
    """Check and write down what is allowed, in one form, so that equal definitions compare equal."""
    allowed = new.allowed
    if not allowed:
        return None
    try:
        if "any" in allowed:
            kinds = {"number": (int, float), "string": (str,), "boolean": (bool,)}[new.format]
            values = list(allowed["any"])
            if not values or not all(isinstance(value, kinds) for value in values):
                raise ValueError
            values = [float(value) for value in values] if new.format == "number" else values
            return msgspec.json.encode({"any": values}).decode()
        low, high = allowed.get("low"), allowed.get("high")
        low, high = (None if bound is None else float(bound) for bound in (low, high))
        if (
            new.format != "number"
            or (low is None and high is None)
            or (low is not None and high is not None and low > high)
        ):
            raise ValueError
        return msgspec.json.encode({"low": low, "high": high}).decode()
    except (TypeError, ValueError):
        raise Refused(
            "invalid", what="Allowed", why="it is a range of numbers (low, high) or a list of values of the format"
        ) from None


def set_remote_sync(connection: sqlite3.Connection, connector_id: str, alias: str, *, on: bool) -> None:
    """Switch Remote-Sync of a resource; raises Refused('not_found')."""
    done = connection.execute(
        "UPDATE resource SET remote_sync = ? WHERE connector_id = ? AND alias = ?", (on, connector_id, alias)
    )
    if done.rowcount == 0:
        raise Refused("not_found", what="resource")


def peer_definitions(connection: sqlite3.Connection, connector_id: str) -> dict[str, Definition]:
    """Return the other side's resources by alias, as it stated them last."""
    rows = connection.execute(
        "SELECT definition FROM peer_resource WHERE connector_id = ? ORDER BY position", (connector_id,)
    )
    found = [msgspec.msgpack.decode(row[0], type=Definition) for row in rows]
    return {definition.alias: definition for definition in found}


def like_peer(connection: sqlite3.Connection, connector_id: str, alias: str) -> NewResource:
    """Return a definition equal to the other side's, to create the same here; raises Refused('not_found')."""
    theirs = peer_definitions(connection, connector_id).get(alias)
    if theirs is None:
        raise Refused("not_found", what="resource at the other site")
    allowed = msgspec.json.decode(theirs.allowed, type=dict[str, Any]) if theirs.allowed else None
    return NewResource(
        alias=theirs.alias, format=theirs.format, unit=theirs.unit, allowed=allowed, settable=theirs.settable
    )


def list_resources(connection: sqlite3.Connection, connector_id: str, *, paired: bool) -> list[ResourceRow]:
    """Return our resources by alias, then those that only the other side has."""
    theirs = peer_definitions(connection, connector_id) if paired else {}
    waiting = dict(
        connection.execute(
            "SELECT resource, SUM(count) FROM tail WHERE connector_id = ? GROUP BY resource", (connector_id,)
        ).fetchall()
    )
    held = dict(
        connection.execute(
            "SELECT resource, SUM(count) FROM held WHERE connector_id = ? GROUP BY resource", (connector_id,)
        ).fetchall()
    )
    rows = connection.execute(
        "SELECT resource_id, alias, format, unit, allowed, settable, remote_sync FROM resource WHERE connector_id = ?"
        " ORDER BY alias",
        (connector_id,),
    ).fetchall()
    found = []
    for resource_id, alias, format_, unit, allowed, settable, remote_sync in rows:
        mine = Definition(alias, format_, unit, allowed, bool(settable), bool(remote_sync))
        match, different = _compare(mine, theirs.pop(alias, None), paired=paired)
        devices, last_ms, last_value = _latest(connection, resource_id)
        if format_ == "boolean" and last_value is not None:
            last_value = bool(last_value)
        found.append(
            ResourceRow(
                alias,
                format_,
                unit,
                msgspec.json.decode(allowed) if allowed else None,
                mine.settable,
                mine.remote_sync,
                devices,
                last_value,
                last_ms,
                waiting.get(alias, 0),
                held.get(alias, 0),
                match,
                different,
            )
        )
    for alias, other in theirs.items():
        found.append(
            ResourceRow(
                alias,
                other.format,
                other.unit,
                msgspec.json.decode(other.allowed) if other.allowed else None,
                other.settable,
                other.remote_sync,
                0,
                None,
                None,
                0,
                held.get(alias, 0),
                "missing_here",
                [],
            )
        )
    return found


def _compare(mine: Definition, theirs: Definition | None, *, paired: bool) -> tuple[str, list[str]]:
    if not paired:
        return "alone", []
    if theirs is None:
        return "missing_there", []
    different = [name for name in ("format", "unit", "allowed") if getattr(mine, name) != getattr(theirs, name)]
    return ("different" if different else "same"), different


def _latest(connection: sqlite3.Connection, resource_id: int) -> tuple[int, int | None, Any]:
    (devices,) = connection.execute("SELECT COUNT(*) FROM series WHERE resource_id = ?", (resource_id,)).fetchone()
    row = connection.execute(
        "SELECT last_ms, reported FROM series WHERE resource_id = ? AND last_ms IS NOT NULL ORDER BY last_ms DESC LIMIT 1",
        (resource_id,),
    ).fetchone()
    return devices, row[0] if row else None, row[1] if row else None
