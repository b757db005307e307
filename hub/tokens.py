"""Making enrolment tokens, for the operator's page and for the API."""

from __future__ import annotations

import secrets

import msgspec

from hub.hub import Hub
from hub.requests import site_name_of
from hub.store.rows import Token
from shared.joining import make_enrolment_token, token_digest
from shared.limits import ENROLMENT_TOKEN_LIFE_MS


class NewToken(msgspec.Struct, frozen=True):
    """A token just made, to be seen once."""

    token: str
    site_name: str
    expires_ms: int


async def make_site_token(hub: Hub, site_name: str, *, who: str, where: str) -> NewToken:
    """Make an enrolment token for a site name; raises Refused, StorageFailed."""
    name = site_name_of(site_name)
    token = make_enrolment_token(secrets.token_bytes(16))
    digest = token_digest(token)
    assert digest is not None
    now_ms = hub.wall_ms()
    hint = f"{token[:8]}…{token[-4:]}"
    row = Token(secrets.token_hex(8), digest, name, hint, now_ms, now_ms + ENROLMENT_TOKEN_LIFE_MS)
    await hub.store.add_token(row)
    await hub.store.add_audit(at_ms=now_ms, who=who, where=where, action="token.make", what=f"for site '{name}'")
    hub.on_change()
    return NewToken(token, name, row.expires_ms)
