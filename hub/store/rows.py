"""The rows of the hub's store, as its users see them."""

from __future__ import annotations

from dataclasses import dataclass

from shared.certificates import PairCertificate
from shared.messages import HeldEpoch
from shared.sealing import Side


@dataclass(frozen=True, slots=True)
class Site:
    """An enrolled site. `certificate` is the packed, hub-signed enrolment; keys are 32 public bytes each."""

    site_id: str
    site_name: str
    hub_key: bytes
    identity_key: bytes
    certificate: bytes
    enrolled_ms: int
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An enrolment token, bound to a site name; only its SHA-256 is kept. `hint` is what a person may see of it."""

    token_id: str
    digest: bytes
    site_name: str
    hint: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A registered pair; `packed` is the certificate as both sites signed it."""

    certificate: PairCertificate
    packed: bytes
    registered_ms: int

    @property
    def pair_id(self) -> bytes:
        """The pair's ID."""
        return self.certificate.pair_id


@dataclass(frozen=True, slots=True)
class Backlog:
    """Copies that wait for the peer of `side`; each counts with its sealed body and HUB_COPY_ROW_BYTES."""

    pair_id: bytes
    side: Side
    copies_count: int
    stored_bytes: int
    oldest_ms: int | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Copies that the store let go by age or cap."""

    pair_id: bytes
    side: Side
    epochs: tuple[HeldEpoch, ...]


@dataclass(frozen=True, slots=True)
class User:
    """A person who may operate the hub; `password_hash` is argon2id."""

    user_name: str
    password_hash: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry of the append-only audit; `chain` is the SHA-256 over the entry before it and this one's contents."""

    number: int
    at_ms: int
    who: str
    where: str
    action: str
    what: str
    chain: bytes
