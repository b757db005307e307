"""What became of edits: the log of changes, conflicts, and what decides and limits them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from connector import edit_queries
from connector.api.operations import ONE, Call, Operation, Query
from connector.api.paging import Page, after_of, cursor, limit_of, paged
from connector.edit_queries import ChangeRow, ConflictRow, RequestRow
from connector.editing import PeerRights
from shared.errors import Refused


class Policies(msgspec.Struct, frozen=True):
    """What decides conflicts, by class of fields: newer, source or target."""

    policies: dict[str, str]


class NewPolicy(msgspec.Struct, forbid_unknown_fields=True):
    """What is to decide conflicts of a class, at both sides."""

    policy: Literal["newer", "source", "target"]


# What is left out stays as it is: read as its default, a right that somebody forgot to name would be granted.
RightsChange: Final = msgspec.defstruct(
    "RightsChange",
    [(name, bool | msgspec.UnsetType, msgspec.UNSET) for name in PeerRights.__struct_fields__],
    module=__name__,
    namespace={"__doc__": "What the partner may do here from now on; what is left out stays as it is."},
    kw_only=True,
    forbid_unknown_fields=True,
)


class Asked(msgspec.Struct, frozen=True):
    """A request to the other side, which the list of requests follows."""

    request_id: str


async def list_changes(call: Call) -> Page[ChangeRow]:
    """Return changes, newest first, of all devices or of one."""
    connector_id, limit = call.connector_id, limit_of(call, _ROWS_MAX)
    call.site.runtime(connector_id)
    before_id, identity = after_of(call, int), call.asked("device") or None
    rows = await call.site.database.read(
        lambda c: edit_queries.list_changes(c, connector_id, identity=identity, before_id=before_id, limit=limit + 1)
    )
    return Page(rows[:limit], cursor(call, rows[limit - 1].change_id) if len(rows) > limit else None)


async def list_conflicts(call: Call) -> Page[ConflictRow]:
    """Return conflicts, newest first: open ones, or all with those that are settled."""
    connector_id, limit = call.connector_id, limit_of(call, _ROWS_MAX)
    call.site.runtime(connector_id)
    before_id, identity = after_of(call, int), call.asked("device") or None
    closed = call.asked("closed")
    rows = await call.site.database.read(
        lambda c: edit_queries.list_conflicts(
            c, connector_id, identity=identity, closed=closed, before_id=before_id, limit=limit + 1
        )
    )
    return Page(rows[:limit], cursor(call, rows[limit - 1].conflict_id) if len(rows) > limit else None)


def _conflict_id(call: Call) -> int:
    text = call.named("conflict_id")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refused("not_found", what="open conflict")
    return int(text)


async def restore_conflict(call: Call) -> None:
    """Let what lost stand again, as a new edit, and settle the conflict."""
    await call.site.editing.restore_conflict(call.connector_id, _conflict_id(call), who=call.principal.name)


async def dismiss_conflict(call: Call) -> None:
    """Settle a conflict as it is, here."""
    call.site.runtime(call.connector_id)
    await call.site.editing.dismiss_conflict(call.connector_id, _conflict_id(call), who=call.principal.name)


async def get_policies(call: Call) -> Policies:
    """Return what decides conflicts, by class of fields."""
    call.site.runtime(call.connector_id)
    return Policies(await call.site.editing.policies(call.connector_id))


async def set_policy(call: Call) -> Policies:
    """Choose what decides conflicts of a class, at both sides."""
    body = await call.body(NewPolicy)
    name, who = call.named("class_name"), call.principal.name
    await call.site.editing.set_policy(call.connector_id, name, body.policy, who=who)
    return await get_policies(call)


async def get_peer_rights(call: Call) -> PeerRights:
    """Return what this connector lets its partner do."""
    call.site.runtime(call.connector_id)
    return await call.site.editing.peer_rights(call.connector_id)


async def set_peer_rights(call: Call) -> PeerRights:
    """Set what this connector lets its partner do, for edits that arrive from now on."""
    named: dict[str, bool] = msgspec.to_builtins(await call.body(RightsChange))
    await call.site.editing.set_peer_rights(call.connector_id, named, who=call.principal.name)
    return await get_peer_rights(call)


async def create_there(call: Call) -> Asked:
    """Ask the other side to make a resource as it is here."""
    asked = await call.site.editing.create_there(call.connector_id, call.named("alias"), who=call.principal.name)
    return Asked(asked)


async def list_requests(call: Call) -> Page[RequestRow]:
    """Return the latest request about each resource that the other side was asked to make."""
    call.site.runtime(call.connector_id)
    return Page(await call.site.database.read(lambda c: edit_queries.list_requests(c, call.connector_id)))


# One below what the queries give, so that a row more says that there is another page.
_ROWS_MAX: Final = 499
_DEVICE: Final = Query("device", "identity of the one device to look at")

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET",
        ONE + "/changes",
        "read",
        "Changes, newest first",
        list_changes,
        query=(_DEVICE, *paged(50, _ROWS_MAX)),
        answer=Page[ChangeRow],
    ),
    Operation(
        "GET",
        ONE + "/conflicts",
        "read",
        "Conflicts, newest first",
        list_conflicts,
        query=(
            _DEVICE,
            Query("closed", "those that are settled too", bool, otherwise=False),
            *paged(50, _ROWS_MAX),
        ),
        answer=Page[ConflictRow],
    ),
    Operation("POST", ONE + "/conflicts/{conflict_id}/restore", "edit", "Let what lost stand again", restore_conflict),
    Operation("POST", ONE + "/conflicts/{conflict_id}/dismiss", "edit", "Settle a conflict as it is", dismiss_conflict),
    Operation("GET", ONE + "/policies", "read", "What decides conflicts", get_policies, answer=Policies),
    Operation(
        "PUT",
        ONE + "/policies/{class_name}",
        "manage",
        "Choose what decides conflicts of a class",
        set_policy,
        body=NewPolicy,
        answer=Policies,
    ),
    Operation("GET", ONE + "/peer-rights", "read", "What the partner may do here", get_peer_rights, answer=PeerRights),
    Operation(
        "PUT",
        ONE + "/peer-rights",
        "manage",
        "Set what the partner may do here",
        set_peer_rights,
        body=RightsChange,
        answer=PeerRights,
        errors=("not_paired",),
    ),
    Operation(
        "POST",
        ONE + "/resources/{alias}/create-there",
        "edit",
        "Ask the other side to make a resource",
        create_there,
        answer=Asked,
        errors=("not_paired",),
    ),
    Operation(
        "GET",
        ONE + "/requests",
        "read",
        "What the other side was asked to make",
        list_requests,
        answer=Page[RequestRow],
    ),
)
