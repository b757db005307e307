"""Sets of whole numbers kept as disjoint intervals: the form of every acknowledgement (G4)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import le
from typing import Final

# Moving the tail of a list for so many costs less than one pass over it.
_PUT_IN_ONE_BY_ONE: Final = 32


def _are_apart(lows: list[int], highs: list[int]) -> bool:
    """Tell whether intervals are as a set keeps them: in order, with something between one and the next."""
    if len(lows) <= 1:
        return lows <= highs
    return all(map(le, lows, highs)) and all(low > high + 1 for low, high in zip(lows[1:], highs, strict=False))


def _joined(pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Return lows and highs as a set keeps them, from intervals in the order of their lows; in one pass."""
    lows: list[int] = []
    highs: list[int] = []
    for low, high in pairs:
        if high < low:
            raise ValueError(f"interval {low}..{high} is empty")
        if not highs or low > highs[-1] + 1:
            lows.append(low)
            highs.append(high)
        elif high > highs[-1]:
            highs[-1] = high
    return lows, highs


class IntervalSet:
    """A mutable set of non-negative whole numbers; memory grows with the number of holes, not of members."""

    __slots__ = ("_highs", "_lows")

    def __init__(self, flat: Iterable[int] = ()) -> None:
        """Make a set from `[low, high, low, high, ...]` (ends included, any order, may overlap)."""
        numbers = list(flat)
        if len(numbers) % 2:
            raise ValueError("intervals come in pairs of low and high")
        self._lows, self._highs = numbers[::2], numbers[1::2]
        if _are_apart(self._lows, self._highs):
            return
        self._lows, self._highs = _joined(sorted(zip(self._lows, self._highs, strict=True)))

    def add(self, number: int) -> bool:
        """Put one number in; return whether it was new."""
        if number in self:
            return False
        self.add_range(number, number)
        return True

    def add_range(self, low: int, high: int) -> None:
        """Put `low..high` in, both included; raises ValueError where high < low."""
        if high < low:
            raise ValueError(f"interval {low}..{high} is empty")
        lows, highs = self._lows, self._highs
        if lows and low == highs[-1] + 1:  # the common case: the next number
            highs[-1] = high
            return
        start = bisect_left(highs, low - 1)
        stop = bisect_right(lows, high + 1)
        if start < stop:
            low = min(low, lows[start])
            high = max(high, highs[stop - 1])
        lows[start:stop] = [low]
        highs[start:stop] = [high]

    def update(self, other: IntervalSet) -> None:
        """Put all numbers of another set in."""
        if len(other._lows) <= _PUT_IN_ONE_BY_ONE:
            for low, high in other.intervals():
                self.add_range(low, high)
            return
        # Two rising runs, which sorting merges in one pass: putting each in alone would move all those behind it.
        self._lows, self._highs = _joined(sorted((*self.intervals(), *other.intervals())))

    def discard(self, number: int) -> None:
        """Take one number out, if it is in."""
        at = bisect_right(self._lows, number) - 1
        if at < 0 or number > self._highs[at]:
            return
        low, high = self._lows[at], self._highs[at]
        pieces = [(a, b) for a, b in ((low, number - 1), (number + 1, high)) if a <= b]
        self._lows[at : at + 1] = [a for a, _ in pieces]
        self._highs[at : at + 1] = [b for _, b in pieces]

    def minus(self, other: IntervalSet) -> IntervalSet:
        """Return the numbers that are in this set and not in the other."""
        result = IntervalSet()
        for low, high in self.intervals():
            at = bisect_left(other._highs, low)
            while at < len(other._lows) and other._lows[at] <= high:
                if other._lows[at] > low:
                    result.add_range(low, other._lows[at] - 1)
                low = other._highs[at] + 1
                at += 1
            if low <= high:
                result.add_range(low, high)
        return result

    def intervals(self) -> Iterator[tuple[int, int]]:
        """Yield (low, high) in ascending order."""
        return zip(list(self._lows), list(self._highs), strict=True)

    def flat(self) -> list[int]:
        """Return `[low, high, low, high, ...]` in ascending order."""
        return [end for pair in self.intervals() for end in pair]

    @property
    def intervals_count(self) -> int:
        """How many intervals it takes."""
        return len(self._lows)

    @property
    def highest(self) -> int:
        """The greatest number, 0 where the set is empty."""
        return self._highs[-1] if self._highs else 0

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._lows, number) - 1
        return at >= 0 and number <= self._highs[at]

    def __iter__(self) -> Iterator[int]:
        for low, high in self.intervals():
            yield from range(low, high + 1)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.intervals())

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntervalSet) and self._lows == other._lows and self._highs == other._highs

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"IntervalSet({self.flat()})"
