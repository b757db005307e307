"""A pairing that is complete on disk is at work at once, whatever becomes of link and disk meanwhile (G1, G15)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connector import connectors
from connector.pair_runner import PairRunner
from connector.resources import NewResource
from connector.serve import running_site
from connector.settings import SiteSettings
from connector.site import Site
from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from shared.core.completion import PairState
from shared.errors import StorageFailed
from shared.limits import DAY_MS, SECOND_MS
from shared.rig.client import until
from tests.connector.site_stage import line


@dataclass(slots=True)
class Stage:
    """Two sites at one hub; readings wait for a second at the source."""

    hub: RunningHub
    plant: Site
    office: Site
    source_id: str
    code: str

    async def claim(self) -> str:
        """Claim the source; return the ID of the target."""
        made = await self.office.create_target(
            "pumps", site_name="plant", source_connector=self.source_id, code=self.code
        )
        return made.connector_id


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    async with running_hub(HubSettings(port=0, data_dir=folder / "hub", open_enrolment=True)) as hub:
        source = SiteSettings(
            port=0, data_dir=folder / "plant", site_name="plant", hub_url=hub.url, retention_days=SECOND_MS / DAY_MS
        )
        target = SiteSettings(port=0, data_dir=folder / "office", site_name="office", hub_url=hub.url)
        async with running_site(source) as plant, running_site(target) as office:
            source_id = (await plant.site.create_connector("pumps")).connector_id
            await plant.site.create_device(source_id, "pump")
            await plant.site.create_resource(source_id, NewResource(alias="flow", format="number", remote_sync=True))
            window = await plant.site.enable_remote_sync(source_id)

            async def filed() -> bool:
                return plant.site.runtime(source_id).source.filed

            await until(filed, what="the window to be filed")
            yield Stage(hub, plant.site, office.site, source_id, window.code)


class Held:
    """Holds the writer at a row of one connector until `released`; says when it is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.reached = asyncio.Event()
        self.released = threading.Event()
        self.connector_id = ""
        self._verb = getattr(connectors, name)
        self._loop = asyncio.get_running_loop()
        monkeypatch.setattr(connectors, name, self._call)

    def _call(self, connection: sqlite3.Connection, connector_id: str, *rest: Any, **more: Any) -> Any:
        done = self._verb(connection, connector_id, *rest, **more)
        if connector_id == self.connector_id:
            self._loop.call_soon_threadsafe(self.reached.set)
            assert self.released.wait(20)
        return done

    async def cut(self, at: Stage, site: Site) -> None:
        """End the link for good while the writer is held, then let it go on."""
        await asyncio.wait_for(self.reached.wait(), 20)
        stopping = asyncio.ensure_future(at.hub.stop())

        async def unlinked() -> bool:
            return not site.runtime(self.connector_id).source.filed

        await until(unlinked, what="the link to end")
        self.released.set()
        await stopping


async def test_g1_g15_a_pair_whose_link_ends_while_it_is_completed_keeps_or_names_every_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch, "complete_pair")
    async with stage(tmp_path) as at:
        held.connector_id = at.source_id
        await at.claim()
        await held.cut(at, at.plant)

        async def paired() -> bool:
            pair = at.plant.pair(at.source_id)
            return pair is not None and pair.state is PairState.PAIRED

        await until(paired, what="the pair to be complete")
        await at.plant.ingest(at.source_id, line("pump", "flow", 1.5))

        async def named() -> bool:
            return [gap.notice.count for gap in await at.plant.gaps(at.source_id)] == [1]

        await until(named, what="the reading to be named, after the second that it waited")


async def test_g15_a_pair_whose_link_ends_while_it_is_agreed_is_known_and_can_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch, "hold_pending")
    async with stage(tmp_path) as at:
        held.connector_id = at.source_id
        claiming = asyncio.ensure_future(at.claim())
        await held.cut(at, at.plant)
        await asyncio.gather(claiming, return_exceptions=True)

        async def known() -> bool:
            pair = at.plant.pair(at.source_id)
            return pair is not None and pair.state is PairState.PENDING

        await until(known, what="the pair to be known")
        await at.plant.refuse_claimant(at.source_id)
        assert at.plant.pair(at.source_id) is None


async def test_g15_a_pair_that_a_full_disk_kept_from_introducing_itself_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[PairRunner] = []

    async def introduce(runner: PairRunner) -> None:
        refused.append(runner)
        raise StorageFailed("database or disk is full")

    monkeypatch.setattr(PairRunner, "introduce", introduce)
    monkeypatch.setattr("connector.pairing.PAIR_HELLO_EVERY_MS", 200)
    async with stage(tmp_path) as at:
        target_id = await at.claim()

        async def met() -> bool:
            rows = await at.office.resources(target_id)
            return [row.match for row in rows] == ["missing_here"]

        await until(met, what="the target to hear of the resources at the source")
        assert refused
