"""The account of a pair as one site can show it (G1, N4): its own side, and the other's last statement."""

from __future__ import annotations

import sqlite3

import msgspec

from connector.catalogue import Catalogue
from connector.connectors import Pair
from connector.streams import Streams
from shared.core.ledger import Ledger
from shared.sealing import Side


class Account(msgspec.Struct, frozen=True):
    """Readings by where they are. Times are ms since 1970; `stated_ms` only in what the other side said.

    `applied_here`, beside what the other side said: what was applied here at the cut that it speaks of, so that both
    books compare; None where that is not known.
    """

    accepted: int
    applied: int
    queued: int
    quarantined: int
    dropped: int
    dropped_by_cause: dict[str, int] = {}
    tail: int = 0
    outbox: int = 0
    held: int = 0
    adopted: int = 0
    unknown: bool = False
    stated_ms: int | None = None
    applied_here: int | None = None

    @classmethod
    def of(cls, ledger: Ledger, stated_ms: int | None = None, applied_here: int | None = None) -> Account:
        """Make it from a ledger."""
        return cls(
            ledger.accepted,
            ledger.applied,
            ledger.queued,
            ledger.quarantined,
            ledger.dropped_total,
            dict(ledger.dropped),
            ledger.tail,
            ledger.outbox,
            ledger.held,
            ledger.adopted,
            ledger.unknown,
            stated_ms,
            applied_here,
        )

    def differs_by(self, stated: Account | None) -> int | None:
        """Return how many more this target has applied than the source knew at the cut that its statement speaks of.

        None where that is not known: nothing was stated yet, or not since this start.
        """
        if stated is None:
            return None
        if stated.applied_here is None:
            return 0 if self.applied == stated.applied else None
        return stated.applied_here - stated.applied


class Backlog(msgspec.Struct, frozen=True):
    """What waits to be applied: readings and bytes here at a source, and when something was applied last (ms).

    `oldest_ms` is since when the oldest waits that either side has, as far as the other one has stated it: accepted at the
    source and not recorded (`oldest_waiting_ms`), or held at the target since it arrived there (`oldest_held_ms`).
    """

    count: int = 0
    bytes: int = 0
    oldest_ms: int | None = None
    last_applied_ms: int | None = None
    oldest_waiting_ms: int | None = None
    oldest_held_ms: int | None = None


def own_account(connection: sqlite3.Connection, pair: Pair) -> Account:
    """Return this site's side: the source's ledger, or what the target received (its `accepted` is what arrived)."""
    return Account.of(own_ledger(connection, pair))


def own_ledger(connection: sqlite3.Connection, pair: Pair) -> Ledger:
    """Return the same as a ledger."""
    store = Streams(connection, pair.connector_id, Catalogue())
    if pair.side is Side.SOURCE:
        return store.ledger()
    epochs = store.epochs_in()
    applied = sum(epoch.applied for epoch in epochs)
    held = sum(epoch.held for epoch in epochs)
    quarantined = sum(epoch.quarantined for epoch in epochs)
    dropped: dict[str, int] = {}
    for epoch in epochs:
        for cause, count in epoch.dropped.items():
            dropped[cause] = dropped.get(cause, 0) + count
    total = sum(dropped.values())
    return Ledger(applied + held + quarantined + total, applied, 0, 0, held, quarantined, dropped)


def peer_account(connection: sqlite3.Connection, connector_id: str) -> Account | None:
    """Return the source's last stated ledger, as the target has it."""
    row = connection.execute(
        "SELECT ledger, stated_ms, applied_here FROM peer_ledger WHERE connector_id = ?", (connector_id,)
    ).fetchone()
    return Account.of(msgspec.msgpack.decode(row[0], type=Ledger), row[1], row[2]) if row else None


def backlog(connection: sqlite3.Connection, connector_id: str) -> Backlog:
    """Return what waits to be delivered by this connector, or to it."""
    store = Streams(connection, connector_id, Catalogue())
    row = connection.execute(
        "SELECT tail_count + outbox_count, tail_bytes + outbox_bytes, last_settled_ms FROM stream WHERE connector_id = ?",
        (connector_id,),
    ).fetchone()
    count, size, last_ms = row or (0, 0, None)
    waiting_ms, held_ms, theirs_ms = store.oldest_accepted_ms(), store.oldest_held_ms(), store.peer_oldest_ms()
    side = connection.execute("SELECT side FROM pair WHERE connector_id = ?", (connector_id,)).fetchone()
    if side is not None and side[0] == Side.SOURCE:
        held_ms = theirs_ms
    elif side is not None:
        waiting_ms = theirs_ms
    oldest_ms = min((each for each in (waiting_ms, held_ms) if each is not None), default=None)
    return Backlog(count, size, oldest_ms, last_ms, waiting_ms, held_ms)


def last_arrival_ms(connection: sqlite3.Connection, connector_id: str) -> int | None:
    """Return when a target recorded something last."""
    row = connection.execute("SELECT MAX(updated_ms) FROM epoch_in WHERE connector_id = ?", (connector_id,)).fetchone()
    return None if row[0] is None else int(row[0])
