"""The repairs of one site: hears how everything fares, keeps the book of repairs on disk, and has people told (N2, G9)."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from connector.notice_desk import NoticeDesk, TrialOutcome
from connector.repair_rows import cleared_repairs, forget_repairs, open_repairs, save_repairs
from shared.clock import Clock
from shared.core.health import ConnectorFacts, SiteFacts, judge_connector, judge_site
from shared.core.repairs import Repair, RepairBook
from shared.database import Database
from shared.disk import disk_use
from shared.errors import StorageFailed
from shared.notices.notice import Notice, repairs_notice

_log = logging.getLogger(__name__)
# Looks at the disk, and at what has stood for long enough to be told.
_LOOK_S: Final = 5.0
_SAVE_AGAIN_S: Final = 1.0
_FORGET_EVERY: Final = 720  # looks


class RepairDesk:
    """Make it with its site, `load` before use, keep `run` going. Everything that looks at a connector feeds it."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        notices: NoticeDesk,
        tell_after_ms: int,
        facts: Callable[[], SiteFacts],
        names: Callable[[], tuple[str, str]],
        repairs_url: str,
        ring: Callable[[str, str], None],
    ) -> None:
        """`facts` are the site's own, `names` its name and ID; `repairs_url` is the page that shows them, or empty."""
        self._database = database
        self._clock = clock
        self._notices = notices
        self._tell_after_ms = tell_after_ms
        self._facts = facts
        self._names = names
        self._repairs_url = repairs_url
        self._ring = ring
        self._book = RepairBook()
        self._connectors: dict[str, ConnectorFacts] = {}
        self._unsaved: list[Repair] = []
        self._changed = asyncio.Event()
        self.free_bytes: int | None = None
        """Room on the disk of the database, as last seen."""
        self.read_problem = ""
        """Why the database could not be read when last tried; empty where it could."""
        self.look: Callable[[str], Awaitable[object]] | None = None
        """How to look at a connector now, which feeds this desk; set by whoever serves the pages, as is `scrape`."""
        self.scrape: Callable[[], Awaitable[str]] | None = None

    async def load(self) -> None:
        """Take up the repairs that were open when the process ended; raises StorageFailed."""
        self._book.load(await self._database.read(open_repairs), self._clock.monotonic_ms())

    # --- hearing ------------------------------------------------------------------------------------------------------

    def observe(self, facts: ConnectorFacts) -> None:
        """Hear how a connector is now."""
        scope, now_ms = facts.connector_id, self._clock.wall_ms()
        self._connectors[scope] = facts
        judgement = judge_connector(facts, now_ms, lambda code: self._book.is_open(code, scope))
        self._book.observe(scope, judgement, wall_ms=now_ms, now_ms=self._clock.monotonic_ms())
        self.observe_site()

    def observe_site(self) -> None:
        """Look at the site as a whole."""
        judgement = judge_site(self._facts(), self._connectors.values(), self._book.is_open)
        self._book.observe("", judgement, wall_ms=self._clock.wall_ms(), now_ms=self._clock.monotonic_ms())
        self._take_changes()

    def keep_connectors(self, connector_ids: Sequence[str]) -> None:
        """Forget what belongs to connectors that are gone."""
        for gone in [each for each in self._connectors if each not in connector_ids]:
            del self._connectors[gone]
        self._book.keep_scopes(connector_ids, self._clock.wall_ms())
        self._take_changes()

    def is_hub_reached(self, but: str) -> bool:
        """Whether another connector than this one was linked when last seen."""
        return any(facts.link.is_linked for scope, facts in self._connectors.items() if scope != but)

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
        scopes = {repair.finding.scope for repair in changes}
        for scope in scopes | set(self._connectors) if "" in scopes else scopes:
            self._ring(scope, "repairs")

    async def facts_now(self, connector_id: str) -> ConnectorFacts | None:
        """Look at a connector and return its facts; None where nobody looks. Raises StorageFailed, Refused('not_found')."""
        if self.look is not None:
            await self.look(connector_id)
        return self._connectors.get(connector_id)

    async def measures(self) -> str:
        """Return the measures as a scrape would find them; empty where nobody serves them."""
        return "" if self.scrape is None else await self.scrape()

    # --- showing ------------------------------------------------------------------------------------------------------

    def open(self, connector_id: str | None = None) -> tuple[Repair, ...]:
        """Return the open repairs of a connector and of the site as a whole; without a connector, all."""
        return self._book.open(None if connector_id is None else ("", connector_id))

    def of_site(self) -> tuple[Repair, ...]:
        """Return the open repairs of the site as a whole."""
        return self._book.open(("",))

    async def cleared(self, limit: int) -> list[Repair]:
        """Return repairs that are over, the last one first; raises StorageFailed."""
        return await self._database.read(lambda connection: cleared_repairs(connection, limit))

    # --- keeping and telling ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep what changes and have it told, until cancelled."""
        looks = 0
        while True:
            await self._look()
            is_saved = await self.save()
            looks += 1
            if looks % _FORGET_EVERY == 0:
                with suppress(StorageFailed):
                    await self._database.write(lambda c: forget_repairs(c, self._clock.wall_ms()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK_S if is_saved else _SAVE_AGAIN_S)
            self._changed.clear()

    async def _look(self) -> None:
        self.free_bytes = (await asyncio.to_thread(disk_use, self._database.path)).free_bytes
        try:
            await self._database.read(lambda connection: connection.execute("SELECT 1 FROM meta LIMIT 1").fetchone())
            self.read_problem = ""
        except StorageFailed as failed:
            self.read_problem = str(failed)
        self.observe_site()

    async def save(self) -> bool:
        """Store what changed and send the notice of it on its way; return whether the disk took it.

        Where it did not, people are told all the same, and storing is tried again.
        """
        changes, self._unsaved = self._unsaved, []
        told: list[Repair] = []
        notice: Notice | None = None
        if self._notices.is_set:
            told = self._book.take_untold(self._clock.monotonic_ms(), self._tell_after_ms)
            notice = self._notice(told, [repair for repair in changes if repair.cleared_ms is not None and repair.told])
        if not changes and not told:
            return True

        def unit(connection: sqlite3.Connection) -> None:
            save_repairs(connection, [*changes, *told])
            if notice is not None:
                self._notices.save(connection, notice)

        try:
            await self._database.write(unit)
        except StorageFailed:
            # Cleared ones are told below, so that the next attempt must not tell them again.
            self._unsaved = [_untold(repair) for repair in changes] + told + self._unsaved
        if notice is not None:
            self._notices.put(notice)
        return not self._unsaved

    def _notice(self, raised: Sequence[Repair], cleared: Sequence[Repair]) -> Notice | None:
        if not raised and not cleared:
            return None
        name, site_id = self._names()
        return repairs_notice(
            _notice_id(),
            at_ms=self._clock.wall_ms(),
            site=name,
            site_id=site_id,
            url=self._repairs_url,
            raised=raised,
            cleared=cleared,
        )

    async def test_notice(self) -> list[TrialOutcome]:
        """Send a test notice by each channel, now."""
        name, site_id = self._names()
        outcome = await self._notices.test(
            Notice(_notice_id(), "test", self._clock.wall_ms(), name, site_id, self._repairs_url)
        )
        self.observe_site()
        return outcome


def _untold(repair: Repair) -> Repair:
    if repair.cleared_ms is None:
        return repair
    return Repair(repair.finding, repair.since_ms, False, repair.cleared_ms)


def _notice_id() -> str:
    return "msg_" + secrets.token_hex(12)
