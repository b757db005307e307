"""Reading the two parts of a statement (G4): what the hub may see of it, and what only the origin may."""

from __future__ import annotations

from shared.core.account import Apart
from shared.core.entries import Private
from shared.core.intervals import IntervalSet
from shared.core.ports import EpochOut
from shared.messages import Recorded


def stated_epochs(public: Recorded, private: Private) -> list[EpochOut] | None:
    """Join the two parts of a statement, replays left out; None where they do not fit together."""
    counts = {stated.epoch: stated for stated in private.epochs}
    over = set(private.replay_epochs)
    parts = [part for part in public.segments if part.epoch not in over]
    if counts.keys() != {part.epoch for part in parts}:
        return None
    epochs: list[EpochOut] = []
    for part in parts:
        stated = counts[part.epoch]
        sets = IntervalSet(part.recorded), IntervalSet(part.closed)
        epochs.append(
            EpochOut(
                part.epoch,
                0,
                *sets,
                stated.applied,
                stated.held,
                stated.quarantined,
                dict(stated.dropped),
                stated.apart or Apart(),
            )
        )
    return epochs
