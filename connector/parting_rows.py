"""What was said about parting, and pairs that were parted, in SQLite. Verbs run in the caller's transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from connector.connectors import find_pair
from connector.control_rows import ControlRows
from connector.pair_rows import pack, readable, unpack
from shared.certificates import Parting, verify
from shared.core.ledger import Ledger
from shared.core.parting import PARTING_TABLE, Ask, PartEvent, PartingTalk, PartState
from shared.sealing import Side

_PARTED: Final = (
    "pair_id, side, connector_id, certificate, parting, peer_site_name, peer_connector_id, state, told_hub, flush,"
    " parted_ms, ledger, pending_edits"
)
# People part now and then; a link's queue (LINK_QUEUE_FRAMES_MAX) has to hold them.
_TOLD_AT_ONCE_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Parted:
    """A pair that is over. `state` is AGREED until hub and peer are known to know. Times are ms since 1970."""

    pair_id: bytes
    side: Side
    connector_id: str
    certificate: bytes
    parting: bytes
    peer_site_name: str
    peer_connector_id: str
    state: PartState
    told_hub: bool
    flush: bool
    parted_ms: int
    ledger: Ledger
    pending_edits: int


class PartingRows(ControlRows):
    """The part of shared.core.ports.ControlStore that is about parting."""

    def parting_talk(self) -> PartingTalk:
        return find_talk(self._connection, self._id)

    def save_parting_talk(self, talk: PartingTalk) -> None:
        self._run(
            "INSERT OR REPLACE INTO parting_talk VALUES (?, ?, ?, ?, ?, ?)",
            (self._id, talk.state.value, _packed(talk.mine), _packed(talk.theirs), talk.flush, talk.declined_ms),
        )

    def peer_signed_parting(self, part_id: bytes, signature: bytes) -> bool:
        pair = find_pair(self._connection, self._id)
        return pair is not None and verify(pair.peer_identity_key, signature, Parting(pair.pair_id, part_id))


def _packed(ask: Ask | None) -> bytes | None:
    return None if ask is None else pack((ask.part_id, ask.signature, ask.who, ask.asked_ms))


def find_talk(connection: sqlite3.Connection, connector_id: str) -> PartingTalk:
    """Return what was said about parting the present pair."""
    row = connection.execute(
        "SELECT state, mine, theirs, flush, declined_ms FROM parting_talk WHERE connector_id = ?", (connector_id,)
    ).fetchone()
    if row is None:
        return PartingTalk()
    asks = [None if packed is None else Ask(*unpack(packed)) for packed in row[1:3]]
    return PartingTalk(PartState(row[0]), asks[0], asks[1], bool(row[3]), row[4])


# --- pairs that are over ------------------------------------------------------------------------------------------------


def save_parted(connection: sqlite3.Connection, parted: Parted) -> None:
    """Keep that a pair is over."""
    connection.execute(
        f"INSERT OR REPLACE INTO parted ({_PARTED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            parted.pair_id,
            parted.side,
            parted.connector_id,
            parted.certificate,
            parted.parting,
            parted.peer_site_name,
            parted.peer_connector_id,
            parted.state.value,
            parted.told_hub,
            parted.flush,
            parted.parted_ms,
            pack(parted.ledger),
            parted.pending_edits,
        ),
    )


def _parted(row: sqlite3.Row) -> Parted | None:
    """Return a parted pair; None where the disk damaged it: it is over all the same."""
    ledger = readable(row[11], Ledger, "a parted pair")
    if ledger is None:
        return None
    values = (row[0], Side(row[1]), *row[2:7], PartState(row[7]), bool(row[8]), bool(row[9]), row[10], ledger, row[12])
    return Parted(*values)


def find_parted(connection: sqlite3.Connection, connector_id: str, pair_id: bytes | None = None) -> Parted | None:
    """Return a connector's last parted pair, or the one of this ID."""
    row = connection.execute(
        f"SELECT {_PARTED} FROM parted WHERE connector_id = ?1 AND (?2 IS NULL OR pair_id = ?2)"  # noqa: S608
        " ORDER BY parted_ms DESC, pair_id LIMIT 1",
        (connector_id, pair_id),
    ).fetchone()
    return _parted(row) if row else None


def untold(connection: sqlite3.Connection, connector_id: str) -> list[Parted]:
    """Return the parted pairs of a connector of which hub and peer are not known to know."""
    rows = connection.execute(
        f"SELECT {_PARTED} FROM parted WHERE connector_id = ? AND state = ? ORDER BY parted_ms",  # noqa: S608
        (connector_id, PartState.AGREED.value),
    )
    return [parted for row in rows if (parted := _parted(row)) is not None]


def all_parted(connection: sqlite3.Connection, connector_id: str) -> list[Parted]:
    """Return the parted pairs of a connector, the latest first, which a restored hub is the likeliest to know."""
    rows = connection.execute(
        f"SELECT {_PARTED} FROM parted WHERE connector_id = ? ORDER BY parted_ms DESC LIMIT ?",  # noqa: S608
        (connector_id, _TOLD_AT_ONCE_MAX),
    )
    return [parted for row in rows if (parted := _parted(row)) is not None]


def note_told(connection: sqlite3.Connection, parted: Parted, *, known_by_both: bool) -> None:
    """The hub knows of the parting; and perhaps that the other side does too."""
    event = PartEvent.KNOWN_EVERYWHERE if known_by_both else PartEvent.BOTH_SIGNATURES_SEEN
    state = PARTING_TABLE.after(parted.state, event)
    connection.execute(
        "UPDATE parted SET told_hub = 1, state = ? WHERE pair_id = ? AND side = ?",
        (state.value, parted.pair_id, parted.side),
    )
