"""A second implementation, written from docs/protocol.md alone, understands what the code makes, and the other way round."""

from __future__ import annotations

import hmac
import struct
from hashlib import sha256
from itertools import accumulate

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import SPAKE2_A

from shared.batches import BatchCodec, Series
from shared.certificates import Party
from shared.messages import Sealed, encode_frame
from shared.names import read_code
from shared.pairing import SourcePairing
from shared.sealing import Kind, PairKeys, Side

_SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_pack, _unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


def _hkdf(secret: bytes, salt: bytes | None, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


# --- sealing (section 4) --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("associated", [b"", b"public part"])
def test_a_seal_opens_as_the_protocol_says(associated: bytes) -> None:
    pair_id, root, nonce, accepted_ms = bytes(range(16)), bytes(range(32)), bytes(12), 1_795_219_750_865
    header, sealed = PairKeys(pair_id, Side.TARGET, {1: root}).seal(
        Kind.STATEMENT,
        b"hello",
        epoch=7,
        number=9,
        accepted_ms=accepted_ms,
        count=3,
        nonce=nonce,
        associated=associated,
    )
    day = accepted_ms // 86_400_000
    assert len(header) == 63
    assert header == struct.pack(">BBB16sHHQQQI12s", 1, 3, 1, pair_id, 1, day, 7, 9, accepted_ms, 3, nonce)
    info = b"pairhub seal 1" + pair_id + (1).to_bytes(2, "big") + bytes([1, 3]) + day.to_bytes(2, "big")
    key = _hkdf(root, None, info, 32)
    assert AESGCMSIV(key).decrypt(nonce, sealed, header + associated) == b"hello"


def test_a_frame_is_an_array_that_begins_with_its_name() -> None:
    assert _unpack(encode_frame(Sealed(1, b"head", b"body"))) == ["Sealed", 1, b"head", b"body"]


# --- batches (section 5) --------------------------------------------------------------------------------------------------


def _planes(width: int, planes: bytes) -> list[int]:
    count = len(planes) // width
    numbers = [bytes(planes[at + plane * count] for plane in range(width)) for at in range(count)]
    return [int.from_bytes(number, "little", signed=True) for number in numbers]


def _column(packed: list, lengths: list[int]) -> list[int]:
    firsts = list(accumulate(_planes(packed[0], packed[1])))
    differences = iter(_planes(packed[2], packed[3]))
    column: list[int] = []
    for first, length in zip(firsts, lengths, strict=True):
        column += accumulate((next(differences) for _ in range(length - 1)), initial=first)
    return column


def _read_batch(body: bytes) -> list[tuple[str, str, list[int], list]]:
    version, devices, resources, series, times, numbers, booleans, strings = _unpack(
        zstandard.ZstdDecompressor().decompress(body)
    )
    assert version == 1
    at_ms = iter(_column(times, [row[3] for row in series]))
    lengths = [row[3] for row in series if row[2] == 0]
    doubles: list[float] = []
    if numbers is not None and numbers[0] == -1:
        planes, count = numbers[2], len(numbers[2]) // 8
        doubles = [
            struct.unpack("<d", bytes(planes[at + plane * count] for plane in range(8)))[0] for at in range(count)
        ]
    elif numbers is not None:
        doubles = [whole / 10.0 ** numbers[0] for whole in _column(numbers[1:], lengths)]
    bits = [bool(byte >> (7 - at) & 1) for byte in booleans for at in range(8)]
    values = {0: iter(doubles), 1: iter(strings), 2: iter(bits)}
    return [
        (
            devices[device],
            resources[resource],
            [next(at_ms) for _ in range(length)],
            [next(values[form]) for _ in range(length)],
        )
        for device, resource, form, length in series
    ]


@pytest.mark.parametrize(
    "numbers", [[20.25, 20.27, 19.99, -3.5], [0.1 + 0.2, 1e300, -0.0, 5e-324], [7.0, -0.0, 1.0, 2.0]]
)
def test_a_batch_reads_as_the_protocol_says(numbers: list[float]) -> None:
    batch = [
        Series("a", "temperature", "number", [1_795_000_000_000, 1_795_000_001_004, 1_795_000_000_990], numbers[:3]),
        Series("b", "on", "boolean", [1, 2, 3], [True, False, True]),
        Series("b", "temperature", "number", [5], numbers[3:]),
        Series("a", "mood", "string", [1_795_000_000_001, 4], ["calm", "stürmisch"]),
    ]
    read = _read_batch(BatchCodec().encode(batch))
    assert [(device, resource, times) for device, resource, times, _ in read] == [
        (one.device, one.resource, one.times_ms) for one in batch
    ]
    for (_, _, _, values), one in zip(read, batch, strict=True):
        assert list(map(repr, values)) == list(map(repr, one.values))  # -0.0 is not 0.0


# --- pairing (section 3) --------------------------------------------------------------------------------------------------


def _code(symbols: str) -> str:
    value = 0
    for symbol in symbols:
        value = value * 32 + _SYMBOLS.index(symbol)
    return f"{symbols[:4]}-{symbols[4:]}-{(_SYMBOLS + '*~$=U')[value % 37]}"


def test_a_code_carries_the_check_symbol_that_the_protocol_says() -> None:
    assert read_code(_code("7KQ2M9XF")) == "7KQ2M9XF"


def test_a_target_written_from_the_protocol_pairs_with_the_source() -> None:
    keys = {side: Ed25519PrivateKey.generate() for side in ("source", "target")}
    public = {side: key.public_key().public_bytes_raw() for side, key in keys.items()}
    source = SourcePairing(
        me=Party("s-uuid", "plant", "Q7M2-9XKF", public["source"]),
        key=keys["source"],
        code="7KQ2M9XF",
        window_id=b"window",
        expires_ms=1_795_000_000_000,
        chance=lambda count: bytes(range(count)),
    )

    spake = SPAKE2_A(b"7KQ2M9XF", idA=b"pairhub target 1", idB=b"pairhub source 1\0plant\0Q7M2-9XKF")
    suite = "spake2-ed25519-sha256-1"
    offer = [suite, ["t-uuid", "office", "PGM9-F5H0", public["target"]], bytes(16), spake.start()]
    counter = _unpack(source.on_offer(_pack(offer)))
    assert counter[0] == suite
    shared_key = spake.finish(counter[5])
    transcript = sha256(_pack([suite, offer, counter])).digest()

    def expand(label: bytes, length: int) -> bytes:
        return _hkdf(shared_key, transcript, b"pairhub pairing 1 " + label, length)

    certificate = _pack([expand(b"id", 16), counter[1], offer[1], counter[2], transcript])
    to_sign = b"pairhub pair 1\0" + certificate
    confirmation = {side: hmac.digest(expand(f"confirm {side}".encode(), 32), transcript, sha256) for side in keys}
    mine = keys["target"].sign(to_sign)
    completion, agreed = source.on_proof(_pack([confirmation["target"], mine]))

    theirs = _unpack(completion)
    assert theirs[0] == confirmation["source"]
    Ed25519PublicKey.from_public_bytes(public["source"]).verify(theirs[1], to_sign)
    assert (agreed.pair_id, agreed.root) == (expand(b"id", 16), expand(b"root", 32))
    assert _unpack(agreed.certificate) == [certificate, [theirs[1], mine]]
    digest = sha256(b"pairhub fingerprint 1" + agreed.pair_id + public["source"] + public["target"]).digest()[:7]
    lowest = int.from_bytes(digest, "big") & ((1 << 50) - 1)
    letters = "".join(_SYMBOLS[lowest >> (5 * at) & 31] for at in reversed(range(10)))
    assert agreed.fingerprint == f"{letters[:5]}-{letters[5:]}"
