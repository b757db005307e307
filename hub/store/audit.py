"""The chain of the audit: each entry's digest covers the one before, so that none can be changed or left out."""

from __future__ import annotations

from hashlib import sha256

import msgspec


def chain_digest(before: bytes, at_ms: int, who: str, where: str, action: str, what: str) -> bytes:
    """Return the digest of an entry that follows one with digest `before` (SHA-256 of nothing for the first)."""
    return sha256(before + msgspec.msgpack.encode((at_ms, who, where, action, what))).digest()
