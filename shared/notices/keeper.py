"""Keeps a book of repairs on disk and has people told of it: once when raised, once when cleared (N2)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from shared.clock import Clock
from shared.core.repairs import Judgement, Repair, RepairBook
from shared.errors import StorageFailed
from shared.notices.desk import NoticeDesk, TrialOutcome
from shared.notices.notice import Notice, Sender, repairs_notice, trial_notice
from shared.notices.store import RepairStore

_log = logging.getLogger(__name__)
# Between looks at the disk, and at what has stood for long enough to be told.
_LOOK_S: Final = 5.0
_SAVE_AGAIN_S: Final = 1.0
_FORGET_EVERY: Final = 720  # looks


class RepairKeeper:
    """The repairs of one site or hub. `load` before use, keep `run` going."""

    def __init__(
        self,
        *,
        store: RepairStore,
        clock: Clock,
        notices: NoticeDesk,
        tell_after_ms: int,
        sender: Callable[[], Sender],
        on_changes: Callable[[Sequence[Repair]], None],
    ) -> None:
        """`sender` says whose repairs they are; `on_changes` hears at once of what was raised and cleared."""
        self._store = store
        self._clock = clock
        self._notices = notices
        self._tell_after_ms = tell_after_ms
        self._sender = sender
        self._on_changes = on_changes
        self._book = RepairBook()
        self._unsaved: list[Repair] = []
        self._owes_notices = False  # the store lacks notices that wait: it was replaced, or refused them
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Take up the repairs that were open when the process ended; raises StorageFailed."""
        self._book.load(await self._store.open_repairs(), self._clock.monotonic_ms())

    def move(self, store: RepairStore) -> None:
        """Go on with another, empty store: what is open, and what waits to be told, is written into it."""
        self._store, self._owes_notices = store, True
        self._unsaved += self._book.open()
        self._changed.set()

    # --- hearing and showing ------------------------------------------------------------------------------------------

    def observe(self, scope: str, judgement: Judgement) -> None:
        """Hear how a scope is now: a connector, or with `""` the whole."""
        self._book.observe(scope, judgement, wall_ms=self._clock.wall_ms(), now_ms=self._clock.monotonic_ms())
        self._take_changes()

    def keep_scopes(self, scopes: Iterable[str]) -> None:
        """Clear what belongs to connectors that are gone."""
        self._book.keep_scopes(scopes, self._clock.wall_ms())
        self._take_changes()

    def _take_changes(self) -> None:
        changes = self._book.take_changes()
        if not changes:
            return
        self._unsaved += changes
        self._changed.set()
        for repair in changes:
            word = "raised" if repair.cleared_ms is None else "cleared"
            scope = repair.finding.scope
            _log.info("repair %s: %s", word, repair.finding.code, extra={"connector": scope} if scope else {})
        self._on_changes(changes)

    def is_open(self, code: str, scope: str = "") -> bool:
        """Whether a repair is open."""
        return self._book.is_open(code, scope)

    def open(self, scopes: Sequence[str] | None = None) -> tuple[Repair, ...]:
        """Return the open repairs of these scopes (None: of all) that people are to see, the urgent first."""
        return self._book.shown(scopes)

    async def cleared(self, limit: int) -> list[Repair]:
        """Return repairs that are over, the last one first; raises StorageFailed."""
        return await self._store.cleared_repairs(limit)

    # --- keeping and telling ------------------------------------------------------------------------------------------

    async def run(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look every few seconds, keep what changes, and have it told, until cancelled. `look` ends in `observe`."""
        looks = 0
        while True:
            await look()
            is_saved = await self.save()
            looks += 1
            if looks % _FORGET_EVERY == 0:
                with suppress(StorageFailed):
                    await self._store.forget_repairs(self._clock.wall_ms())
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S if is_saved else _SAVE_AGAIN_S):
                    await self._changed.wait()
            self._changed.clear()

    async def save(self) -> bool:
        """Store what changed and send the notice of it on its way; return whether the disk took it.

        Where it did not, people are told all the same, and storing is tried again.
        """
        changes, self._unsaved = self._unsaved, []
        owes_notices, self._owes_notices = self._owes_notices, False
        told: list[Repair] = []
        notice: Notice | None = None
        if self._notices.is_set:
            told = self._book.take_untold(self._clock.monotonic_ms(), self._tell_after_ms)
            notice = self._notice(told, [repair for repair in changes if repair.cleared_ms is not None and repair.told])
        if not changes and not told and not owes_notices:
            return True
        waiting = self._notices.waiting() if owes_notices else []
        if notice is not None:
            waiting += self._notices.addressed(notice)
        try:
            await self._store.save_repairs([*changes, *told], waiting)
        except StorageFailed:
            # Cleared ones are told below, so that the next attempt must not tell them again.
            self._unsaved = [_untold(repair) for repair in changes] + told + self._unsaved
            # And told they may be only if the notice waits on disk: it is stored with them, for a restart to find.
            self._owes_notices = self._owes_notices or owes_notices or notice is not None
        if notice is not None:
            self._notices.put(notice)
        return not self._unsaved and not self._owes_notices

    def _notice(self, raised: Sequence[Repair], cleared: Sequence[Repair]) -> Notice | None:
        if not raised and not cleared:
            return None
        return repairs_notice(
            _notice_id(), at_ms=self._clock.wall_ms(), sender=self._sender(), raised=raised, cleared=cleared
        )

    async def test_notice(self) -> list[TrialOutcome]:
        """Send a test notice by each channel, now."""
        return await self._notices.test(trial_notice(_notice_id(), at_ms=self._clock.wall_ms(), sender=self._sender()))


def _untold(repair: Repair) -> Repair:
    return repair if repair.cleared_ms is None else replace(repair, told=False)


def _notice_id() -> str:
    return "msg_" + secrets.token_hex(12)
