"""Devices: looked up here or at the other site, made, changed and deleted for both."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from connector import device_queries, devices, edit_queries
from connector.api.etags import Tagged, etag_of, if_match, tagged
from connector.api.operations import ONE, Call, Operation, Query
from connector.api.paging import after_of, cursor, limit_of, paged
from connector.device_edits import DeviceEdits
from connector.device_queries import DevicePage, DeviceQuery, DeviceRow, Lock, Sort, Status, Sync, Where
from connector.devices import ValueRow
from connector.editing import Edited, Grant, NewDevice, Subject
from connector.lookups import Origin
from connector.streams import Streams
from shared.core.edits import Edit
from shared.core.fields import device_object, fields_object, json_text
from shared.errors import Refused

DEVICES: Final = ONE + "/devices"
DEVICE: Final = DEVICES + "/{identity}"


class DeviceToMake(msgspec.Struct, forbid_unknown_fields=True):
    """A device to add. Without a name it has its identity's."""

    identity: str
    name: str = ""
    description: str = ""
    locked: bool = False
    tags: list[tuple[str, str]] = []
    configuration: dict[str, Any] = {}


class DeviceChange(msgspec.Struct, forbid_unknown_fields=True):
    """What of a device shall change; what is left out stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    locked: bool | UnsetType = UNSET
    configuration: dict[str, Any] | UnsetType = UNSET


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer comes from: `here`, `live`, `copy` (`age_ms` old, and `why` it is not live), or `none`.

    `age_ms` is null where the clock was set back since the copy was made.
    """

    origin: str = "here"
    round_trip_ms: float = 0.0
    age_ms: int | None = 0
    why: str = ""


class DeviceList(Found, frozen=True, kw_only=True):
    """A page of devices; `total` match."""

    total: int
    rows: list[DeviceRow]
    next: str | None = None


class GrantRow(msgspec.Struct, frozen=True):
    """Who may do what; `site_id` is the site that knows the subject, `expires_ms` null for never."""

    kind: Literal["user", "group"]
    subject: str
    site_id: str
    level: Literal["read", "write", "manage"]
    expires_ms: int | None

    @classmethod
    def of(cls, subject: Subject, grant: Grant) -> GrantRow:
        """Make it of its two parts."""
        return cls(subject.kind, subject.name, subject.site_id, grant.level, grant.expires_ms)


class Device(Found, frozen=True, kw_only=True):
    """A device, and the state of each of its resources with its latest readings.

    `grants_for_all` are the permissions on all devices of the connector. `states` names the fields that are pending,
    refused or in conflict, all others being applied on both sides; it is null where the other side was asked.
    """

    device: DeviceRow
    values: list[ValueRow]
    configuration: dict[str, Any]
    grants: list[GrantRow]
    grants_for_all: list[GrantRow]
    publish_as: list[str]
    states: dict[str, str] | None = None


# --- looked up ----------------------------------------------------------------------------------------------------------


async def list_devices(call: Call) -> DeviceList:
    """Return devices of this side, or of the other, live."""
    connector_id = call.connector_id
    runtime = call.site.runtime(connector_id)
    query = device_query(call)
    if call.asked("from") == "peer":
        page, origin = await call.site.lookups.list_devices(connector_id, runtime.calls, query)
        return _list(call, page or DevicePage([], 0), origin)
    now_ms = call.site.clock.wall_ms()
    page = await call.site.database.read(lambda c: device_queries.list_devices(c, connector_id, query, now_ms))
    return _list(call, page, None)


def device_query(call: Call) -> DeviceQuery:
    """Return which devices are asked for; raises Refused('invalid', 'cursor_unknown')."""
    sort, descending = call.asked("sort"), call.asked("descending")
    after = after_of(call, tuple[str, tuple[str | int, str]])
    if after is not None and after[0] != f"{sort} {descending}":
        raise Refused("cursor_unknown")  # of the same list in another order
    return DeviceQuery(
        search=call.asked("search"),
        tag=call.asked("tag"),
        status=call.asked("status"),
        lock=call.asked("lock"),
        where=call.asked("where"),
        sync=call.asked("sync"),
        sort=sort,
        descending=descending,
        limit=limit_of(call),
        after=after[1] if after is not None else None,
    )


