"""What a connector is left with once its pair is over (G16): everything it has, or nothing of what was replicated.

Runs in the transaction that ends the pair. All of it is local: no version of a cell is made, so nothing is told to
anybody, now or in a later pair.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

import msgspec

from connector import accounts, history
from connector.connectors import Pair
from connector.parting_gaps import note_gaps
from connector.parting_rows import Parted, find_talk, save_parted
from connector.projection import forget_device, project
from connector.streams import Streams
from shared.core.cells import Cell
from shared.core.entries import CAUSE_PARTED
from shared.core.fields import EXISTS, device_identity, generation_of
from shared.core.ledger import Ledger
from shared.core.parting import PARTING_TABLE, PartEvent, PartState
from shared.sealing import Side

# What belongs to the pair, or to the way of readings and edits through it.
_OF_THE_PAIR: Final = (
    "tail",
    "segment",
    "sent_segment",
    "epoch_out",
    "dropped",
    "resource_dropped",
    "set_aside",
    "epoch_in",
    "held",
    "quarantine",
    "control_out",
    "control_epoch",
    "control_in",
    "peer_ledger",
    "peer_resource_ledger",
    "peer_resource",
    "lookup_copy",
    "request",
    "pairing_window",
    "parting_talk",
    "replay",
    "replay_segment",
    "replay_epoch",
    "waiting",  # after what its triggers count
    "pair",
)
# What a target has through its pair.
_REPLICATED: Final = (
    "device",
    "resource",
    "grant_row",
    "cell",
    "cell_digest",
    "change",
    "conflict",
    "gap",
    "peer_right",
)
_CELL: Final = "object, field, value, source_count, target_count, stamp_ms, site_id, side, who, refused"


@dataclass(frozen=True, slots=True)
class Waits:
    """What still waits on a pair, as this side knows it: it is given up when the pair parts.

    `queued` are readings on their way from the source, at a target as the source stated them last; `held` and
    `quarantined` arrived here and are not in the history; `pending_edits` are of this side and not known there.
    """

    queued: int
    held: int
    quarantined: int
    pending_edits: int


def waits(connection: sqlite3.Connection, pair: Pair) -> Waits:
    """Return what would be given up if the pair parted now."""
    mine = accounts.own_account(connection, pair)
    pending = _pending_edits(connection, pair.connector_id)
    if pair.side is Side.SOURCE:
        return Waits(mine.tail + mine.outbox, 0, 0, pending)
    stated = accounts.peer_account(connection, pair.connector_id)
    return Waits(stated.tail + stated.outbox if stated else 0, mine.held, mine.quarantined, pending)


def _pending_edits(connection: sqlite3.Connection, connector_id: str) -> int:
    row = connection.execute(
        "SELECT COUNT(*) FROM change WHERE connector_id = ? AND ours = 1 AND state = 'pending'", (connector_id,)
    ).fetchone()
    return int(row[0])


def end_pair(
    connection: sqlite3.Connection, store: Streams, pair: Pair, parting: bytes, part_id: bytes, gap_id: str, now_ms: int
) -> None:
    """End a pair: count what waits as dropped, keep or flush as was chosen for this parting, and stand alone."""
    talk = find_talk(connection, pair.connector_id)
    flush = talk.flush if talk.state is PartState.AGREED else talk.chosen_for(part_id)
    state = PARTING_TABLE.after(talk.state, PartEvent.BOTH_SIGNATURES_SEEN)
    ledger = _last_ledger(store, pair)
    pending = _pending_edits(connection, pair.connector_id)
    save_parted(
        connection,
        Parted(
            pair_id=pair.pair_id,
            side=pair.side,
            connector_id=pair.connector_id,
            certificate=pair.certificate,
            parting=parting,
            peer_site_name=pair.peer_site_name,
            peer_connector_id=pair.peer_connector_id,
            state=state,
            told_hub=False,
            flush=flush,
            parted_ms=now_ms,
            ledger=ledger,
            pending_edits=pending,
        ),
    )
    note_gaps(store, pair, gap_id, now_ms)
    store.save_lost_edits(None)  # the next partner has none of them
    store.save_beginning(None)
    store.save_peer_oldest_ms(None)
    _forget_pair(connection, pair.connector_id)
    if flush and pair.side is Side.TARGET:
        _flush_target(connection, pair.connector_id)
    elif flush:
        _flush_source(connection, pair, now_ms)
    else:
        _settle_edits(connection, pair.connector_id)


def _last_ledger(store: Streams, pair: Pair) -> Ledger:
    """Return the account of the pair with everything that waits counted as dropped."""
    if pair.side is Side.SOURCE:
        last = store.ledger()
        given_up = last.tail + last.outbox
    else:
        mine = accounts.own_account(store.connection, pair)
        last = Ledger(accepted=mine.accepted, applied=mine.applied, dropped=mine.dropped_by_cause)
        given_up = mine.held + mine.quarantined
    dropped = dict(last.dropped)
    if given_up:
        dropped[CAUSE_PARTED] = dropped.get(CAUSE_PARTED, 0) + given_up
    return msgspec.structs.replace(last, tail=0, outbox=0, dropped=dropped)


def _forget_pair(connection: sqlite3.Connection, connector_id: str) -> None:
    for table in _OF_THE_PAIR:
        connection.execute(f"DELETE FROM {table} WHERE connector_id = ?", (connector_id,))  # noqa: S608  # names of ours
    connection.execute(
        "UPDATE stream SET accepted = 0, adopted = 0, unknown = 0, tail_count = 0, tail_bytes = 0, outbox_count = 0,"
        " outbox_bytes = 0, kept_bytes = 0, last_settled_ms = NULL WHERE connector_id = ?",
        (connector_id,),
    )
    # 2: ours, of a pair that is over. They stay in the list; a later peer is not told of them (own_gaps).
    connection.execute("UPDATE gap SET ours = 2 WHERE connector_id = ? AND ours = 1", (connector_id,))
    connection.execute("UPDATE connector SET role = 'standalone' WHERE connector_id = ?", (connector_id,))


def _settle_edits(connection: sqlite3.Connection, connector_id: str) -> None:
    """Nothing is pending, refused or in conflict any more, as there is nobody to be in step with."""
    connection.execute(
        "UPDATE change SET state = 'applied', reason = 'parted', control_row = NULL WHERE connector_id = ?"
        " AND state = 'pending'",
        (connector_id,),
    )
    connection.execute("UPDATE change SET open = 0 WHERE connector_id = ? AND open = 1", (connector_id,))
    connection.execute(
        "UPDATE conflict SET closed_ms = found_ms, closed_how = 'parted' WHERE connector_id = ? AND closed_ms IS NULL",
        (connector_id,),
    )
    connection.execute("UPDATE cell SET control_row = NULL WHERE connector_id = ?", (connector_id,))
    connection.execute("UPDATE device SET sync = 'synced' WHERE connector_id = ? AND sync <> 'synced'", (connector_id,))


def _flush_target(connection: sqlite3.Connection, connector_id: str) -> None:
    """Erase everything: what a target has, it has through its pair."""
    history.forget_connector(connection, connector_id)
    for table in _REPLICATED:
        connection.execute(f"DELETE FROM {table} WHERE connector_id = ?", (connector_id,))  # noqa: S608  # names of ours


def _flush_source(connection: sqlite3.Connection, pair: Pair, now_ms: int) -> None:
    """Erase what the other side made: devices with all they have, and fields that it was the last to edit."""
    _settle_edits(connection, pair.connector_id)
    rows = connection.execute(
        f"SELECT {_CELL} FROM cell WHERE connector_id = ? AND site_id = ? AND side = ?",  # noqa: S608
        (pair.connector_id, pair.peer_site_id, pair.side.other),
    ).fetchall()
    for cell in (Cell(*row) for row in rows):
        connection.execute(
            "DELETE FROM cell WHERE connector_id = ? AND object = ? AND field = ?",
            (pair.connector_id, cell.object, cell.field),
        )
        identity = device_identity(cell.object)
        if identity is None:
            project(connection, pair.connector_id, msgspec.structs.replace(cell, value=None), now_ms)
        elif cell.field == EXISTS and generation_of(cell.value) > 0:
            forget_device(connection, pair.connector_id, identity)
    connection.execute("DELETE FROM cell_digest WHERE connector_id = ?", (pair.connector_id,))
    for table in ("change", "conflict"):
        mine = " AND ours = 0" if table == "change" else ""
        connection.execute(f"DELETE FROM {table} WHERE connector_id = ?{mine}", (pair.connector_id,))  # noqa: S608
