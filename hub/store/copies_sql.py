"""Copies in SQLite. Functions run inside a unit of work and never commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from hub.store.rows import Backlog, Dropped
from shared.core.number_sets import NumberSets
from shared.core.relay_effects import Copy
from shared.errors import Refused
from shared.limits import HUB_COPY_ROW_BYTES
from shared.messages import HeldEpoch
from shared.sealing import Kind, Side

_UNSIGNED: Final = 2**64


def signed(epoch: int) -> int:
    """Fit an unsigned 64-bit number into SQLite's signed one."""
    return epoch - _UNSIGNED if epoch >= _UNSIGNED // 2 else epoch


def unsigned(stored: int) -> int:
    """The inverse of `signed`."""
    return stored % _UNSIGNED


def pair_row(connection: sqlite3.Connection, pair_id: bytes) -> int | None:
    """Return the short name of a pair in this file."""
    row = connection.execute("SELECT pair FROM pairs WHERE pair_id = ?", (pair_id,)).fetchone()
    return None if row is None else int(row[0])


def store(connection: sqlite3.Connection, pair_id: bytes, copies: Sequence[Copy]) -> None:
    """Keep copies; raises Refused('not_found') where the pair is not registered."""
    pair = pair_row(connection, pair_id)
    if pair is None:
        raise Refused("not_found", what="pair")
    connection.executemany(
        "INSERT INTO copies (pair, side, kind, epoch, number, arrived_ms, header, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (pair, side, kind, epoch, number) DO UPDATE"
        " SET arrived_ms = excluded.arrived_ms, header = excluded.header, body = excluded.body"
        " WHERE header <> excluded.header",
        [
            (pair, copy.side, copy.kind, signed(copy.epoch), copy.number, copy.arrived_ms, copy.header, copy.body)
            for copy in copies
        ],
    )


def trim(
    connection: sqlite3.Connection, pair_id: bytes, side: Side, kind: Kind, epoch: int, flat: Sequence[int]
) -> None:
    """Delete copies by number."""
    pair = pair_row(connection, pair_id)
    connection.executemany(
        "DELETE FROM copies WHERE pair = ? AND side = ? AND kind = ? AND epoch = ? AND number BETWEEN ? AND ?",
        [(pair, side, kind, signed(epoch), low, high) for low, high in zip(flat[::2], flat[1::2], strict=True)],
    )


def load(
    connection: sqlite3.Connection,
    pair_id: bytes,
    side: Side,
    kind: Kind,
    *,
    after: int,
    body_bytes_max: int,
    copies_max: int,
) -> list[Copy]:
    """Return the next copies by place, as far as the bounds allow, at least one."""
    found: list[Copy] = []
    body_bytes = 0
    rows = connection.execute(
        "SELECT place, epoch, number, arrived_ms, header, body FROM copies INDEXED BY copies_by_place"
        " WHERE pair = ? AND side = ? AND kind = ? AND place > ? ORDER BY place LIMIT ?",
        (pair_row(connection, pair_id), side, kind, after, copies_max),
    )
    for place, epoch, number, arrived_ms, header, body in rows:
        found.append(Copy(side, kind, unsigned(epoch), number, arrived_ms, header, body, place))
        body_bytes += len(body)
        if body_bytes >= body_bytes_max:
            break
    rows.close()
    return found


def held(connection: sqlite3.Connection, pair_id: bytes) -> dict[Side, list[HeldEpoch]]:
    """Return the numbers kept, per origin side."""
    found: dict[Side, list[HeldEpoch]] = {side: [] for side in Side}
    rows = connection.execute(
        "SELECT side, kind, epoch, number FROM copies INDEXED BY copies_by_number"
        " WHERE pair = ? ORDER BY side, kind, epoch, number",
        (pair_row(connection, pair_id),),
    )
    before: tuple[int, int, int] | None = None
    flat: list[int] = []
    # There may be a million: in their order, the last interval is all to look at.
    for side, kind, epoch, number in rows:
        of = (side, kind, epoch)
        if of != before:
            before, flat = of, [number, number]
            found[Side(side)].append(HeldEpoch(kind, unsigned(epoch), flat))
        elif number == flat[-1] + 1:
            flat[-1] = number
        else:
            flat += (number, number)
    return found


def drop(connection: sqlite3.Connection, *, before_ms: int, stored_bytes_max: int, copies_max: int) -> list[Dropped]:
    """Delete the oldest copies, by age and by cap."""
    (total,) = connection.execute(
        "SELECT coalesce(sum(body_bytes + ? * copies_count), 0) FROM backlogs", (HUB_COPY_ROW_BYTES,)
    ).fetchone()
    going: list[sqlite3.Row] = []
    rows = connection.execute(
        "SELECT place, pair_id, side, kind, epoch, number, arrived_ms, length(body) AS body_bytes"
        " FROM copies JOIN pairs USING (pair) ORDER BY place LIMIT ?",
        (copies_max,),
    )
    for row in rows:
        if row["arrived_ms"] >= before_ms and total <= stored_bytes_max:
            break
        going.append(row)
        total -= row["body_bytes"] + HUB_COPY_ROW_BYTES
    rows.close()
    connection.executemany("DELETE FROM copies WHERE place = ?", [(row["place"],) for row in going])
    return _grouped(going)


def _grouped(rows: Iterable[sqlite3.Row]) -> list[Dropped]:
    gone: dict[tuple[bytes, Side], NumberSets] = {}
    for row in rows:
        numbers = gone.setdefault((row["pair_id"], Side(row["side"])), NumberSets())
        numbers.add((Kind(row["kind"]), unsigned(row["epoch"]), row["number"]))
    return [Dropped(pair_id, side, tuple(numbers.listed())) for (pair_id, side), numbers in gone.items()]


def backlogs(connection: sqlite3.Connection) -> list[Backlog]:
    """Return what waits, per pair and origin side."""
    rows = connection.execute(
        "SELECT pair_id, side, copies_count, body_bytes,"
        " (SELECT min(oldest) FROM (SELECT (SELECT arrived_ms FROM copies WHERE pair = backlogs.pair"
        "   AND side = backlogs.side AND kind = kinds.value ORDER BY place LIMIT 1) AS oldest"
        "  FROM json_each('[0, 1]') AS kinds)) AS oldest_ms"
        " FROM backlogs JOIN pairs USING (pair) WHERE copies_count > 0 ORDER BY pair, side"
    )
    return [
        Backlog(
            row["pair_id"],
            Side(row["side"]),
            row["copies_count"],
            row["body_bytes"] + HUB_COPY_ROW_BYTES * row["copies_count"],
            row["oldest_ms"],
        )
        for row in rows
    ]
