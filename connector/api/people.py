"""Who may ask: the asker himself, API keys, and the audit log."""

from __future__ import annotations

from typing import Final

import msgspec

from connector import people
from connector.access import ACTIONS, authorize
from connector.api.operations import Call, Operation
from connector.api.paging import Page, after_of, cursor, limit_of, paged
from connector.people import KeyRow
from shared.errors import Refused

_EXPIRES_DAYS_MAX: Final = 3_660


class Asker(msgspec.Struct, frozen=True):
    """Who asks, and what he may do: `kind` is user or api_key; `role` is a person's, empty for a key."""

    name: str
    kind: str
    role: str
    actions: list[str]


class Key(msgspec.Struct, frozen=True):
    """An API key without its secret; `hint` are its first and last characters. Times are ms since 1970."""

    key_id: str
    name: str
    hint: str
    scopes: list[str]
    created_ms: int
    expires_ms: int | None
    used_ms: int | None
    connector_id: str | None
    device: str | None

    @classmethod
    def of(cls, row: KeyRow) -> Key:
        """Make it of a stored key."""
        key = row.key
        return cls(
            key.key_id,
            key.name,
            key.hint,
            sorted(key.scopes),
            key.created_ms,
            key.expires_ms,
            row.used_ms,
            key.connector_id,
            key.device,
        )


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A key to make; without `expires_days` it ends only when it is revoked. `device` of `connector_id` binds it."""

    name: str
    expires_days: int | None = None
    scopes: list[str] | None = None
    connector_id: str | None = None
    device: str | None = None


class Secret(msgspec.Struct, frozen=True):
    """The secret of a new key: nobody can ask for it again."""

    secret: str


class AuditLine(msgspec.Struct, frozen=True):
    """Who did what, when, and from which address."""

    audit_id: int
    at_ms: int
    who: str
    what: str
    origin: str
    detail: str


async def get_asker(call: Call) -> Asker:
    """Return who asks, and which actions he may do."""
    who = call.principal
    return Asker(who.name, who.kind.value, who.role, [action for action in ACTIONS if authorize(who, action)])


async def list_keys(call: Call) -> Page[Key]:
    """Return the keys that are not revoked, by ID."""
    limit, after = limit_of(call), after_of(call, str) or ""
    present = call.access.keys()
    rows = sorted((Key.of(row) for row in present), key=lambda key: key.key_id)
    rest = [key for key in rows if key.key_id > after]
    return Page(rest[:limit], cursor(call, rest[limit - 1].key_id) if len(rest) > limit else None)


async def create_key(call: Call) -> Secret:
    """Make an API key and return its secret, the only time."""
    body = await call.body(NewKey)
    if body.expires_days is not None and not 1 <= body.expires_days <= _EXPIRES_DAYS_MAX:
        raise Refused("invalid", what="expires_days", why=f"it takes 1 to {_EXPIRES_DAYS_MAX}, or null")
    scopes = None if body.scopes is None else frozenset(body.scopes)
    return Secret(
        await call.access.create_key(
            body.name, body.expires_days, scopes, connector_id=body.connector_id, device=body.device
        )
    )


async def revoke_key(call: Call) -> None:
    """Close a key for good; programs that use it are refused from here on."""
    key_id = call.named("key_id")
    present = call.access.keys()
    if all(row.key.key_id != key_id for row in present):
        raise Refused("not_found", what="API key")
    await call.access.revoke_key(key_id)


async def list_audit(call: Call) -> Page[AuditLine]:
    """Return the audit log, newest first."""
    limit, before_id = limit_of(call), after_of(call, int)
    found = await call.site.database.read(lambda c: people.audit_page(c, before_id, limit + 1))
    rows = [AuditLine(*row) for row in found[:limit]]
    return Page(rows, cursor(call, rows[-1].audit_id) if len(found) > limit else None)


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/me", "read", "Who asks, and what he may do", get_asker, answer=Asker),
    Operation("GET", "/keys", "manage", "API keys", list_keys, query=paged(), answer=Page[Key]),
    Operation(
        "POST",
        "/keys",
        "manage",
        "Make an API key",
        create_key,
        body=NewKey,
        answer=Secret,
        errors=("exists", "not_found"),
    ),
    Operation("DELETE", "/keys/{key_id}", "manage", "Revoke an API key", revoke_key, errors=("not_found",)),
    Operation(
        "GET", "/audit", "audit", "The audit log, newest first", list_audit, query=paged(), answer=Page[AuditLine]
    ),
)
