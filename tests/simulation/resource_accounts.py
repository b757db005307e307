"""What is demanded of the account by resource (G1): every few steps at both sites, and once all is quiet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from connector.streams import Streams
from shared.core.account import UNKNOWN_RESOURCE, add_counts
from shared.core.entries import CAUSE_BYTE_CAP
from shared.core.ledger import Ledger
from shared.core.overflow import Overflow
from shared.sealing import Side
from tests.simulation.network import Violation

if TYPE_CHECKING:
    from tests.simulation.shell import Shell
    from tests.simulation.world import World

# Reading all accounts takes longer than most units of work: in most seeds every so many is looked at.
_EVERY = 5


def check_step(site: Shell, store: Streams) -> None:
    """Raise Violation where a resource's account does not balance after a unit of work."""
    if site.units % _EVERY and not site.world.looks_each_time:
        return
    if site.side is Side.SOURCE:
        _check_source(site, store)
    else:
        _check_target(site, store)


def _check_source(site: Shell, store: Streams) -> None:
    ledgers = store.resource_ledgers()
    unknown = ledgers.pop(UNKNOWN_RESOURCE, Ledger())
    _check_overflow(site, store, ledgers)
    for resource, ledger in ledgers.items():
        if not ledger.balanced:
            raise Violation(f"the account of '{resource}' does not balance: {ledger}")
        counts = (ledger.accepted, ledger.applied, ledger.queued, ledger.quarantined, *ledger.dropped.values())
        if min(counts) < 0 and not site.restored and not _is_other_restored(site):
            raise Violation(f"the account of '{resource}' has a negative count: {ledger}")
    if not unknown.balanced:
        raise Violation(f"what is of no resource does not balance: {unknown}")
    if unknown != Ledger() and not site.restored and not _is_other_restored(site):
        raise Violation(f"readings of no resource although nothing was restored: {unknown}")


def _check_overflow(site: Shell, store: Streams, ledgers: dict[str, Ledger]) -> None:
    """What may not be dropped for want of room is not, and is counted to the byte."""
    policy = Overflow(site.limits.refuse_when_full, store.own_overflows())
    for resource, ledger in ledgers.items():
        if policy.keeps(resource) and ledger.dropped.get(CAUSE_BYTE_CAP) and not policy.keeps_all:
            raise Violation(f"'{resource}' refuses new readings, and dropped old ones: {ledger}")
    (kept,) = store.connection.execute(
        "SELECT (SELECT COALESCE(SUM(LENGTH(body)), 0) FROM tail WHERE kept = 1)"
        " + (SELECT COALESCE(SUM(LENGTH(body)), 0) FROM segment WHERE kept = 1)"
    ).fetchone()
    if kept != store.kept_bytes():
        raise Violation(f"{kept} bytes are kept, the count says {store.kept_bytes()}")


def _check_target(site: Shell, store: Streams) -> None:
    applied = sum(count for (count,) in store.connection.execute("SELECT applied_count FROM waiting"))
    epochs = store.epochs_in()
    for epoch in epochs:
        held: dict[str, int] = {}
        add_counts(held, epoch.apart.held)
        if sum(held.values()) != epoch.held or min(held.values(), default=0) < 0:
            raise Violation(f"held by resource is not what is held: {epoch}")
        for cause, counts in epoch.apart.dropped.items():
            if sum(counts.values()) != epoch.dropped.get(cause, 0):
                raise Violation(f"dropped by resource is not what is dropped: {epoch}")
    total = sum(epoch.applied for epoch in epochs)
    if applied > total or (applied < total and not site.restored and not _is_other_restored(site)):
        raise Violation(f"{applied} are applied of the resources, {total} in all")


def _is_other_restored(site: Shell) -> bool:
    return any(each.restored for each in site.world.sites.values())


def untold(world: World) -> list[str]:
    """Return what the target was not told yet of the resources' accounts; it is, sooner or later."""
    ledgers = world.source.store().resource_ledgers()
    told = {resource: stated.ledger for resource, stated in world.target.store().peer_resource_ledgers().items()}
    told = {resource: ledger for resource, ledger in told.items() if resource in ledgers or ledger != Ledger()}
    return [] if told == ledgers else [f"the target was told {told} of the resources, the source has {ledgers}"]


def check(world: World) -> list[str]:
    """Return what does not hold at the end."""
    target, ledgers = world.target.store(), world.source.store().resource_ledgers()
    found: list[str] = []
    if world.source.restored or world.target.restored:
        return found
    accepted = Counter(resource for _, resource, _ in world.source.accepted)
    for (_, resource, _), values in world.source.accepted_before.items():
        accepted[resource] += len(values)  # a device made again takes the times of the one before it
    if accepted != Counter({resource: ledger.accepted for resource, ledger in ledgers.items()}):
        found.append(f"accepted by resource is {accepted}, the account says {ledgers}")
    for resource, count in target.connection.execute("SELECT resource, applied_count FROM waiting"):
        if resource and count != ledgers.get(resource, Ledger()).applied:
            found.append(f"{count} of '{resource}' are applied, the source says {ledgers.get(resource)}")
    return found
