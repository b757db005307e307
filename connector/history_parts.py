"""Where history lies: rows of handfuls, recent batches, and chunks of one series. Finding, opening and joining them.

A *part* is (times, values) of one series as arrays. Of two values at one millisecond the greater one counts (G6).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import zstandard

from connector.history_damage import Table, set_aside
from shared.batches import BatchCodec
from shared.columns import Columns, Format, Ints, Value, Values, as_values, regrouped
from shared.errors import Undecodable
from shared.limits import HISTORY_PLAIN_BYTES_MAX

Part: TypeAlias = tuple[Ints, Values]
Opened: TypeAlias = dict[int, Columns]
"""Recent batches that were opened already, by row: pass one to several calls of one unit of work."""

_local = threading.local()
_IDS: Final = np.dtype("<i8")
NOTHING: Final = Columns([], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))
"""What is left of a batch that is damaged."""


def codec() -> BatchCodec:
    """Return this thread's codec: contexts of compression are not shared."""
    made: BatchCodec | None = getattr(_local, "codec", None)
    if made is None:
        made = _local.codec = BatchCodec()
    return made


def pack_ids(ids: Sequence[int]) -> bytes:
    """Return series IDs as they stand in a recent batch."""
    return np.array(ids, dtype=_IDS).tobytes()


def unpack_ids(packed: bytes) -> Ints:
    """The inverse of `pack_ids`."""
    return np.frombuffer(packed, dtype=_IDS).astype(np.int64)


def pack_chunk(part: Part) -> bytes:
    """Return the body of a chunk: one series, or one for each format where the resource had another one before."""
    times, values = part
    if values.dtype != object:
        return codec().encode(Columns([("", "", "number")], np.array([len(times)], dtype=np.int64), times, values))
    kinds = [format_of(value) for value in values.tolist()]
    named = Columns([("", "", kind) for kind in kinds], np.ones(len(times), np.int64), times, values)
    return codec().encode(regrouped(named))


def open_chunk(connection: sqlite3.Connection, row: int) -> Part:
    """Return the readings of a chunk; none where it is damaged, which sets it aside."""
    found = connection.execute("SELECT row, first_ms, last_ms, count, body FROM chunk WHERE row = ?", (row,)).fetchone()
    return opened_chunk(connection, found)


def opened_chunk(connection: sqlite3.Connection, found: Sequence[Any]) -> Part:
    """Return what `open_chunk` does, of the (row, first ms, last ms, count, body) of a chunk."""
    columns = _opened(connection, "chunk", found)
    part = columns.times_ms, columns.values
    return part if len(columns.series) == 1 else tidy([part])


def _opened(connection: sqlite3.Connection, table: Table, found: Sequence[Any], ids: bytes | None = None) -> Columns:
    """Return the batch of a row (row, first ms, last ms, count, body), its series named by `ids` where there are any.

    A row that does not hold what is written down beside its body is set aside: of it nothing is returned.
    """
    row, first_ms, last_ms, count, body = found
    try:
        if zstandard.frame_content_size(body) > HISTORY_PLAIN_BYTES_MAX:
            raise Undecodable(f"a batch that would take more than {HISTORY_PLAIN_BYTES_MAX} bytes")
        columns = codec().decode_columns(body, own=True)
        times_ms = columns.times_ms
        if len(times_ms) != count or times_ms.min() != first_ms or times_ms.max() != last_ms:
            raise Undecodable("a batch with other readings than it was stored with")
        return columns if ids is None else with_ids(unpack_ids(ids), columns)
    except (Undecodable, zstandard.ZstdError, ValueError) as error:
        set_aside(connection, table, (row, first_ms, last_ms, count, body), error)
        return NOTHING


def format_of(value: Value) -> Format:
    """Return which format a value is of."""
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def tidy(parts: Sequence[Part]) -> Part:
    """Join parts in order of time, with one value, the greater one, for each millisecond."""
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.float64)
    times = np.concatenate([part[0] for part in parts])
    numeric = all(part[1].dtype != object for part in parts)
    values = np.concatenate([part[1] if numeric else part[1].astype(object) for part in parts])
    if len(times) < 2 or bool((times[1:] > times[:-1]).all()):
        return times, values
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    starts = np.flatnonzero(np.concatenate(([True], times[1:] > times[:-1])))
    if len(starts) == len(times):
        return times, values
    return times[starts], _greatest(values, starts)


