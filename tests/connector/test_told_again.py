"""What a hub did not store, or does not know any more, is told to it again on the very same link."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connector.runtime import ConnectorRuntime
from connector.serve import running_site
from connector.settings import SiteSettings
from connector.site import Site
from hub.links import Link
from hub.pair_desk import PairDesk
from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from shared.core.completion import PairState
from shared.core.parting import PartState
from shared.errors import StorageFailed
from shared.rig.client import until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.runtime.TOLD_AGAIN_EVERY_S", 0.5)


@asynccontextmanager
async def two_sites(folder: Path, url: str, *, accept: bool = False) -> AsyncIterator[tuple[Site, Site]]:
    """Two sites without visitors."""
    plant = SiteSettings(port=0, data_dir=folder / "plant", site_name="plant", hub_url=url, accept_pairings=accept)
    office = SiteSettings(port=0, data_dir=folder / "office", site_name="office", hub_url=url)
    async with running_site(plant) as one, running_site(office) as other:
        yield one.site, other.site


def a_hub(folder: Path, port: int = 0) -> HubSettings:
    return HubSettings(port=port, data_dir=folder / "hub", open_enrolment=True)


async def true(question: Callable[[], object], what: str) -> None:
    async def asked() -> bool:
        return bool(question())

    await until(asked, what=what)


async def claim(source: Site, source_id: str, target: Site) -> str:
    """Open a window and claim it with a new connector; return that one's ID."""
    window = await source.enable_remote_sync(source_id)
    await true(lambda: source.runtime(source_id).source.filed, "the window to be filed")
    made = await target.create_target(window.code, site_name="plant", source_connector=source_id, code=window.code)
    return made.connector_id


def linked(*ends: ConnectorRuntime) -> bool:
    """Whether these connectors are paired, and each is told that the other is there."""
    return all(end.pair is not None and end.pair.state is PairState.PAIRED and end.view.peer_linked for end in ends)


async def part(one: ConnectorRuntime, other: ConnectorRuntime) -> None:
    await one.parting.ask(flush=False, who="admin")

    async def asked() -> bool:
        return (await other.parting.seen()).talk.theirs is not None

    await until(asked, what="the ask to part")
    await other.parting.agree(flush=False)


class Full:
    """A verb of the hub's store that refuses until there is room."""

    def __init__(self, hub: RunningHub, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = getattr(hub.hub.store, verb)
        self.tries = 0
        self.has_room = False
        monkeypatch.setattr(hub.hub.store, verb, self._ask)

    async def _ask(self, *args: Any, **more: Any) -> Any:
        self.tries += 1
        if not self.has_room:
            raise StorageFailed("The disk is full.")
        return await self._real(*args, **more)


async def test_g16_a_hub_whose_disk_refused_to_end_a_pair_is_told_again_on_the_same_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_hub(a_hub(tmp_path)) as hub, two_sites(tmp_path, hub.url, accept=True) as (plant, office):
        source_id = (await plant.create_connector("pumps")).connector_id
        source = plant.runtime(source_id)

        # A pairing that is given up before it was complete.
        target_id = await claim(plant, source_id, office)
        target = office.runtime(target_id)
        dissolving = Full(hub, "dissolve_pair", monkeypatch)
        await source.refuse_claimant()
        await true(lambda: dissolving.tries, "the hub to be told")
        assert target.pair is not None
        dissolving.has_room = True
        await true(lambda: target.pair is None, "the target to hear of it")
        link = hub.hub.links.get((plant.identity.site_id, source_id))

        # A pair that both agreed to part.
        target_id = await claim(plant, source_id, office)
        target = office.runtime(target_id)
        assert hub.hub.links.get((plant.identity.site_id, source_id)) is link
        await source.accept_claimant()
        await true(lambda: linked(source, target), "both to be paired")
        parting = Full(hub, "part_pair", monkeypatch)
        await part(source, target)
        words = "The hub's disk refuses to store this. Tell the hub's operator; it is told again until it is stored."
        await true(lambda: target.view.problem == words, "the target to hear whose disk it is")
        assert linked(source)
        parting.has_room = True
        await true(lambda: source.pair is None, "the source to hear of it")
        await true(lambda: target.view.problem == "", "the trouble to be over")
        assert hub.hub.links.get((plant.identity.site_id, source_id)) is link
        await claim(plant, source_id, office)


async def test_n6_a_restored_hub_that_knows_a_pair_parted_since_is_told_so(tmp_path: Path) -> None:
    backup = tmp_path / "backup"

    def restore() -> HubSettings:
        shutil.rmtree(tmp_path / "hub")
        shutil.copytree(backup, tmp_path / "hub")
        return a_hub(tmp_path, port)

    async with running_hub(a_hub(tmp_path)) as hub:
        url, port = hub.url, int(hub.url.rpartition(":")[2])
    async with two_sites(tmp_path, url) as (plant, office):
        source_id = (await plant.create_connector("pumps")).connector_id
        source = plant.runtime(source_id)
        async with running_hub(a_hub(tmp_path, port)) as hub:
            target = office.runtime(await claim(plant, source_id, office))
            await true(lambda: linked(source, target), "both to be paired")
        shutil.copytree(tmp_path / "hub", backup)  # the hub stands still: a plain copy is a whole backup

        async with running_hub(a_hub(tmp_path, port)) as hub:
            await true(lambda: linked(source, target), "both to be linked again")
            await part(source, target)
            for end in (source, target):

                async def parted(end: ConnectorRuntime = end) -> bool:
                    last = (await end.parting.seen()).parted
                    return last is not None and last.state is PartState.PARTED

                await until(parted, what="both to know that both know")

        # The connector that is free opens a window at the restored hub; then it is paired, and the hub restored again.
        async with running_hub(restore()) as hub:
            assert hub.hub.registry.pairs_count == 1
            target = office.runtime(await claim(plant, source_id, office))
            await true(lambda: linked(source, target), "both to be paired anew")
        async with running_hub(restore()) as hub:
            await true(lambda: linked(source, target), "the new pair to be carried")
            assert [pair.pair_id for pair in await hub.hub.store.pairs()] == [
                source.pair.pair_id if source.pair else b""
            ]
            assert source.view.problem == ""


async def test_a_hub_of_an_earlier_release_that_answers_no_dissolution_is_not_told_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TOLD_AGAIN_EVERY_S", "_IDLE_LOOK_S"):
        monkeypatch.setattr(f"connector.runtime.{name}", 0.05)
    told: list[bytes] = []

    async def keep_silent(_desk: PairDesk, _link: Link, packed: bytes, _links: object) -> None:
        told.append(packed)

    monkeypatch.setattr(PairDesk, "on_dissolve", keep_silent)
    async with running_hub(a_hub(tmp_path)) as hub, two_sites(tmp_path, hub.url, accept=True) as (plant, office):
        source_id = (await plant.create_connector("pumps")).connector_id
        await claim(plant, source_id, office)
        await plant.runtime(source_id).refuse_claimant()
        await true(lambda: (plant.identity.site_id, source_id) not in hub.hub.links, "the link to be needed no more")
        assert len(told) == 6
