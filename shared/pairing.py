"""The pairing exchange (SECURITY, pairing; docs/protocol.md, pairing): SPAKE2 bound to identities, confirmed and signed.

Four messages through a hub that is not trusted: offer (target), counter (source), proof (target), completion (source).
Nobody but the two ends learns the code or the secret; whoever changes any byte on the way makes both ends refuse.
The machines are pure: randomness is an argument, storage and attempts are the caller's business.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from shared.certificates import PairCertificate, Party, pack, sign, verify
from shared.errors import Refused
from shared.foreign import read_packed
from shared.names import fingerprint
from shared.sealing import ROOT_BYTES

SUITE: Final = "spake2-ed25519-sha256-1"
_NONCE_BYTES: Final = 16
Chance = Callable[[int], bytes]


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """Target's first message."""

    suite: str
    target: Party
    nonce: bytes
    share: bytes


class Counter(msgspec.Struct, frozen=True, array_like=True):
    """Source's answer. `expires_ms` is the window's end by the source's own clock."""

    suite: str
    source: Party
    window_id: bytes
    expires_ms: int
    nonce: bytes
    share: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """Key confirmation and the signature of the pair certificate; the target's comes first, then the source's."""

    confirmation: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both ends hold after a pairing: the pair's ID, first root secret, certificate (packed) and fingerprint."""

    pair_id: bytes
    root: bytes
    certificate: bytes
    fingerprint: str
    source: Party
    target: Party


M = TypeVar("M", Offer, Counter, Proof)


class TargetPairing:
    """The target's side of one claim: `offer()`, then `on_counter`, then `on_completion`."""

    def __init__(
        self, *, me: Party, key: Ed25519PrivateKey, code: str, source_site: str, source_connector: str, chance: Chance
    ) -> None:
        """`code` is the 8 plain symbols (shared.names.read_code); source_* are what the person typed."""
        self._me = me
        self._key = key
        self._source_site = source_site
        self._source_connector = source_connector
        self._spake = SPAKE2_A(
            code.encode(), idA=b"pairhub target 1", idB=_source_id(source_site, source_connector), entropy_f=chance
        )
        self._offer = Offer(SUITE, me, chance(_NONCE_BYTES), self._spake.start())
        self._secrets: _Secrets | None = None

    def offer(self) -> bytes:
        """Return the first message."""
        return msgspec.msgpack.encode(self._offer)

    def on_counter(self, body: bytes) -> bytes:
        """Take the source's answer, return the proof; raises Refused('pairing_forged')."""
        counter = _read(body, Counter)
        source = counter.source
        if (
            counter.suite != SUITE
            or source.site_name != self._source_site
            or source.connector_id != self._source_connector
        ):
            raise Refused("pairing_forged")
        if (source.site_id, source.connector_id) == (self._me.site_id, self._me.connector_id):
            raise Refused("same_connector")
        self._secrets = _derive(_finish(self._spake, counter.share), self._offer, counter)
        return _prove(self._secrets, b"target", self._key)

    def on_completion(self, body: bytes) -> Agreed:
        """Take the source's proof, return what was agreed; raises Refused('pairing_forged')."""
        if self._secrets is None:
            raise Refused("pairing_forged")
        proof = _check(body, self._secrets, b"source", self._secrets.certificate.source)
        mine = sign(self._key, self._secrets.certificate)
        return self._secrets.agreed([proof.signature, mine])


