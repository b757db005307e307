"""Connectors: made, changed, disabled, deleted; their account and their gaps."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from connector.api.operations import ONE, Call, Operation
from connector.connectors import Connector
from connector.status import connector_status
from shared.errors import Refused


class NewConnector(msgspec.Struct, forbid_unknown_fields=True):
    """A connector to make.

    `creates_devices`: readings of unknown devices make them. `host_every_s`: readings of this machine every so many
    seconds (0.1 to 3600), 0 for none.
    """

    name: str
    creates_devices: bool = False
    host_every_s: float = 0.0


class ConnectorChange(msgspec.Struct, forbid_unknown_fields=True):
    """What a connector is to be from now on."""

    name: str
    creates_devices: bool


async def shown(call: Call, connector: Connector) -> Any:
    """Return a connector as the API shows it."""
    return await connector_status(call.site, connector)


async def list_connectors(call: Call) -> Any:
    """Return all connectors, oldest first."""
    return [await shown(call, connector) for connector in await call.site.connectors()]


async def create_connector(call: Call) -> Any:
    """Make a connector."""
    body = await call.body(NewConnector)
    if body.host_every_s and not 0.1 <= body.host_every_s <= 3600:
        raise Refused("invalid", what="host_every_s", why="it takes 0 (none) or 0.1 to 3600 seconds")
    made = await call.site.create_connector(
        body.name, creates_devices=body.creates_devices, host_every_s=body.host_every_s
    )
    return await shown(call, made)


async def get_connector(call: Call) -> Any:
    """Return one connector."""
    return await shown(call, await call.site.connector(call.connector_id))


async def change_connector(call: Call) -> Any:
    """Rename a connector, and set whether readings make devices."""
    body = await call.body(ConnectorChange)
    changed = await call.site.change_connector(call.connector_id, body.name, creates_devices=body.creates_devices)
    return await shown(call, changed)


async def delete_connector(call: Call) -> None:
    """Delete a connector with all it has."""
    await call.site.delete_connector(call.connector_id)


async def disable(call: Call) -> None:
    """Disable a connector."""
    await call.site.disable_connector(call.connector_id, disabled=True)


async def enable(call: Call) -> None:
    """Enable a connector."""
    await call.site.disable_connector(call.connector_id, disabled=False)


async def get_account(call: Call) -> Any:
    """Return this side's account and, at a target, the source's last word."""
    own, stated = await call.site.account(call.connector_id)
    return {"own": own, "stated_by_source": stated}


async def list_gaps(call: Call) -> Any:
    """Return gap notices, newest first."""
    call.site.runtime(call.connector_id)
    return [{"ours": row.ours, **_fields(row.notice)} for row in await call.site.gaps(call.connector_id)]


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__ if name != "epochs"}


OPERATIONS: Final = (
    Operation("GET", "/connectors", "read", "All connectors, oldest first", list_connectors),
    Operation(
        "POST", "/connectors", "manage", "Make a connector", create_connector, body=NewConnector, errors=("exists",)
    ),
    Operation("GET", ONE, "read", "One connector", get_connector),
    Operation("PATCH", ONE, "manage", "Change a connector", change_connector, body=ConnectorChange, errors=("exists",)),
    Operation(
        "DELETE", ONE, "manage", "Delete a connector with all it has", delete_connector, errors=("still_paired",)
    ),
    Operation("POST", ONE + "/disable", "manage", "Disable a connector", disable, errors=("still_paired",)),
    Operation("POST", ONE + "/enable", "manage", "Enable a connector", enable),
    Operation("GET", ONE + "/account", "read", "Where the readings are", get_account),
    Operation("GET", ONE + "/gaps", "read", "Readings that will never arrive, newest first", list_gaps),
)
