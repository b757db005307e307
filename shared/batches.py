"""Columnar batches: how the readings of one segment are written (docs/protocol.md, batches).

Readings are grouped by series (device, resource, format). Per batch there is one column of times and one per format of
values; numbers with few decimals become whole numbers of a common scale. Columns hold first values and differences, in
the narrowest width that fits, byte planes apart, under zstd. Values come out bit-equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from shared.columns import (
    FORMATS,
    Batch,
    Columns,
    Format,
    Ints,
    Series,
    SeriesName,
    Value,
    as_columns,
    as_values,
)
from shared.errors import Undecodable
from shared.foreign import read_packed
from shared.limits import (
    DECOMPRESS_FREE_BYTES,
    DECOMPRESS_RATIO_MAX,
    SEGMENT_PLAIN_BYTES_MAX,
    SEGMENT_PLAIN_BYTES_TARGET,
    SEGMENT_READINGS_MAX,
)

__all__ = ["FORMATS", "BatchCodec", "Format", "Packed", "Series", "Value", "count", "pack"]

_VERSION: Final = 1
_LEVEL: Final = 3
# From here on a plane is worth a block of its own, with its own code: planes that share one cost up to a bit a byte more.
_BLOCK_BYTES_MIN: Final = 512
_SCALES: Final = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0)
_INTS: Final = {width: np.dtype(f"<i{width}") for width in (1, 2, 4, 8)}
_Floats = npt.NDArray[np.float64]


class _Plain(msgspec.Struct, array_like=True):
    version: int
    devices: list[str]
    resources: list[str]
    series: list[tuple[int, int, int, int]]  # device, resource, format, readings
    times: tuple[int, bytes, int, bytes]  # width and bytes of the firsts, of the differences
    numbers: tuple[int, int, bytes, int, bytes] | None  # scale index (-1: raw), firsts, differences
    booleans: bytes
    strings: list[str]


class _Marked(_Plain, array_like=True):
    """A batch that says of which generations its devices are; releases that do not know of that read past it."""

    generations: dict[int, int] | None = None  # device, generation: those above 1


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Marked)
_LOOSE = msgspec.msgpack.Decoder(list[Series])


def count(batch: Batch) -> int:
    """The readings in a batch."""
    return len(batch) if isinstance(batch, Columns) else sum(len(series) for series in batch)


class BatchCodec:
    """Writes and reads batches. Not safe for two threads at once: it keeps compression contexts."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, batch: Batch) -> bytes:
        """Return the bytes of a batch. Number values are floats, the others str and bool."""
        columns = as_columns(batch)
        devices: dict[str, int] = {}
        resources: dict[str, int] = {}
        lengths = columns.lengths.tolist()
        rows = [
            (
                devices.setdefault(device, len(devices)),
                resources.setdefault(resource, len(resources)),
                FORMATS.index(kind),
                length,
            )
            for (device, resource, kind), length in zip(columns.series, lengths, strict=True)
        ]
        numbers, number_lengths, booleans, strings = _by_format(columns, rows)
        fields = (
            _VERSION,
            list(devices),
            list(resources),
            rows,
            _pack_column(columns.times_ms, columns.lengths),
            _pack_numbers(numbers, number_lengths) if len(numbers) else None,
            booleans,
            strings,
        )
        generations = columns.generations
        plain = _Plain(*fields) if generations is None else _Marked(*fields, _marks(generations, devices))
        return self._compress(_ENCODER.encode(plain), plain)

    def decode(self, body: bytes) -> list[Series]:
        """Read a batch; raises Undecodable for whatever is malformed, too large, or compressed beyond the caps."""
        return self.decode_columns(body).listed()

    def decode_columns(self, body: bytes, *, own: bool = False) -> Columns:
        """Read a batch as columns; raises Undecodable as `decode` does. `own`: written here, so it may have any size."""
        try:
            plain = read_packed(_DECODER, self._decompressor.decompress(body) if own else self._inflate(body))
            if plain.version != _VERSION:
                raise Undecodable(f"batch of version {plain.version}, this release reads {_VERSION}")
            return _unpack(plain)
        except (msgspec.DecodeError, zstandard.ZstdError, ValueError, IndexError, OverflowError) as error:
            raise Undecodable(f"malformed batch: {error}") from error

    def decode_tail(self, body: bytes) -> Columns:
        """Read a chunk of the tail; earlier releases kept those as bare MessagePack. Raises Undecodable."""
        if body[:4] == zstandard.FRAME_HEADER:
            return self.decode_columns(body, own=True)
        try:
            return as_columns(_LOOSE.decode(body))
        except (msgspec.DecodeError, ValueError) as error:
            raise Undecodable(f"malformed chunk of the tail: {error}") from error

    def _compress(self, encoded: bytes, plain: _Plain) -> bytes:
        """Return one frame whose long planes stand in blocks of their own; any reader of zstd takes it."""
        cuts = _planes(encoded, plain)
        if not cuts:
            return self._compressor.compress(encoded)
        frame = self._compressor.compressobj(size=len(encoded))
        parts: list[bytes] = []
        for start, stop in pairwise([0, *cuts]):
            parts += frame.compress(encoded[start:stop]), frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        parts += frame.compress(encoded[cuts[-1] :]), frame.flush()
        return b"".join(parts)

    def _inflate(self, body: bytes) -> bytes:
        size = zstandard.frame_content_size(body)
        if size < 0 or size > SEGMENT_PLAIN_BYTES_MAX:
            raise Undecodable(f"batch of {size} bytes, allowed are {SEGMENT_PLAIN_BYTES_MAX}")
        if size > max(DECOMPRESS_FREE_BYTES, DECOMPRESS_RATIO_MAX * len(body)):
            raise Undecodable(f"batch compressed {size}:{len(body)}, allowed is {DECOMPRESS_RATIO_MAX}:1")
        return self._decompressor.decompress(body, max_output_size=size)


