"""Seals: only the peer's very bytes open, whatever is changed."""

from __future__ import annotations

import random

import pytest

from shared.errors import ProtocolError, SealBroken
from shared.limits import DAY_MS
from shared.sealing import HEADER_BYTES, Header, Kind, PairKeys, Side

PAIR, ROOT = b"p" * 16, b"r" * 32
SOURCE, TARGET = PairKeys(PAIR, Side.SOURCE, {1: ROOT}), PairKeys(PAIR, Side.TARGET, {1: ROOT})


def seal(
    keys: PairKeys = SOURCE,
    kind: Kind = Kind.SEGMENT,
    body: bytes = b"body",
    *,
    at_ms: int = 5 * DAY_MS,
    nonce: int = 1,
) -> tuple[bytes, bytes]:
    return keys.seal(kind, body, epoch=7, number=3, accepted_ms=at_ms, count=9, nonce=nonce.to_bytes(12, "big"))


def test_the_peer_opens_what_was_sealed_and_reads_the_header() -> None:
    packed, sealed = seal()
    header, body = TARGET.open(Kind.SEGMENT, packed, sealed)
    assert body == b"body"
    assert (header.epoch, header.number, header.accepted_ms, header.count) == (7, 3, 5 * DAY_MS, 9)
    assert len(packed) == HEADER_BYTES
    assert Header.unpack(packed) == header


def test_a_side_opens_its_own_only_when_it_says_so() -> None:
    packed, sealed = seal()
    assert SOURCE.open(Kind.SEGMENT, packed, sealed, own=True)[1] == b"body"
    with pytest.raises(SealBroken):
        SOURCE.open(Kind.SEGMENT, packed, sealed)


def test_any_changed_bit_of_header_body_or_associated_data_is_refused() -> None:
    packed, sealed = SOURCE.seal(
        Kind.STATEMENT, b"body", epoch=1, number=1, accepted_ms=0, count=0, nonce=b"n" * 12, associated=b"public"
    )
    whole = packed + sealed + b"public"
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << (bit % 8)
        head, body, public = changed[:HEADER_BYTES], changed[HEADER_BYTES : -len(b"public")], changed[-len(b"public") :]
        with pytest.raises(SealBroken):
            TARGET.open(Kind.STATEMENT, bytes(head), bytes(body), associated=bytes(public))


@pytest.mark.parametrize("cut", [0, 1, 15, 19])
def test_a_body_that_was_cut_is_refused(cut: int) -> None:
    packed, sealed = seal()
    with pytest.raises(SealBroken):
        TARGET.open(Kind.SEGMENT, packed, sealed[:cut])


def test_another_kind_pair_side_or_root_is_refused() -> None:
    packed, sealed = seal()
    strangers = [PairKeys(b"q" * 16, Side.TARGET, {1: ROOT}), PairKeys(PAIR, Side.TARGET, {1: b"s" * 32})]
    for keys in strangers:
        with pytest.raises(SealBroken):
            keys.open(Kind.SEGMENT, packed, sealed)
    with pytest.raises(SealBroken):
        TARGET.open(Kind.CONTROL, packed, sealed)
    with pytest.raises(SealBroken):
        TARGET.open(Kind.SEGMENT, *seal(TARGET))


def test_a_later_generation_seals_and_earlier_ones_still_open() -> None:
    both = PairKeys(PAIR, Side.SOURCE, {1: ROOT, 2: b"2" * 32})
    packed, sealed = seal(both)
    assert Header.unpack(packed).generation == 2
    with pytest.raises(SealBroken, match="unknown generation"):
        TARGET.open(Kind.SEGMENT, packed, sealed)
    assert PairKeys(PAIR, Side.TARGET, {1: ROOT, 2: b"2" * 32}).open(Kind.SEGMENT, packed, sealed)[1] == b"body"
    assert PairKeys(PAIR, Side.TARGET, {1: ROOT, 2: b"2" * 32}).open(Kind.SEGMENT, *seal())[1] == b"body"


def test_every_day_has_a_key_of_its_own() -> None:
    bodies = {seal(at_ms=day * DAY_MS)[1] for day in range(200)}
    assert len(bodies) == 200
    assert TARGET.open(Kind.SEGMENT, *seal(at_ms=3 * DAY_MS))[1] == b"body"


def test_the_same_nonce_twice_does_not_reveal_more_than_equality() -> None:
    assert seal(nonce=5) == seal(nonce=5)
    assert seal(nonce=5)[1] != seal(nonce=5, body=b"bodz")[1]


@pytest.mark.parametrize("packed", [b"", b"x", b"\x00" * HEADER_BYTES, b"\xff" * HEADER_BYTES, b"\x01" * 7])
def test_headers_of_a_wrong_length_or_version_are_refused(packed: bytes) -> None:
    with pytest.raises(ProtocolError):
        Header.unpack(packed)
    with pytest.raises(SealBroken):
        TARGET.open(Kind.SEGMENT, packed, b"x" * 32)


def test_random_bytes_never_open() -> None:
    chance = random.Random(3)
    packed, sealed = seal()
    for _ in range(2_000):
        with pytest.raises(SealBroken):
            TARGET.open(Kind.SEGMENT, packed, chance.randbytes(len(sealed)))
