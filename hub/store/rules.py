"""Decisions that every store makes inside its transactions, on rows it has just read."""

from __future__ import annotations

from typing import Final

from hub.store.rows import Site, Token
from shared.errors import Refused

# Partings that one site told and that are remembered: people part now and then; thousands would be an attack on the
# disk. By who told it, which the link proves; for the other side of a pair anybody can sign whose site no hub knows.
PARTINGS_PER_SITE_MAX: Final = 1_000


def check_known_site(site: Site, *, same_id: Site | None, same_name: Site | None) -> Site | None:
    """Return the stored row where `site` is that very site, None where it is new; raises Refused where they clash."""
    if same_id is not None and same_id.revoked_ms is not None:
        raise Refused("site_revoked")
    if same_name is not None and same_name.site_id != site.site_id:
        raise Refused("site_name_taken", name=site.site_name)
    if same_id is None:
        return None
    if (same_id.hub_key, same_id.identity_key) != (site.hub_key, site.identity_key):
        raise Refused("certificate_refused", why="this site ID is enrolled with other keys")
    if same_id.site_name != site.site_name:
        raise Refused("certificate_refused", why=f"this site is enrolled under the name '{same_id.site_name}'")
    return same_id


def check_token(token: Token | None, site_name: str, *, now_ms: int) -> Token:
    """Return a token that may be used now for this site name; raises Refused otherwise."""
    if token is None:
        raise Refused("token_unknown")
    if token.used_ms is not None:
        raise Refused("token_used")
    if token.expires_ms <= now_ms:
        raise Refused("token_expired")
    if token.site_name != site_name:
        raise Refused("token_other_site", expected=token.site_name)
    return token
