"""What a device has: tags, grants, publish-as patterns, and values that a person sets."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from connector import edit_queries
from connector.api.devices import DEVICE, GrantRow, provided, raise_refused
from connector.api.operations import ONE, Call, Operation
from connector.api.paging import Page
from connector.editing import Grant, Subject


class Tag(msgspec.Struct, forbid_unknown_fields=True):
    """A tag of a device."""

    name: str
    value: str


class NewGrant(msgspec.Struct, forbid_unknown_fields=True):
    """A permission to give: without `site_id` the subject is one of this site; `expires_ms` null for never."""

    kind: Literal["user", "group"]
    subject: str
    level: Literal["read", "write", "manage"]
    site_id: str = ""
    expires_ms: int | None = None


class GrantSubject(msgspec.Struct, forbid_unknown_fields=True):
    """Whose permission to take away."""

    kind: Literal["user", "group"]
    subject: str
    site_id: str = ""


class Pattern(msgspec.Struct, forbid_unknown_fields=True):
    """Identities that a gateway may report for; `*` is any run of characters."""

    pattern: str


class NewValue(msgspec.Struct, forbid_unknown_fields=True):
    """A value of the resource's format."""

    value: float | str | bool


async def add_tag(call: Call) -> None:
    """Add a tag to a device."""
    body = await call.body(Tag)
    with provided(call):
        raise_refused(
            await call.site.editing.add_tags(
                call.connector_id, [call.named("identity")], [(body.name, body.value)], who=call.principal.name
            )
        )


async def remove_tag(call: Call) -> None:
    """Take a tag from a device."""
    body = await call.body(Tag)
    with provided(call):
        raise_refused(
            await call.site.editing.remove_tags(
                call.connector_id, [call.named("identity")], [(body.name, body.value)], who=call.principal.name
            )
        )


def subject_of(call: Call, body: NewGrant | GrantSubject) -> Subject:
    """Return whom a grant is for; without a site it is somebody of this one."""
    return Subject(body.kind, body.subject.strip(), body.site_id or call.site.identity.site_id)


async def set_grant(call: Call) -> None:
    """Let a user or group do something with a device, in place of what it may do now."""
    body = await call.body(NewGrant)
    subject, grant = subject_of(call, body), Grant(body.level, body.expires_ms)
    with provided(call):
        raise_refused(
            await call.site.editing.set_grant(
                call.connector_id, [call.named("identity")], subject, grant, who=call.principal.name
            )
        )


async def remove_grant(call: Call) -> None:
    """Take a permission away."""
    subject = subject_of(call, await call.body(GrantSubject))
    with provided(call):
        raise_refused(
            await call.site.editing.remove_grant(
                call.connector_id, [call.named("identity")], subject, who=call.principal.name
            )
        )


async def list_grants_of_all(call: Call) -> Page[GrantRow]:
    """Return who may do what with all devices of the connector."""
    call.site.runtime(call.connector_id)
    rows = await call.site.database.read(lambda c: edit_queries.list_grants(c, call.connector_id, None))
    return Page([GrantRow.of(*row) for row in rows])


async def set_grant_of_all(call: Call) -> None:
    """Let a user or group do something with all devices of the connector."""
    body = await call.body(NewGrant)
    subject, grant = subject_of(call, body), Grant(body.level, body.expires_ms)
    await call.site.editing.set_grant(call.connector_id, None, subject, grant, who=call.principal.name)


async def remove_grant_of_all(call: Call) -> None:
    """Take a permission on all devices away; those on single devices stay."""
    subject = subject_of(call, await call.body(GrantSubject))
    await call.site.editing.remove_grant(call.connector_id, None, subject, who=call.principal.name)


async def add_publish_as(call: Call) -> None:
    """Let a gateway report for devices whose identity fits a pattern."""
    body = await call.body(Pattern)
    with provided(call):
        await call.site.editing.add_publish_as(
            call.connector_id, call.named("identity"), body.pattern, who=call.principal.name
        )


async def remove_publish_as(call: Call) -> None:
    """Take a publish-as pattern from a gateway."""
    body = await call.body(Pattern)
    with provided(call):
        await call.site.editing.remove_publish_as(
            call.connector_id, call.named("identity"), body.pattern, who=call.principal.name
        )


async def set_value(call: Call) -> None:
    """Set a value for a settable resource of a device; the source judges, and the change log shows its word."""
    body = await call.body(NewValue, _VALUE_BODY_BYTES_MAX)
    with provided(call):
        await call.site.editing.set_value(
            call.connector_id, call.named("identity"), call.named("alias"), body.value, who=call.principal.name
        )


# A text of 64 KiB with JSON's escapes.
_VALUE_BODY_BYTES_MAX: Final = 512 * 1024

OPERATIONS: Final = (
    Operation(
        "POST",
        DEVICE + "/tags",
        "edit",
        "Add a tag to a device",
        add_tag,
        body=Tag,
        errors=("too_many",),
    ),
    Operation("DELETE", DEVICE + "/tags", "edit", "Take a tag from a device", remove_tag, body=Tag, has_etag=True),
    Operation(
        "PUT",
        DEVICE + "/grants",
        "edit",
        "Give a permission on a device",
        set_grant,
        body=NewGrant,
        has_etag=True,
        errors=("too_many",),
    ),
    Operation(
        "DELETE",
        DEVICE + "/grants",
        "edit",
        "Take a permission on a device away",
        remove_grant,
        body=GrantSubject,
        has_etag=True,
    ),
    Operation(
        "POST",
        DEVICE + "/publish-as",
        "edit",
        "Let a gateway report for others",
        add_publish_as,
        body=Pattern,
        errors=("too_many",),
    ),
    Operation(
        "DELETE",
        DEVICE + "/publish-as",
        "edit",
        "Let a gateway no longer report for others",
        remove_publish_as,
        body=Pattern,
        has_etag=True,
    ),
    Operation(
        "PUT",
        DEVICE + "/values/{alias}",
        "edit",
        "Set a value on a device",
        set_value,
        body=NewValue,
        has_etag=True,
        errors=("unknown_resource", "not_settable", "wrong_format", "not_allowed", "value_too_large"),
    ),
    Operation(
        "GET",
        ONE + "/grants",
        "read",
        "Permissions on all devices",
        list_grants_of_all,
        answer=Page[GrantRow],
    ),
    Operation(
        "PUT",
        ONE + "/grants",
        "edit",
        "Give a permission on all devices",
        set_grant_of_all,
        body=NewGrant,
        errors=("too_many",),
    ),
    Operation(
        "DELETE",
        ONE + "/grants",
        "edit",
        "Take a permission on all devices away",
        remove_grant_of_all,
        body=GrantSubject,
    ),
)
