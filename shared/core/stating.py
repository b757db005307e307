"""What of the other side's epochs one statement has room for (G4), whatever that side made this one keep.

A hub ends the link of a statement that is too long. So what has no room waits for the next one; and an epoch that is too
long alone is in none: its origin made it so, hears no more of it, and the link goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from shared.core.entries import StatedEpoch
from shared.core.intervals import IntervalSet
from shared.core.ports import EpochIn
from shared.core.statements import ALL_EPOCHS
from shared.limits import (
    EPOCHS_STATED_MAX,
    SEALED_NUMBER_MAX,
    STATEMENT_COUNTS_BYTES_MAX,
    STATEMENT_EPOCHS_BYTES_MAX,
)
from shared.messages import RecordedEpoch

# What a number takes at most; and an epoch, or what it counts for one cause, beside what is measured.
_NUMBER_BYTES: Final = 9
_EPOCH_BYTES: Final = 64
_CAUSE_BYTES: Final = 48
# Below this it is guessed and not measured: as nearly always.
_MEASURED_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class _Told:
    """An epoch in the form of a statement, and the bytes that both parts take at most."""

    public: RecordedEpoch
    private: StatedEpoch
    public_bytes: int
    private_bytes: int

    @property
    def is_too_long(self) -> bool:
        """Whether no statement has room for it."""
        return self.public_bytes > STATEMENT_EPOCHS_BYTES_MAX or self.private_bytes > STATEMENT_COUNTS_BYTES_MAX


class _Room:
    """What a statement, or `share` of one, still takes."""

    def __init__(self, share: int = 1) -> None:
        self._epochs = EPOCHS_STATED_MAX // share
        self._public_bytes = STATEMENT_EPOCHS_BYTES_MAX // share
        self._private_bytes = STATEMENT_COUNTS_BYTES_MAX // share

    def fits(self, told: _Told) -> bool:
        """Whether there is room for one more."""
        return (
            self._epochs > 0 and told.public_bytes <= self._public_bytes and told.private_bytes <= self._private_bytes
        )

    def take(self, told: _Told) -> None:
        """Use room up."""
        self._epochs -= 1
        self._public_bytes -= told.public_bytes
        self._private_bytes -= told.private_bytes


class Stating:
    """Chooses the epochs of each statement of one destination."""

    def __init__(self) -> None:
        self.named_all: tuple[int, int] | None = None
        """From which to which epoch the last statement names all that are here; None where it does not tell."""
        self._next_named = 0  # from which epoch on the next whole one does

    def some(
        self, changed: dict[int, None], epoch: Callable[[int], EpochIn]
    ) -> tuple[list[RecordedEpoch], list[StatedEpoch]]:
        """Take as many of the changed epochs out as one statement has room for, and return its parts."""
        self.named_all = None
        room = _Room()
        chosen: list[_Told] = []
        for number in list(changed):
            told = _told(epoch(number))
            if not told.is_too_long:
                if not room.fits(told):
                    break
                room.take(told)
                chosen.append(told)
            del changed[number]
        return _parts(chosen)

    def whole(
        self, epochs: Sequence[EpochIn], changed: Container[int]
    ) -> tuple[list[RecordedEpoch], list[StatedEpoch]]:
        """Return the parts of a statement of all epochs, which come in the order in which they changed.

        Where they are too many: of the last that changed and, by turns, of those that come next in order. So an origin
        can tell what is lacking from what only had no room: see `named_all`.
        """
        low, self._next_named = self._next_named, 0
        all_told = [_told(epoch) for epoch in epochs]
        room = _Room()
        for told in all_told:
            if not room.fits(told):
                break
            room.take(told)
        else:
            self.named_all = ALL_EPOCHS
            return _parts(all_told)
        turn = self._turn(all_told, low)
        return _parts(_with_last(all_told, turn, changed))

    def _turn(self, all_told: Sequence[_Told], low: int) -> set[int]:
        """Return the epochs, in order from `low` on, of which half a statement names all."""
        half, high, turn = _Room(share=2), ALL_EPOCHS[1], set[int]()
        for told in sorted(all_told, key=lambda told: told.public.epoch):
            number = told.public.epoch
            if number < low:
                continue
            if told.is_too_long and not turn:
                low = number + 1
                continue
            if told.is_too_long or (turn and not half.fits(told)):
                high = number - 1
                break
            half.take(told)
            turn.add(number)
        self.named_all = (low, high) if low <= high else None
        if high < ALL_EPOCHS[1]:
            self._next_named = high + 1
        return turn


def _with_last(all_told: Sequence[_Told], turn: set[int], changed: Container[int]) -> list[_Told]:
    """Return those of the turn, then the others that have room: the last that changed before those of earlier times."""
    room = _Room()
    chosen = [told for told in all_told if told.public.epoch in turn]
    for told in chosen:
        room.take(told)
    others = [told for told in all_told if told.public.epoch not in turn]
    others.sort(key=lambda told: told.public.epoch in changed)  # else as they changed, by a clock that may be set
    last: list[_Told] = []
    for told in reversed(others):
        if room.fits(told):
            room.take(told)
            last.append(told)
    return chosen + last[::-1]


def _told(epoch: EpochIn) -> _Told:
    public = RecordedEpoch(epoch.epoch, _sealed_numbers(epoch.recorded), _sealed_numbers(epoch.closed))
    apart = epoch.apart.stated()
    apart_bytes = 0 if apart is None else len(msgspec.msgpack.encode(apart))
    if apart_bytes > STATEMENT_COUNTS_BYTES_MAX // 2:  # by resource nobody knows then; the counts in all stay
        apart, apart_bytes = None, 0
    private = StatedEpoch(epoch.epoch, epoch.applied, epoch.held, epoch.quarantined, dict(epoch.dropped), apart)
    return _Told(public, private, _public_bytes(public), _EPOCH_BYTES + _CAUSE_BYTES * len(epoch.dropped) + apart_bytes)


def _sealed_numbers(numbers: IntervalSet) -> list[int]:
    """Return what can be numbers of segments: earlier releases let an origin give up others, and kept them."""
    flat = numbers.flat()
    if not flat or 0 <= flat[0] <= flat[-1] <= SEALED_NUMBER_MAX:
        return flat
    possible = IntervalSet((0, SEALED_NUMBER_MAX))
    return numbers.minus(numbers.minus(possible)).flat()


def _public_bytes(public: RecordedEpoch) -> int:
    most = _EPOCH_BYTES + _NUMBER_BYTES * (len(public.recorded) + len(public.closed))
    return most if most <= _MEASURED_BYTES else len(msgspec.msgpack.encode(public))


def _parts(chosen: Sequence[_Told]) -> tuple[list[RecordedEpoch], list[StatedEpoch]]:
    return [told.public for told in chosen], [told.private for told in chosen]
