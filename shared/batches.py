"""Columnar batches: how the readings of one segment are written (docs/protocol.md, batches).

Readings are grouped by series (device, resource, format). Per batch there is one column of times and one per format of
values; numbers with few decimals become whole numbers of a common scale. Columns hold first values and differences, in
the narrowest width that fits, byte planes apart, under zstd. Values come out bit-equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from shared.errors import Undecodable
from shared.limits import (
    DECOMPRESS_FREE_BYTES,
    DECOMPRESS_RATIO_MAX,
    SEGMENT_PLAIN_BYTES_MAX,
)

Format = Literal["number", "string", "boolean"]
FORMATS: Final[tuple[Format, ...]] = ("number", "string", "boolean")
Value = float | str | bool
_VERSION: Final = 1
_LEVEL: Final = 3
_SCALES: Final = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0)
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


class Series(msgspec.Struct):
    """Readings of one resource of one device: `times_ms` (UTC since 1970) and as many `values` of one format."""

    device: str
    resource: str
    format: Format
    times_ms: list[int]
    values: list[Any]

    def __len__(self) -> int:
        return len(self.times_ms)


class _Plain(msgspec.Struct, array_like=True):
    version: int
    devices: list[str]
    resources: list[str]
    series: list[tuple[int, int, int, int]]  # device, resource, format, readings
    times: tuple[int, bytes, int, bytes]  # width and bytes of the firsts, of the differences
    numbers: tuple[int, int, bytes, int, bytes] | None  # scale index (-1: raw), firsts, differences
    booleans: bytes
    strings: list[str]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Plain)
_LOOSE = msgspec.msgpack.Decoder(list[Series])


def merge(batches: Sequence[Sequence[Series]]) -> list[Series]:
    """Join several batches into one, readings of the same series behind each other."""
    joined: dict[tuple[str, str, str], Series] = {}
    for batch in batches:
        for series in batch:
            key = (series.device, series.resource, series.format)
            there = joined.get(key)
            if there is None:
                joined[key] = Series(*key[:2], series.format, list(series.times_ms), list(series.values))
            else:
                there.times_ms.extend(series.times_ms)
                there.values.extend(series.values)
    return list(joined.values())


def count(batch: Sequence[Series]) -> int:
    """The readings in a batch."""
    return sum(len(series) for series in batch)


class BatchCodec:
    """Writes and reads batches. Not safe for two threads at once: it keeps compression contexts."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, batch: Sequence[Series]) -> bytes:
        """Return the bytes of a batch. Number values are floats, the others str and bool."""
        devices: dict[str, int] = {}
        resources: dict[str, int] = {}
        rows: list[tuple[int, int, int, int]] = []
        times: list[int] = []
        numbers: list[float] = []
        number_lengths: list[int] = []
        booleans: list[bool] = []
        strings: list[str] = []
        for series in batch:
            device = devices.setdefault(series.device, len(devices))
            resource = resources.setdefault(series.resource, len(resources))
            rows.append((device, resource, FORMATS.index(series.format), len(series)))
            times.extend(series.times_ms)
            if series.format == "number":
                numbers.extend(series.values)
                number_lengths.append(len(series))
            elif series.format == "boolean":
                booleans.extend(series.values)
            else:
                strings.extend(series.values)
        plain = _Plain(
            _VERSION,
            list(devices),
            list(resources),
            rows,
            _pack_column(np.array(times, dtype=np.int64), [row[3] for row in rows]),
            _pack_numbers(np.array(numbers, dtype=np.float64), number_lengths) if numbers else None,
            np.packbits(np.array(booleans, dtype=bool)).tobytes(),
            strings,
        )
        return self._compressor.compress(_ENCODER.encode(plain))

    def decode(self, body: bytes) -> list[Series]:
        """Read a batch; raises Undecodable for whatever is malformed, too large, or compressed beyond the caps."""
        try:
            plain = _DECODER.decode(self._inflate(body))
            if plain.version != _VERSION:
                raise Undecodable(f"batch of version {plain.version}, this release reads {_VERSION}")
            return _unpack(plain)
        except (msgspec.DecodeError, zstandard.ZstdError, ValueError, IndexError, OverflowError) as error:
            raise Undecodable(f"malformed batch: {error}") from error

    def encode_loose(self, batch: Sequence[Series]) -> bytes:
        """Return a batch as plain MessagePack: for the tail, where it stays for a moment and must cost little."""
        return _ENCODER.encode(batch)

    def decode_loose(self, body: bytes) -> list[Series]:
        """Read what `encode_loose` wrote; raises Undecodable."""
        try:
            return _LOOSE.decode(body)
        except msgspec.DecodeError as error:
            raise Undecodable(f"malformed batch: {error}") from error

    def _inflate(self, body: bytes) -> bytes:
        size = zstandard.frame_content_size(body)
        if size < 0 or size > SEGMENT_PLAIN_BYTES_MAX:
            raise Undecodable(f"batch of {size} bytes, allowed are {SEGMENT_PLAIN_BYTES_MAX}")
        if size > max(DECOMPRESS_FREE_BYTES, DECOMPRESS_RATIO_MAX * len(body)):
            raise Undecodable(f"batch compressed {size}:{len(body)}, allowed is {DECOMPRESS_RATIO_MAX}:1")
        return self._decompressor.decompress(body, max_output_size=size)


