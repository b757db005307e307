"""The account of each resource as one site can show it (G1, N4): its own side, and at a target what the source stated."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from connector.account_rows import without
from connector.accounts import Account, Backlog, backlog, own_account, own_ledger, peer_account
from connector.catalogue import Catalogue
from connector.connectors import Pair
from connector.streams import Streams
from shared.core.account import UNKNOWN_RESOURCE, add_counts
from shared.core.ledger import Ledger
from shared.limits import MINUTE_MS
from shared.sealing import Side

# So many waiting readings tell what one takes; of fewer, what was sealed before tells it better.
_TELLING_COUNT = 1_000


class ResourceAccount(msgspec.Struct, frozen=True):
    """One resource: `own` is this side's account, `stated_by_source` what a target was told last of the same.

    `resource` is empty for what no resource can be given for: of before a restore, in segments that nobody here can
    read, or counted by an earlier release.
    """

    resource: str
    own: Account
    stated_by_source: Account | None = None


class Room(msgspec.Struct, frozen=True):
    """How long the outbox of a source lasts when the other side is away, at the present rate.

    `lasts_ms` is None where nothing comes in, or nothing is known yet of the size of readings. `bytes_kept` wait and may
    not be dropped; `overflow` is what resources without a choice of their own do at `bytes_max`.
    """

    bytes_max: int
    bytes_waiting: int
    bytes_kept: int
    overflow: str
    readings_per_minute: float
    bytes_per_reading: float | None
    lasts_ms: int | None


def list_resource_accounts(connection: sqlite3.Connection, pair: Pair) -> list[ResourceAccount]:
    """Return the accounts of all resources that have one, by alias; what is of no resource comes last."""
    store = Streams(connection, pair.connector_id, Catalogue())
    if pair.side is Side.SOURCE:
        found = {name: ResourceAccount(name, Account.of(each)) for name, each in store.resource_ledgers().items()}
    else:
        found = _of_target(connection, store, pair)
    return sorted(found.values(), key=lambda each: (each.resource == UNKNOWN_RESOURCE, each.resource))


def cut_differences(accounts: Sequence[ResourceAccount]) -> dict[str, int | None]:
    """Return by resource how a target's books differ from what its source stated at the common cut; None: not compared.

    What was delivered before its source was restored that counts under no resource (*adopted*): here it has one.
    """
    adopted = sum(each.stated_by_source.applied for each in accounts if not each.resource and each.stated_by_source)
    found: dict[str, int | None] = {}
    for each in accounts:
        more = each.own.differs_by(each.stated_by_source) if each.resource else 0
        found[each.resource] = max(0, more - adopted) if more is not None and more > 0 else more
    return found


def _of_target(connection: sqlite3.Connection, store: Streams, pair: Pair) -> dict[str, ResourceAccount]:
    own = _own_of_target(connection, store, pair)
    stated = store.peer_resource_ledgers()
    found = {}
    for name in {**own, **stated}:
        told = stated.get(name)
        theirs = Account.of(told.ledger, told.stated_ms, told.applied_here) if told is not None else None
        found[name] = ResourceAccount(name, Account.of(own.get(name, Ledger())), theirs)
    return found


def _own_of_target(connection: sqlite3.Connection, store: Streams, pair: Pair) -> dict[str, Ledger]:
    """Return by resource what arrived here: applied, held, or given up."""
    held: dict[str, int] = {}
    dropped: dict[str, dict[str, int]] = {}
    for epoch in store.epochs_in():
        add_counts(held, epoch.apart.held)
        for cause, counts in epoch.apart.dropped.items():
            for name, count in counts.items():
                add_counts(dropped.setdefault(name, {}), {cause: count})
    rows = connection.execute(
        "SELECT resource, applied_count FROM waiting WHERE connector_id = ? AND applied_count <> 0",
        (pair.connector_id,),
    )
    applied = dict(rows.fetchall())
    found = {}
    for name in {**applied, **held, **dropped}:
        if name == UNKNOWN_RESOURCE:
            continue
        count, waiting, lost = applied.get(name, 0), held.get(name, 0), dropped.get(name, {})
        found[name] = Ledger(count + waiting + sum(lost.values()), count, 0, 0, waiting, 0, lost)
    rest = without(own_ledger(connection, pair), found.values())
    if rest != Ledger():
        found[UNKNOWN_RESOURCE] = rest
    return found


def room(
    connection: sqlite3.Connection, pair: Pair, bytes_max: int, overflow: str, rates: Callable[[int], float]
) -> Room:
    """Say how long the outbox lasts; `rates` gives the readings per minute by resource ID."""
    row = connection.execute(
        "SELECT tail_bytes + outbox_bytes, tail_count + outbox_count, kept_bytes, sealed_bytes, sealed_count FROM stream"
        " WHERE connector_id = ?",
        (pair.connector_id,),
    ).fetchone()
    waiting_bytes, waiting_count, kept_bytes, sealed_bytes, sealed_count = row or (0, 0, 0, 0, 0)
    streamed = connection.execute(
        "SELECT resource_id FROM resource WHERE connector_id = ? AND remote_sync = 1", (pair.connector_id,)
    )
    per_minute = sum(rates(resource_id) for (resource_id,) in streamed)
    size = None
    if waiting_count >= _TELLING_COUNT:
        size = waiting_bytes / waiting_count
    elif sealed_count:
        size = sealed_bytes / sealed_count
    lasts_ms = None
    if size and per_minute > 0:
        lasts_ms = round(max(0, bytes_max - waiting_bytes) / (size * per_minute) * MINUTE_MS)
    return Room(bytes_max, waiting_bytes, kept_bytes, overflow, per_minute, size, lasts_ms)


@dataclass(frozen=True, slots=True)
class Books:
    """All that is counted of a pair, as of one instant. `room` only at a source."""

    own: Account | None = None
    stated: Account | None = None
    backlog: Backlog = field(default_factory=Backlog)
    resources: tuple[ResourceAccount, ...] = ()
    room: Room | None = None


def read_books(
    connection: sqlite3.Connection, pair: Pair, bytes_max: int, overflow: str, rates: Callable[[int], float]
) -> Books:
    """Read them on one snapshot; see `room` for the arguments."""
    is_source = pair.side is Side.SOURCE
    return Books(
        own_account(connection, pair),
        None if is_source else peer_account(connection, pair.connector_id),
        backlog(connection, pair.connector_id),
        tuple(list_resource_accounts(connection, pair)),
        room(connection, pair, bytes_max, overflow, rates) if is_source else None,
    )
