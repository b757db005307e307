"""Keys that on request seal what nobody can read."""

from __future__ import annotations

from shared.sealing import Kind, PairKeys


class SpoilingKeys(PairKeys):
    """Keys that on request seal a segment whose contents nobody can read: genuine, yet undecodable."""

    spoil: int = 0
    spoiled: list[bytes]

    def seal(  # the signature of the parent, passed on
        self,
        kind: Kind,
        body: bytes,
        *,
        epoch: int,
        number: int,
        accepted_ms: int,
        count: int,
        nonce: bytes,
        associated: bytes = b"",
    ) -> tuple[bytes, bytes]:
        if kind is Kind.SEGMENT and self.spoil and count:
            self.spoil -= 1
            self.spoiled.append(body)
            body = b"nobody can read this"
        return super().seal(
            kind,
            body,
            epoch=epoch,
            number=number,
            accepted_ms=accepted_ms,
            count=count,
            nonce=nonce,
            associated=associated,
        )
