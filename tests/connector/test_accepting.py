"""The setting by which a person at the source has to accept each claimant (SECURITY, pairing, step 4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from connector.serve import running_site
from connector.settings import SiteSettings
from connector.site import Site
from hub.serve import running_hub
from hub.settings import HubSettings
from shared.certificates import Dissolution, pack, sign
from shared.core.completion import PairState
from shared.messages import PairDissolved
from shared.rig.client import until
from tests.connector.test_told_again import claim, linked, two_sites
from tests.connector.test_told_again import true as until_true


@asynccontextmanager
async def claimed(folder: Path) -> AsyncIterator[tuple[Site, str, Site, str]]:
    """Two sites of which the source has been claimed with the right code and asks its operator."""
    hub = HubSettings(port=0, data_dir=folder / "hub", open_enrolment=True)
    async with running_hub(hub) as running:
        source = SiteSettings(
            port=0, data_dir=folder / "plant", site_name="plant", hub_url=running.url, accept_pairings=True
        )
        target = SiteSettings(port=0, data_dir=folder / "office", site_name="office", hub_url=running.url)
        async with running_site(source) as plant, running_site(target) as office:
            made = await plant.site.create_connector("pumps")
            window = await plant.site.enable_remote_sync(made.connector_id)

            async def filed() -> bool:
                return plant.site.runtime(made.connector_id).source.filed

            await until(filed, what="the window to be filed")
            claim = await office.site.create_target(
                "pumps", site_name="plant", source_connector=made.connector_id, code=window.code
            )
            yield plant.site, made.connector_id, office.site, claim.connector_id


async def test_a_pair_waits_until_the_source_accepts_and_says_so(tmp_path: Path) -> None:
    async with claimed(tmp_path) as (plant, source_id, office, target_id):

        async def told() -> bool:
            return "not accepted this pairing yet" in office.runtime(target_id).view.problem

        await until(told, what="the target to say what it waits for")
        pending = plant.pair(source_id)
        assert pending is not None
        assert (pending.state, pending.accepted) == (PairState.PENDING, False)

        await plant.accept_claimant(source_id)

        async def paired() -> bool:
            pair = office.pair(target_id)
            return pair is not None and pair.state is PairState.PAIRED

        await until(paired, what="the pair to be complete")
        assert office.runtime(target_id).view.problem == ""


async def test_a_refused_claimant_is_forgotten_on_both_sides(tmp_path: Path) -> None:
    async with claimed(tmp_path) as (plant, source_id, office, target_id):
        await plant.refuse_claimant(source_id)

        async def forgotten() -> bool:
            return office.pair(target_id) is None

        await until(forgotten, what="the target to hear of it")
        assert "operator of the source declined" in office.runtime(target_id).view.problem
        assert plant.pair(source_id) is None
        assert (await plant.connector(source_id)).role == "standalone"


async def test_g15_a_claimant_accepted_and_refused_in_one_commit_is_forgotten_and_another_can_come(
    tmp_path: Path,
) -> None:
    async with claimed(tmp_path) as (plant, source_id, office, target_id):
        await asyncio.gather(plant.accept_claimant(source_id), plant.refuse_claimant(source_id))
        assert plant.pair(source_id) is None

        async def forgotten() -> bool:
            return office.pair(target_id) is None

        await until(forgotten, what="the target to hear of it")


async def test_g15_a_source_that_hears_its_own_word_on_a_pair_keeps_its_link(tmp_path: Path) -> None:
    settings = HubSettings(port=0, data_dir=tmp_path / "hub", open_enrolment=True)
    async with running_hub(settings) as hub, two_sites(tmp_path, hub.url, accept=True) as (plant, office):
        source_id = (await plant.create_connector("pumps")).connector_id
        source, target = plant.runtime(source_id), office.runtime(await claim(plant, source_id, office))
        assert source.pair is not None
        link = hub.hub.links[plant.identity.site_id, source_id]
        said = Dissolution(source.pair.pair_id, "rolled_back")  # before its site was restored
        link.send(PairDissolved(pack(said, [sign(plant.identity.identity_private, said)])))
        await plant.accept_claimant(source_id)
        await until_true(lambda: linked(source, target), "both to be paired")
        assert hub.hub.links[plant.identity.site_id, source_id] is link
