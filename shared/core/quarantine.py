"""Quarantine (G7): what arrived, is genuine and could not be applied. Kept, tried again, or discarded by a person.

Nothing else waits for it: its number is recorded and its readings are counted as quarantined, on both sides. Trying
again may help after an upgrade, or once a clock is right; so everything is tried at the start, and then now and again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shared.core.engine_effects import Changed, Effect
from shared.core.entries import CAUSE_DISCARDED
from shared.core.gaps import GapTally
from shared.core.inbox import Inbox
from shared.core.ports import ENTRY_KIND, PairStore, Quarantined, Undone
from shared.errors import PairhubError, Refused
from shared.limits import QUARANTINE_DISCARDED_MAX, QUARANTINE_TRIED_MAX, QUARANTINE_TRY_EVERY_MS

ApplyEntry = Callable[[PairStore, bytes, list[Effect], int], None]
GiveNotice = Callable[[PairStore, GapTally, int], list[Effect]]


class Quarantine:
    """What one side of a pair keeps aside. Holds only when to try it again."""

    def __init__(self, inbox: Inbox, apply_entry: ApplyEntry, give_notice: GiveNotice) -> None:
        """`apply_entry` applies the plain bytes of an entry of the other side's log, and raises what is wrong with it."""
        self._inbox = inbox
        self._apply_entry = apply_entry
        self._give_notice = give_notice
        self._next_ms: int | None = None
        self._after_row = 0
        self._begun = False
        self.undone = False
        """Whether a trial was undone (Undone): what the engine believes has to be loaded again."""

    def load(self, store: PairStore) -> None:
        """Take up what is stored; at the start everything is tried once, for the release may be another."""
        if not self._begun and store.quarantined_after(0, 1):
            self._next_ms = 0
        self._begun = True

    def on_quarantined(self, now_ms: int) -> None:
        """Something more is kept aside."""
        if self._next_ms is None:
            self._next_ms = now_ms + QUARANTINE_TRY_EVERY_MS

    # --- trying again ---------------------------------------------------------------------------------------------------

    def next_deadline_ms(self) -> int | None:
        """When `on_deadline` has something to do, None where nothing is kept aside."""
        return self._next_ms

    def on_deadline(self, store: PairStore, now_ms: int) -> list[Effect]:
        """Try the next few again, if that is due."""
        if self._next_ms is None:
            return []
        # A clock that was set back by a year must not put it off for a year.
        self._next_ms = min(self._next_ms, now_ms + QUARANTINE_TRY_EVERY_MS)
        if now_ms < self._next_ms:
            return []
        found = store.quarantined_after(self._after_row, QUARANTINE_TRIED_MAX)
        effects: list[Effect] = []
        for item in found:
            self._try(store, item, effects, now_ms)
            self._after_row = item.row
            if self.undone:
                return effects  # the next ones once that is loaded
        if len(found) < QUARANTINE_TRIED_MAX:
            self._after_row = 0
            self._next_ms = now_ms + QUARANTINE_TRY_EVERY_MS if store.quarantined_after(0, 1) else None
        return effects

    def retry(self, store: PairStore, row: int, now_ms: int) -> tuple[str, list[Effect]]:
        """Try one again; return why it still cannot be applied, empty where it is applied now.

        Raises Refused('not_found').
        """
        item = self._find(store, row)
        effects: list[Effect] = []
        return self._try(store, item, effects, now_ms), effects

    def _try(self, store: PairStore, item: Quarantined, effects: list[Effect], now_ms: int) -> str:
        def apply() -> None:
            if item.kind == ENTRY_KIND:
                self._apply_entry(store, item.body, effects, now_ms)
            else:
                self._inbox.retry(store, item, now_ms)

        self._inbox.flush(store)  # of what came before
        try:
            store.attempt(apply)
        except (msgspec.MsgspecError, PairhubError, ValueError) as error:
            if isinstance(error, Undone):
                self.undone = True
                self._inbox.forget()  # also what it counted
            store.tried_quarantined(item.row, str(error), now_ms)
            return str(error)
        self._remove(store, item)
        effects += [Changed("readings"), Changed("account")]
        return ""

    # --- giving up ------------------------------------------------------------------------------------------------------

    def discard(self, store: PairStore, row: int, now_ms: int) -> list[Effect]:
        """Give one up for good: its readings become a gap that both sides know. Raises Refused('not_found')."""
        item = self._find(store, row)
        self._remove(store, item)
        effects: list[Effect] = [Changed("account")]
        if item.kind == ENTRY_KIND:
            return effects
        tally = GapTally(CAUSE_DISCARDED)
        self._inbox.discard(store, item, tally, now_ms)
        return effects + self._give_notice(store, tally, now_ms)

    def discard_up_to(self, store: PairStore, last_row: int, now_ms: int) -> tuple[int, list[Effect]]:
        """Give up the oldest few, up to a row; return how many they were: 0 where nothing is left up to there."""
        found = [item for item in store.quarantined_after(0, QUARANTINE_DISCARDED_MAX) if item.row <= last_row]
        tally = GapTally(CAUSE_DISCARDED)
        for item in found:
            self._remove(store, item)
            if item.kind != ENTRY_KIND:
                self._inbox.discard(store, item, tally, now_ms)
        return len(found), [Changed("account"), *self._give_notice(store, tally, now_ms)]

    def _remove(self, store: PairStore, item: Quarantined) -> None:
        store.remove_quarantined(item.row)
        self._inbox.room.on_removed(store, item)

    @property
    def is_full(self) -> bool:
        """Whether something could not be kept aside for want of room, and waits at the other side."""
        return self._inbox.room.is_full

    @property
    def used_bytes(self) -> int:
        """What it takes, as last counted."""
        return self._inbox.room.used_bytes

    def _find(self, store: PairStore, row: int) -> Quarantined:
        item = store.quarantined(row)
        if item is None:
            raise Refused("not_found", what="thing in quarantine")
        return item

    def opened(self, item: Quarantined) -> bytes:
        """Return the plain bytes of something, as the other side wrote them; raises SealBroken."""
        return item.body if item.kind == ENTRY_KIND else self._inbox.opened(item)
