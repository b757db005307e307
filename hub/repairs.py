"""What is wrong with this hub and needs a person: disk, certificate, room for copies, notices that fail (N2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from hub.store.sqlite import DATABASE_NAME
from shared.clock import Clock
from shared.core.health import HubFacts, judge_hub
from shared.core.repairs import Repair
from shared.disk import disk_use
from shared.errors import StorageFailed
from shared.limits import SECOND_MS
from shared.notices.desk import ChannelStatus, NoticeDesk, TrialOutcome
from shared.notices.keeper import RepairKeeper
from shared.notices.notice import Channel, Sender
from shared.notices.store import RepairStore
from web import paths

if TYPE_CHECKING:
    from hub.hub import Hub


class HubRepairs:
    """The repairs of one hub, kept in its store. `load` before use, keep `run` going; whatever looks at it feeds it."""

    def __init__(self, hub: Hub, clock: Clock, channels: Sequence[Channel]) -> None:
        """`channels` are the ways out by which people are told."""
        self._hub = hub
        self._notices = NoticeDesk(hub.store, clock, channels)
        self._keeper = RepairKeeper(
            store=hub.store,
            clock=clock,
            notices=self._notices,
            tell_after_ms=int(hub.settings.notices_after_s * SECOND_MS),
            sender=self._sender,
            on_changes=lambda _: hub.on_change(),
        )

    def _sender(self) -> Sender:
        settings = self._hub.settings
        url = settings.public_url.rstrip("/") + paths.OPERATOR if settings.public_url else ""
        return Sender("hub", settings.hub_name, self._hub.hub_key.hex(), url)

    async def load(self) -> None:
        """Take up what was open, and what waited, when the process ended; raises StorageFailed."""
        await self._keeper.load()
        await self._notices.load()

    def move(self, store: RepairStore) -> None:
        """Go on with another, empty store."""
        self._notices.move(store)
        self._keeper.move(store)

    # --- hearing ------------------------------------------------------------------------------------------------------

    def observe(
        self, *, free_bytes: int | None = None, copy_bytes: int | None = None, storage_problem: str = ""
    ) -> None:
        """Look at the hub; figures that were not looked at change nothing."""
        hub = self._hub
        facts = HubFacts(
            storage_problem=storage_problem or hub.store.figures().problem,
            free_bytes=free_bytes,
            warn_bytes=hub.settings.disk_warn_bytes,
            certificate_warning="" if hub.certificate is None else hub.certificate.status(hub.wall_ms()).warning,
            copy_bytes=copy_bytes or 0,
            copy_bytes_max=hub.settings.copy_bytes_max,
            undelivered=self._notices.undelivered(),
            is_delivery_known=self._notices.is_delivery_known(),
        )
        self._keeper.observe("", judge_hub(facts, self._keeper.is_open, is_copies_known=copy_bytes is not None))

    async def look(self) -> None:
        """See whether disk, certificate or room for copies need a person."""
        use = await asyncio.to_thread(disk_use, self._hub.settings.data_dir / DATABASE_NAME)
        copy_bytes: int | None = None
        with suppress(StorageFailed):
            copy_bytes = sum(backlog.stored_bytes for backlog in await self._hub.store.backlogs())
        self.observe(free_bytes=use.free_bytes, copy_bytes=copy_bytes)

    # --- showing ------------------------------------------------------------------------------------------------------

    def open(self) -> tuple[Repair, ...]:
        """Return the open repairs, the urgent first."""
        return self._keeper.open()

    async def cleared(self, limit: int) -> list[Repair]:
        """Return repairs that are over, the last one first; raises StorageFailed."""
        return await self._keeper.cleared(limit)

    def channels(self) -> list[ChannelStatus]:
        """Return how each way out fares."""
        return self._notices.status()

    # --- keeping and telling ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look every few seconds, keep what changes and have it told, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run(self.look), name="repairs")
            tasks.create_task(self._notices.run(), name="notices")

    async def save(self) -> None:
        """Keep what changed, at the end."""
        await self._keeper.save()

    async def test_notice(self) -> list[TrialOutcome]:
        """Send a test notice by each channel, now."""
        outcome = await self._keeper.test_notice()
        self.observe()
        return outcome
