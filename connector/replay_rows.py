"""Replays in SQLite (N9): jobs, what is under way, what arrived, and reading and filling history for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from connector import history, people
from connector.connectors import find_pair
from connector.history_parts import Opened, Part, unpack_ids
from connector.pair_rows import PairRows, pack, readable
from connector.people import AuditRow
from connector.replay_filling import fill
from shared.columns import Columns, SeriesName
from shared.core.intervals import IntervalSet
from shared.core.replay_job import (
    Bite,
    Cursor,
    Filled,
    LeftOut,
    ReplayAsk,
    ReplayJob,
    ReplaySegment,
    ReplayState,
    StatedReplay,
)
from shared.limits import REPLAY_EPOCHS_KEPT_MAX, REPLAY_JOBS_KEPT_MAX, REPLAY_TEXTS_MAX

_JOB: Final = "state, ask, figures, reason, run, asked_count, sent_count, left_out, cursor_series, cursor_ms"
# Series that an ask names: its resources ?3 and devices ?2, both as JSON lists; no devices mean all.
_SERIES: Final = (
    " FROM series JOIN device USING (device_id) JOIN resource USING (resource_id) WHERE device.connector_id = ?1"
    " AND (?2 = '[]' OR identity IN (SELECT value FROM json_each(?2)))"
    " AND alias IN (SELECT value FROM json_each(?3))"
)


class ReplayRows(PairRows):
    """shared.core.replay_job.ReplayStore."""

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def replay_job(self, job_id: str) -> ReplayJob | None:
        row = self._run(
            f"SELECT {_JOB} FROM replay WHERE connector_id = ? AND job_id = ?",  # noqa: S608
            (self._id, job_id),
        ).fetchone()
        return _job(row) if row else None

    def replay_jobs(self, *, open_only: bool, limit: int) -> list[ReplayJob]:
        return list_replays(self._connection, self._id, open_only=open_only, limit=limit)

    def save_replay(self, job: ReplayJob, now_ms: int) -> None:
        cursor = job.cursor
        values = (
            job.state.value,
            job.state.is_open,
            pack(job.ask),
            pack(job.figures),
            job.reason,
            job.run,
            job.asked_count,
            job.sent_count,
            pack(job.left_out),
            cursor.series_id if cursor else None,
            cursor.at_ms if cursor else 0,
            now_ms,
        )
        done = self._run(
            "UPDATE replay SET state = ?, is_open = ?, ask = ?, figures = ?, reason = ?, run = ?, asked_count = ?,"
            " sent_count = ?, left_out = ?, cursor_series = ?, cursor_ms = ?, changed_ms = ?"
            " WHERE connector_id = ? AND job_id = ?",
            (*values, self._id, job.ask.job_id),
        )
        if done.rowcount:
            return
        self._run(
            "INSERT INTO replay (state, is_open, ask, figures, reason, run, asked_count, sent_count, left_out,"
            " cursor_series, cursor_ms, changed_ms, connector_id, job_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, self._id, job.ask.job_id),
        )
        self._run(
            "DELETE FROM replay WHERE connector_id = ?1 AND is_open = 0 AND row NOT IN"
            " (SELECT row FROM replay WHERE connector_id = ?1 ORDER BY row DESC LIMIT ?2)",
            (self._id, REPLAY_JOBS_KEPT_MAX),
        )

    def note_peer_asked(self, ask: ReplayAsk, what: str, now_ms: int) -> None:
        pair = find_pair(self._connection, self._id)
        site = pair.peer_site_name if pair else "the other site"
        detail = f"replay {ask.job_id} of connector {self._id}, {ask.from_ms} to {ask.to_ms} ms"
        people.add_audit(self._connection, AuditRow(now_ms, f"{ask.who} at {site}", what, "pair", detail))

    # --- reading ------------------------------------------------------------------------------------------------------

    def unknown_device(self, identities: Iterable[str]) -> str | None:
        for identity in identities:
            found = self._run("SELECT 1 FROM device WHERE connector_id = ? AND identity = ?", (self._id, identity))
            if found.fetchone() is None:
                return identity
        return None

    def _named(self, ask: ReplayAsk, aliases: Iterable[str]) -> tuple[str, str, str]:
        devices, resources = (msgspec.json.encode(list(names)).decode() for names in (ask.devices, aliases))
        return self._id, devices, resources

    def replay_estimate(self, ask: ReplayAsk, aliases: Iterable[str]) -> int:
        """Estimate the readings of an ask without opening anything: of what it covers in part, the share of the time."""
        named = self._named(ask, aliases)
        ids = {row[0] for row in self._run(f"SELECT series_id{_SERIES}", named)}
        (loose,) = self._run(
            f"SELECT COUNT(*) FROM reading WHERE series_id IN (SELECT series_id{_SERIES})"  # noqa: S608  # words of ours
            " AND at_ms >= ?4 AND at_ms < ?5",
            (*named, ask.from_ms, ask.to_ms),
        ).fetchone()
        estimate = float(loose)
        chunks = self._run(
            f"SELECT first_ms, last_ms, count FROM chunk WHERE series_id IN (SELECT series_id{_SERIES})"  # noqa: S608
            " AND first_ms < ?5 AND last_ms >= ?4",
            (*named, ask.from_ms, ask.to_ms),
        )
        for first_ms, last_ms, count in chunks:
            estimate += count * _share(ask, first_ms, last_ms)
        recent = self._run(
            "SELECT first_ms, last_ms, count, series FROM recent WHERE connector_id = ? AND last_ms >= ? AND first_ms < ?",
            (self._id, ask.from_ms, ask.to_ms),
        )
        for first_ms, last_ms, count, packed in recent:
            inside = unpack_ids(packed).tolist()
            wanted = sum(series_id in ids for series_id in inside) / max(1, len(inside))
            estimate += count * wanted * _share(ask, first_ms, last_ms)
        return round(estimate)

    def replay_bite(
        self, ask: ReplayAsk, aliases: Sequence[str], cursor: Cursor, *, readings_max: int, series_max: int
    ) -> Bite:
        rows = self._run(
            f"SELECT series_id, identity, alias, format, generation{_SERIES} AND series_id >= ?4 ORDER BY series_id LIMIT ?5",
            (*self._named(ask, aliases), cursor.series_id, series_max),
        ).fetchall()
        found: list[tuple[int, SeriesName, Part]] = []
        opened: Opened = {}
        room = readings_max
        following = Cursor(rows[-1][0] + 1, ask.from_ms) if len(rows) == series_max else None
        generations = {row[1]: row[4] for row in rows if row[4] > 1}
        for series_id, identity, alias, kind, _ in rows:
            from_ms = cursor.at_ms if series_id == cursor.series_id else ask.from_ms
            limit = room if kind == "number" else min(room, REPLAY_TEXTS_MAX)
            part = history.columns_between(self._connection, series_id, from_ms, ask.to_ms, limit, opened)
            if len(part[0]):
                found.append((series_id, (identity, alias, kind), part))
                room -= len(part[0])
            if len(part[0]) == limit:
                following = Cursor(series_id, int(part[0][-1]) + 1)
                break
        return _bite(found, generations, following)

    # --- under way ------------------------------------------------------------------------------------------------------

    def add_replay_segment(self, job_id: str, epoch: int, number: int, header: bytes, body: bytes) -> int:
        done = self._run(
            "INSERT INTO replay_segment (connector_id, job_id, epoch, number, header, body) VALUES (?, ?, ?, ?, ?, ?)",
            (self._id, job_id, epoch, number, header, body),
        )
        return int(done.lastrowid or 0)

    def replay_segment(self, row: int) -> ReplaySegment | None:
        found = self._run(
            "SELECT row, epoch, number, header, body FROM replay_segment WHERE row = ?", (row,)
        ).fetchone()
        return ReplaySegment(*found) if found else None

    def replay_segment_rows(self) -> list[tuple[int, int, int]]:
        rows = self._run(
            "SELECT row, epoch, number FROM replay_segment WHERE connector_id = ? ORDER BY row", (self._id,)
        )
        return [tuple(row) for row in rows]

    def remove_replay_segment(self, row: int) -> None:
        self._run("DELETE FROM replay_segment WHERE row = ?", (row,))

    def clear_replay_segments(self, job_id: str) -> None:
        self._run("DELETE FROM replay_segment WHERE connector_id = ? AND job_id = ?", (self._id, job_id))

    # --- arrived --------------------------------------------------------------------------------------------------------

    def replay_epoch(self, epoch: int) -> IntervalSet | None:
        row = self._run(
            "SELECT recorded FROM replay_epoch WHERE connector_id = ? AND epoch = ?", (self._id, epoch)
        ).fetchone()
        return _recorded(row[0]) if row else None

    def replay_epochs(self) -> list[tuple[int, IntervalSet]]:
        rows = self._run(
            "SELECT epoch, recorded FROM replay_epoch WHERE connector_id = ? ORDER BY updated_ms, epoch", (self._id,)
        )
        return [(row[0], _recorded(row[1])) for row in rows]

    def save_replay_epoch(self, epoch: int, recorded: IntervalSet, now_ms: int) -> None:
        updated_ms = self._last_stamp("replay_epoch", now_ms)
        self._run(
            "INSERT OR REPLACE INTO replay_epoch VALUES (?, ?, ?, ?)",
            (self._id, epoch, pack(recorded.flat()), updated_ms),
        )
        self._run(
            "DELETE FROM replay_epoch WHERE connector_id = ?1 AND epoch NOT IN"
            " (SELECT epoch FROM replay_epoch WHERE connector_id = ?1 ORDER BY updated_ms DESC LIMIT ?2)",
            (self._id, REPLAY_EPOCHS_KEPT_MAX),
        )

    def fill(self, columns: Columns, now_ms: int) -> list[Filled | None]:
        return fill(self._connection, self._catalogue, self._id, columns, now_ms)


def list_replays(
    connection: sqlite3.Connection, connector_id: str, *, open_only: bool = False, limit: int = REPLAY_JOBS_KEPT_MAX
) -> list[ReplayJob]:
    """Return replays: open ones oldest first, or the newest ones, newest first."""
    chosen = "AND is_open = 1 ORDER BY row" if open_only else "ORDER BY row DESC"
    rows = connection.execute(
        f"SELECT {_JOB} FROM replay WHERE connector_id = ? {chosen} LIMIT ?",  # noqa: S608  # words of ours
        (connector_id, limit),
    )
    return [job for row in rows if (job := _job(row)) is not None]


def _recorded(packed: bytes) -> IntervalSet:
    """Return what arrived of replays; nothing where the disk damaged that: it comes once more, and does no harm."""
    return IntervalSet(readable(packed, list[int], "what arrived of a replay") or ())


def _job(row: Sequence[Any]) -> ReplayJob | None:
    state, *packed, reason, run, asked, sent, left_out, series_id, at_ms = row
    ask, figures = readable(packed[0], ReplayAsk, "a replay"), readable(packed[1], StatedReplay, "a replay")
    lacking = readable(left_out, list[LeftOut], "a replay")
    if ask is None or figures is None or lacking is None:
        return None
    return ReplayJob(
        ask,
        ReplayState(state),
        figures,
        reason,
        run,
        asked,
        sent,
        tuple(lacking),
        None if series_id is None else Cursor(series_id, at_ms),
    )


def _share(ask: ReplayAsk, first_ms: int, last_ms: int) -> float:
    inside = min(ask.to_ms, last_ms + 1) - max(ask.from_ms, first_ms)
    return max(0.0, inside / (last_ms + 1 - first_ms))


def _bite(
    found: Sequence[tuple[int, SeriesName, Part]], generations: Mapping[str, int], following: Cursor | None
) -> Bite:
    """Join parts into columns; values of a format that the resource had before are left out."""
    fitting = [(series_id, name, _fitting(name, part)) for series_id, name, part in found]
    fitting = [each for each in fitting if len(each[2][0])]
    if not fitting:
        empty = Columns([], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))
        return Bite(empty, (), following)
    numeric = all(part[1].dtype != object for _, _, part in fitting)
    columns = Columns(
        [name for _, name, _ in fitting],
        np.array([len(part[0]) for _, _, part in fitting], dtype=np.int64),
        np.concatenate([part[0] for _, _, part in fitting]),
        np.concatenate([part[1] if numeric else part[1].astype(object) for _, _, part in fitting]),
        generations,
    )
    return Bite(columns, tuple(series_id for series_id, _, _ in fitting), following)


def _fitting(name: SeriesName, part: Part) -> Part:
    times, values = part
    if values.dtype != object:
        return part if name[2] == "number" else (times[:0], values[:0].astype(object))
    kind = {"number": float, "string": str, "boolean": bool}[name[2]]
    keep = np.array([type(value) is kind for value in values.tolist()], dtype=bool)
    kept = values[keep]
    return times[keep], kept.astype(np.float64) if name[2] == "number" else kept
