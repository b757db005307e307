"""The repairs of one site: hears how its connectors and the site as a whole fare (N2, G9)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from connector.history_damage import Damage, damages
from connector.repair_rows import RepairRows
from shared.clock import Clock
from shared.core.health import ConnectorFacts, SiteFacts, judge_connector, judge_site
from shared.core.repairs import Repair
from shared.database import Database
from shared.disk import disk_use
from shared.errors import PairhubError, StorageFailed
from shared.notices.desk import NoticeDesk, TrialOutcome
from shared.notices.keeper import RepairKeeper
from shared.notices.notice import Sender
from shared.supervision import supervised

# All links of a site may come back at once: hundreds looked at in a row would hold up every reading meanwhile.
_BETWEEN_LOOKS_S: Final = 0.05


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
        sender: Callable[[], Sender],
        ring: Callable[[str, str], None],
    ) -> None:
        """`facts` are the site's own, `sender` says which site it is."""
        self._database = database
        self._clock = clock
        self._facts = facts
        self._ring = ring
        self._keeper = RepairKeeper(
            store=RepairRows(database),
            clock=clock,
            notices=notices,
            tell_after_ms=tell_after_ms,
            sender=sender,
            on_changes=self._on_changes,
        )
        self._connectors: dict[str, ConnectorFacts] = {}
        self._moved: dict[str, None] = {}  # connectors whose link came or went since the last look
        self._some_moved = asyncio.Event()
        self.free_bytes: int | None = None
        """Room on the disk of the database, as last seen."""
        self.read_problem = ""
        """Why the database could not be read when last tried; empty where it could."""
        self.damages: tuple[Damage, ...] | None = None
        """History that is set aside as damaged, as last seen; None before."""
        self.look: Callable[[str], Awaitable[object]] | None = None
        """How to look at a connector now, which feeds this desk; set by whoever serves the pages, as is `scrape`."""
        self.scrape: Callable[[], Awaitable[str]] | None = None

    async def load(self) -> None:
        """Take up the repairs that were open when the process ended; raises StorageFailed."""
        await self._keeper.load()

    # --- hearing ------------------------------------------------------------------------------------------------------

    def observe(self, facts: ConnectorFacts) -> None:
        """Hear how a connector is now."""
        scope = facts.connector_id
        self._connectors[scope] = facts
        judgement = judge_connector(facts, self._clock.wall_ms(), lambda code: self._keeper.is_open(code, scope))
        self._keeper.observe(scope, judgement)
        self.observe_site()

    def on_link(self, connector_id: str, *, is_linked: bool, peer_is_linked: bool) -> None:
        """Hear of a link: one that came or went is looked at soon, for it raises and disproves repairs."""
        facts = self._connectors.get(connector_id)
        if facts is not None and (facts.link.is_linked, facts.link.peer_is_linked) != (is_linked, peer_is_linked):
            self._moved[connector_id] = None
            self._some_moved.set()

    def observe_site(self) -> None:
        """Look at the site as a whole."""
        self._keeper.observe("", judge_site(self._facts(), self._connectors.values(), self._keeper.is_open))

    def keep_connectors(self, connector_ids: Sequence[str]) -> None:
        """Forget what belongs to connectors that are gone."""
        for gone in [each for each in self._connectors if each not in connector_ids]:
            del self._connectors[gone]
        self._keeper.keep_scopes(connector_ids)

    def is_hub_reached(self, but: str) -> bool:
        """Whether another connector than this one was linked when last seen."""
        return any(facts.link.is_linked for scope, facts in self._connectors.items() if scope != but)

    def _on_changes(self, changes: Sequence[Repair]) -> None:
        scopes = {repair.finding.scope for repair in changes}
        for scope in sorted(scopes | set(self._connectors) if "" in scopes else scopes):
            self._ring(scope, "repairs")

    def facts(self) -> tuple[ConnectorFacts, ...]:
        """Return how each connector was when last looked at."""
        return tuple(self._connectors.values())

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
        return self._keeper.open(None if connector_id is None else ("", connector_id))

    def of_site(self) -> tuple[Repair, ...]:
        """Return the open repairs of the site as a whole."""
        return self._keeper.open(("",))

    async def cleared(self, limit: int) -> list[Repair]:
        """Return repairs that are over, the last one first; raises StorageFailed."""
        return await self._keeper.cleared(limit)

    # --- keeping and telling ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep what changes and have it told, until cancelled."""
        await asyncio.gather(
            supervised("keeping repairs", lambda: self._keeper.run(self._look)),
            supervised("looking at links that moved", self._look_at_moved),
        )

    async def _look_at_moved(self) -> None:
        while True:
            await self._some_moved.wait()
            self._some_moved.clear()
            moved, self._moved = self._moved, {}
            for connector_id in moved:
                with suppress(PairhubError):  # deleted meanwhile, or the disk fails: looked at again in any case
                    if self.look is not None:
                        await self.look(connector_id)
                await asyncio.sleep(_BETWEEN_LOOKS_S)

    async def save(self) -> None:
        """Keep what changed, at the end."""
        await self._keeper.save()

    async def _look(self) -> None:
        self.free_bytes = (await asyncio.to_thread(disk_use, self._database.path)).free_bytes
        try:
            self.damages = await self._database.read(damages)
            self.read_problem = ""
        except StorageFailed as failed:
            self.read_problem = str(failed)
        self.observe_site()

    async def test_notice(self) -> list[TrialOutcome]:
        """Send a test notice by each channel, now."""
        outcome = await self._keeper.test_notice()
        self.observe_site()
        return outcome
