"""Resources: definitions, which of them stream, and how the two sides compare."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec

from connector import resources
from connector.api.etags import Tagged, if_match, tagged
from connector.api.operations import ONE, Call, Operation
from connector.api.paging import Page, after_of, cursor, limit_of, paged
from connector.resources import NewResource, ResourceChange, ResourceRow
from shared.errors import Refused


class Switch(msgspec.Struct, forbid_unknown_fields=True):
    """On or off."""

    on: bool


class ManySwitch(msgspec.Struct, forbid_unknown_fields=True):
    """Which resources to switch, all of them or none."""

    aliases: list[str]
    on: bool


class Changed(msgspec.Struct, frozen=True):
    """How many were other than they are now."""

    changed: int


async def list_resources(call: Call) -> Page[ResourceRow]:
    """Return our resources by alias, then those that only the other side has."""
    limit, after = limit_of(call), after_of(call, tuple[bool, str])
    rows = sorted(await call.site.resources(call.connector_id), key=_key)
    rest = [row for row in rows if after is None or _key(row) > after]
    shown = rest[:limit]
    return Page(shown, cursor(call, _key(shown[-1])) if len(rest) > limit else None)


def _key(row: ResourceRow) -> tuple[bool, str]:
    return row.match == "missing_here", row.alias


async def get_resource(call: Call) -> Tagged:
    """Return one resource of ours."""
    alias = call.named("alias")
    for row in await call.site.resources(call.connector_id):
        if row.alias == alias and row.match != "missing_here":
            return tagged(row, _definition(row))
    raise Refused("not_found", what="resource")


def _definition(row: ResourceRow) -> Any:
    return row.format, row.unit, row.allowed, row.settable, row.remote_sync, row.retention_ms, row.overflow


def _provided(call: Call) -> AbstractContextManager[None]:
    connector_id, alias = call.connector_id, call.named("alias")

    def definition(connection: sqlite3.Connection) -> Any:
        for row in resources.list_resources(connection, connector_id, paired=False, latest=False):
            if row.alias == alias:
                return _definition(row)
        raise Refused("not_found", what="resource")

    return if_match(call, definition, "resource")


async def create_resource(call: Call) -> None:
    """Make a resource; readings that wait here for one of that name are released."""
    await call.site.create_resource(call.connector_id, await call.body(NewResource))


async def change_resource(call: Call) -> Tagged:
    """Change a definition; what is left out stays. The format changes only while there are no readings."""
    change = await call.body(ResourceChange)
    with _provided(call):
        await call.site.resource_desk.change(call.connector_id, call.named("alias"), change)
    return await get_resource(call)


async def delete_resource(call: Call) -> None:
    """Delete a resource with all of its history here; refused while the pair needs it."""
    with _provided(call):
        await call.site.resource_desk.delete(call.connector_id, call.named("alias"))


async def set_remote_sync(call: Call) -> None:
    """Switch a resource's readings into the stream or out of it."""
    body = await call.body(Switch)
    with _provided(call):
        await call.site.set_remote_sync(call.connector_id, call.named("alias"), on=body.on)


async def switch_many(call: Call) -> Changed:
    """Switch many resources into the stream or out of it, all of them or none."""
    body = await call.body(ManySwitch)
    return Changed(await call.site.resource_desk.switch(call.connector_id, body.aliases, on=body.on))


async def create_here(call: Call) -> None:
    """Make the same resource that the other side has."""
    await call.site.create_resource_like_peer(call.connector_id, call.named("alias"))


_RESOURCES: Final = ONE + "/resources"
_RESOURCE: Final = _RESOURCES + "/{alias}"

OPERATIONS: Final = (
    Operation(
        "GET",
        _RESOURCES,
        "read",
        "Resources, then those that only the other side has",
        list_resources,
        query=paged(500),
        answer=Page[ResourceRow],
    ),
    Operation(
        "POST",
        _RESOURCES,
        "edit",
        "Make a resource",
        create_resource,
        body=NewResource,
        errors=("exists", "too_many_resources"),
    ),
    Operation(
        "POST",
        _RESOURCES + "/remote-sync",
        "edit",
        "Let many resources stream, or not",
        switch_many,
        body=ManySwitch,
        answer=Changed,
    ),
    Operation("GET", _RESOURCE, "read", "One resource", get_resource, answer=ResourceRow, has_etag=True),
    Operation(
        "PATCH",
        _RESOURCE,
        "edit",
        "Change a resource",
        change_resource,
        body=ResourceChange,
        answer=ResourceRow,
        has_etag=True,
        errors=("has_readings", "too_many_resources"),
    ),
    Operation(
        "DELETE",
        _RESOURCE,
        "edit",
        "Delete a resource with its history",
        delete_resource,
        has_etag=True,
        errors=("resource_streams", "resource_received", "resource_waits"),
    ),
    Operation(
        "PUT",
        _RESOURCE + "/remote-sync",
        "edit",
        "Let a resource's readings stream, or not",
        set_remote_sync,
        body=Switch,
        has_etag=True,
    ),
    Operation(
        "POST",
        _RESOURCE + "/create-here",
        "edit",
        "Make the same resource that the other side has",
        create_here,
        errors=("exists", "invalid", "too_many_resources"),
    ),
)
