"""The account of a stream (G1): each accepted reading is at every moment in exactly one place."""

from __future__ import annotations

import msgspec


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