class SourcePairing:
    """The source's side of one claim: `on_offer` (count the attempt on disk before sending its answer), then `on_proof`."""

    def __init__(
        self, *, me: Party, key: Ed25519PrivateKey, code: str, window_id: bytes, expires_ms: int, chance: Chance
    ) -> None:
        """`code` is the 8 plain symbols; window ID and expiry are the source's own."""
        self._me = me
        self._key = key
        self._window_id = window_id
        self._expires_ms = expires_ms
        self._chance = chance
        self._spake = SPAKE2_B(
            code.encode(), idA=b"pairhub target 1", idB=_source_id(me.site_name, me.connector_id), entropy_f=chance
        )
        self._secrets: _Secrets | None = None

    def on_offer(self, body: bytes) -> bytes:
        """Take the target's offer, return the counter; raises Refused('pairing_forged', 'same_connector')."""
        offer = _read(body, Offer)
        if offer.suite != SUITE:
            raise Refused("pairing_forged")
        if (offer.target.site_id, offer.target.connector_id) == (self._me.site_id, self._me.connector_id):
            raise Refused("same_connector")
        counter = Counter(
            SUITE, self._me, self._window_id, self._expires_ms, self._chance(_NONCE_BYTES), self._spake.start()
        )
        self._secrets = _derive(_finish(self._spake, offer.share), offer, counter)
        return msgspec.msgpack.encode(counter)

    @property
    def claimant(self) -> Party | None:
        """Who claims, as they say; proven only once `on_proof` has returned."""
        return self._secrets.certificate.target if self._secrets else None

    def on_proof(self, body: bytes) -> tuple[bytes, Agreed]:
        """Take the target's proof, return (completion to send, what was agreed); raises Refused('wrong_code')."""
        if self._secrets is None:
            raise Refused("pairing_forged")
        proof = _check(body, self._secrets, b"target", self._secrets.certificate.target, code="wrong_code")
        mine = sign(self._key, self._secrets.certificate)
        return _prove(self._secrets, b"source", self._key), self._secrets.agreed([mine, proof.signature])


@dataclass(frozen=True, slots=True)
class _Secrets:
    certificate: PairCertificate
    root: bytes
    confirming: dict[bytes, bytes]

    def agreed(self, signatures: list[bytes]) -> Agreed:
        certificate = self.certificate
        shown = certificate.pair_id + certificate.source.identity_key + certificate.target.identity_key
        return Agreed(
            certificate.pair_id,
            self.root,
            pack(certificate, signatures),
            fingerprint(shown),
            certificate.source,
            certificate.target,
        )


def _source_id(site_name: str, connector_id: str) -> bytes:
    return b"pairhub source 1\0" + site_name.encode() + b"\0" + connector_id.encode()


def _read(body: bytes, kind: type[M]) -> M:
    try:
        return read_packed(msgspec.msgpack.Decoder(kind), body)
    except msgspec.DecodeError as error:
        raise Refused("pairing_forged") from error


def _finish(spake: SPAKE2_A | SPAKE2_B, share: bytes) -> bytes:
    try:
        return bytes(spake.finish(share))
    except (SPAKEError, NotOnCurve, ValueError, AssertionError, IndexError) as error:
        raise Refused("pairing_forged") from error


def _derive(shared_key: bytes, offer: Offer, counter: Counter) -> _Secrets:
    """Derive everything from the SPAKE2 key and a hash of the whole exchange (window, expiry, parties, nonces, shares)."""
    transcript = sha256(msgspec.msgpack.encode([SUITE, offer, counter])).digest()

    def expand(label: bytes, length: int) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=transcript, info=b"pairhub pairing 1 " + label).derive(
            shared_key
        )

    # The ID names the pair to the hub, so it must not be a secret's neighbour: HKDF outputs are independent.
    certificate = PairCertificate(expand(b"id", 16), counter.source, offer.target, counter.window_id, transcript)
    confirming = {role: expand(b"confirm " + role, 32) for role in (b"source", b"target")}
    return _Secrets(certificate, expand(b"root", ROOT_BYTES), confirming)


def _prove(secrets: _Secrets, role: bytes, key: Ed25519PrivateKey) -> bytes:
    confirmation = hmac.digest(secrets.confirming[role], secrets.certificate.transcript, sha256)
    return msgspec.msgpack.encode(Proof(confirmation, sign(key, secrets.certificate)))


def _check(body: bytes, secrets: _Secrets, role: bytes, party: Party, code: str = "pairing_forged") -> Proof:
    proof = _read(body, Proof)
    expected = hmac.digest(secrets.confirming[role], secrets.certificate.transcript, sha256)
    if not hmac.compare_digest(proof.confirmation, expected):
        raise Refused(code)
    if not verify(party.identity_key, proof.signature, secrets.certificate):
        raise Refused("pairing_forged")
    return proof
