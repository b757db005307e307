"""The account of a stream (G1): each accepted reading is at every moment in exactly one place."""

from __future__ import annotations

import msgspec

from shared.limits import CAUSE_CHARS_MAX, CAUSES_MAX, NUMBER_EXACT_MAX


class Ledger(msgspec.Struct, frozen=True, array_like=True):
    """Counts of readings at the origin. `dropped` is by cause; `held` waits at the destination for its device or resource.

    `adopted` is the part of `accepted` that the origin learned from its destination after a restore of its own.
    `unknown` tells that a restore lost readings that nobody can count.
    """

    accepted: int = 0
    applied: int = 0
    tail: int = 0
    outbox: int = 0
    held: int = 0
    quarantined: int = 0
    dropped: dict[str, int] = {}
    adopted: int = 0
    unknown: bool = False

    def stated(self) -> Ledger:
        """Return it for a statement: with counts and causes that can be sent, whatever the destination stated of its part."""
        if self._can_be_sent:
            return self
        first = sorted(self.dropped, key=lambda cause: (len(cause) > CAUSE_CHARS_MAX, -self.dropped[cause], cause))
        dropped = {
            cause: _bounded(self.dropped[cause]) for cause in first[:CAUSES_MAX] if len(cause) <= CAUSE_CHARS_MAX
        }
        return Ledger(
            _bounded(self.accepted),
            _bounded(self.applied),
            _bounded(self.tail),
            _bounded(self.outbox),
            _bounded(self.held),
            _bounded(self.quarantined),
            dropped,
            _bounded(self.adopted),
            self.unknown,
        )

    @property
    def _can_be_sent(self) -> bool:
        counts = self.accepted, self.applied, self.tail, self.outbox, self.held, self.quarantined, self.adopted
        if len(self.dropped) > CAUSES_MAX or any(len(cause) > CAUSE_CHARS_MAX for cause in self.dropped):
            return False
        return all(-NUMBER_EXACT_MAX <= count <= NUMBER_EXACT_MAX for count in (*counts, *self.dropped.values()))

    @property
    def queued(self) -> int:
        """Readings on their way: tail, outbox and held."""
        return self.tail + self.outbox + self.held

    @property
    def dropped_total(self) -> int:
        """Readings given up, all causes."""
        return sum(self.dropped.values())

    @property
    def balanced(self) -> bool:
        """Whether `accepted = applied + queued + quarantined + dropped` holds."""
        return self.accepted == self.applied + self.queued + self.quarantined + self.dropped_total


def _bounded(count: float) -> int:
    """Return a count, also where sums left the whole numbers of a database, within what a statement may say."""
    return int(max(-NUMBER_EXACT_MAX, min(count, NUMBER_EXACT_MAX)))
