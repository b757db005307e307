"""What a parting gives up, written down as gap notices at either side (G1, G16): by sum, opening nothing.

Opening each segment of a month would stop the writer, so a notice names resources and no devices; what is held here is
known by both.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from connector import accounts
from connector.connectors import Pair
from connector.streams import Streams
from shared.core.entries import CAUSE_PARTED, GapNotice, GapRow
from shared.limits import GAP_ROWS_MAX
from shared.sealing import Side

# What stands for several devices in a notice.
_DEVICES: Final = ""


def note_gaps(store: Streams, pair: Pair, gap_id: str, now_ms: int) -> None:
    """Write down what will never arrive; before the rows of the pair go."""
    made = _at_source(store, pair, gap_id, now_ms) if pair.side is Side.SOURCE else None
    if made is not None:
        store.add_gap(made, ours=True)
    if pair.side is Side.TARGET:
        if (held := _held(store.connection, pair, gap_id, now_ms)) is not None:
            store.add_gap(held, ours=True)
        if (stated := _stated(store, pair, gap_id + "s", now_ms)) is not None:
            store.add_gap(stated, ours=False)


def _at_source(store: Streams, pair: Pair, gap_id: str, now_ms: int) -> GapNotice | None:
    """What waits here to be sent."""
    count, first_ms, last_ms = store.connection.execute(
        "SELECT SUM(count), MIN(first_ms), MAX(last_ms) FROM (SELECT count, first_ms, last_ms FROM segment"
        " WHERE connector_id = ?1 AND dropped IS NULL UNION ALL"
        " SELECT count, accepted_ms, accepted_ms FROM tail WHERE connector_id = ?1)",
        (pair.connector_id,),
    ).fetchone()
    if not count:
        return None
    waiting = store.connection.execute(
        "SELECT resource, tail_count + outbox_count AS waits FROM waiting WHERE connector_id = ? AND waits > 0"
        " ORDER BY waits DESC, resource LIMIT ?",
        (pair.connector_id, GAP_ROWS_MAX),
    )
    rows = [GapRow(_DEVICES, resource, waits, first_ms, last_ms) for resource, waits in waiting]
    return GapNotice(gap_id, CAUSE_PARTED, count, first_ms, last_ms, rows, [], now_ms)


def _held(connection: sqlite3.Connection, pair: Pair, gap_id: str, now_ms: int) -> GapNotice | None:
    """What arrived here and was not applied: held for want of a device or resource, or in quarantine."""
    mine = accounts.own_account(connection, pair)
    if not mine.held + mine.quarantined:
        return None
    found = connection.execute(
        "SELECT device, resource, SUM(count), MIN(arrived_ms), MAX(arrived_ms) FROM held WHERE connector_id = ?"
        " GROUP BY device, resource ORDER BY 3 DESC, 1, 2 LIMIT ?",
        (pair.connector_id, GAP_ROWS_MAX),
    )
    rows = [GapRow(*row) for row in found]
    first_ms, last_ms = connection.execute(
        "SELECT MIN(arrived_ms), MAX(arrived_ms) FROM (SELECT arrived_ms FROM held WHERE connector_id = ?1"
        " UNION ALL SELECT arrived_ms FROM quarantine WHERE connector_id = ?1 AND kind = 0)",
        (pair.connector_id,),
    ).fetchone()
    count = mine.held + mine.quarantined
    return GapNotice(gap_id, CAUSE_PARTED, count, first_ms or now_ms, last_ms or now_ms, rows, [], now_ms)


def _stated(store: Streams, pair: Pair, gap_id: str, now_ms: int) -> GapNotice | None:
    """What waited at the source when it spoke last."""
    stated = accounts.peer_account(store.connection, pair.connector_id)
    if stated is None or not stated.tail + stated.outbox:
        return None
    at_ms = stated.stated_ms or now_ms
    waits = {
        name: each.ledger.tail + each.ledger.outbox for name, each in store.peer_resource_ledgers().items() if name
    }
    largest = sorted((name for name in waits if waits[name] > 0), key=lambda name: (-waits[name], name))[:GAP_ROWS_MAX]
    rows = [GapRow(_DEVICES, name, waits[name], at_ms, now_ms) for name in largest]
    return GapNotice(gap_id, CAUSE_PARTED, stated.tail + stated.outbox, at_ms, now_ms, rows, [], now_ms)