def _list(call: Call, page: DevicePage, origin: Origin | None) -> DeviceList:
    more = None
    if page.next is not None:
        more = cursor(call, (f"{call.asked('sort')} {call.asked('descending')}", page.next))
    return DeviceList(total=page.total, rows=page.rows, next=more, **_origin(origin))


def _origin(origin: Origin | None) -> dict[str, Any]:
    if origin is None:
        return {}
    return {
        "origin": origin.kind,
        "round_trip_ms": round(origin.round_trip_ms, 3),
        "age_ms": origin.age_ms,
        "why": origin.why,
    }


async def get_device(call: Call) -> Tagged:
    """Return a device with its values, of this side or of the other, live."""
    connector_id, identity = call.connector_id, call.named("identity")
    runtime = call.site.runtime(connector_id)
    if call.asked("from") == "peer":
        found, origin = await call.site.lookups.get_device(connector_id, runtime.calls, identity)
        if found is None:
            raise (
                Refused("not_found", what="device at the other site")
                if not origin.why
                else Refused("not_found", what=f"device to be had from the other site ({origin.why.rstrip('.')})")
            )
        there = Device(
            device=found.device,
            values=found.values,
            configuration=msgspec.json.decode(found.configuration, type=dict[str, Any]),
            grants=[GrantRow.of(*row) for row in found.grants],
            grants_for_all=[GrantRow.of(*row) for row in found.grants_for_all],
            publish_as=found.publish_as,
            **_origin(origin),
        )
        return Tagged(there, etag_of(found.device, found))  # the round trip is no part of what was found
    return await shown(call)


async def shown(call: Call) -> Tagged:
    """Return the device of the path as it is here, with its ETag."""
    connector_id, identity, now_ms = call.connector_id, call.named("identity"), call.site.clock.wall_ms()

    def unit(connection: sqlite3.Connection) -> Tagged:
        body = Device(
            device=device_queries.get_device(connection, connector_id, identity, now_ms),
            values=devices.list_values(connection, connector_id, identity),
            configuration=_configuration(connection, connector_id, identity),
            grants=[GrantRow.of(*row) for row in edit_queries.list_grants(connection, connector_id, identity)],
            grants_for_all=[GrantRow.of(*row) for row in edit_queries.list_grants(connection, connector_id, None)],
            publish_as=edit_queries.list_publish_as(connection, connector_id, identity),
            states=edit_queries.field_states(connection, connector_id, identity),
        )
        return tagged(body, versions(connection, connector_id, identity))

    return await call.site.database.read(unit)


def _configuration(connection: sqlite3.Connection, connector_id: str, identity: str) -> dict[str, Any]:
    row = connection.execute(
        "SELECT configuration FROM device WHERE connector_id = ? AND identity = ?", (connector_id, identity)
    ).fetchone()
    return msgspec.json.decode(row[0], type=dict[str, Any])


def versions(connection: sqlite3.Connection, connector_id: str, identity: str) -> Any:
    """Return the versions of all fields of a device: what its ETag stands for. Raises Refused('not_found')."""
    generation = DeviceEdits(connection, connector_id).generation(identity)
    rows = connection.execute(
        "SELECT field, source_count, target_count, stamp_ms, site_id FROM cell WHERE connector_id = ?"
        " AND object IN (?, ?) ORDER BY object, field",
        (connector_id, device_object(identity), fields_object(identity, generation)),
    )
    return [tuple(row) for row in rows]


# --- edited -------------------------------------------------------------------------------------------------------------


