"""Things that tests of the hub need many of: sites with keys, certificates, copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.store.rows import Site
from shared.certificates import (
    Dissolution,
    Enrolment,
    PairCertificate,
    Parting,
    Party,
    new_key,
    pack,
    public_bytes,
    sign,
)
from shared.core.relay_effects import Copy
from shared.sealing import Header, Kind, Side

HUB_KEY = new_key()


@dataclass(frozen=True)
class TestSite:
    """A site as it would be: a name, a UUID and two keys."""

    __test__ = False

    name: str
    site_id: str = field(default_factory=lambda: str(uuid4()))
    hub_key: Ed25519PrivateKey = field(default_factory=new_key)
    identity_key: Ed25519PrivateKey = field(default_factory=new_key)

    def row(self, hub_key: Ed25519PrivateKey = HUB_KEY, enrolled_ms: int = 1_000) -> Site:
        """The row a hub would store."""
        keys = (public_bytes(self.hub_key), public_bytes(self.identity_key))
        enrolment = Enrolment(self.site_id, self.name, *keys, enrolled_ms)
        packed = pack(enrolment, [sign(hub_key, enrolment)])
        return Site(self.site_id, self.name, *keys, packed, enrolled_ms)

    def party(self, connector_id: str) -> Party:
        """This site's side of a pair."""
        return Party(self.site_id, self.name, connector_id, public_bytes(self.identity_key))


@dataclass(frozen=True)
class TestPair:
    """A pair that both sites signed."""

    __test__ = False

    source: TestSite
    target: TestSite
    pair_id: bytes = b"p" * 16
    source_connector: str = "SRC1-SRC1"
    target_connector: str = "TGT1-TGT1"

    @property
    def certificate(self) -> PairCertificate:
        """The certificate's contents."""
        return PairCertificate(
            self.pair_id,
            self.source.party(self.source_connector),
            self.target.party(self.target_connector),
            b"w" * 16,
            b"t" * 32,
        )

    @property
    def packed(self) -> bytes:
        """The certificate with both signatures."""
        signers = (self.source.identity_key, self.target.identity_key)
        return pack(self.certificate, [sign(key, self.certificate) for key in signers])

    @property
    def dissolution(self) -> bytes:
        """The source's word that the pair is off."""
        dissolution = Dissolution(self.pair_id, "rolled_back")
        return pack(dissolution, [sign(self.source.identity_key, dissolution)])

    def parting(self, *signers: TestSite, part_id: bytes = b"q" * 16) -> bytes:
        """The word that both sides part; signed by others where they are named."""
        parting = Parting(self.pair_id, part_id)
        return pack(parting, [sign(site.identity_key, parting) for site in signers or (self.source, self.target)])


def make_copy(
    number: int,
    *,
    side: Side = Side.SOURCE,
    kind: Kind = Kind.SEGMENT,
    epoch: int = 2**64 - 3,
    body: bytes = b"b" * 50,
    arrived_ms: int = 1_000,
    pair_id: bytes = b"p" * 16,
    nonce: bytes = b"n" * 12,
) -> Copy:
    """A copy as it arrives."""
    header = Header(1, kind, side, pair_id, 1, 1, epoch, number, 1_000, 1, nonce)
    return Copy(side, kind, epoch, number, arrived_ms, header.pack(), body)
