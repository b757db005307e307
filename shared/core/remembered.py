"""Answers of the store, kept until what they are about changes: most units of work change nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Store = TypeVar("Store", contravariant=True)
T = TypeVar("T")


class Remembered(Generic[Store, T]):
    """One question. `forget` whenever the answer may be another, and after a unit of work was undone."""

    __slots__ = ("_answer", "_ask", "_known")

    def __init__(self, ask: Callable[[Store], T]) -> None:
        self._ask = ask
        self._answer: T
        self._known = False

    def get(self, store: Store) -> T:
        """Return the answer; the store is asked only where it is not known."""
        if not self._known:
            self._answer = self._ask(store)
            self._known = True
        return self._answer

    def change(self, how: Callable[[T], T]) -> None:
        """Follow a change of the store, where the answer is known."""
        if self._known:
            self._answer = how(self._answer)

    def forget(self) -> None:
        """Ask anew the next time."""
        self._known = False
