"""Resources: definitions, and which of them stream."""

from __future__ import annotations

from typing import Final

import msgspec

from connector.api.operations import ONE, Call, Operation
from connector.resources import NewResource, ResourceRow


class Switch(msgspec.Struct, forbid_unknown_fields=True):
    """On or off."""

    on: bool


async def list_resources(call: Call) -> list[ResourceRow]:
    """Return our resources, then those that only the other side has."""
    return await call.site.resources(call.connector_id)


async def create_resource(call: Call) -> None:
    """Make a resource."""
    await call.site.create_resource(call.connector_id, await call.body(NewResource))


async def set_remote_sync(call: Call) -> None:
    """Switch a resource's readings into the stream or out of it."""
    body = await call.body(Switch)
    await call.site.set_remote_sync(call.connector_id, call.named("alias"), on=body.on)


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
        answer=list[ResourceRow],
    ),
    Operation("POST", _RESOURCES, "edit", "Make a resource", create_resource, body=NewResource, errors=("exists",)),
    Operation(
        "PUT",
        _RESOURCE + "/remote-sync",
        "edit",
        "Let a resource's readings stream, or not",
        set_remote_sync,
        body=Switch,
    ),
    Operation(
        "POST",
        _RESOURCE + "/create-here",
        "edit",
        "Make the same resource that the other side has",
        create_here,
        errors=("exists", "invalid"),
    ),
)