class Packed:
    """A segment's worth of readings, and its bytes once somebody asks for them."""

    __slots__ = ("_body", "_codec", "columns")

    def __init__(self, columns: Columns, codec: BatchCodec) -> None:
        self.columns = columns
        self._codec = codec
        self._body: bytes | None = None

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def body(self) -> bytes:
        """The packed batch."""
        if self._body is None:
            self._body = self._codec.encode(self.columns)
        return self._body


def pack(columns: Columns, codec: BatchCodec) -> list[Packed]:
    """Cut a batch into segments' worth of readings and of text."""
    cuts = [0, *_cuts(columns), len(columns)]
    if len(cuts) == 2:
        return [Packed(columns, codec)] if len(columns) else []
    return [Packed(columns.part(start, stop), codec) for start, stop in pairwise(cuts)]


def _cuts(columns: Columns) -> list[int]:
    """Return where a batch has to be cut."""
    if columns.numeric:
        return list(range(SEGMENT_READINGS_MAX, len(columns), SEGMENT_READINGS_MAX))
    cuts: list[int] = []
    begun = size = 0
    for at, value in enumerate(columns.values.tolist()):
        if at - begun >= SEGMENT_READINGS_MAX or size >= SEGMENT_PLAIN_BYTES_TARGET:
            cuts.append(at)
            begun, size = at, 0
        size += len(value) if isinstance(value, str) else 0
    return cuts


def _marks(generations: Mapping[str, int], devices: Mapping[str, int]) -> dict[int, int]:
    """Return the generations of a batch's devices that were made again, by their places; mostly there are none."""
    return {devices[device]: generation for device, generation in generations.items() if device in devices}


def _planes(encoded: bytes, plain: _Plain) -> list[int]:
    """Return where long planes begin and end in an encoded batch.

    They are looked for by what they hold: where that stands earlier too, a block ends elsewhere, which harms nothing.
    """
    columns = [plain.times[:2], plain.times[2:]]
    if plain.numbers is not None:
        columns += [plain.numbers[1:3], plain.numbers[3:]]
    cuts: list[int] = []
    at = 0
    for width, planes in columns:
        plane_bytes = len(planes) // width if width else 0
        if plane_bytes >= _BLOCK_BYTES_MIN:
            at = encoded.index(planes, at)
            cuts += range(at, at + len(planes), plane_bytes)
            at += len(planes)
            cuts.append(at)
    return list(dict.fromkeys(cut for cut in cuts if 0 < cut < len(encoded)))


