"""Devices, tags and readings of a pair, seen to move on open pages (W7, W8, W9 in their first forms)."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.browser.house import House, Visits
from tests.e2e.stage import Paired

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def paired(_house: House) -> Paired:
    """A pair whose source reports this machine, and a pump."""
    await _house.stage.heal()
    paired = await _house.pair("turbine hall", "turbines (from plant)", host_every_s=0.5)
    await paired.source.post(
        f"/connectors/{paired.source_id}/devices", {"identity": "pump", "name": "Pump 1", "description": ""}
    )
    await paired.until_linked()
    return paired


def resource_row(page: Page, alias: str) -> Locator:
    return page.get_by_role("row").filter(has=page.locator("th", has_text=re.compile(rf"^\s*{alias}\b")))


def chip(page: Page, name: str, value: str) -> Locator:
    return page.locator("#tags li").filter(has_text=name + value)


async def test_w7_device_list_is_looked_up_live_from_either_side(paired: Paired, visits: Visits) -> None:
    for site, connector_id, peer in (
        (paired.target, paired.target_id, "plant"),
        (paired.source, paired.source_id, "office"),
    ):
        page = await visits.open(site, f"/connectors/{connector_id}/devices")
        await expect(page.locator("#device-table")).to_contain_text(
            re.compile(rf"live from {peer}, (under 1|\d[\d.,]*)\s*ms")
        )
        await expect(page.get_by_role("link", name="pump", exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name="host", exact=True)).to_be_visible()
        await page.get_by_label("Search devices").fill("pum")
        await expect(page.get_by_role("link", name="host", exact=True)).to_be_hidden()
        await expect(page).to_have_url(re.compile("search=pum"))
        await expect(page.get_by_role("link", name="pump", exact=True)).to_be_visible()


async def test_w8_tags_edited_on_either_side_appear_and_disappear_on_both_without_a_reload(
    paired: Paired, visits: Visits
) -> None:
    source = await visits.open(paired.source, f"/connectors/{paired.source_id}/devices/pump")
    target = await visits.open(paired.target, f"/connectors/{paired.target_id}/devices/pump")
    await target.get_by_label("Tag", exact=True).fill("floor")
    await target.get_by_label("Value", exact=True).fill("2")
    await target.get_by_role("region", name="Tags").get_by_role("button", name="Add").click()
    await expect(target.get_by_label("Value", exact=True)).to_have_value("")  # ready for the next one
    await expect(chip(source, "floor", "2")).to_be_visible()
    await expect(chip(target, "floor", "2")).to_contain_text("applied on both")
    await expect(chip(source, "floor", "2")).to_contain_text("applied on both")
    await source.get_by_role("button", name="Remove tag floor 2").click()
    await expect(chip(source, "floor", "2")).to_have_count(0)
    await expect(chip(target, "floor", "2")).to_have_count(0)


async def test_w8_edit_is_pending_while_the_other_site_is_away_and_applied_once_it_is_back(
    paired: Paired, visits: Visits
) -> None:
    source = await visits.open(paired.source, f"/connectors/{paired.source_id}/devices/pump")
    paired.target.proxy.cut()
    await expect(source.locator("#link-pill")).to_contain_text("peer off line")
    await source.get_by_label("Tag", exact=True).fill("shift")
    await source.get_by_label("Value", exact=True).fill("night")
    await source.get_by_role("region", name="Tags").get_by_role("button", name="Add").click()
    await expect(chip(source, "shift", "night")).to_contain_text("pending")
    await expect(source.locator("#device-facts")).to_contain_text("last good copy")
    paired.target.proxy.mend()
    await expect(chip(source, "shift", "night")).to_contain_text("applied on both", timeout=45_000)
    await expect(source.locator("#device-facts")).to_contain_text("live from office")


async def test_w9_resource_switched_on_is_created_at_the_target_and_its_data_arrives_live(
    paired: Paired, visits: Visits
) -> None:
    source = await visits.open(paired.source, f"/connectors/{paired.source_id}/resources")
    target = await visits.open(paired.target, f"/connectors/{paired.target_id}/resources")
    await source.get_by_text("Create resource").first.click()
    await source.get_by_label("Alias").fill("flow")
    await source.get_by_label("Unit").fill("l/s")
    await source.get_by_role("button", name="Create resource").click()
    switch = source.get_by_role("switch", name="Remote-Sync of flow")
    await expect(switch).to_have_attribute("aria-checked", "false")
    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "true")
    await expect(resource_row(source, "flow")).to_contain_text("missing at office")
    await paired.post(1, values=[17.25])
    row = resource_row(target, "flow")
    await expect(row).to_contain_text("missing here")
    await row.get_by_role("button", name="Create the same here").click()
    await expect(target.locator("#toasts")).to_contain_text("Resource “flow” created")
    await expect(row).to_contain_text("received")
    await expect(row).to_contain_text("17.25")  # what waited for the resource
    await expect(resource_row(source, "flow")).not_to_contain_text("missing at office")
    device = await visits.open(paired.target, f"/connectors/{paired.target_id}/devices/pump")
    await expect(resource_row(device, "flow")).to_contain_text("17.25")
    for value in (18.5, 19.75):
        await paired.post(1, values=[value])
        await expect(row).to_contain_text(str(value))
        await expect(resource_row(device, "flow")).to_contain_text(str(value))


async def test_w9_readings_of_this_machine_change_on_the_page_of_the_target(paired: Paired, visits: Visits) -> None:
    source = await visits.open(paired.source, f"/connectors/{paired.source_id}/resources")
    await source.get_by_role("switch", name="Remote-Sync of memory").click()
    target = await visits.open(paired.target, f"/connectors/{paired.target_id}/resources")
    await resource_row(target, "memory").get_by_role("button", name="Create the same here").click()
    figure = resource_row(target, "memory").locator("td.value")
    await expect(figure).to_contain_text(re.compile(r"\d.*%"))
    before = await figure.inner_text()
    await expect(figure).not_to_have_text(before, use_inner_text=True)
