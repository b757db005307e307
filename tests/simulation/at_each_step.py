"""What must hold after every commit, and is cheap enough to be asked each time (DESIGN G1, G3, G4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.streams import Streams
from shared.core.ledger import Ledger
from tests.simulation.network import Violation

if TYPE_CHECKING:
    from tests.simulation.shell import Shell

_WAITING = "SELECT (SELECT SUM(count) FROM tail), (SELECT SUM(count) FROM segment WHERE dropped IS NULL)"

_COUNTS = "SELECT MIN(applied), SUM(held), MIN(quarantined), (SELECT SUM(count) FROM held) FROM epoch_in"


def check_source(site: Shell, store: Streams) -> Ledger:
    """Hold the origin's account against itself, against what waits, and against what devices were told."""
    ledger = store.ledger()
    if not ledger.balanced:
        raise Violation(f"the account does not balance: {ledger}")
    if min(ledger.accepted, ledger.tail, ledger.outbox, ledger.held, ledger.applied, *ledger.dropped.values()) < 0:
        raise Violation(f"the account has a negative count: {ledger}")
    tail, outbox = site.connection.execute(_WAITING).fetchone()
    if (ledger.tail, ledger.outbox) != (tail or 0, outbox or 0):
        raise Violation(f"{tail} readings in the tail and {outbox} in the outbox, but {ledger}")
    if not site.restored and not site.world.target.restored and ledger.accepted != site.accepted_count:
        raise Violation(f"{site.accepted_count} readings were accepted, but {ledger}")
    return ledger


def check_target(site: Shell) -> None:
    """No epoch of the destination counts below zero, and what it says is held is there."""
    applied, held, quarantined, waiting = site.connection.execute(_COUNTS).fetchone()
    if min(applied or 0, held or 0, quarantined or 0) < 0 or (held or 0) > (waiting or 0):
        raise Violation(f"the target counts {applied} applied, {held} held of {waiting}, {quarantined} in quarantine")


def check_beliefs(source: Streams, target: Streams) -> None:
    """What the origin takes for recorded is recorded: no acknowledgement comes before its commit."""
    recorded = {epoch.epoch: epoch for epoch in target.epochs_in()}
    for number, believed in source.epochs_out().items():
        epoch = recorded.get(number)
        wrong = believed.recorded if epoch is None else believed.recorded.minus(epoch.recorded)
        if wrong:
            raise Violation(f"the source takes {wrong} of epoch {number} for recorded, the target has {epoch}")
