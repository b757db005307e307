"""Clocks that jump by a year, either way, on a running daemon and from one start to the next: nothing is lost (G5, N6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from shared.limits import DAY_MS
from shared.rig.client import until
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import NotYet, Paired, Site, Stage

pytestmark = SAME_LOOP
_YEAR_MS = 365 * DAY_MS


@pytest_asyncio.fixture(loop_scope="session")
async def pair(stage: Stage) -> AsyncIterator[Paired]:
    """A pair that streams; all clocks are right again afterwards."""
    made = await stage.pair()
    await made.sync("flow")
    await made.post(10)
    await made.until_balanced()
    yield made
    for daemon in (stage.hub, stage.plant.daemon, stage.office.daemon):
        stage.set_wall_clock(daemon, 0)
    await stage.heal()
    for site in (stage.plant, stage.office):
        await until_doubt(site, False)


async def until_doubt(site: Site, wanted: bool) -> None:
    """Wait until a site doubts its clock, or does not."""

    async def said() -> bool:
        return bool((await site.get("/status"))["clock_in_doubt"]) is wanted

    await until(said, what=f"{site.name} to {'doubt' if wanted else 'trust'} its clock")


async def looked_at(pair: Paired, posted: int) -> dict[str, Any]:
    """Return the source's account once it has looked at what is due, which every new reading makes it do."""
    await pair.post(posted)

    async def counted() -> Any:
        own = await pair.source.own_account(pair.source_id)
        if own["accepted"] != pair.posted_count:
            raise NotYet(str(own))
        return own

    return dict(await until(counted, what="the source to count what was posted"))


async def test_g5_a_source_whose_clock_jumps_a_year_ahead_gives_nothing_up_not_even_after_a_restart_alone(
    stage: Stage, pair: Paired
) -> None:
    plant = stage.plant
    await stage.office.daemon.kill()
    await pair.post(40)
    stage.set_wall_clock(plant.daemon, _YEAR_MS)
    await until_doubt(plant, True)
    own = await looked_at(pair, 1)
    assert (own["queued"], own["dropped"]) == (41, 0)
    await stage.hub.kill()  # nobody is left to say what time it is
    await plant.daemon.kill()
    await plant.start()
    assert (await plant.get("/status"))["clock_in_doubt"] is True
    for _ in range(3):
        own = await looked_at(pair, 1)
    assert (own["queued"], own["dropped"]) == (44, 0)
    stage.set_wall_clock(plant.daemon, 0)
    await stage.heal()
    await until_doubt(plant, False)
    await pair.until_balanced()
    await pair.check_delivered()


async def test_g5_a_target_whose_clock_is_set_back_a_year_takes_everything_and_says_that_its_clock_is_off(
    stage: Stage, pair: Paired
) -> None:
    office = stage.office
    stage.set_wall_clock(office.daemon, -_YEAR_MS)
    await until_doubt(office, True)
    lines = [{"device": "pump", "resource": "flow", "value": at} for at in range(20)]  # of now, by the source's clock
    for line in lines:
        await pair.source.post(f"/connectors/{pair.source_id}/readings", line)
    await pair.until_balanced(accepted=pair.posted_count + len(lines))
    stage.set_wall_clock(office.daemon, 0)
    await until_doubt(office, False)


async def test_g5_a_clock_set_ahead_while_the_source_was_off_gives_nothing_up_until_a_person_says_that_it_is_right(
    stage: Stage, pair: Paired
) -> None:
    plant = stage.plant
    await stage.office.daemon.kill()
    await pair.post(5)
    await stage.hub.kill()
    await plant.daemon.kill()
    stage.set_wall_clock(plant.daemon, 40 * DAY_MS)
    await plant.start()
    assert (await plant.get("/status"))["clock_in_doubt"] is True
    for _ in range(2):
        await looked_at(pair, 1)
    own = await looked_at(pair, 1)
    assert (own["queued"], own["dropped"]) == (8, 0)
    await plant.post("/clock/confirm")
    assert (await plant.get("/status"))["clock_in_doubt"] is False
