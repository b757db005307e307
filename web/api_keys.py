"""API keys for programs: scoped, expiring, shown once, stored as a hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from web import tokens

API_KEY_PREFIX = "phk_"


class KeyRefusal(StrEnum):
    """Why a key does not open the door. Answer the first three alike (401), the last with 403."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    OUT_OF_SCOPE = "out_of_scope"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: no secret in it. `hint` is what a page may show."""

    key_id: str
    name: str
    secret_hash: bytes
    hint: str
    scopes: frozenset[str]
    created_ms: int
    expires_ms: int | None = None
    is_revoked: bool = False
    connector_id: str | None = None
    device: str | None = None
    """The device that the key is bound to, in its connector; `None` for an operator's program."""


def make_api_key(
    *,
    key_id: str,
    name: str,
    scopes: frozenset[str],
    random_bytes: bytes,
    now_ms: int,
    expires_ms: int | None = None,
    connector_id: str | None = None,
    device: str | None = None,
) -> tuple[str, ApiKey]:
    """Return the secret, to be shown once, and the key to store. `random_bytes` are 32 fresh ones."""
    secret = tokens.make_token(API_KEY_PREFIX, random_bytes)
    hint = tokens.hint(secret, API_KEY_PREFIX)
    secret_hash = tokens.hash_token(secret)
    key = ApiKey(key_id, name, secret_hash, hint, scopes, now_ms, expires_ms, connector_id=connector_id, device=device)
    return secret, key


def presented_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of an `Authorization: Bearer phk_...` header; `None` where there is no such header."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def lookup_hash(secret: str) -> bytes | None:
    """Return the hash to look a presented key up by; `None` where it cannot be a key (a typo, or something else)."""
    return tokens.hash_token(secret) if tokens.is_well_formed(API_KEY_PREFIX, secret) else None


def is_over(key: ApiKey, now_ms: int) -> bool:
    """Tell whether a key opens no door any more."""
    return key.is_revoked or (key.expires_ms is not None and now_ms >= key.expires_ms)


def refusal(secret: str, key: ApiKey | None, scope: str, now_ms: int) -> KeyRefusal | None:
    """Judge a presented key against the stored one found by its hash; `None` means it may pass."""
    if lookup_hash(secret) is None:
        return KeyRefusal.MALFORMED
    if key is None or key.is_revoked or not tokens.matches(secret, key.secret_hash):
        return KeyRefusal.UNKNOWN
    if key.expires_ms is not None and now_ms >= key.expires_ms:
        return KeyRefusal.EXPIRED
    return None if scope in key.scopes else KeyRefusal.OUT_OF_SCOPE
