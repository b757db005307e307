"""An outbox in SQLite: account, tail, segments, epochs and gaps of the readings that a connector originates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

import msgspec

from connector import history
from connector.pair_rows import PairRows, epoch_rest, pack, unpack
from shared.columns import Batch, Columns, Series, as_columns
from shared.core.entries import GapNotice
from shared.core.intervals import IntervalSet
from shared.core.ledger import Ledger
from shared.core.ports import EpochOut, Segment, SentSegment, SeriesSpan, TailChunk, TailTotal

_SPANS_VERSION = 1
_SEGMENT_COLUMNS = "row, epoch, number, count, accepted_ms, header, body, dropped"


class OutboxRows(PairRows):
    """shared.core.ports.OutboxStore."""

    # --- account ------------------------------------------------------------------------------------------------------

    def _count(self, **deltas: int) -> None:
        changes = ", ".join(f"{name} = {name} + ?" for name in deltas)
        sql = f"UPDATE stream SET {changes} WHERE connector_id = ?"  # noqa: S608  # names of ours
        done = self._run(sql, (*deltas.values(), self._id))
        if done.rowcount == 0:
            self._run("INSERT INTO stream (connector_id) VALUES (?)", (self._id,))
            self._count(**deltas)

    def count_accepted(self, count: int) -> None:
        self._count(accepted=count)

    def count_adopted(self, count: int) -> None:
        self._count(accepted=count, adopted=count)

    def set_unknown(self) -> None:
        self._count(accepted=0)
        self._run("UPDATE stream SET unknown = 1 WHERE connector_id = ?", (self._id,))

    def count_dropped(self, cause: str, count: int) -> None:
        self._run(
            "INSERT INTO dropped (connector_id, cause, count) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            (self._id, cause, count),
        )

    def waiting_bytes(self) -> int:
        row = self._run("SELECT tail_bytes + outbox_bytes FROM stream WHERE connector_id = ?", (self._id,)).fetchone()
        return int(row[0]) if row else 0

    def ledger(self) -> Ledger:
        row = self._run(
            "SELECT accepted, tail_count, outbox_count, adopted, unknown FROM stream WHERE connector_id = ?",
            (self._id,),
        ).fetchone()
        accepted, tail, outbox, adopted, unknown = row or (0, 0, 0, 0, 0)
        dropped = dict(self._run("SELECT cause, count FROM dropped WHERE connector_id = ? AND count <> 0", (self._id,)))
        applied = held = quarantined = 0
        for epoch in self.epochs_out().values():
            applied += epoch.applied
            held += epoch.held
            quarantined += epoch.quarantined
            for cause, count in epoch.dropped.items():
                dropped[cause] = dropped.get(cause, 0) + count
        return Ledger(accepted, applied, tail, outbox, held, quarantined, dropped, adopted, bool(unknown))

    # --- tail ---------------------------------------------------------------------------------------------------------

    def add_tail(self, resource: str, accepted_ms: int, batch: Batch, body: bytes) -> None:
        columns = as_columns(batch)
        self._run(
            "INSERT INTO tail (connector_id, resource, accepted_ms, count, counts, body) VALUES (?, ?, ?, ?, ?, ?)",
            (self._id, resource, accepted_ms, len(columns), _counts(columns), body),
        )
        self._count(tail_count=len(columns), tail_bytes=len(body))

    def tail_totals(self) -> dict[str, TailTotal]:
        rows = self._run(
            "SELECT resource, SUM(count), SUM(LENGTH(body)), MIN(accepted_ms) FROM tail WHERE connector_id = ?"
            " GROUP BY resource ORDER BY resource",
            (self._id,),
        )
        return {row[0]: TailTotal(row[1], row[2], row[3]) for row in rows}

    def tail_chunks(self, resources: Iterable[str], readings_max: int) -> list[TailChunk]:
        wanted = list(resources)
        marks = ", ".join("?" * len(wanted))
        rows = self._run(
            f"SELECT row, resource, accepted_ms, count, body FROM tail WHERE connector_id = ?"  # noqa: S608
            f" AND resource IN ({marks}) ORDER BY row",
            (self._id, *wanted),
        )
        chunks: list[TailChunk] = []
        readings = 0
        for row in rows:
            chunks.append(TailChunk(*row))
            readings += row[3]
            if readings >= readings_max:
                break
        return chunks

    def expired_tail(self, before_ms: int, limit: int) -> list[TailChunk]:
        rows = self._run(
            "SELECT row, resource, accepted_ms, count, body FROM tail WHERE connector_id = ? AND accepted_ms <= ?"
            " ORDER BY accepted_ms, row LIMIT ?",
            (self._id, before_ms, limit),
        )
        return [TailChunk(*row) for row in rows]

    def oldest_tail(self, limit: int) -> list[TailChunk]:
        rows = self._run(
            "SELECT row, resource, accepted_ms, count, body FROM tail WHERE connector_id = ? ORDER BY row LIMIT ?",
            (self._id, limit),
        )
        return [TailChunk(*row) for row in rows]

    def remove_tail(self, chunks: Sequence[TailChunk]) -> None:
        self._connection.executemany("DELETE FROM tail WHERE row = ?", [(chunk.row,) for chunk in chunks])
        self._count(
            tail_count=-sum(chunk.count for chunk in chunks), tail_bytes=-sum(len(chunk.body) for chunk in chunks)
        )

    # --- outbox -------------------------------------------------------------------------------------------------------

    def add_segment(
        self, epoch: int, number: int, batch: Batch, count: int, accepted_ms: int, header: bytes, body: bytes
    ) -> int:
        columns = as_columns(batch)
        first_ms, last_ms = int(columns.times_ms.min()), int(columns.times_ms.max())
        done = self._run(
            "INSERT INTO segment (connector_id, epoch, number, count, accepted_ms, first_ms, last_ms, series, header, body,"
            " counts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                _counts(columns),
            ),
        )
        self._count(outbox_count=count, outbox_bytes=len(body))
        return int(done.lastrowid or 0)

    def _spans(self, columns: Columns) -> bytes:
        """Write down where the readings of a segment are found in history; series that are gone are left out."""
        rows = [self._catalogue.find(self._connection, self._id, name[0], name[1]) for name in columns.series]
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

    def oldest_segments(self, limit: int) -> list[Segment]:
        rows = self._run(
            f"SELECT {_SEGMENT_COLUMNS} FROM segment WHERE connector_id = ? AND dropped IS NULL ORDER BY row LIMIT ?",  # noqa: S608
            (self._id, limit),
        )
        return [Segment(*row) for row in rows]

    def oldest_accepted_ms(self) -> int | None:
        row = self._run(
            "SELECT MIN(oldest) FROM (SELECT MIN(accepted_ms) AS oldest FROM segment"
            " WHERE connector_id = ?1 AND dropped IS NULL UNION ALL SELECT MIN(accepted_ms) FROM tail WHERE connector_id = ?1)",
            (self._id,),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def settle_segment(self, segment: Segment, now_ms: int) -> None:
        self._run(
            "INSERT OR REPLACE INTO sent_segment SELECT connector_id, epoch, number, count, first_ms, last_ms, series, ?"
            " FROM segment WHERE row = ?",
            (now_ms, segment.row),
        )
        self._run("DELETE FROM segment WHERE row = ?", (segment.row,))
        self._count(outbox_count=-segment.count, outbox_bytes=-len(segment.body))
        self._run("UPDATE stream SET last_settled_ms = ? WHERE connector_id = ?", (now_ms, self._id))

    def drop_segment(self, segment: Segment, cause: str) -> None:
        self._run("UPDATE segment SET dropped = ?, body = x'' WHERE row = ?", (cause, segment.row))
        self._count(outbox_count=-segment.count, outbox_bytes=-len(segment.body))
        self.count_dropped(cause, segment.count)

    def undrop_segment(self, segment: Segment) -> None:
        assert segment.dropped is not None
        self._count(outbox_count=segment.count)
        self.count_dropped(segment.dropped, -segment.count)

    def forget_segment(self, segment: Segment) -> None:
        self._run("DELETE FROM segment WHERE row = ?", (segment.row,))

    def epochs_out(self) -> dict[int, EpochOut]:
        rows = self._run(
            "SELECT epoch, last_number, recorded, closed, applied, held, quarantined, dropped FROM epoch_out"
            " WHERE connector_id = ?",
            (self._id,),
        )
        return {row[0]: EpochOut(row[0], row[1], *epoch_rest(row[2:])) for row in rows}

    def save_epoch_out(self, epoch: EpochOut) -> None:
        self._run(
            "INSERT OR REPLACE INTO epoch_out VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._id,
                epoch.epoch,
                epoch.last_number,
                pack(epoch.recorded.flat()),
                pack(epoch.closed.flat()),
                epoch.applied,
                epoch.held,
                epoch.quarantined,
                msgspec.json.encode(epoch.dropped).decode(),
            ),
        )

    def sent_segments(self, epoch: int, numbers: IntervalSet) -> list[SentSegment]:
        found: list[SentSegment] = []
        for low, high in numbers.intervals():
            rows = self._run(
                "SELECT epoch, number, count, first_ms, last_ms, series FROM sent_segment"
                " WHERE connector_id = ? AND epoch = ? AND number BETWEEN ? AND ? ORDER BY number",
                (self._id, epoch, low, high),
            )
            for row in rows:
                spans = tuple(SeriesSpan(*span) for span in unpack_spans(row[5]))
                found.append(SentSegment(row[0], row[1], row[2], row[3], row[4], spans))
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
                "SELECT device.identity, resource.alias, resource.format FROM series JOIN device USING (device_id)"
                " JOIN resource USING (resource_id) WHERE series_id = ?",
                (span.series_id,),
            ).fetchone()
            if named is None:
                continue
            found = history.between(self._connection, span.series_id, span.first_ms, span.last_ms + 1)
            if found:
                batch.append(
                    Series(named[0], named[1], named[2], [at_ms for at_ms, _ in found], [value for _, value in found])
                )
        return batch

    # --- gaps ---------------------------------------------------------------------------------------------------------

    def add_gap(self, notice: GapNotice, *, ours: bool) -> bool:
        done = self._run(
            "INSERT OR IGNORE INTO gap (connector_id, gap_id, ours, noticed_ms, notice) VALUES (?, ?, ?, ?, ?)",
            (self._id, notice.gap_id, ours, notice.noticed_ms, pack(notice)),
        )
        return done.rowcount > 0

    def own_gaps(self) -> list[GapNotice]:
        rows = self._run(
            "SELECT notice FROM gap WHERE connector_id = ? AND ours = 1 ORDER BY noticed_ms, gap_id", (self._id,)
        )
        return [unpack(row[0], type=GapNotice) for row in rows]

    def gaps(self, *, ours: bool) -> list[GapNotice]:
        rows = self._run(
            "SELECT notice FROM gap WHERE connector_id = ? AND ours = ? ORDER BY noticed_ms, gap_id", (self._id, ours)
        )
        return [unpack(row[0], type=GapNotice) for row in rows]


def _counts(columns: Columns) -> str:
    """Return the readings of a batch by alias as JSON: triggers keep the table `waiting` by it."""
    return msgspec.json.encode(columns.counts()).decode()


def pack_spans(spans: Sequence[tuple[int, int, int]]) -> bytes:
    """Return (series ID, first ms, last ms) rows as differences: IDs, firsts, and lengths."""
    ids = [span[0] for span in spans]
    firsts = [span[1] for span in spans]
    flat = [
        [after - before for before, after in pairwise([0, *ids])],
        [after - before for before, after in pairwise([0, *firsts])],
        [span[2] - span[1] for span in spans],
    ]
    return pack((_SPANS_VERSION, *flat))


def unpack_spans(packed: bytes) -> list[tuple[int, int, int]]:
    """The inverse of `pack_spans`; reads the rows of earlier releases as well."""
    read = unpack(packed)
    if not read or read[0] != _SPANS_VERSION:
        return [tuple(span) for span in read]
    _, ids, firsts, lengths = read
    starts = list(accumulate(firsts))
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    return list(zip(accumulate(ids), starts, ends, strict=True))