def _greatest(values: Values, starts: npt.NDArray[np.intp]) -> Values:
    """Return the greatest value of each run; of equal ones the first, so that -0.0 and 0.0 stay what they are."""
    kept = values[starts].copy()
    ends = np.append(starts[1:], len(values))
    for run in np.flatnonzero(ends - starts > 1):
        kept[run] = max(values[starts[run] : ends[run]].tolist(), key=_rank)
    return kept


def _rank(value: Value) -> tuple[bool, Value]:
    return isinstance(value, str), value  # texts behind numbers: a resource may have had another format


def clip(part: Part, from_ms: int, to_ms: int) -> Part:
    """Return what of a part in order of time lies in a span."""
    low, high = np.searchsorted(part[0], (from_ms, to_ms))
    return part[0][low:high], part[1][low:high]


def rows_part(rows: Sequence[Sequence[Any]], kind: Format) -> Part:
    """Return (ms, value) rows of the table `reading` as a part; `kind` tells 1 from True."""
    values = [row[1] for row in rows]
    if kind == "boolean":
        values = [bool(value) if isinstance(value, int) else value for value in values]
    numeric = not any(isinstance(value, str | bool) for value in values)
    return np.array([row[0] for row in rows], dtype=np.int64), as_values(values, numeric=numeric)


def recent_parts(
    connection: sqlite3.Connection,
    connector_id: str,
    series_id: int,
    from_ms: int,
    to_ms: int,
    opened: Opened,
    *,
    newest_first: bool = False,
) -> Generator[tuple[int, int, int], None, None]:
    """Yield (first ms, last ms, row) of the recent batches that may hold readings of a series in a span.

    Close it where it is left before its end. With `newest_first` rows are read as they are asked for: each that is read
    gives the interpreter away, which a busy writer keeps for as long as it may.
    """
    found = "SELECT row, first_ms, last_ms, series FROM recent WHERE connector_id = ? AND last_ms >= ? AND first_ms < ?"
    rows = connection.execute(
        f"{found} ORDER BY last_ms DESC" if newest_first else found, (connector_id, from_ms, to_ms)
    )
    # Bytes are searched ten times as fast as IDs are unpacked; what matches across two of them is opened for nothing.
    wanted = pack_ids([series_id])
    try:
        for row, first_ms, last_ms, packed in rows if newest_first else rows.fetchall():
            if row in opened or wanted in packed:
                yield first_ms, last_ms, row
    finally:
        rows.close()


def open_recent(connection: sqlite3.Connection, row: int, opened: Opened) -> Columns:
    """Return a recent batch with series IDs for names; what is not kept is left out.

    Nothing is left of a damaged one, which is set aside.
    """
    if row not in opened:
        *found, packed = connection.execute(
            "SELECT row, first_ms, last_ms, count, body, series FROM recent WHERE row = ?", (row,)
        ).fetchone()
        opened[row] = _opened(connection, "recent", found, packed)
    return opened[row]


def with_ids(ids: Ints, columns: Columns) -> Columns:
    """Name the series of a batch by their IDs; those with ID 0 go."""
    named = Columns(
        [(str(series_id), "", name[2]) for series_id, name in zip(ids.tolist(), columns.series, strict=True)],
        columns.lengths,
        columns.times_ms,
        columns.values,
    )
    return named if ids.all() else named.pick((ids != 0).tolist())


def part_of(columns: Columns, series_id: int) -> Part:
    """Return the readings of one series out of an opened batch, in the order they came."""
    wanted = str(series_id)
    places = [at for at, name in enumerate(columns.series) if name[0] == wanted]
    parts = [part_at(columns, at) for at in places]
    return parts[0] if len(parts) == 1 else tidy(parts)


def part_at(columns: Columns, at: int) -> Part:
    """Return the readings of the series in one place of an opened batch."""
    start = int(columns.starts[at])
    stop = start + int(columns.lengths[at])
    values = columns.values[start:stop]
    if columns.series[at][2] == "number" and values.dtype == object:
        values = values.astype(np.float64)
    return columns.times_ms[start:stop], values
