"""Connectors: made, changed, disabled, deleted. Their account and gaps are in account.py."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec

from connector import connectors
from connector.api import account
from connector.api.etags import Tagged, if_match, tagged
from connector.api.operations import ONE, Call, Operation
from connector.connectors import Connector
from connector.host_desk import check_every_s
from connector.status import ConnectorStatus, connector_status


class NewConnector(msgspec.Struct, forbid_unknown_fields=True):
    """A connector to make.

    `creates_devices`: readings of unknown devices make them. `host_every_s`: readings of this machine every so many
    seconds (0.1 to 3600), 0 for none.
    """

    name: str
    creates_devices: bool = False
    host_every_s: float = 0.0


class ConnectorChange(msgspec.Struct, forbid_unknown_fields=True):
    """What a connector is to be from now on.

    `drain_bytes_per_s`: what a backlog may take of the link to the hub; 0 for no bound, null for what the site's settings
    say; left out, it stays. Live readings never ask it.
    """

    name: str
    creates_devices: bool
    drain_bytes_per_s: int | msgspec.UnsetType | None = msgspec.UNSET


async def shown(call: Call, connector: Connector) -> Tagged:
    """Return a connector as the API shows it."""
    return tagged(await connector_status(call.site, connector), _definition(connector))


def _definition(connector: Connector) -> Any:
    return (
        connector.name,
        connector.role,
        connector.disabled,
        connector.creates_devices,
        connector.drain_bytes_per_s,
    )


def _provided(call: Call) -> AbstractContextManager[None]:
    def definition(connection: sqlite3.Connection) -> Any:
        return _definition(connectors.get_connector(connection, call.connector_id))

    return if_match(call, definition, "connector")


async def list_connectors(call: Call) -> list[ConnectorStatus]:
    """Return all connectors, oldest first."""
    return [await connector_status(call.site, connector) for connector in await call.site.connectors()]


async def create_connector(call: Call) -> Tagged:
    """Make a connector."""
    body = await call.body(NewConnector)
    check_every_s(body.host_every_s)
    made = await call.site.create_connector(
        body.name, creates_devices=body.creates_devices, host_every_s=body.host_every_s
    )
    return await shown(call, made)


async def get_connector(call: Call) -> Tagged:
    """Return one connector."""
    return await shown(call, await call.site.connector(call.connector_id))


async def change_connector(call: Call) -> Tagged:
    """Rename a connector, and set whether readings make devices, and what a backlog may take of the link."""
    body = await call.body(ConnectorChange)
    with _provided(call):
        if body.drain_bytes_per_s is not msgspec.UNSET:
            await call.site.set_drain_budget(call.connector_id, body.drain_bytes_per_s)
        changed = await call.site.change_connector(call.connector_id, body.name, creates_devices=body.creates_devices)
    return await shown(call, changed)


async def delete_connector(call: Call) -> None:
    """Delete a connector with all it has."""
    with _provided(call):
        await call.site.delete_connector(call.connector_id)


async def disable(call: Call) -> None:
    """Disable a connector."""
    await call.site.disable_connector(call.connector_id, disabled=True)


async def enable(call: Call) -> None:
    """Enable a connector."""
    await call.site.disable_connector(call.connector_id, disabled=False)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/connectors",
        "read",
        "All connectors, oldest first",
        list_connectors,
        answer=list[ConnectorStatus],
    ),
    Operation(
        "POST",
        "/connectors",
        "manage",
        "Make a connector",
        create_connector,
        body=NewConnector,
        answer=ConnectorStatus,
        has_etag=True,
        errors=("exists",),
    ),
    Operation("GET", ONE, "read", "One connector", get_connector, answer=ConnectorStatus, has_etag=True),
    Operation(
        "PATCH",
        ONE,
        "manage",
        "Change a connector",
        change_connector,
        body=ConnectorChange,
        answer=ConnectorStatus,
        has_etag=True,
        errors=("exists",),
    ),
    Operation(
        "DELETE",
        ONE,
        "manage",
        "Delete a connector with all it has",
        delete_connector,
        has_etag=True,
        errors=("still_paired", "parting_untold"),
    ),
    Operation(
        "POST", ONE + "/disable", "manage", "Disable a connector", disable, errors=("still_paired", "parting_untold")
    ),
    Operation("POST", ONE + "/enable", "manage", "Enable a connector", enable),
    *account.OPERATIONS,
)