def _by_format(columns: Columns, rows: Sequence[tuple[int, int, int, int]]) -> tuple[_Floats, Ints, bytes, list[str]]:
    """Take the values apart: numbers with their lengths, booleans as bits, texts."""
    if columns.numeric:
        return columns.values, columns.lengths, b"", []
    kinds = np.array([row[2] for row in rows], dtype=np.int8)
    kind_of = np.repeat(kinds, columns.lengths)
    numbers = columns.values[kind_of == 0].astype(np.float64)
    booleans = np.packbits(columns.values[kind_of == 2].astype(bool)).tobytes()
    return numbers, columns.lengths[kinds == 0], booleans, columns.values[kind_of == 1].tolist()


def _pack_column(flat: Ints, lengths: Ints) -> tuple[int, bytes, int, bytes]:
    """Split a column into the first value of each series and the differences inside each."""
    if not len(lengths):
        return 1, b"", 1, b""
    if len(lengths) == 1:
        return *_pack_int(int(flat[0])), *_pack_ints(flat[1:] - flat[:-1])
    if len(flat) == len(lengths):  # one value a series
        return *_pack_ints(_steps(flat)), 1, b""
    starts = np.add.accumulate(lengths) - lengths
    within = np.ones(len(flat) - 1, dtype=bool)
    within[starts[1:] - 1] = False
    inside = (flat[1:] - flat[:-1])[within]
    return *_pack_ints(_steps(flat[starts])), *_pack_ints(inside)


def _steps(firsts: Ints) -> Ints:
    """Return the first of them, and how much each of the others is more than the one before."""
    steps = firsts.copy()
    steps[1:] -= firsts[:-1]
    return steps


def _unpack_column(packed: tuple[int, bytes, int, bytes], lengths: Ints) -> Ints:
    firsts = np.add.accumulate(_unpack_ints(packed[0], packed[1]))
    inside = _unpack_ints(packed[2], packed[3])
    total = int(np.add.reduce(lengths))
    if len(firsts) != len(lengths) or len(inside) != total - len(lengths):
        raise Undecodable("batch whose columns do not fit together")
    if len(inside) == 0:  # one value a series, or none at all
        return firsts
    if len(lengths) == 1:
        column = np.empty(total, np.int64)
        column[:1], column[1:] = firsts, inside
        return np.add.accumulate(column)
    # Differences with each series' first value in its place; a running sum, restarted at each series by subtracting
    # what had summed up before it.
    starts = np.cumsum(lengths) - lengths
    within = np.ones(total, dtype=bool)
    within[starts] = False
    column = np.zeros(total, np.int64)
    column[within] = inside
    sums = np.cumsum(column)
    values: Ints = sums + np.repeat(firsts - sums[starts], lengths)
    return values


def _pack_numbers(flat: _Floats, lengths: Ints) -> tuple[int, int, bytes, int, bytes]:
    bits = flat.view(np.int64)
    first = float(flat[0])
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not bit-equal
        for index, scale in enumerate(_SCALES):
            # The first one tells most scales apart from the one that fits, in a hundredth of the time.
            if not (abs(first * scale) < 2.0**52 and round(first * scale) / scale == first):
                continue
            scaled = np.rint(flat * scale)
            # Bit-equal, so that -0.0 and numbers that only look alike stay what they are.
            if np.maximum.reduce(np.abs(scaled)) < 2.0**52:
                whole = scaled.astype(np.int64)
                if np.logical_and.reduce((whole / scale).view(np.int64) == bits):
                    return index, *_pack_column(whole, lengths)
    planes = flat.astype("<f8").view(np.uint8).reshape(-1, 8).T.tobytes()
    return -1, 8, planes, 0, b""


def _unpack_numbers(packed: tuple[int, int, bytes, int, bytes], lengths: Ints) -> _Floats:
    scale = packed[0]
    if scale == -1:
        planes = np.frombuffer(packed[2], dtype=np.uint8).reshape(8, -1)
        return np.ascontiguousarray(planes.T).view("<f8").reshape(-1)
    if not 0 <= scale < len(_SCALES):
        raise Undecodable(f"batch with an unknown scale {scale}")
    scaled: _Floats = _unpack_column(packed[1:], lengths) / _SCALES[scale]
    return scaled


