"""Signed statements that outlive connections (DESIGN section 7): who enrolled, who is paired, who gave up.

Each is MessagePack of [body, signatures]; signatures are Ed25519 (RFC 8032) over a label and the body bytes, so that
one kind of statement can never be taken for another.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.errors import Refused
from shared.foreign import read_packed
from shared.sealing import Side


class Enrolment(msgspec.Struct, frozen=True, array_like=True):
    """What a hub certifies about a site: its UUID, unique name, hub key and identity key (32 bytes each)."""

    site_id: str
    site_name: str
    hub_key: bytes
    identity_key: bytes
    enrolled_ms: int


class Party(msgspec.Struct, frozen=True, array_like=True):
    """One side of a pair."""

    site_id: str
    site_name: str
    connector_id: str
    identity_key: bytes


class PairCertificate(msgspec.Struct, frozen=True, array_like=True):
    """What both sites sign when they pair. `transcript` is the SHA-256 of the whole pairing exchange (SECURITY, pairing)."""

    pair_id: bytes
    source: Party
    target: Party
    window_id: bytes
    transcript: bytes

    def party(self, side: Side) -> Party:
        """Return one of its two ends."""
        return self.source if side is Side.SOURCE else self.target


class Dissolution(msgspec.Struct, frozen=True, array_like=True):
    """The source's signed word that a pending pair was rolled back, with the reason's code (64 characters at most)."""

    pair_id: bytes
    reason: str


class Parting(msgspec.Struct, frozen=True, array_like=True):
    """What both sides sign when they part on purpose (G16). `part_id` is a random 16 bytes of the side that asked."""

    pair_id: bytes
    part_id: bytes


Certified = Enrolment | PairCertificate | Dissolution | Parting
_LABELS: Final[dict[type, bytes]] = {
    Enrolment: b"pairhub enrolment 1\0",
    PairCertificate: b"pairhub pair 1\0",
    Dissolution: b"pairhub dissolution 1\0",
    Parting: b"pairhub parting 1\0",
}
_ID_BYTES: Final = 16
_HASH_BYTES: Final = 32
_REASON_CHARS_MAX: Final = 64
T = TypeVar("T", Enrolment, PairCertificate, Dissolution, Parting)


class _Signed(msgspec.Struct, frozen=True, array_like=True):
    body: bytes
    signatures: list[bytes]


def new_key() -> Ed25519PrivateKey:
    """Make a fresh Ed25519 key."""
    return Ed25519PrivateKey.generate()


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 public bytes of a key."""
    return key.public_key().public_bytes_raw()


def body_bytes(statement: Certified) -> bytes:
    """The very bytes that are signed for a statement (without the label)."""
    return msgspec.msgpack.encode(statement)


def sign(key: Ed25519PrivateKey, statement: Certified) -> bytes:
    """Return one 64-byte signature of a statement."""
    return key.sign(_LABELS[type(statement)] + body_bytes(statement))


def verify(public: bytes, signature: bytes, statement: Certified) -> bool:
    """Tell whether a signature by the key with these 32 public bytes fits the statement."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _LABELS[type(statement)] + body_bytes(statement))
    except (InvalidSignature, ValueError):
        return False
    return True


def pack(statement: Certified, signatures: list[bytes]) -> bytes:
    """Return a statement with its signatures, to be shown to others (pairs: the source's first, then the target's)."""
    return msgspec.msgpack.encode(_Signed(body_bytes(statement), signatures))


def unpack(kind: type[T], packed: bytes) -> tuple[T, list[bytes]]:
    """Read a packed statement without checking it; raises Refused('certificate_refused') where it is malformed."""
    try:
        signed = read_packed(msgspec.msgpack.Decoder(_Signed), packed)
        return read_packed(msgspec.msgpack.Decoder(kind), signed.body), signed.signatures
    except msgspec.DecodeError as error:
        raise Refused("certificate_refused", why="it is malformed") from error


def _check_shape(packed: bytes, statement: Certified, signatures: list[bytes], *ids: bytes) -> None:
    """Raise Refused('certificate_refused') unless nothing stands beside what was signed, and its IDs are IDs.

    Others keep these bytes: what signatures leave open, somebody would fill.
    """
    if packed != pack(statement, signatures) or any(len(one) != _ID_BYTES for one in ids):
        raise Refused("certificate_refused", why="it is malformed")


def read_enrolment(packed: bytes, hub_public: bytes) -> Enrolment:
    """Return an enrolment that this hub signed; raises Refused('certificate_refused') otherwise."""
    enrolment, signatures = unpack(Enrolment, packed)
    if len(signatures) != 1 or not verify(hub_public, signatures[0], enrolment):
        raise Refused("certificate_refused", why="it was not signed by this hub")
    _check_shape(packed, enrolment, signatures)
    return enrolment


def read_pair(packed: bytes) -> PairCertificate:
    """Return a pair certificate that both named identity keys signed; raises Refused('certificate_refused') otherwise."""
    certificate, signatures = unpack(PairCertificate, packed)
    parties = (certificate.source, certificate.target)
    if len(signatures) != 2 or not all(
        verify(party.identity_key, signature, certificate) for party, signature in zip(parties, signatures, strict=True)
    ):
        raise Refused("certificate_refused", why="both sites have to sign it")
    _check_shape(packed, certificate, signatures, certificate.pair_id, certificate.window_id)
    if len(certificate.transcript) != _HASH_BYTES:
        raise Refused("certificate_refused", why="it is malformed")
    return certificate


def read_dissolution(packed: bytes, source_identity_key: bytes) -> Dissolution:
    """Return a dissolution signed by the source's identity key; raises Refused('certificate_refused') otherwise."""
    dissolution, signatures = unpack(Dissolution, packed)
    if len(signatures) != 1 or not verify(source_identity_key, signatures[0], dissolution):
        raise Refused("certificate_refused", why="it was not signed by the source")
    _check_shape(packed, dissolution, signatures, dissolution.pair_id)
    if len(dissolution.reason) > _REASON_CHARS_MAX:
        raise Refused("certificate_refused", why="its reason is too long")
    return dissolution


def read_parting(packed: bytes, certificate: PairCertificate) -> Parting:
    """Return a parting of this very pair that both its sides signed; raises Refused('certificate_refused') otherwise."""
    parting, signatures = unpack(Parting, packed)
    if parting.pair_id != certificate.pair_id:
        raise Refused("certificate_refused", why="it is about another pair")
    keys = (certificate.source.identity_key, certificate.target.identity_key)
    if len(signatures) != 2 or not all(verify(*each, parting) for each in zip(keys, signatures, strict=True)):
        raise Refused("certificate_refused", why="both sites have to sign it")
    _check_shape(packed, parting, signatures, parting.pair_id, parting.part_id)
    return parting
