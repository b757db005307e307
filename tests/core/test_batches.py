"""Batches come out bit-equal, and hostile bytes are refused within bounds."""

from __future__ import annotations

import random
import struct

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.batches import BatchCodec, Format, Series, Value, count
from shared.columns import as_columns, joined
from shared.errors import Undecodable
from shared.limits import SEGMENT_PLAIN_BYTES_MAX

CODEC = BatchCodec()
# A small alphabet: the tables of all of Unicode take half a minute to build.
letters = 'aZ09 "\\äß√😀\0\n'
names = st.text(letters, min_size=1, max_size=6)
times = st.integers(-(2**62), 2**62)
_VALUES: dict[Format, st.SearchStrategy[Value]] = {
    "number": st.one_of(
        st.floats(allow_nan=True, allow_infinity=True), st.integers(-(2**53), 2**53).map(float), st.just(-0.0)
    ),
    "string": st.text(letters, max_size=20),
    "boolean": st.booleans(),
}


@st.composite
def series(draw: st.DrawFn) -> Series:
    kind: Format = draw(st.sampled_from(("number", "string", "boolean")))
    length = draw(st.integers(1, 12))
    values = draw(st.lists(_VALUES[kind], min_size=length, max_size=length))
    return Series(draw(names), draw(names), kind, draw(st.lists(times, min_size=length, max_size=length)), values)


def bits(value: Value) -> bytes | str | bool:
    return struct.pack("<d", value) if isinstance(value, float) else value


def same(left: list[Series], right: list[Series]) -> bool:
    return [(s.device, s.resource, s.format, s.times_ms, [bits(v) for v in s.values]) for s in left] == [
        (s.device, s.resource, s.format, s.times_ms, [bits(v) for v in s.values]) for s in right
    ]


@settings(max_examples=300)
@given(st.lists(series(), max_size=6))
def test_any_batch_comes_out_bit_equal(batch: list[Series]) -> None:
    assert same(CODEC.decode(CODEC.encode(batch)), batch)


@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=50), st.sampled_from((1, 10, 100, 1_000, 10**4, 10**6))
)
def test_numbers_with_few_decimals_come_out_bit_equal(whole: list[int], scale: int) -> None:
    values = [number / scale for number in whole]
    batch = [Series("d", "r", "number", list(range(len(values))), list(values))]
    assert same(CODEC.decode(CODEC.encode(batch)), batch)


def test_a_walk_with_two_decimals_costs_less_than_four_bytes_a_reading() -> None:
    chance = random.Random(7)
    batch = []
    for device in range(10):
        for resource in range(5):
            value, at_ms, values, times_ms = 20.0, 1_795_000_000_000, [], []
            for _ in range(80):
                value = round(value + chance.gauss(0, 0.05), 2)
                at_ms += 1_000 + chance.randint(-5, 5)
                values.append(value)
                times_ms.append(at_ms)
            batch.append(Series(f"device {device}", f"resource {resource}", "number", times_ms, list(values)))
    assert len(CODEC.encode(batch)) / count(batch) < 4.0


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_undecodable_and_nothing_else(body: bytes) -> None:
    with pytest.raises(Undecodable):
        CODEC.decode(body)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_compressed_bytes_are_undecodable_and_nothing_else(plain: bytes) -> None:
    with pytest.raises(Undecodable):
        CODEC.decode(zstandard.ZstdCompressor().compress(plain))


@settings(max_examples=400)
@given(st.lists(series(), min_size=1, max_size=3), st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_inside_is_read_or_undecodable_and_nothing_else(batch: list[Series], at: int, flip: int) -> None:
    plain = bytearray(zstandard.ZstdDecompressor().decompress(CODEC.encode(batch)))
    plain[at % len(plain)] ^= flip
    try:
        CODEC.decode(zstandard.ZstdCompressor().compress(bytes(plain)))
    except Undecodable:
        return


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(Undecodable, match="compressed"):
        CODEC.decode(zstandard.ZstdCompressor(level=19).compress(b"\0" * (4 * 1024 * 1024)))
    with pytest.raises(Undecodable, match="allowed are"):
        CODEC.decode(zstandard.ZstdCompressor(level=19).compress(b"\0" * (SEGMENT_PLAIN_BYTES_MAX + 1)))


@pytest.mark.parametrize(
    "plain",
    [
        [2, [], [], [], [1, b"", 1, b""], None, b"", []],  # a version of the future
        [1, ["d"], ["r"], [[0, 0, 0, 0]], [1, b"", 1, b""], None, b"", []],  # an empty series
        [1, ["d"], ["r"], [[0, 0, 9, 1]], [1, b"\1", 1, b""], None, b"", []],  # an unknown format
        [1, ["d"], ["r"], [[1, 0, 2, 1]], [1, b"\1", 1, b""], None, b"\1", []],  # a device that is not there
        [1, ["d"], ["r"], [[-1, 0, 2, 1]], [1, b"\1", 1, b""], None, b"\1", []],  # counted from behind
        [1, ["d"], ["r"], [[0, 0, 1, 1]], [1, b"\1", 1, b""], None, b"", []],  # a value is missing
        [1, ["d"], ["r"], [[0, 0, 2, 10**9]], [1, b"\1", 1, b""], None, b"\1", []],  # endless
        [1, ["d"], ["r"], [[0, 0, 0, 1]], [1, b"\1", 1, b""], [77, 1, b"\1", 1, b""], b"", []],  # unknown scale
        [1, ["d"], ["r"], [[0, 0, 0, 1]], [3, b"\1\1\1", 1, b""], None, b"", []],  # integers of three bytes
    ],
)
def test_batches_that_contradict_themselves_are_undecodable(plain: list[object]) -> None:
    with pytest.raises(Undecodable):
        CODEC.decode(zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(plain)))


def test_joining_puts_readings_of_the_same_series_behind_each_other_in_order() -> None:
    a, b = Series("d", "r", "number", [1], [1.0]), Series("d", "r", "number", [0], [2.0])
    other = Series("d", "r", "string", [1], ["x"])
    whole = joined(as_columns(batch) for batch in ([a, other], [b])).listed()
    assert whole == [Series("d", "r", "number", [1, 0], [1.0, 2.0]), other]
    assert a.times_ms == [1]