def _pack_ints(ints: Ints) -> tuple[int, bytes]:
    """Return (width in bytes, planes) with the narrowest of 1, 2, 4, 8 bytes that holds every number."""
    if len(ints) == 0:
        return 1, b""
    # Of what is negative all bits are turned, so that one bound serves for both.
    width = _width(max(int(np.maximum.reduce(ints)), ~int(np.minimum.reduce(ints))))
    if width == 1:
        return 1, ints.astype(np.int8).tobytes()
    return width, ints.astype(_INTS[width]).view(np.uint8).reshape(-1, width).T.tobytes()


def _pack_int(number: int) -> tuple[int, bytes]:
    """Return what `_pack_ints` does, of one number."""
    width = _width(max(number, ~number))
    return width, number.to_bytes(width, "little", signed=True)


def _width(most: int) -> int:
    return 1 if most < 1 << 7 else 2 if most < 1 << 15 else 4 if most < 1 << 31 else 8


def _unpack_ints(width: int, planes: bytes) -> Ints:
    if width not in (1, 2, 4, 8):
        raise Undecodable(f"batch with integers of {width} bytes")
    if width == 1:
        return np.frombuffer(planes, dtype=np.int8).astype(np.int64)
    table = np.frombuffer(planes, dtype=np.uint8).reshape(width, -1)
    return np.ascontiguousarray(table.T).view(_INTS[width]).reshape(-1).astype(np.int64)


def _generations(plain: _Marked) -> dict[str, int] | None:
    if not plain.generations:
        return None if plain.generations is None else {}
    if any(generation < 2 or at < 0 for at, generation in plain.generations.items()):
        raise Undecodable("batch with an impossible generation")
    return {plain.devices[at]: generation for at, generation in plain.generations.items()}


def _unpack(plain: _Marked) -> Columns:
    rows = plain.series
    generations = _generations(plain)
    if any(row[3] < 1 for row in rows) or sum(row[3] for row in rows) > SEGMENT_PLAIN_BYTES_MAX:
        raise Undecodable("batch with an empty or endless series")
    if any(not 0 <= row[2] < len(FORMATS) or row[0] < 0 or row[1] < 0 for row in rows):
        raise Undecodable("batch with an unknown format")
    series: list[SeriesName] = [(plain.devices[row[0]], plain.resources[row[1]], FORMATS[row[2]]) for row in rows]
    lengths = np.array([row[3] for row in rows], dtype=np.int64)
    times = _unpack_column(plain.times, lengths)
    kinds = np.array([row[2] for row in rows], dtype=np.int8)
    if plain.numbers and not kinds.any():
        numbers = _unpack_numbers(plain.numbers, lengths)
        if len(numbers) < len(times):
            raise Undecodable("batch with too few values")
        return Columns(series, lengths, times, numbers[: len(times)], generations)
    numbers = _unpack_numbers(plain.numbers, lengths[kinds == 0]) if plain.numbers else np.zeros(0, np.float64)
    booleans_count = int(lengths[kinds == 2].sum())
    booleans = np.unpackbits(np.frombuffer(plain.booleans, dtype=np.uint8), count=booleans_count).astype(bool)
    wanted = [int(lengths[kinds == kind].sum()) for kind in range(3)]
    if len(numbers) < wanted[0] or len(plain.strings) < wanted[1] or booleans_count > 8 * len(plain.booleans):
        raise Undecodable("batch with too few values")
    if wanted[1] == wanted[2] == 0:
        return Columns(series, lengths, times, numbers[: wanted[0]], generations)
    values = np.empty(len(times), dtype=object)
    kind_of = np.repeat(kinds, lengths)
    values[kind_of == 0] = numbers[: wanted[0]].astype(object)
    values[kind_of == 1] = as_values(plain.strings[: wanted[1]], numeric=False)
    values[kind_of == 2] = booleans.astype(object)
    return Columns(series, lengths, times, values, generations)
