"""Reading what only the origin may of a statement, and both parts together (G4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from shared.core.account import Apart
from shared.core.entries import Private, decode_private
from shared.core.intervals import IntervalSet
from shared.core.ledger import Ledger
from shared.core.ports import EpochOut
from shared.core.public_parts import check_order
from shared.errors import ProtocolError
from shared.limits import (
    ALIAS_CHARS_MAX,
    CAUSE_CHARS_MAX,
    CAUSES_MAX,
    EPOCHS_STATED_MAX,
    IDENTITY_CHARS_MAX,
    NUMBER_EXACT_MAX,
    REPLAY_UNPLACED_NAMES_MAX,
    SEALED_NUMBER_MAX,
)
from shared.messages import Recorded

ALL_EPOCHS: Final = (0, SEALED_NUMBER_MAX)
"""The first and the last that an epoch can be."""


def read_private(plain: bytes) -> Private:
    """Read the private part of a statement; raises DecodeError, or ProtocolError where it says what no side can mean."""
    private = decode_private(plain)
    aparts = [stated.apart for stated in private.epochs if stated.apart is not None]
    ledgers = [*private.resources.values(), *([] if private.ledger is None else [private.ledger])]
    said = [private.time_ms, private.oldest_ms or 0]
    _check_names(private, aparts, ledgers)
    for stated in private.epochs:
        said += stated.applied, stated.held, stated.quarantined, *stated.dropped.values()
    for apart in aparts:
        said += apart.held.values()
        for counts in apart.dropped.values():
            said += counts.values()
        check_order(apart.quarantined)
        check_order(apart.discarded)
    for ledger in ledgers:
        said += ledger.accepted, ledger.applied, ledger.tail, ledger.outbox, ledger.held, ledger.quarantined
        said += ledger.adopted, *ledger.dropped.values()
    for each in private.replays:
        said += each.run, each.arrived, each.added, each.present, each.differing, each.unplaced
    if max(said) > NUMBER_EXACT_MAX or min(said) < -NUMBER_EXACT_MAX:
        raise ProtocolError("a count or a time that cannot be", 1007)
    return private


def _check_names(private: Private, aparts: Sequence[Apart], ledgers: Sequence[Ledger]) -> None:
    """Raise ProtocolError where causes, or names of what a replay found no place for, are more or longer than there are."""
    said: list[Iterable[str]] = [stated.dropped for stated in private.epochs]
    said += [apart.dropped for apart in aparts]
    said += [ledger.dropped for ledger in ledgers]
    for dropped in map(list, said):
        if len(dropped) > CAUSES_MAX or any(len(cause) > CAUSE_CHARS_MAX for cause in dropped):
            raise ProtocolError("causes that nobody gives", 1007)
    for each in private.replays:
        long = any(len(device) > IDENTITY_CHARS_MAX or len(alias) > ALIAS_CHARS_MAX for device, alias in each.names)
        if long or len(each.names) > REPLAY_UNPLACED_NAMES_MAX:
            raise ProtocolError("names that are too many or too long", 1007)


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


def compared_epochs(private: Private, stated: Sequence[EpochOut]) -> tuple[int, int] | None:
    """Return from which to which epoch a whole statement names all that its sender has; None where it does not tell."""
    if private.named_all is None:  # of an earlier release
        return ALL_EPOCHS if len(stated) < EPOCHS_STATED_MAX else None
    low, high = private.named_all
    return (low, high) if 0 <= low <= high else None


def lacking_epochs(
    known: Mapping[int, EpochOut], stated: Sequence[EpochOut], between: tuple[int, int]
) -> list[EpochOut]:
    """Return, as empty, the epochs of which something was recorded and that such a statement does not name any more."""
    named = {epoch.epoch for epoch in stated}
    low, high = between
    return [
        EpochOut(epoch)
        for epoch, ours in known.items()
        if low <= epoch <= high and epoch not in named and ours.recorded
    ]
