"""What people see while the hub or the other site is away, and when it is back (W10)."""

from __future__ import annotations

import re
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.browser.house import House, Visits
from tests.e2e.stage import Paired

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Links come back with a jittered delay that doubles with every failure.
BACK_MS: Final = 60_000
# What a browser says of a page whose site does not answer.
AWAY: Final = "net::ERR_|htmx:sse:error"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def paired(_house: House) -> Paired:
    """A pair with one resource, and the first readings of it applied."""
    await _house.stage.heal()
    paired = await _house.pair("boiler house", "boilers (from plant)")
    await paired.sync("flow")
    await paired.post(5)
    await paired.until_balanced()
    return paired


def pill(page: Page) -> Locator:
    return page.locator("#link-pill")


def queued(page: Page) -> Locator:
    return page.locator("#backlog .figure b").first


async def expect_balance(page: Page, site_name: str, accepted: int) -> None:
    """Wait until the account says that everything accepted is applied."""
    row = page.locator("#account tbody tr").filter(has_text=site_name)
    await expect(row.get_by_role("cell").nth(0)).to_have_text(str(accepted), timeout=BACK_MS)
    await expect(row.get_by_role("cell").nth(1)).to_have_text(str(accepted), timeout=BACK_MS)
    await expect(row.get_by_role("cell").nth(2)).to_have_text("0", timeout=BACK_MS)
    await expect(row).to_contain_text("balances")


async def overviews(paired: Paired, visits: Visits) -> tuple[Page, Page]:
    return (
        await visits.open(paired.source, f"/connectors/{paired.source_id}"),
        await visits.open(paired.target, f"/connectors/{paired.target_id}"),
    )


async def test_w10_hub_killed_while_readings_come_then_everything_arrives(
    house: House, paired: Paired, visits: Visits
) -> None:
    source, target = await overviews(paired, visits)
    devices = await visits.open(paired.target, f"/connectors/{paired.target_id}/devices")
    await expect(pill(source)).to_contain_text("connected via hub")
    await expect(devices.locator("#device-table")).to_contain_text("live from plant")
    await house.hub.kill()
    await expect(pill(source)).to_contain_text("reconnecting")
    await expect(pill(target)).to_contain_text("reconnecting")
    for more in (20, 30):
        waiting = int(await queued(source).inner_text()) + more
        await paired.post(more)
        await expect(queued(source)).to_have_text(str(waiting))
    await expect(source.locator("#backlog")).to_contain_text(re.compile(r"30-day limit reached in 29 d"))
    await expect(devices.locator("#device-table")).to_contain_text(re.compile(r"last good copy, .* old"))
    await house.hub.start()
    await expect(pill(source)).to_contain_text("connected via hub", timeout=BACK_MS)
    await expect(queued(source)).to_have_text("0", timeout=BACK_MS)
    for page, site_name in ((source, "plant"), (target, "plant"), (target, "office")):
        await expect_balance(page, site_name, paired.posted_count)
    await expect(source.locator("#backlog")).to_contain_text("All that was accepted is applied.")
    await expect(devices.locator("#device-table")).to_contain_text("live from plant", timeout=BACK_MS)
    await paired.check_delivered()


async def test_w10_target_killed_then_its_open_page_says_so_and_catches_up_by_itself(
    paired: Paired, visits: Visits
) -> None:
    visits.expect_complaint(AWAY)
    source, target = await overviews(paired, visits)
    devices = await visits.open(paired.source, f"/connectors/{paired.source_id}/devices")
    await expect(devices.locator("#device-table")).to_contain_text("live from office", timeout=BACK_MS)
    await paired.target.daemon.kill()
    await expect(target.locator("#stale")).to_contain_text("Live updates have stopped.")
    await expect(pill(source)).to_contain_text("hub reached, peer off line")
    await paired.post(40)
    await expect(queued(source)).to_have_text("40")
    await expect(devices.locator("#device-table")).to_contain_text("last good copy")
    await paired.target.daemon.start()
    await expect(target.locator("#stale")).to_be_hidden(timeout=BACK_MS)
    await expect(devices.locator("#device-table")).to_contain_text("live from office", timeout=BACK_MS)
    await expect_balance(target, "office", paired.posted_count)
    await expect_balance(source, "plant", paired.posted_count)
    await expect(queued(source)).to_have_text("0")
    await paired.check_delivered()


async def test_banner_says_that_the_site_of_the_page_is_away_and_goes_when_it_is_back(
    paired: Paired, visits: Visits
) -> None:
    visits.expect_complaint(AWAY)
    page = await visits.open(paired.source, f"/connectors/{paired.source_id}")
    await expect(page.locator("#stale")).to_be_hidden()
    await paired.source.daemon.stop()
    await expect(page.locator("#stale")).to_contain_text("What you see may be out of date; trying again.")
    await paired.source.daemon.start()
    await expect(page.locator("#stale")).to_be_hidden(timeout=BACK_MS)
    await paired.post(1)
    await expect_balance(page, "plant", paired.posted_count)
