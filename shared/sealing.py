"""Sealing of all that passes between two connectors (SECURITY, keys; docs/protocol.md, sealing).

AES-256-GCM-SIV (RFC 8452) with random nonces and the whole header as associated data. Keys come from the pair's root
secret by HKDF (RFC 5869) per generation, direction, kind and day, so the key in use changes daily by derivation alone.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.errors import ProtocolError, SealBroken
from shared.limits import DAY_MS, NUMBER_EXACT_MAX, SEALED_NUMBER_MAX

SEAL_VERSION: Final = 1
NONCE_BYTES: Final = 12
ROOT_BYTES: Final = 32
_KEYS_CACHED_MAX: Final = 64  # per pair: 4 kinds x 2 directions x a few days


class Side(IntEnum):
    """The two ends of a pair; in a header, the one that sealed."""

    SOURCE = 0
    TARGET = 1

    @property
    def other(self) -> Side:
        """The opposite end."""
        return Side.TARGET if self is Side.SOURCE else Side.SOURCE

    @property
    def word(self) -> str:
        """The word of the glossary: `source` or `target`."""
        return self.name.lower()


class Kind(IntEnum):
    """What a sealed body is; each kind has keys of its own."""

    SEGMENT = 0
    CONTROL = 1
    CALL = 2
    STATEMENT = 3


_CALL: Final = bytes([Kind.CALL])
_HEADER = struct.Struct(">BBB16sHHQQQI12s")
HEADER_BYTES: Final = _HEADER.size


class Header(msgspec.Struct, frozen=True):
    """The readable, authenticated head of sealed bytes.

    `epoch` and `number` name a segment or control entry; for calls they are the request's id and 0 (request) or 1
    (answer); for statements the destination's start and its counter. `accepted_ms` is the newest acceptance inside,
    in ms since 1970; `count` the readings inside (0 where it is none).
    """

    version: int
    kind: int
    side: int
    pair_id: bytes
    generation: int
    key_day: int
    epoch: int
    number: int
    accepted_ms: int
    count: int
    nonce: bytes

    def pack(self) -> bytes:
        """Return the HEADER_BYTES bytes of this header."""
        return _HEADER.pack(
            self.version,
            self.kind,
            self.side,
            self.pair_id,
            self.generation,
            self.key_day,
            self.epoch,
            self.number,
            self.accepted_ms,
            self.count,
            self.nonce,
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Header:
        """Read a header; raises ProtocolError where length, version, kind or side is not known, or a number too large."""
        if len(packed) != HEADER_BYTES:
            raise ProtocolError("sealed header of a wrong length", 1007)
        header = cls(*_HEADER.unpack(packed))
        if header.version != SEAL_VERSION or header.kind > Kind.STATEMENT or header.side > Side.TARGET:
            raise ProtocolError("sealed header of an unknown version, kind or side", 1007)
        # The ID of a call is any 64 bits, and kept nowhere.
        highest = 0 if header.kind == Kind.CALL else max(header.epoch, header.number)
        if highest > SEALED_NUMBER_MAX or header.accepted_ms > NUMBER_EXACT_MAX:
            raise ProtocolError("sealed header with a number out of range", 1007)
        return header


def is_call(packed: bytes) -> bool:
    """Whether a packed header is that of a call or its answer, as far as it can be told without reading it."""
    return packed[1:2] == _CALL


class PairKeys:
    """Seals and opens for one side of one pair. Holds the root secrets of the generations it was given."""

    def __init__(self, pair_id: bytes, side: Side, roots: dict[int, bytes]) -> None:
        """`roots` maps generation (1, 2, ...) to ROOT_BYTES secret bytes; the highest is used for sealing."""
        self.pair_id = pair_id
        self.side = side
        self._roots = dict(roots)
        self._ciphers: dict[tuple[int, int, int, int], AESGCMSIV] = {}

    @property
    def generation(self) -> int:
        """The generation used for sealing."""
        return max(self._roots)

    def seal(
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
        """Return (packed header, sealed body). `nonce` is NONCE_BYTES random bytes; `associated` is bound but not sealed."""
        header = Header(
            SEAL_VERSION,
            kind,
            self.side,
            self.pair_id,
            self.generation,
            max(0, accepted_ms) // DAY_MS,
            epoch,
            number,
            accepted_ms,
            count,
            nonce,
        )
        packed = header.pack()
        cipher = self._cipher(header.generation, header.side, header.kind, header.key_day)
        return packed, cipher.encrypt(nonce, body, packed + associated)

    def open(
        self, kind: Kind, packed: bytes, sealed: bytes, *, associated: bytes = b"", own: bool = False
    ) -> tuple[Header, bytes]:
        """Return (header, body) of what the peer sealed (with `own`: what this side sealed).

        Raises SealBroken where pair, side, kind, generation or seal do not fit; nothing in it may be believed then.
        """
        try:
            header = Header.unpack(packed)
        except ProtocolError as error:
            raise SealBroken(str(error)) from error
        side = self.side if own else self.side.other
        if header.pair_id != self.pair_id or header.side != side or header.kind != kind:
            raise SealBroken("sealed for another pair, side or kind")
        if header.generation not in self._roots:
            raise SealBroken(f"unknown generation {header.generation}")
        cipher = self._cipher(header.generation, header.side, header.kind, header.key_day)
        try:
            return header, cipher.decrypt(header.nonce, sealed, packed + associated)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the seal does not fit") from error

    def _cipher(self, generation: int, side: int, kind: int, day: int) -> AESGCMSIV:
        key = (generation, side, kind, day)
        cipher = self._ciphers.get(key)
        if cipher is None:
            info = b"pairhub seal 1" + self.pair_id + struct.pack(">HBBH", *key)
            derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._roots[generation])
            if len(self._ciphers) >= _KEYS_CACHED_MAX:
                self._ciphers.clear()
            cipher = self._ciphers[key] = AESGCMSIV(derived)
        return cipher
