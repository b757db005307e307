"""History: the readings of a site, by series (one resource of one device) and millisecond (G6). All access goes through here.

Times are ms since 1970; spans take their first millisecond in and leave their last one out. Values are float, str or
bool. Functions run in the caller's transaction and never commit.

Handfuls are rows of `reading`; larger batches are kept as they were packed for the stream (`recent`) and folded into
chunks of one series beside it all (connector.history_folding). All three are read here as one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from connector.history_parts import (
    NOTHING,
    Opened,
    Part,
    clip,
    codec,
    open_chunk,
    open_recent,
    opened_chunk,
    pack_chunk,
    pack_ids,
    part_of,
    recent_parts,
    rows_part,
    tidy,
    unpack_ids,
)
from shared.columns import Columns, Format, Ints, Value
from shared.limits import DAY_MS, HISTORY_FOLD_READINGS_MAX, HISTORY_ROWS_MAX

Reading = tuple[int, Value]
FAR_MS: Final = 1 << 62
_SERIES_LOOKED_AT_MAX: Final = 512
_RECENT_LOOKED_AT_MAX: Final = 64
_INSERT_GREATER: Final = (
    "INSERT INTO reading (series_id, at_ms, value) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value > value"
)


def find_series(connection: sqlite3.Connection, connector_id: str, device: str, resource: str) -> int | None:
    """Return the ID of a series, None where nothing was ever read of it."""
    row = connection.execute(
        "SELECT series_id FROM series JOIN device USING (device_id) JOIN resource USING (resource_id)"
        " WHERE device.connector_id = ? AND identity = ? AND alias = ?",
        (connector_id, device, resource),
    ).fetchone()
    return None if row is None else int(row[0])


# --- writing ------------------------------------------------------------------------------------------------------------


def add(
    connection: sqlite3.Connection, connector_id: str, columns: Columns, ids: Sequence[int], body: bytes | None = None
) -> None:
    """Keep readings; `ids` are the series of the columns (0: do not keep it), `body` the batch if it is packed already."""
    if len(columns) <= HISTORY_ROWS_MAX:
        owners = np.repeat(np.array(ids, dtype=np.int64), columns.lengths).tolist()
        found = zip(owners, columns.times_ms.tolist(), columns.values.tolist(), strict=True)
        connection.executemany(_INSERT_GREATER, [row for row in found if row[0]])
    elif any(ids):
        connection.execute(
            "INSERT INTO recent (connector_id, level, first_ms, last_ms, count, series, body) VALUES (?, 0, ?, ?, ?, ?, ?)",
            (
                connector_id,
                int(columns.times_ms.min()),
                int(columns.times_ms.max()),
                len(columns),
                pack_ids(ids),
                body if body is not None else codec().encode(columns),
            ),
        )


# --- reading ------------------------------------------------------------------------------------------------------------


def between(
    connection: sqlite3.Connection, series_id: int, from_ms: int = 0, to_ms: int = FAR_MS, limit: int = -1
) -> list[Reading]:
    """Return the readings of one series in a span, oldest first, `limit` at most (-1: all)."""
    return _listed(_between(connection, series_id, from_ms, to_ms, limit, {}))


def columns_between(
    connection: sqlite3.Connection,
    series_id: int,
    from_ms: int = 0,
    to_ms: int = FAR_MS,
    limit: int = -1,
    opened: Opened | None = None,
) -> Part:
    """Return the same as two arrays, times and values: for those who look at very many."""
    return _between(connection, series_id, from_ms, to_ms, limit, {} if opened is None else opened)


def latest(
    connection: sqlite3.Connection,
    series_id: int,
    count: int,
    from_ms: int = 0,
    to_ms: int = FAR_MS,
    opened: Opened | None = None,
) -> list[Reading]:
    """Return the newest readings of one series in a span, oldest first, `count` at most.

    `opened` is for those who ask for several series one after the other: batches that hold them all are opened once.
    """
    known = _known(connection, series_id)
    if known is None or count < 1:
        return []
    connector_id, kind = known
    rows = connection.execute(
        "SELECT at_ms, value FROM reading WHERE series_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms DESC LIMIT ?",
        (series_id, from_ms, to_ms, count),
    ).fetchall()
    found = rows_part(rows[::-1], kind)
    opened = {} if opened is None else opened
    recent = recent_parts(connection, connector_id, series_id, from_ms, to_ms, opened, newest_first=True)
    for _, last_ms, row in recent:
        if _is_older(found, last_ms, count):
            break
        part = tidy([part_of(open_recent(connection, row, opened), series_id)])  # as it came: not in order
        found = tidy([found, clip(part, from_ms, to_ms)])
    recent.close()
    chunks = connection.execute(
        "SELECT row, last_ms FROM chunk WHERE series_id = ? AND last_ms >= ? AND first_ms < ? ORDER BY last_ms DESC",
        (series_id, from_ms, to_ms),
    )
    for row, last_ms in chunks:
        if _is_older(found, last_ms, count):
            break
        found = tidy([found, clip(open_chunk(connection, row), from_ms, to_ms)])
    chunks.close()
    return _listed((found[0][-count:], found[1][-count:]))


def _is_older(found: Part, last_ms: int, count: int) -> bool:
    """Whether what ends at `last_ms` can add nothing to the newest `count` readings."""
    return len(found[0]) >= count and int(found[0][-count]) > last_ms


def at(
    connection: sqlite3.Connection, series_id: int, times_ms: Iterable[int], opened: Opened | None = None
) -> dict[int, Value]:
    """Return what is there at these milliseconds."""
    wanted = np.unique(np.fromiter(times_ms, dtype=np.int64))
    if not len(wanted):
        return {}
    times, values = _between(
        connection, series_id, int(wanted[0]), int(wanted[-1]) + 1, -1, {} if opened is None else opened
    )
    there = np.isin(times, wanted)
    return dict(_listed((times[there], values[there])))


def is_any_there(connection: sqlite3.Connection, series_id: int, times_ms: Ints, opened: Opened) -> bool:
    """Tell whether there is a reading at one of these milliseconds, which rise."""
    there, _ = _between(connection, series_id, int(times_ms[0]), int(times_ms[-1]) + 1, -1, opened)
    return bool(np.isin(times_ms, there, assume_unique=True).any())


def _between(
    connection: sqlite3.Connection, series_id: int, from_ms: int, to_ms: int, limit: int, opened: Opened
) -> Part:
    known = _known(connection, series_id)
    if known is None or limit == 0:
        return tidy([])
    connector_id, kind = known
    rows = connection.execute(
        "SELECT at_ms, value FROM reading WHERE series_id = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms LIMIT ?",
        (series_id, from_ms, to_ms, limit),
    ).fetchall()
    found = rows_part(rows, kind)
    places = [
        (first_ms, -row)  # negative: a recent batch
        for first_ms, _, row in recent_parts(connection, connector_id, series_id, from_ms, to_ms, opened)
    ]
    places += [
        (row[0], row[1])
        for row in connection.execute(
            "SELECT first_ms, row FROM chunk WHERE series_id = ? AND first_ms < ? AND last_ms >= ?",
            (series_id, to_ms, from_ms),
        )
    ]
    waiting: list[Part] = [found]
    held = len(found[0])
    for first_ms, place in sorted(places):
        if 0 < limit <= held:  # enough, unless what comes begins before the last of them
            found = tidy(waiting)
            held, waiting = len(found[0]), [found]
            if held >= limit and int(found[0][limit - 1]) < first_ms:
                break
        whole = (
            open_chunk(connection, place) if place > 0 else part_of(open_recent(connection, -place, opened), series_id)
        )
        if place < 0:
            whole = tidy([whole])  # as it came: not in order
        waiting.append(clip(whole, from_ms, to_ms))
        held += len(waiting[-1][0])
    found = tidy(waiting)
    return found if limit < 0 else (found[0][:limit], found[1][:limit])


def _known(connection: sqlite3.Connection, series_id: int) -> tuple[str, Format] | None:
    row = connection.execute(
        "SELECT connector_id, format FROM series JOIN resource USING (resource_id) WHERE series_id = ?", (series_id,)
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _listed(part: Part) -> list[Reading]:
    return list(zip(part[0].tolist(), part[1].tolist(), strict=True))


# --- forgetting ---------------------------------------------------------------------------------------------------------


def forget_connector(connection: sqlite3.Connection, connector_id: str) -> None:
    """Delete all readings of a connector."""
    mine = "(SELECT series_id FROM series JOIN device USING (device_id) WHERE connector_id = ?)"
    for table in ("reading", "chunk"):
        connection.execute(f"DELETE FROM {table} WHERE series_id IN {mine}", (connector_id,))  # noqa: S608  # names of ours
    for table in ("recent", "damaged"):
        connection.execute(f"DELETE FROM {table} WHERE connector_id = ?", (connector_id,))  # noqa: S608  # names of ours


def forget_series(connection: sqlite3.Connection, series_id: int, *, limit: int) -> bool:
    """Delete a bite of the readings of one series, for one that is gone; return whether more may be left."""
    connection.execute("DELETE FROM damaged WHERE series_id = ?", (series_id,))
    return _forget_before(connection, series_id, FAR_MS, limit) >= limit


def forget_expired(connection: sqlite3.Connection, now_ms: int, *, after: int, limit: int) -> int | None:
    """Delete a bite of what is older than its resource keeps (`retention_ms`, 0: for ever).

    `limit` rows or chunks at most. Begin after 0 and go on after what is returned, None at the end: series by series, then
    (below 0) one recent batch after the other, which wait to be folded for as long as they are few. A chunk or a batch goes
    as a whole, and is cut where that would be more than a day late.
    """
    if after < 0:
        return _forget_recent(connection, now_ms, ~after)
    found = connection.execute(
        "SELECT series_id, retention_ms FROM series JOIN resource USING (resource_id) WHERE series_id > ?"
        " ORDER BY series_id LIMIT ?",
        (after, _SERIES_LOOKED_AT_MAX),
    ).fetchall()
    gone = 0
    for series_id, retention_ms in found:
        if retention_ms > 0:
            gone += _forget_before(connection, series_id, now_ms - retention_ms, limit - gone)
        if gone >= limit:
            return int(series_id) - 1
    return int(found[-1][0]) if len(found) == _SERIES_LOOKED_AT_MAX else ~0


def _forget_recent(connection: sqlite3.Connection, now_ms: int, after_row: int) -> int | None:
    """Do it for recent batches behind one of them, as many as are folded at once; return as `forget_expired` does."""
    looked_at = connection.execute(
        "SELECT row, connector_id, first_ms, last_ms, count, series FROM recent JOIN"
        " (SELECT connector_id, MIN(retention_ms) AS least_ms FROM resource WHERE retention_ms > 0 GROUP BY connector_id)"
        " USING (connector_id) WHERE row > ?1 AND (last_ms < ?2 - least_ms OR first_ms < ?2 - least_ms - ?3) ORDER BY row"
        " LIMIT ?4",
        (after_row, now_ms, DAY_MS, _RECENT_LOOKED_AT_MAX),
    ).fetchall()
    kept_from: dict[str, dict[int, int]] = {}
    readings = 0
    for row, connector_id, first_ms, last_ms, count, packed in looked_at:
        if connector_id not in kept_from:
            kept_from[connector_id] = _kept_from(connection, connector_id, now_ms)
        from_ms = [kept_from[connector_id].get(series_id, -FAR_MS) for series_id in unpack_ids(packed).tolist()]
        if last_ms < max(from_ms) or first_ms < max(from_ms) - DAY_MS:
            _cut_recent(connection, row, kept_from[connector_id])
            readings += count
        if readings >= HISTORY_FOLD_READINGS_MAX:
            return ~int(row)
    return ~int(looked_at[-1][0]) if len(looked_at) == _RECENT_LOOKED_AT_MAX else None


def _kept_from(connection: sqlite3.Connection, connector_id: str, now_ms: int) -> dict[int, int]:
    """Return the time from which on the readings of each series are kept; series that are kept for ever are not in it."""
    found = connection.execute(
        "SELECT series_id, retention_ms FROM series JOIN resource USING (resource_id)"
        " WHERE connector_id = ? AND retention_ms > 0",
        (connector_id,),
    )
    return {series_id: now_ms - retention_ms for series_id, retention_ms in found}


def _cut_recent(connection: sqlite3.Connection, row: int, kept_from: dict[int, int]) -> None:
    """Leave in a recent batch what is kept. One that is being folded may go: nothing is written of it then."""
    whole = open_recent(connection, row, {})
    if whole is NOTHING:
        return  # it was damaged
    from_ms = np.array([kept_from.get(int(name[0]), -FAR_MS) for name in whole.series], dtype=np.int64)
    rest = whole.where(whole.times_ms >= np.repeat(from_ms, whole.lengths))
    if not len(rest):
        connection.execute("DELETE FROM recent WHERE row = ?", (row,))
    elif len(rest) < len(whole):
        bare = Columns([("", "", name[2]) for name in rest.series], rest.lengths, rest.times_ms, rest.values)
        connection.execute(
            "UPDATE recent SET first_ms = ?, last_ms = ?, count = ?, series = ?, body = ? WHERE row = ?",
            (
                int(rest.times_ms.min()),
                int(rest.times_ms.max()),
                len(rest),
                pack_ids([int(name[0]) for name in rest.series]),
                codec().encode(bare),
                row,
            ),
        )


def _forget_before(connection: sqlite3.Connection, series_id: int, before_ms: int, limit: int) -> int:
    gone = connection.execute(
        "DELETE FROM reading WHERE series_id = ?1 AND at_ms IN"
        " (SELECT at_ms FROM reading WHERE series_id = ?1 AND at_ms < ?2 ORDER BY at_ms LIMIT ?3)",
        (series_id, before_ms, limit),
    ).rowcount
    gone += connection.execute(
        "DELETE FROM chunk WHERE row IN (SELECT row FROM chunk WHERE series_id = ? AND last_ms < ? LIMIT ?)",
        (series_id, before_ms, max(0, limit - gone)),
    ).rowcount
    cut = connection.execute(
        "SELECT row, first_ms, last_ms, count, body FROM chunk"
        " WHERE series_id = ? AND first_ms < ? AND last_ms >= ? LIMIT ?",
        (series_id, before_ms - DAY_MS, before_ms, max(0, limit - gone)),
    ).fetchall()
    for found in cut:
        rest = clip(opened_chunk(connection, found), before_ms, FAR_MS)
        if len(rest[0]):  # else it was damaged
            connection.execute(
                "UPDATE chunk SET first_ms = ?, count = ?, body = ? WHERE row = ?",
                (int(rest[0][0]), len(rest[0]), pack_chunk(rest), found[0]),
            )
    return gone + len(cut)
