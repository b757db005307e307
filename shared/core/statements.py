"""Reading the two parts of a statement (G4): what the hub may see of it, and what only the origin may."""

from __future__ import annotations

from shared.core.entries import Private
from shared.core.intervals import IntervalSet
from shared.core.ports import EpochOut
from shared.messages import Recorded


def stated_epochs(public: Recorded, private: Private) -> list[EpochOut] | None:
    """Join the two parts of a statement; None where they do not fit together."""
    counts = {stated.epoch: stated for stated in private.epochs}
    if counts.keys() != {part.epoch for part in public.segments}:
        return None
    epochs: list[EpochOut] = []
    for part in public.segments:
        stated = counts[part.epoch]
        sets = IntervalSet(part.recorded), IntervalSet(part.closed)
        epochs.append(
            EpochOut(part.epoch, 0, *sets, stated.applied, stated.held, stated.quarantined, dict(stated.dropped))
        )
    return epochs