def _pack_column(flat: _Ints, lengths: Sequence[int]) -> tuple[int, bytes, int, bytes]:
    """Split a column into the first value of each series and the differences inside each."""
    if not lengths:
        return 1, b"", 1, b""
    starts = np.cumsum(np.array([0, *lengths[:-1]], dtype=np.int64))
    inside = np.delete(np.diff(flat), starts[1:] - 1)
    return *_pack_ints(np.diff(flat[starts], prepend=np.int64(0))), *_pack_ints(inside)


def _unpack_column(packed: tuple[int, bytes, int, bytes], lengths: Sequence[int]) -> _Ints:
    firsts = np.cumsum(_unpack_ints(packed[0], packed[1]))
    inside = _unpack_ints(packed[2], packed[3])
    sizes = np.array(lengths, dtype=np.int64)
    if len(firsts) != len(sizes) or len(inside) != int(sizes.sum()) - len(sizes):
        raise Undecodable("batch whose columns do not fit together")
    starts = np.cumsum(sizes) - sizes
    # Differences with each series' first value in its place; a running sum, restarted at each series by subtracting
    # what had summed up before it.
    column = np.insert(inside, starts - np.arange(len(starts)), 0)
    sums = np.cumsum(column)
    values: _Ints = sums + np.repeat(firsts - sums[starts], sizes)
    return values


def _pack_numbers(flat: _Floats, lengths: Sequence[int]) -> tuple[int, int, bytes, int, bytes]:
    bits = flat.view(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not bit-equal
        for index, scale in enumerate(_SCALES):
            scaled = np.rint(flat * scale)
            # Bit-equal, so that -0.0 and numbers that only look alike stay what they are.
            if np.abs(scaled).max() < 2.0**52:
                whole = scaled.astype(np.int64)
                if np.array_equal((whole / scale).view(np.int64), bits):
                    return index, *_pack_column(whole, lengths)
    planes = flat.astype("<f8").view(np.uint8).reshape(-1, 8).T.tobytes()
    return -1, 8, planes, 0, b""


def _unpack_numbers(packed: tuple[int, int, bytes, int, bytes], lengths: Sequence[int]) -> _Floats:
    scale = packed[0]
    if scale == -1:
        planes = np.frombuffer(packed[2], dtype=np.uint8).reshape(8, -1)
        return np.ascontiguousarray(planes.T).view("<f8").reshape(-1)
    if not 0 <= scale < len(_SCALES):
        raise Undecodable(f"batch with an unknown scale {scale}")
    scaled: _Floats = _unpack_column(packed[1:], lengths) / _SCALES[scale]
    return scaled


def _pack_ints(ints: _Ints) -> tuple[int, bytes]:
    """Return (width in bytes, planes) with the narrowest of 1, 2, 4, 8 bytes that holds every number."""
    if len(ints) == 0:
        return 1, b""
    low, high = int(ints.min()), int(ints.max())
    width = next(width for width in (1, 2, 4, 8) if -(1 << (8 * width - 1)) <= low and high < 1 << (8 * width - 1))
    return width, ints.astype(f"<i{width}").view(np.uint8).reshape(-1, width).T.tobytes()


def _unpack_ints(width: int, planes: bytes) -> _Ints:
    if width not in (1, 2, 4, 8):
        raise Undecodable(f"batch with integers of {width} bytes")
    table = np.frombuffer(planes, dtype=np.uint8).reshape(width, -1)
    return np.ascontiguousarray(table.T).view(f"<i{width}").reshape(-1).astype(np.int64)


def _unpack(plain: _Plain) -> list[Series]:
    lengths = [row[3] for row in plain.series]
    if any(length < 1 for length in lengths) or sum(lengths) > SEGMENT_PLAIN_BYTES_MAX:
        raise Undecodable("batch with an empty or endless series")
    times = _unpack_column(plain.times, lengths).tolist() if lengths else []
    number_lengths = [row[3] for row in plain.series if row[2] == 0]
    numbers = _unpack_numbers(plain.numbers, number_lengths).tolist() if plain.numbers else []
    booleans_count = sum(row[3] for row in plain.series if row[2] == 2)
    booleans = np.unpackbits(np.frombuffer(plain.booleans, dtype=np.uint8), count=booleans_count).astype(bool).tolist()
    columns: list[list[Any]] = [numbers, plain.strings, booleans]
    at = [0, 0, 0]
    time_at = 0
    batch: list[Series] = []
    for device, resource, kind, length in plain.series:
        if not 0 <= kind < len(FORMATS) or device < 0 or resource < 0:
            raise Undecodable("batch with an unknown format")
        values = columns[kind][at[kind] : at[kind] + length]
        if len(values) != length:
            raise Undecodable("batch with too few values")
        times_ms = times[time_at : time_at + length]
        batch.append(Series(plain.devices[device], plain.resources[resource], FORMATS[kind], times_ms, values))
        at[kind] += length
        time_at += length
    return batch
