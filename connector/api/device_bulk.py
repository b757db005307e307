"""Many devices at once: edits of those that are named or that a filter finds, and files of them."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from starlette.responses import Response

from connector import device_queries
from connector.api.device_parts import GrantSubject, NewGrant, subject_of
from connector.api.devices import DEVICES, DeviceToMake
from connector.api.operations import JSON, Call, Operation, Query
from connector.device_files import DeviceRecord, FileForm, read_devices, write_devices
from connector.device_import import ImportOutcome, export_devices, import_devices
from connector.device_queries import DeviceQuery, Lock, Status, Sync, Where
from connector.editing import Edited, Editing, Grant, NewDevice
from shared.core.fields import json_text
from shared.errors import Refused
from shared.limits import BULK_DEVICES_MAX, INGEST_BODY_BYTES_MAX

CSV: Final = "text/csv"
# 10,000 identities of 256 characters, quoted.
_BULK_BODY_BYTES_MAX: Final = 4 * 1024 * 1024


class Filter(msgspec.Struct, forbid_unknown_fields=True):
    """Which devices, as the list takes it; everything empty: all."""

    search: str = ""
    tag: str = ""
    status: Status = ""
    lock: Lock = ""
    where: Where = ""
    sync: Sync = ""


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """The devices of an edit: those named, or those that a filter finds at this moment; one of the two."""

    identities: list[str] | None = None
    filter: Filter | None = None


class AddTags(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="add_tags"):
    """Add (name, value) tags."""

    tags: list[tuple[str, str]]


class RemoveTags(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="remove_tags"):
    """Take (name, value) tags away."""

    tags: list[tuple[str, str]]


class GiveGrant(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="grant"):
    """Give a permission."""

    grant: NewGrant


class RevokeGrant(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="revoke"):
    """Take a permission away."""

    subject: GrantSubject


class Lockup(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="lock"):
    """Take no readings from them."""


class Unlock(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="unlock"):
    """Take readings from them again."""


class Delete(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="delete"):
    """Delete them with tags, grants, state and history, at both sides."""


Action: TypeAlias = AddTags | RemoveTags | GiveGrant | RevokeGrant | Lockup | Unlock | Delete


class BulkEdit(msgspec.Struct, forbid_unknown_fields=True):
    """One action on many devices."""

    select: Selection
    action: Action


class NewDevices(msgspec.Struct, forbid_unknown_fields=True):
    """Devices to add."""

    devices: list[DeviceToMake]


class RefusedDevice(msgspec.Struct, frozen=True):
    """A device that was left as it is, and why."""

    identity: str
    code: str
    message: str


class BulkOutcome(msgspec.Struct, frozen=True):
    """How many devices were meant, how many fields changed, and which devices were refused; the others are done."""

    selected: int
    changed: int
    refused: list[RefusedDevice]


async def edit_many(call: Call) -> BulkOutcome:
    """Do one thing to many devices, in one unit of work. What cannot be done to one of them is said and stops no other."""
    body = await call.body(BulkEdit, _BULK_BODY_BYTES_MAX)
    connector_id = call.connector_id
    call.site.runtime(connector_id)
    identities = list(dict.fromkeys(await _selected(call, body.select)))
    edited = await _do(call, call.site.editing, identities, body.action)
    return _outcome(len(identities), edited)


async def _selected(call: Call, select: Selection) -> list[str]:
    if (select.identities is None) == (select.filter is None):
        raise Refused("invalid", what="Selection", why="it takes identities or a filter, one of the two")
    if select.identities is not None:
        return select.identities
    assert select.filter is not None
    query = DeviceQuery(**msgspec.structs.asdict(select.filter))
    now_ms, connector_id = call.site.clock.wall_ms(), call.connector_id
    found = await call.site.database.read(lambda c: device_queries.identities(c, connector_id, query, now_ms))
    if len(found) > BULK_DEVICES_MAX:
        raise Refused("too_many_devices", most=BULK_DEVICES_MAX)
    return found


async def _do(call: Call, editing: Editing, identities: list[str], action: Action) -> Edited:
    connector_id, who = call.connector_id, call.principal.name
    match action:
        case AddTags(tags):
            return await editing.add_tags(connector_id, identities, tags, who=who)
        case RemoveTags(tags):
            return await editing.remove_tags(connector_id, identities, tags, who=who)
        case GiveGrant(new):
            grant = Grant(new.level, new.expires_ms)
            return await editing.set_grant(connector_id, identities, subject_of(call, new), grant, who=who)
        case RevokeGrant(subject):
            return await editing.remove_grant(connector_id, identities, subject_of(call, subject), who=who)
        case Lockup():
            return await editing.lock(connector_id, identities, locked=True, who=who)
        case Unlock():
            return await editing.lock(connector_id, identities, locked=False, who=who)
        case Delete():
            return await editing.delete_devices(connector_id, identities, who=who)


def _outcome(selected: int, edited: Edited) -> BulkOutcome:
    refused = [RefusedDevice(name, error.code, str(error)) for name, error in edited.refused.items()]
    return BulkOutcome(selected, edited.changed, refused)


async def create_many(call: Call) -> BulkOutcome:
    """Add many devices; those that are there already, or are malformed, are refused one by one."""
    body = await call.body(NewDevices, INGEST_BODY_BYTES_MAX)
    new = [
        NewDevice(
            identity=device.identity,
            name=device.name,
            description=device.description,
            locked=device.locked,
            configuration=json_text(device.configuration),
            tags=device.tags,
        )
        for device in body.devices
    ]
    return _outcome(len(new), await call.site.editing.create_devices(call.connector_id, new, who=call.principal.name))


async def import_many(call: Call) -> ImportOutcome:
    """Make devices as a file says: CSV with a head, or a JSON list. Good rows are applied, the others named by number."""
    call.site.runtime(call.connector_id)
    body = await call.bytes(INGEST_BODY_BYTES_MAX)
    media = call.request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    rows = read_devices(body, "csv" if media == CSV else "json")
    return await import_devices(
        call.site, call.connector_id, rows, who=call.principal.name, preview=call.asked("preview")
    )


async def export_many(call: Call) -> Response:
    """Return all devices as a file that imports back to the same."""
    call.site.runtime(call.connector_id)
    form: FileForm = call.asked("format")
    records = await call.site.database.read(lambda c: export_devices(c, call.connector_id))
    media = "text/csv; charset=utf-8" if form == "csv" else JSON
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="devices-{call.connector_id}.{form}"',
    }
    return Response(write_devices(records, form), headers=headers, media_type=media)


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "POST",
        DEVICES + "/bulk",
        "edit",
        "Edit many devices",
        edit_many,
        body=BulkEdit,
        answer=BulkOutcome,
        errors=("too_many_devices",),
    ),
    Operation(
        "POST",
        DEVICES + "/create",
        "edit",
        "Add many devices",
        create_many,
        body=NewDevices,
        answer=BulkOutcome,
        errors=("too_many_devices",),
    ),
    Operation(
        "POST",
        DEVICES + "/import",
        "edit",
        "Make devices as a file says",
        import_many,
        query=(Query("preview", "only say what would happen", bool, otherwise=False),),
        body=list[DeviceRecord],
        media=(CSV, JSON),
        answer=ImportOutcome,
        errors=("too_many_devices",),
    ),
    Operation(
        "GET",
        DEVICES + "/export",
        "read",
        "All devices as a file",
        export_many,
        query=(Query("format", "which form", Literal["csv", "json"], "csv"),),
        answer=list[DeviceRecord],
        answer_media=(CSV, JSON),
    ),
)
