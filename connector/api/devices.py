"""Devices and their tags: looked up here or at the other site, and edited for both."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from connector import devices
from connector.api.operations import ONE, Call, Operation, Query
from connector.lookups import ListQuestion, Origin
from shared.errors import Refused


class NewDevice(msgspec.Struct, forbid_unknown_fields=True):
    """A device to add. Without a name it has its identity's."""

    identity: str
    name: str = ""
    description: str = ""


class DeviceChange(msgspec.Struct, forbid_unknown_fields=True):
    """What a device is to be called from now on."""

    name: str
    description: str = ""


class Tag(msgspec.Struct, forbid_unknown_fields=True):
    """A tag of a device."""

    name: str
    value: str


async def list_devices(call: Call) -> Any:
    """Return devices of this side, or of the other, live."""
    runtime = call.site.runtime(call.connector_id)
    question = ListQuestion(call.asked("search"), max(0, call.asked("limit")), max(0, call.asked("offset")))
    if call.asked("from") == "peer":
        page, origin = await call.site.lookups.list_devices(call.connector_id, runtime.calls, question)
        return {**_origin(origin), "total": page.total if page else 0, "rows": page.rows if page else []}
    now_ms = call.site.clock.wall_ms()
    page = await call.site.database.read(
        lambda c: devices.list_devices(
            c, call.connector_id, now_ms, search=question.search, limit=question.limit, offset=question.offset
        )
    )
    return {"origin": "here", "total": page.total, "rows": page.rows}


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "origin": origin.kind,
        "round_trip_ms": round(origin.round_trip_ms, 3),
        "age_ms": origin.age_ms,
        "why": origin.why,
    }


async def create_device(call: Call) -> None:
    """Add a device."""
    body = await call.body(NewDevice)
    await call.site.create_device(call.connector_id, body.identity, body.name, body.description)


async def get_device(call: Call) -> Any:
    """Return a device with its values."""
    connector_id, identity = call.connector_id, call.named("identity")
    runtime = call.site.runtime(connector_id)
    if call.asked("from") == "peer":
        found, origin = await call.site.lookups.get_device(connector_id, runtime.calls, identity)
        if found is None:
            raise Refused("not_found", what="device at the other site")
        return {**_origin(origin), "device": found.device, "values": found.values}
    now_ms = call.site.clock.wall_ms()

    def unit(connection: sqlite3.Connection) -> dict[str, Any]:
        return {
            "origin": "here",
            "device": devices.get_device(connection, connector_id, identity, now_ms),
            "values": devices.list_values(connection, connector_id, identity),
        }

    return await call.site.database.read(unit)


async def change_device(call: Call) -> None:
    """Change name and description."""
    body = await call.body(DeviceChange)
    await call.site.rename_device(call.connector_id, call.named("identity"), body.name, body.description)


async def add_tag(call: Call) -> None:
    """Add a tag to a device."""
    body = await call.body(Tag)
    await call.site.add_tag(call.connector_id, call.named("identity"), body.name, body.value)


async def remove_tag(call: Call) -> None:
    """Take a tag from a device."""
    body = await call.body(Tag)
    await call.site.remove_tag(call.connector_id, call.named("identity"), body.name, body.value)


_DEVICES: Final = ONE + "/devices"
_DEVICE: Final = _DEVICES + "/{identity}"
_FROM: Final = Query("from", "`peer` asks the other site, live")

OPERATIONS: Final = (
    Operation(
        "GET",
        _DEVICES,
        "read",
        "Devices",
        list_devices,
        query=(
            Query("search", "part of an identity, a name or a tag"),
            Query("limit", "how many rows at most", int, 50),
            Query("offset", "how many rows to leave out", int, 0),
            _FROM,
        ),
    ),
    Operation("POST", _DEVICES, "edit", "Add a device", create_device, body=NewDevice, errors=("exists",)),
    Operation("GET", _DEVICE, "read", "One device with its values", get_device, query=(_FROM,)),
    Operation("PATCH", _DEVICE, "edit", "Change a device", change_device, body=DeviceChange),
    Operation("POST", _DEVICE + "/tags", "edit", "Add a tag to a device", add_tag, body=Tag),
    Operation("DELETE", _DEVICE + "/tags", "edit", "Take a tag from a device", remove_tag, body=Tag),
)
