"""Sets of sealed numbers, per kind and epoch, as intervals."""

from __future__ import annotations

from collections.abc import Iterable

from shared.core.intervals import IntervalSet
from shared.messages import HeldEpoch
from shared.sealing import Kind

Key = tuple[Kind, int, int]
_EpochKey = tuple[Kind, int]
_NONE = IntervalSet()


class NumberSets:
    """Sets of numbers per kind and epoch; epochs without numbers take no room."""

    __slots__ = ("_sets",)

    def __init__(self) -> None:
        self._sets: dict[_EpochKey, IntervalSet] = {}

    def add(self, key: Key) -> None:
        """Put one number in."""
        numbers = self._sets.get(key[:2])
        if numbers is None:
            numbers = self._sets[key[:2]] = IntervalSet()
        numbers.add(key[2])

    def add_flat(self, kind: Kind, epoch: int, flat: Iterable[int]) -> None:
        """Put intervals in."""
        added = IntervalSet(flat)
        if added:
            self._sets.setdefault((kind, epoch), IntervalSet()).update(added)

    def remove(self, key: Key) -> None:
        """Take one number out, if it is in."""
        if numbers := self._sets.get(key[:2]):
            numbers.discard(key[2])
            if not numbers:
                del self._sets[key[:2]]

    def take(self, kind: Kind, epoch: int, stated: IntervalSet) -> IntervalSet:
        """Take out, and return, those of the stated numbers that are in. Not to be changed."""
        numbers = self._sets.get((kind, epoch))
        if not numbers:
            return _NONE
        rest = numbers.minus(stated)
        if not rest:  # nearly always: what is under way is little, and has its word
            del self._sets[kind, epoch]
            return numbers
        self._sets[kind, epoch] = rest
        return numbers.minus(rest)

    def has_any(self, kind: Kind, epoch: int) -> bool:
        """Tell whether there is any number of an epoch."""
        return (kind, epoch) in self._sets

    def has(self, kind: Kind) -> bool:
        """Tell whether there is any number of this kind."""
        return any(key[0] is kind for key in self._sets)

    def count(self, kind: Kind) -> int:
        """Count the numbers of a kind."""
        return sum(len(numbers) for key, numbers in self._sets.items() if key[0] is kind)

    def epochs_count(self) -> int:
        """Count the epochs of all kinds."""
        return len(self._sets)

    def intervals_count(self) -> int:
        """Count the intervals of all epochs."""
        return sum(numbers.intervals_count for numbers in self._sets.values())

    def touches(self, key: Key) -> bool:
        """Tell whether a number is in, or next to one that is: it makes no interval more."""
        numbers, number = self._sets.get(key[:2]), key[2]
        return numbers is not None and (number - 1 in numbers or number in numbers or number + 1 in numbers)

    def count_in(self, kind: Kind, epoch: int) -> int:
        """Count the numbers of an epoch."""
        return len(self._sets.get((kind, epoch), ()))

    def highest(self, kind: Kind, epoch: int) -> int:
        """The greatest number of an epoch, 0 where there is none."""
        numbers = self._sets.get((kind, epoch))
        return numbers.highest if numbers else 0

    def listed(self) -> list[HeldEpoch]:
        """All of it, in the form of a `Held` frame."""
        return [HeldEpoch(int(kind), epoch, numbers.flat()) for (kind, epoch), numbers in self._sets.items()]

    def __contains__(self, key: Key) -> bool:
        numbers = self._sets.get(key[:2])
        return numbers is not None and key[2] in numbers

    def __bool__(self) -> bool:
        return bool(self._sets)
