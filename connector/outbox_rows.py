"""An outbox in SQLite: tail and segments of the readings that a connector originates; its account is in account_rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Literal

import msgspec

from connector import history
from connector.account_rows import AccountRows
from connector.gap_rows import GapRows
from connector.pair_rows import pack, read_counts, unpack
from shared.columns import Batch, Columns, Series, as_columns
from shared.core.intervals import IntervalSet
from shared.core.ports import Segment, SentSegment, SeriesSpan, TailChunk, TailPart, TailTotal

_SPANS_VERSION = 2
_SEGMENT_COLUMNS = "row, epoch, number, count, accepted_ms, header, body, dropped, kept"
_log = logging.getLogger(__name__)
_TAIL_COLUMNS = "row, resource, accepted_ms, count, body, kept"
# By table, what waits there by resource, and is in the counts of no row that can be read.
_UNCOUNTED = {
    table: f"SELECT resource, {column} - COALESCE(known, 0) FROM waiting LEFT JOIN (SELECT key, SUM(value) AS known"  # noqa: S608
    f" FROM {table}, json_each(CASE WHEN json_valid(counts) THEN counts ELSE '{{}}' END) WHERE connector_id = ?1 {here}"
    f" GROUP BY key) ON key = resource WHERE connector_id = ?1 AND {column} > COALESCE(known, 0) ORDER BY resource"
    for table, column, here in (("tail", "tail_count", ""), ("segment", "outbox_count", "AND dropped IS NULL"))
}


class OutboxRows(AccountRows, GapRows):
    """shared.core.ports.OutboxStore."""

    # --- tail ---------------------------------------------------------------------------------------------------------

    def add_tail(self, resource: str, accepted_ms: int, batch: Batch, body: bytes, *, kept: bool = False) -> None:
        columns = as_columns(batch)
        self._run(
            "INSERT INTO tail (connector_id, resource, accepted_ms, count, counts, body, kept) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._id, resource, accepted_ms, len(columns), _counts(columns.counts()), body, kept),
        )
        self._count(tail_count=len(columns), tail_bytes=len(body), **_kept(kept, len(body)))

    def tail_totals(self) -> dict[TailPart, TailTotal]:
        rows = self._run(
            "SELECT resource, kept, SUM(count), SUM(LENGTH(body)), MIN(accepted_ms) FROM tail WHERE connector_id = ?"
            " GROUP BY resource, kept ORDER BY resource, kept",
            (self._id,),
        )
        return {(row[0], bool(row[1])): TailTotal(row[2], row[3], row[4]) for row in rows}

    def tail_chunks(self, resources: Iterable[str], readings_max: int, *, kept: bool) -> list[TailChunk]:
        wanted = list(resources)
        marks = ", ".join("?" * len(wanted))
        rows = self._run(
            f"SELECT {_TAIL_COLUMNS} FROM tail WHERE connector_id = ? AND kept = ?"  # noqa: S608
            f" AND resource IN ({marks}) ORDER BY row",
            (self._id, kept, *wanted),
        )
        chunks: list[TailChunk] = []
        readings = 0
        for row in rows:
            readings += row[3]
            if chunks and readings > readings_max:
                break  # what is beyond would make a segment of its own, of a few readings
            chunks.append(_chunk(row))
        return chunks

    def newest_tail(self, part: TailPart, limit: int) -> list[TailChunk]:
        resource, kept = part
        rows = self._run(
            f"SELECT {_TAIL_COLUMNS} FROM tail WHERE connector_id = ? AND kept = ? AND resource = ?"  # noqa: S608
            " ORDER BY row DESC LIMIT ?",
            (self._id, kept, resource, limit),
        )
        return [_chunk(row) for row in rows]

    def expired_tail(self, before_ms: int, limit: int) -> list[TailChunk]:
        rows = self._run(
            f"SELECT {_TAIL_COLUMNS} FROM tail WHERE connector_id = ? AND accepted_ms <= ?"  # noqa: S608
            " ORDER BY accepted_ms, row LIMIT ?",
            (self._id, before_ms, limit),
        )
        return [_chunk(row) for row in rows]

    def droppable_tail(self, limit: int) -> list[TailChunk]:
        rows = self._run(
            f"SELECT {_TAIL_COLUMNS} FROM tail WHERE connector_id = ? AND kept = 0 ORDER BY row LIMIT ?",  # noqa: S608
            (self._id, limit),
        )
        return [_chunk(row) for row in rows]

    def remove_tail(self, chunks: Sequence[TailChunk]) -> None:
        rows = msgspec.json.encode([chunk.row for chunk in chunks]).decode()
        # By their keys: the index of the connector would lead through all of a long tail.
        self._mend_counts("tail", "+connector_id = ? AND row IN (SELECT value FROM json_each(?))", rows)
        self._connection.executemany("DELETE FROM tail WHERE row = ?", [(chunk.row,) for chunk in chunks])
        self._count(
            tail_count=-sum(chunk.count for chunk in chunks),
            tail_bytes=-sum(len(chunk.body) for chunk in chunks),
            kept_bytes=-sum(len(chunk.body) for chunk in chunks if chunk.kept),
        )

    def set_tail_aside(self, chunk: TailChunk, resource: str) -> None:
        self._run("UPDATE tail SET resource = ? WHERE row = ?", (resource, chunk.row))
        _log.error("%d readings that wait cannot be read and stay behind", chunk.count, extra={"connector": self._id})

    def tail_counts(self, chunk: TailChunk) -> dict[str, int]:
        self._mend_counts("tail", "connector_id = ? AND row = ?", chunk.row)
        (counts,) = self._run("SELECT counts FROM tail WHERE row = ?", (chunk.row,)).fetchone()
        return read_counts(counts)

    def _mend_counts(self, table: Literal["tail", "segment"], which: str, *values: int | str) -> None:
        """Let rows whose counts the disk damaged count what of all that waits no other row does: triggers go by them.

        `which` takes the connector first, then the `values`.

        SQLite notices least the loss of a row's last page, which is where they stand.
        """
        where = f"{which} AND NOT json_valid(counts)"
        damaged = self._run(f"SELECT row, count FROM {table} WHERE {where}", (self._id, *values)).fetchall()  # noqa: S608  # words of ours
        for row, left in damaged:
            counts: dict[str, int] = {}
            for resource, missing in self._run(_UNCOUNTED[table], (self._id,)).fetchall():
                counts[resource] = min(missing, left)
                left -= counts[resource]
            counted = _counts({resource: count for resource, count in counts.items() if count})
            self._run(f"UPDATE {table} SET counts = ? WHERE row = ?", (counted, row))  # noqa: S608

    # --- outbox -------------------------------------------------------------------------------------------------------

    def add_segment(
        self,
        epoch: int,
        number: int,
        batch: Batch,
        count: int,
        accepted_ms: int,
        header: bytes,
        body: bytes,
        counts: Mapping[str, int] | None = None,
        *,
        kept: bool = False,
    ) -> int:
        columns = as_columns(batch)
        first_ms, last_ms = int(columns.times_ms.min()), int(columns.times_ms.max())
        done = self._run(
            "INSERT INTO segment (connector_id, epoch, number, count, accepted_ms, first_ms, last_ms, series, header, body,"
            " counts, kept) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._id,
                epoch,
                number,
                count,
                accepted_ms,
                first_ms,
                last_ms,
                self._spans(columns),
                header,
                body,
                _counts(columns.counts() if counts is None else counts),
                kept,
            ),
        )
        size = len(body)
        self._count(outbox_count=count, outbox_bytes=size, sealed_count=count, sealed_bytes=size, **_kept(kept, size))
        return int(done.lastrowid or 0)

    def _spans(self, columns: Columns) -> bytes:
        """Write down where the readings of a segment are found in history; series that are gone are left out."""
        rows = self._catalogue.rows(self._connection, self._id, columns)
        firsts, lasts = columns.spans()
        ids = [row.series_id if row is not None else 0 for row in rows]
        spans = [span for span in zip(ids, firsts.tolist(), lasts.tolist(), strict=True) if span[0]]
        return pack_spans(spans)

    def segment(self, row: int) -> Segment | None:
        found = self._run(f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE row = ?", (row,)).fetchone()  # noqa: S608
        return Segment(*found) if found else None

    def first_segment_row(self) -> int:
        (row,) = self._run("SELECT MIN(row) FROM segment WHERE connector_id = ?", (self._id,)).fetchone()
        return int(row or 0)

    def undropped_after(self, row: int, limit: int) -> list[tuple[int, int, int]]:
        rows = self._run(
            "SELECT row, epoch, number FROM segment WHERE connector_id = ? AND row > ? AND dropped IS NULL"
            " ORDER BY row LIMIT ?",
            (self._id, row, limit),
        )
        return [tuple(found) for found in rows]

    def fresh_rows(self, accepted_since_ms: int, limit: int) -> list[int]:
        rows = self._run(
            "SELECT row FROM segment WHERE connector_id = ? AND accepted_ms >= ? AND dropped IS NULL"
            " ORDER BY accepted_ms DESC, row DESC LIMIT ?",
            (self._id, accepted_since_ms, limit),
        )
        return [row[0] for row in rows]

    def segments_numbered(self, epoch: int, numbers: IntervalSet) -> list[Segment]:
        found: list[Segment] = []
        for low, high in numbers.intervals():
            rows = self._run(
                f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE connector_id = ? AND epoch = ? AND number BETWEEN ? AND ?"  # noqa: S608
                " ORDER BY number",
                (self._id, epoch, low, high),
            )
            found += [Segment(*row) for row in rows]
        return found

    def expired_segments(self, before_ms: int, limit: int) -> list[Segment]:
        rows = self._run(
            f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE connector_id = ? AND accepted_ms <= ? AND dropped IS NULL"  # noqa: S608
            " ORDER BY accepted_ms, row LIMIT ?",
            (self._id, before_ms, limit),
        )
        return [Segment(*row) for row in rows]

    def droppable_segments(self, after_row: int, limit: int) -> list[Segment]:
        rows = self._run(
            f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE connector_id = ? AND row > ? AND dropped IS NULL AND kept = 0"  # noqa: S608
            " ORDER BY row LIMIT ?",
            (self._id, after_row, limit),
        )
        return [Segment(*row) for row in rows]

    def oldest_accepted_ms(self) -> int | None:
        row = self._run(
            "SELECT MIN(oldest) FROM (SELECT MIN(accepted_ms) AS oldest FROM segment"
            " WHERE connector_id = ?1 AND dropped IS NULL UNION ALL SELECT MIN(accepted_ms) FROM tail WHERE connector_id = ?1)",
            (self._id,),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def move_accepted(self, by_ms: int, now_ms: int) -> None:
        for table in ("tail", "segment"):
            self._move_stamps(table, "accepted_ms", by_ms, now_ms)

    def settle_segments(self, epoch: int, numbers: IntervalSet, segments: Sequence[Segment], now_ms: int) -> None:
        """The other side recorded these numbers; `segments` are those of them that are here.

        What is kept of them is as old as their latest reading at most: a clock far behind would else have it forgotten, the
        moment that it is set right, while the history still has the readings.
        """
        for low, high in numbers.intervals():
            which = (self._id, epoch, low, high)
            self._mend_counts("segment", "connector_id = ? AND epoch = ? AND number BETWEEN ? AND ?", epoch, low, high)
            self._run(
                "INSERT OR REPLACE INTO sent_segment SELECT connector_id, epoch, number, count, first_ms, last_ms, series,"
                " MAX(?5, last_ms), counts FROM segment WHERE connector_id = ?1 AND epoch = ?2 AND number BETWEEN ?3 AND ?4",
                (*which, now_ms),
            )
            self._run("DELETE FROM segment WHERE connector_id = ? AND epoch = ? AND number BETWEEN ? AND ?", which)
        self._run(
            "UPDATE stream SET outbox_count = outbox_count - ?, outbox_bytes = outbox_bytes - ?,"
            " kept_bytes = kept_bytes - ?, last_settled_ms = ? WHERE connector_id = ?",
            (
                sum(segment.count for segment in segments),
                sum(len(segment.body) for segment in segments),
                sum(len(segment.body) for segment in segments if segment.kept),
                now_ms,
                self._id,
            ),
        )

    def drop_segment(self, segment: Segment, cause: str) -> None:
        self._mend_counts("segment", "connector_id = ? AND row = ?", segment.row)
        self._run("UPDATE segment SET dropped = ?, body = x'' WHERE row = ?", (cause, segment.row))
        size = len(segment.body)
        self._count(outbox_count=-segment.count, outbox_bytes=-size, **_kept(segment.kept, -size))
        self._count_dropped(cause, segment.count)

    def undrop_segment(self, segment: Segment) -> None:
        assert segment.dropped is not None
        self._run("UPDATE segment SET dropped = NULL WHERE row = ?", (segment.row,))
        self._count(outbox_count=segment.count)
        self._count_dropped(segment.dropped, -segment.count)

    def forget_segment(self, segment: Segment) -> None:
        self._run("DELETE FROM segment WHERE row = ?", (segment.row,))

    def sent_segments(self, epoch: int, numbers: IntervalSet) -> list[SentSegment]:
        found: list[SentSegment] = []
        for low, high in numbers.intervals():
            rows = self._run(
                "SELECT epoch, number, count, first_ms, last_ms, series, counts FROM sent_segment"
                " WHERE connector_id = ? AND epoch = ? AND number BETWEEN ? AND ? ORDER BY number",
                (self._id, epoch, low, high),
            )
            for row in rows:
                try:
                    spans = tuple(SeriesSpan(*span) for span in unpack_spans(row[5]))
                except (msgspec.DecodeError, ValueError, TypeError) as error:
                    spans = ()  # what it held is lost then, and is named so
                    _log.error(
                        "where a segment lies in history cannot be read: %s", error, extra={"connector": self._id}
                    )
                found.append(SentSegment(row[0], row[1], row[2], row[3], row[4], spans, read_counts(row[6])))
        return found

    def forget_sent(self, before_ms: int, limit: int) -> None:
        self._run(
            "DELETE FROM sent_segment WHERE (connector_id, epoch, number) IN (SELECT connector_id, epoch, number"
            " FROM sent_segment WHERE connector_id = ? AND settled_ms <= ? LIMIT ?)",
            (self._id, before_ms, limit),
        )

    def history(self, spans: Sequence[SeriesSpan]) -> list[Series]:
        batch: list[Series] = []
        for span in spans:
            named = self._run(
                "SELECT device.identity, resource.alias, resource.format, generation FROM series"
                " JOIN device USING (device_id) JOIN resource USING (resource_id) WHERE series_id = ?",
                (span.series_id,),
            ).fetchone()
            if named is None:
                continue
            found = history.between(self._connection, span.series_id, span.first_ms, span.last_ms + 1)
            if found:
                times_ms, values = [at_ms for at_ms, _ in found], [value for _, value in found]
                batch.append(Series(named[0], named[1], named[2], times_ms, values, named[3]))
        return batch


def _chunk(row: tuple[int, str, int, int, bytes, int]) -> TailChunk:
    return TailChunk(*row[:5], kept=bool(row[5]))


def _kept(kept: bool, body_bytes: int) -> dict[str, int]:
    return {"kept_bytes": body_bytes} if kept else {}


def _counts(counts: Mapping[str, int]) -> str:
    """Return the readings of a batch by alias as JSON: triggers keep the table `waiting` by it."""
    return msgspec.json.encode(counts).decode()


def pack_spans(spans: Sequence[tuple[int, int, int]]) -> bytes:
    """Return (series ID, first ms, last ms) rows as differences from row to row of IDs, firsts, and lengths."""
    columns = [span[0] for span in spans], [span[1] for span in spans], [span[2] - span[1] for span in spans]
    return pack((_SPANS_VERSION, *([b - a for a, b in pairwise([0, *column])] for column in columns)))


def unpack_spans(packed: bytes) -> list[tuple[int, int, int]]:
    """The inverse of `pack_spans`; reads the rows of earlier releases as well."""
    read = unpack(packed)
    if not read or read[0] not in (1, _SPANS_VERSION):
        return [tuple(span) for span in read]
    version, ids, firsts, lengths = read
    starts = list(accumulate(firsts))
    lasting = lengths if version == 1 else accumulate(lengths)
    ends = [start + length for start, length in zip(starts, lasting, strict=True)]
    return list(zip(accumulate(ids), starts, ends, strict=True))
