"""Resource definitions of a connector, the other side's, and how the two compare (W9, G14)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
from msgspec import UNSET, UnsetType

from connector import resource_figures
from shared.batches import Format
from shared.core.definitions import definition_bytes, fitting
from shared.core.entries import Definition
from shared.core.overflow import AS_SITE, OVERFLOWS
from shared.errors import Refused
from shared.limits import (
    ALIAS_CHARS_MAX,
    DAY_MS,
    DEFINITION_BYTES_EXTRA,
    DEFINITIONS_BYTES_MAX,
    HISTORY_RETENTION_MS,
    RETENTION_DAYS_MAX,
    UNIT_CHARS_MAX,
)


class ResourceRow(msgspec.Struct, frozen=True):
    """A resource with what is known of its readings and of the other side.

    `match` is `same`, `missing_there`, `missing_here`, `different` or `alone` (no peer). `different` names what differs.
    `waiting` counts readings accepted here that the other side has not recorded (`tail` of them not yet sealed), `held`
    those that arrived and lack their device or resource. `lag_ms` is the time between the newest acceptance here and the
    newest one recorded there; 0 where nothing waits, None where nothing was ever to be sent. `retention_ms` 0 is for ever.
    `per_minute` counts readings as they arrived here over the last five minutes. `overflow` is what gives way when what
    waits reaches its cap: `drop_oldest`, `refuse_new`, or empty for what the site does.
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
    last_device: str = ""
    tail: int = 0
    lag_ms: int | None = None
    retention_ms: int = HISTORY_RETENTION_MS
    per_minute: float = 0.0
    overflow: str = AS_SITE