def provided(call: Call) -> AbstractContextManager[None]:
    """Let the edit inside this block be refused where If-Match does not hold for the device of the path."""
    connector_id, identity = call.connector_id, call.named("identity")
    return if_match(call, lambda c: versions(c, connector_id, identity), "device")


def raise_refused(edited: Edited) -> None:
    """Raise what an edit of one device was refused with."""
    for refused in edited.refused.values():
        raise refused


async def create_device(call: Call) -> None:
    """Add a device."""
    body = await call.body(DeviceToMake)
    new = NewDevice(
        identity=body.identity,
        name=body.name,
        description=body.description,
        locked=body.locked,
        configuration=json_text(body.configuration),
        tags=body.tags,
    )
    raise_refused(await call.site.editing.create_devices(call.connector_id, [new], who=call.principal.name))


async def change_device(call: Call) -> Tagged:
    """Change name, description, lock and configuration, all or none; what is left out stays."""
    change = await call.body(DeviceChange)
    connector_id, identity = call.connector_id, call.named("identity")

    def plan(store: Streams) -> tuple[list[Edit], None]:
        maker = DeviceEdits(store.connection, connector_id)
        edits = _naming(store.connection, maker, connector_id, identity, change)
        if change.locked is not UNSET:
            edits += maker.locking(identity, locked=change.locked is True)
        if change.configuration is not UNSET:
            edits += maker.configuring(identity, json_text(change.configuration))
        return edits, None

    with provided(call):
        await call.site.editing.apply(connector_id, plan, who=call.principal.name)
    return await shown(call)


def _naming(
    connection: sqlite3.Connection, maker: DeviceEdits, connector_id: str, identity: str, change: DeviceChange
) -> list[Edit]:
    row = device_queries.get_device(connection, connector_id, identity, 0)
    name = change.name if isinstance(change.name, str) else row.name
    description = change.description if isinstance(change.description, str) else row.description
    return maker.naming(identity, name, description) if (name, description) != (row.name, row.description) else []


async def delete_device(call: Call) -> None:
    """Delete a device with tags, grants, state and history, at both sides."""
    with provided(call):
        raise_refused(
            await call.site.editing.delete_devices(call.connector_id, [call.named("identity")], who=call.principal.name)
        )


async def dismiss_refused(call: Call) -> None:
    """Put away that the other side refused edits of a device; they stay in its history."""
    await call.site.editing.dismiss_refused(call.connector_id, call.named("identity"))


_FROM: Final = Query("from", "`peer` asks the other site, live", Literal["here", "peer"], "here")
FILTERS: Final = (
    Query("search", "part of an identity, a name or a tag"),
    Query("tag", "`name` or `name=value`"),
    Query("status", "by the clock of the site that answers", Status),
    Query("lock", "whether readings are taken from it", Lock),
    Query("where", "`here`: the other side has not applied the device's creation yet", Where),
    Query("sync", "how this side's edits stand", Sync),
)

OPERATIONS: Final = (
    Operation(
        "GET",
        DEVICES,
        "read",
        "Devices",
        list_devices,
        query=(
            *FILTERS,
            Query("sort", "what to sort by", Sort, "identity"),
            Query("descending", "the other way round", bool, otherwise=False),
            *paged(),
            _FROM,
        ),
        answer=DeviceList,
    ),
    Operation("POST", DEVICES, "edit", "Add a device", create_device, body=DeviceToMake, errors=("exists", "too_many")),
    Operation(
        "GET", DEVICE, "read", "One device with its values", get_device, query=(_FROM,), answer=Device, has_etag=True
    ),
    Operation(
        "PATCH", DEVICE, "edit", "Change a device", change_device, body=DeviceChange, answer=Device, has_etag=True
    ),
    Operation("DELETE", DEVICE, "edit", "Delete a device with its history", delete_device, has_etag=True),
    Operation("POST", DEVICE + "/dismiss-refused", "edit", "Put away what the other side refused", dismiss_refused),
)
