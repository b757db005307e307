"""What a partner turned hostile, or a later release of it, sends under good seals: kept aside and passed (G7, G12)."""

from __future__ import annotations

import msgspec
import pytest
import zstandard

from connector.streams import Streams
from shared.core.cells import Cell
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Fault
from shared.core.entries import CellsEntry, Definition, DefinitionsEntry, Private, encode_entry
from shared.core.fields import EXISTS, device_object
from shared.errors import ProtocolError
from shared.messages import (
    LANE_CONTROL,
    LANE_LIVE,
    Credit,
    Recorded,
    Sealed,
    Statement,
    decode_frame,
    decode_recorded,
    encode_frame,
    encode_recorded,
)
from shared.sealing import NONCE_BYTES, Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store, series

DEEP = 3_000
NONCE = b"n" * NONCE_BYTES


def linked(side: Side) -> tuple[PairEngine, Streams]:
    """An engine whose link is open."""
    store = open_store()
    engine = PairEngine(keys=keys(side), site_id="me", chance=chance().randbytes)
    engine.load(store, NOW_MS)
    engine.on_link_opened(store, peer_linked=True, credit_bytes=1_000_000, now_ms=NOW_MS)
    return engine, store


def packed_deep(packed: bytes) -> bytes:
    """The same array with one more element: arrays in one another."""
    elements = msgspec.msgpack.decode(packed, type=list[msgspec.Raw])
    return msgspec.msgpack.encode([*elements, msgspec.Raw(b"\x91" * DEEP + b"\xc0")])


def sealed_entry(plain: bytes, sender: Side, number: int = 1) -> Sealed:
    sealed = keys(sender).seal(Kind.CONTROL, plain, epoch=7, number=number, accepted_ms=NOW_MS, count=0, nonce=NONCE)
    return Sealed(LANE_CONTROL, *sealed)


def sealed_segment(plain: bytes, number: int = 1) -> Sealed:
    sealed = keys(Side.SOURCE).seal(
        Kind.SEGMENT, plain, epoch=3, number=number, accepted_ms=NOW_MS, count=1, nonce=NONCE
    )
    return Sealed(LANE_LIVE, *sealed)


def take(engine: PairEngine, store: Streams, *frames: Sealed | Statement) -> list[Effect]:
    """One unit of work, and its end."""
    effects = [effect for frame in frames for effect in engine.on_frame(store, frame, NOW_MS)]
    return effects + engine.flush(store, NOW_MS)


def applied_up_to(store: Streams) -> int:
    return store.control_in().get(7, 0)


def goes_on(engine: PairEngine, store: Streams, after: int, sender: Side) -> None:
    """The next entry is applied, and the next segment too."""
    good = Cell(device_object("later"), EXISTS, "1", 1, 0, NOW_MS, "s", sender.value)
    frames: list[Sealed | Statement] = [sealed_entry(encode_entry(CellsEntry([good])), sender, after + 1)]
    take(engine, store, *frames)
    assert applied_up_to(store) == after + 1
    assert store.cell(good.object, good.field) == good


@pytest.mark.parametrize(
    "plain",
    [
        encode_entry(DefinitionsEntry([Definition("flow", "number", "", "[" * DEEP, False, True)])),
        packed_deep(encode_entry(DefinitionsEntry([]))),
    ],
    ids=["a text of JSON", "MessagePack"],
)
def test_g12_an_entry_of_values_in_values_is_kept_aside_and_passed(plain: bytes) -> None:
    engine, store = linked(Side.TARGET)
    take(engine, store, sealed_entry(plain, Side.SOURCE))
    assert len(store.quarantined_after(0, 9)) == 1
    assert applied_up_to(store) == 1
    goes_on(engine, store, 1, Side.SOURCE)


def test_g7_a_segment_of_values_in_values_is_kept_aside_and_passed() -> None:
    engine, store = linked(Side.TARGET)
    plain = zstandard.ZstdDecompressor().decompress(
        CODEC.encode([msgspec.structs.replace(series(NOW_MS), generation=2)])
    )
    take(engine, store, sealed_segment(zstandard.ZstdCompressor().compress(packed_deep(plain))))
    assert [item.number for item in store.quarantined_after(0, 9)] == [1]


def statement(public: bytes, private: bytes) -> Statement:
    header, body = keys(Side.TARGET).seal(
        Kind.STATEMENT, private, epoch=3, number=1, accepted_ms=NOW_MS, count=0, nonce=NONCE, associated=public
    )
    return Statement(header, public, body)


PUBLIC, PRIVATE = encode_recorded(Recorded(b"", False, [], [])), encode_entry(Private([], None, 0, b"", b""))


@pytest.mark.parametrize(
    ("public", "private"),
    [(packed_deep(PUBLIC), PRIVATE), (PUBLIC, packed_deep(PRIVATE))],
    ids=["its public part", "its private part"],
)
def test_g4_a_statement_of_values_in_values_is_a_fault_and_believed_in_nothing(public: bytes, private: bytes) -> None:
    engine, store = linked(Side.SOURCE)
    assert any(isinstance(effect, Fault) for effect in take(engine, store, statement(public, private)))


def test_a_frame_of_values_in_values_ends_its_link() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode_frame(packed_deep(encode_frame(Credit(1))))
    with pytest.raises(ProtocolError, match="malformed"):
        decode_recorded(packed_deep(PUBLIC))