class NewResource(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as people and programs give it. `allowed` is {"low": x, "high": y} or {"any": [...]}, or None."""

    alias: str
    format: str
    unit: str = ""
    allowed: dict[str, Any] | None = None
    settable: bool = False
    remote_sync: bool = False
    retention_ms: int = HISTORY_RETENTION_MS
    overflow: str = AS_SITE


class ResourceChange(msgspec.Struct, frozen=True, kw_only=True):
    """What shall change of a definition; what is left out stays. `format` changes only while there are no readings."""

    format: str | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    allowed: dict[str, Any] | UnsetType | None = UNSET
    settable: bool | UnsetType = UNSET
    retention_ms: int | UnsetType = UNSET
    overflow: str | UnsetType = UNSET


def create_resource(connection: sqlite3.Connection, connector_id: str, new: NewResource, now_ms: int) -> None:
    """Make a resource; raises Refused('invalid', 'exists', 'too_many_resources')."""
    alias, allowed = new.alias.strip(), _checked(new)
    if connection.execute(
        "SELECT 1 FROM resource WHERE connector_id = ? AND alias = ?", (connector_id, alias)
    ).fetchone():
        raise Refused("exists", what="resource")
    _check_room(connection, connector_id, definition_bytes(alias, new.format, new.unit.strip(), allowed))
    connection.execute(
        "INSERT INTO resource (connector_id, alias, format, unit, allowed, settable, remote_sync, created_ms, retention_ms,"
        " overflow) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            connector_id,
            alias,
            new.format,
            new.unit.strip(),
            allowed,
            new.settable,
            new.remote_sync,
            now_ms,
            new.retention_ms,
            new.overflow,
        ),
    )


def change_resource(connection: sqlite3.Connection, connector_id: str, alias: str, change: ResourceChange) -> bool:
    """Change a definition; return whether anything is other than before.

    Raises Refused('not_found', 'invalid', 'has_readings', 'too_many_resources').
    """
    row = connection.execute(
        "SELECT resource_id, format, unit, allowed, settable, remote_sync, retention_ms, overflow FROM resource"
        " WHERE connector_id = ? AND alias = ?",
        (connector_id, alias),
    ).fetchone()
    if row is None:
        raise Refused("not_found", what="resource")
    old = NewResource(
        alias=alias,
        format=row[1],
        unit=row[2],
        allowed=msgspec.json.decode(row[3], type=dict[str, Any]) if row[3] else None,
        settable=bool(row[4]),
        remote_sync=bool(row[5]),
        retention_ms=row[6],
        overflow=row[7],
    )
    wanted = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    new = msgspec.structs.replace(old, **wanted)
    allowed = _checked(new)
    if new.format != old.format and resource_figures.has_readings(connection, row[0]):
        raise Refused("has_readings", resource=alias)
    values = (new.format, new.unit.strip(), allowed, new.settable, new.retention_ms, new.overflow)
    if values == (row[1], row[2], row[3], bool(row[4]), row[6], row[7]):
        return False
    before = definition_bytes(alias, old.format, old.unit, row[3])
    _check_room(connection, connector_id, definition_bytes(alias, new.format, new.unit.strip(), allowed) - before)
    connection.execute(
        "UPDATE resource SET format = ?, unit = ?, allowed = ?, settable = ?, retention_ms = ?, overflow = ?"
        " WHERE resource_id = ?",
        (*values, row[0]),
    )
    return True


def delete_resource(connection: sqlite3.Connection, connector_id: str, alias: str, *, paired: bool) -> None:
    """Delete a resource and all of its history here.

    Raises Refused('not_found'), and 'resource_streams', 'resource_received' or 'resource_waits' where the pair still
    needs it.
    """
    row = connection.execute(
        "SELECT resource_id, remote_sync, role FROM resource JOIN connector USING (connector_id)"
        " WHERE connector_id = ? AND alias = ?",
        (connector_id, alias),
    ).fetchone()
    if row is None:
        raise Refused("not_found", what="resource")
    if paired and row[2] == "target":
        theirs = peer_definitions(connection, connector_id).get(alias)
        if theirs is not None and theirs.remote_sync:
            raise Refused("resource_received", resource=alias)
    elif paired and row[1]:
        raise Refused("resource_streams", resource=alias)
    waiting = resource_figures.waiting_of(connection, connector_id).get(alias)
    if waiting is not None and waiting.count:
        raise Refused("resource_waits", resource=alias, count=waiting.count)
    # There may be very many readings: housekeeping takes them away in bites.
    connection.execute(
        "INSERT OR IGNORE INTO gone_series (series_id) SELECT series_id FROM series WHERE resource_id = ?", (row[0],)
    )
    connection.execute("DELETE FROM resource WHERE resource_id = ?", (row[0],))


def _defined_bytes(connection: sqlite3.Connection, connector_id: str) -> int:
    """Return what all definitions of a connector count for: the sum of shared.core.definitions.definition_bytes."""
    texts = ("alias", "format", "unit", "COALESCE(allowed, '')")
    each = " + ".join(f"LENGTH(CAST({text} AS BLOB))" for text in texts)
    found = connection.execute(
        f"SELECT COALESCE(SUM({each} + ?), 0) FROM resource WHERE connector_id = ?",  # noqa: S608  # words of ours
        (DEFINITION_BYTES_EXTRA, connector_id),
    )
    return int(found.fetchone()[0])


def _check_room(connection: sqlite3.Connection, connector_id: str, added_bytes: int) -> None:
    """Paired or not: what could never be told must not come to be. Less is always allowed. Raises Refused."""
    if added_bytes > 0 and _defined_bytes(connection, connector_id) + added_bytes > DEFINITIONS_BYTES_MAX:
        raise Refused("too_many_resources")


def count_untold(connection: sqlite3.Connection, connector_id: str) -> int:
    """Return how many resources the other side cannot be told of: an earlier release let too many be made."""
    if _defined_bytes(connection, connector_id) <= DEFINITIONS_BYTES_MAX:
        return 0
    rows = connection.execute(
        "SELECT alias, format, unit, allowed, settable, remote_sync FROM resource WHERE connector_id = ?",
        (connector_id,),
    ).fetchall()
    return len(rows) - len(
        fitting([Definition(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5])) for row in rows])
    )


def _checked(new: NewResource) -> str | None:
    """Check a definition; return what is allowed as it is written down. Raises Refused('invalid')."""
    if not 1 <= len(new.alias.strip()) <= ALIAS_CHARS_MAX or any(ord(letter) < 32 for letter in new.alias.strip()):
        raise Refused("invalid", what="Alias", why=f"it takes 1 to {ALIAS_CHARS_MAX} printable characters")
    if new.format not in get_args(Format):
        raise Refused("invalid", what="Format", why="it is number, string or boolean")
    if len(new.unit) > UNIT_CHARS_MAX:
        raise Refused("invalid", what="Unit", why=f"it takes at most {UNIT_CHARS_MAX} characters")
    if new.retention_ms and not DAY_MS <= new.retention_ms <= RETENTION_DAYS_MAX * DAY_MS:
        raise Refused("invalid", what="Retention", why=f"it is 1 to {RETENTION_DAYS_MAX:,} days, or 0 for ever")
    if new.overflow not in OVERFLOWS:
        raise Refused("invalid", what="Overflow", why="it is drop_oldest, refuse_new, or empty for what the site does")
    return _allowed(new)


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
    except (TypeError, ValueError, OverflowError):
        raise Refused(
            "invalid", what="Allowed", why="it is a range of numbers (low, high) or a list of values of the format"
        ) from None


def set_remote_sync(connection: sqlite3.Connection, connector_id: str, alias: str, *, on: bool) -> None:
    """Switch Remote-Sync of a resource; raises Refused('not_found')."""
    switch_all(connection, connector_id, [alias], on=on)


def switch_all(connection: sqlite3.Connection, connector_id: str, aliases: Collection[str], *, on: bool) -> int:
    """Switch Remote-Sync of all of these, or of none; return how many were the other way. Raises Refused('not_found')."""
    changed = 0
    for alias in dict.fromkeys(aliases):
        row = connection.execute(
            "SELECT remote_sync FROM resource WHERE connector_id = ? AND alias = ?", (connector_id, alias)
        ).fetchone()
        if row is None:
            raise Refused("not_found", what="resource")
        changed += bool(row[0]) != on
        connection.execute(
            "UPDATE resource SET remote_sync = ? WHERE connector_id = ? AND alias = ?", (on, connector_id, alias)
        )
    return changed


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


# --- lists ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a connector's resources beside their definitions, by resource ID and by alias."""

    latest: Mapping[int, resource_figures.Latest]
    waiting: Mapping[str, resource_figures.Waiting]
    rates: Callable[[int], float]


def list_resources(
    connection: sqlite3.Connection,
    connector_id: str,
    *,
    paired: bool,
    latest: bool = True,
    rates: Callable[[int], float] = lambda _: 0.0,
) -> list[ResourceRow]:
    """Return our resources by alias, then those that only the other side has.

    Without `latest`, devices and last values are left out: they cost a look at every series. `rates` gives the readings
    per minute by resource ID.
    """
    theirs = peer_definitions(connection, connector_id) if paired else {}
    known = _Known(
        resource_figures.latest_of(connection, connector_id) if latest else {},
        resource_figures.waiting_of(connection, connector_id),
        rates,
    )
    rows = connection.execute(
        "SELECT resource_id, retention_ms, overflow, alias, format, unit, allowed, settable, remote_sync FROM resource"
        " WHERE connector_id = ? ORDER BY alias",
        (connector_id,),
    ).fetchall()
    found = []
    for resource_id, retention_ms, overflow, alias, format_, unit, allowed, settable, remote_sync in rows:
        mine = Definition(alias, format_, unit, allowed, bool(settable), bool(remote_sync))
        match, different = _compare(mine, theirs.pop(mine.alias, None), paired=paired)
        row = _row(mine, known, resource_id, match, different, retention_ms)
        found.append(msgspec.structs.replace(row, overflow=overflow))
    return found + [_row(other, known, 0, "missing_here", [], HISTORY_RETENTION_MS) for other in theirs.values()]


def _row(
    definition: Definition, known: _Known, resource_id: int, match: str, different: list[str], retention_ms: int
) -> ResourceRow:
    latest = known.latest.get(resource_id, resource_figures.NO_LATEST)
    waiting = known.waiting.get(definition.alias, resource_figures.NO_WAITING)
    value = latest.value
    if definition.format == "boolean" and value is not None:
        value = bool(value)
    return ResourceRow(
        alias=definition.alias,
        format=definition.format,
        unit=definition.unit,
        allowed=msgspec.json.decode(definition.allowed) if definition.allowed else None,
        settable=definition.settable,
        remote_sync=definition.remote_sync,
        devices=latest.devices,
        last_value=value,
        last_ms=latest.at_ms,
        waiting=waiting.count,
        held=waiting.held,
        match=match,
        different=different,
        last_device=latest.device,
        tail=waiting.tail,
        lag_ms=waiting.lag_ms,
        retention_ms=retention_ms,
        per_minute=known.rates(resource_id),
    )


def _compare(mine: Definition, theirs: Definition | None, *, paired: bool) -> tuple[str, list[str]]:
    if not paired:
        return "alone", []
    if theirs is None:
        return "missing_there", []
    different = [name for name in ("format", "unit", "allowed") if getattr(mine, name) != getattr(theirs, name)]
    return ("different" if different else "same"), different
