"""The space of a quarantine (G7): a source that sends nothing but what cannot be read must not fill the target's disk.

What finds no room is not taken: it has no word, so its origin keeps it and nothing is lost. From then on nothing more is kept
aside until a part of the space is free, for each time it goes on the link opens anew.
"""

from __future__ import annotations

from typing import Protocol

from shared.core.ports import ENTRY_KIND, Quarantined
from shared.limits import (
    QUARANTINE_BYTES_MAX,
    QUARANTINE_ENTRIES_BYTES_MAX,
    QUARANTINE_GOES_ON_SHARE,
    QUARANTINE_ROW_BYTES,
)


class RoomStore(Protocol):
    """What is asked of the storage."""

    def quarantined_bytes(self) -> dict[int, int]: ...


class QuarantineRoom:
    """Knows what the quarantine of one side of a pair takes, by kind, and what it may take. One of a kind always finds room."""

    def __init__(self, bytes_max: int = QUARANTINE_BYTES_MAX) -> None:
        """`bytes_max` is for segments; entries of the control log have a small space of their own."""
        self.bytes_max = bytes_max
        self._used: dict[int, int] | None = None
        self._refused: dict[int, int] = {}  # by kind the smallest of what was refused

    def forget(self) -> None:
        """A unit of work was undone: what is kept has to be looked at again; the link ends, so all refused comes again."""
        self._used = None
        self._refused.clear()

    @property
    def is_full(self) -> bool:
        """Whether something was not taken, and nothing more will be until there is room."""
        return bool(self._refused)

    @property
    def used_bytes(self) -> int:
        """What all of it takes, as last counted."""
        return sum((self._used or {}).values())

    def takes(self, store: RoomStore, kind: int, content_bytes: int) -> bool:
        """Say whether so much more may be kept aside, and count it; what may not is waited for by its origin."""
        used = self._load(store)
        size = content_bytes + QUARANTINE_ROW_BYTES
        there = used.get(kind, 0)
        if kind in self._refused or not self._fits(kind, there, size):
            self._refused[kind] = min(size, self._refused.get(kind, size))
            return False
        used[kind] = there + size
        return True

    def on_removed(self, store: RoomStore, item: Quarantined) -> None:
        """Something was applied after all, or discarded."""
        used = self._load(store)
        used[item.kind] = max(0, used.get(item.kind, 0) - _size(item))

    def goes_on(self, store: RoomStore) -> bool:
        """Say whether there is room again for all that was refused; once for each time."""
        if not self._refused:
            return False
        used = self._load(store)
        for kind, size in self._refused.items():
            there = used.get(kind, 0)
            if there > QUARANTINE_GOES_ON_SHARE * self._bytes_max(kind) or not self._fits(kind, there, size):
                return False
        self._refused.clear()
        return True

    def _fits(self, kind: int, there: int, size: int) -> bool:
        return not there or there + size <= self._bytes_max(kind)

    def _bytes_max(self, kind: int) -> int:
        return QUARANTINE_ENTRIES_BYTES_MAX if kind == ENTRY_KIND else self.bytes_max

    def _load(self, store: RoomStore) -> dict[int, int]:
        if self._used is None:
            self._used = store.quarantined_bytes()
        return self._used


def _size(item: Quarantined) -> int:
    return len(item.header) + len(item.body) + QUARANTINE_ROW_BYTES
