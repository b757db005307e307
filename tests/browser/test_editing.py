"""Devices looked up and edited from either side (W7, W8): what each page says of an edit until it has its final word."""

from __future__ import annotations

import re
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from shared.rig.client import until
from tests.browser.house import House, Visits
from tests.e2e.stage import Paired, Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# A link that was lost is tried again within this, whatever the backoff had come to.
BACK_MS: Final = 60_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def paired(_house: House) -> Paired:
    """A pair with devices, tags, permissions, a configuration and a resource that can be set."""
    await _house.stage.heal()
    paired = await _house.pair("pump hall", "pump hall (from plant)")
    source = f"/connectors/{paired.source_id}"
    for identity, name in (("pump-1", "Feed pump"), ("pump-2", "Spare pump")):
        await paired.source.post(f"{source}/devices", {"identity": identity, "name": name, "description": ""})
    await paired.source.post(f"{source}/devices/pump-1/tags", {"name": "floor", "value": "2"})
    grant = {"kind": "user", "subject": "anna", "level": "write"}
    await paired.source.ask("PUT", f"{source}/devices/pump-1/grants", grant)
    await paired.source.ask("PATCH", f"{source}/devices/pump-1", {"configuration": {"poll_s": 5}})
    await paired.sync("speed", unit="rpm", settable=True)
    await paired.post(1, device="pump-1", resource="speed", values=[900.0])
    await paired.until_balanced()
    return paired


def ends(paired: Paired) -> tuple[tuple[Site, str, str], tuple[Site, str, str]]:
    """Return each side: its site, its connector, and the name of the other site."""
    return (paired.source, paired.source_id, "office"), (paired.target, paired.target_id, "plant")


async def open_device(visits: Visits, site: Site, connector_id: str, identity: str = "pump-1") -> Page:
    return await visits.open(site, f"/connectors/{connector_id}/devices/{identity}")


def change(page: Page, what: str) -> Locator:
    """The newest entry of the history about a field."""
    return page.locator("#changes tbody tr").filter(has=page.locator("th", has_text=re.compile(rf"^{what}$"))).first


async def rename(page: Page, name: str) -> None:
    """Give a device another name by its form."""
    await page.get_by_text("Edit, lock or delete").click()
    await page.locator("#field-name").fill(name)
    await page.get_by_role("button", name="Save", exact=True).click()


# --- looked up (W7) -----------------------------------------------------------------------------------------------------


async def test_w7_tags_permissions_and_configuration_are_looked_up_live_from_either_side(
    paired: Paired, visits: Visits
) -> None:
    for site, connector_id, peer in ends(paired):
        devices = await visits.open(site, f"/connectors/{connector_id}/devices")
        await expect(devices.locator("#device-table")).to_contain_text(
            re.compile(rf"live from {peer}, .*ms", re.DOTALL)
        )
        await devices.get_by_role("link", name="pump-1", exact=True).click()
        facts = devices.locator("#device-facts")
        await expect(facts).to_contain_text(re.compile(rf"live from {peer}, .*ms", re.DOTALL))
        await expect(facts).to_contain_text("Feed pump")
        await expect(devices.locator("#tags")).to_contain_text("floor2")
        await expect(devices.locator("#grants")).to_contain_text("anna at plant")
        await expect(devices.locator("#grants")).to_contain_text("maywrite")
        await expect(devices.locator("#configuration")).to_contain_text('"poll_s": 5')
        await expect(devices.get_by_role("row").filter(has_text="speed")).to_contain_text("900")


# --- edited (W8) --------------------------------------------------------------------------------------------------------


async def test_w8_name_lock_permission_configuration_and_value_are_edited_from_either_side(
    paired: Paired, visits: Visits
) -> None:
    """What one side types, the page of the other shows without a reload, and both say that it is applied on both."""
    sides = [
        (await open_device(visits, site, connector_id), site.name, number)
        for number, (site, connector_id, _) in enumerate(ends(paired), 1)
    ]
    for (here, site_name, number), (there, _, _) in (sides, sides[::-1]):
        await rename(here, f"Pump of {site_name}")
        for page in (here, there):
            await expect(page.locator("#device-facts")).to_contain_text(f"Pump of {site_name}")
            await expect(change(page, "name")).to_contain_text(
                re.compile(rf"Pump of {site_name}.*applied on both", re.DOTALL)
            )

        await here.get_by_label("Name", exact=True).last.fill(f"team {number}")
        await here.get_by_label("Who").select_option("group")
        await here.get_by_label("Until").fill("2031-01-31")
        await here.get_by_role("button", name="Grant", exact=True).click()
        for page in (here, there):
            row = page.locator("#grants li").filter(has_text=f"team {number}")
            await expect(row).to_contain_text("applied on both")
            await expect(row).to_contain_text("until 1 Feb 2031")

        await here.locator("details", has=here.locator("#field-configuration")).locator("summary").click()
        await here.locator("#field-configuration").fill(f'{{"poll_s": {number}0}}')
        await here.get_by_role("button", name="Save configuration").click()
        for page in (here, there):
            await expect(page.locator("#configuration")).to_contain_text(f'"poll_s": {number}0')
            await expect(page.locator("#configuration")).to_contain_text("applied on both")

        await here.get_by_label("Set speed").fill(f"{number}500")
        await here.get_by_role("button", name="Set", exact=True).click()
        for page in (here, there):
            await expect(change(page, "speed, value set")).to_contain_text("applied on both")
            await expect(change(page, "speed, value set")).to_contain_text(f"{number}500")
            await expect(page.get_by_role("cell", name=re.compile(rf"{number}500\s*rpm"))).to_be_visible()

        await here.get_by_text("Edit, lock or delete").click()
        await here.get_by_role("button", name="Lock" if number == 1 else "Unlock", exact=True).click()
        for page in (here, there):
            word = "locked" if number == 1 else "not locked"
            await expect(change(page, "lock")).to_contain_text(re.compile(rf"{word}.*applied on both", re.DOTALL))


async def test_w8_an_edit_is_pending_while_the_hub_is_down_and_applied_once_it_is_back(
    house: House, paired: Paired, visits: Visits
) -> None:
    source = await open_device(visits, paired.source, paired.source_id, "pump-2")
    target = await open_device(visits, paired.target, paired.target_id, "pump-2")
    await house.hub.stop()
    await expect(source.locator("#link-pill")).to_contain_text(re.compile("reconnecting|off line"))
    await rename(source, "Reserve pump")
    await expect(source.locator("#toasts")).to_contain_text("Saved here, waiting until office can be reached.")
    await expect(change(source, "name")).to_contain_text(re.compile("Reserve pump.*pending", re.DOTALL))
    await expect(source.locator("#device-facts")).to_contain_text("pending")
    await expect(source.locator("#device-facts")).to_contain_text("last good copy")
    await expect(target.locator("#device-facts")).to_contain_text("Spare pump")
    await house.hub.start()
    await expect(target.locator("#device-facts")).to_contain_text("Reserve pump", timeout=BACK_MS)
    await expect(change(source, "name")).to_contain_text("applied on both", timeout=BACK_MS)
    await paired.until_linked()


async def test_w8_an_edit_the_peer_may_not_make_comes_back_refused_with_the_word_why(
    paired: Paired, visits: Visits
) -> None:
    sharing = await visits.open(paired.target, f"/connectors/{paired.target_id}/settings")
    await sharing.get_by_role("link", name="Sharing").click()
    await expect(sharing.locator("main")).to_contain_text("What plant may do here")
    await sharing.get_by_label("Edit tags").uncheck()
    await sharing.get_by_role("button", name="Save rights").click()
    await expect(sharing.locator("#toasts")).to_contain_text("Saved.")
    await expect(sharing.get_by_label("Edit tags")).not_to_be_checked()
    source = await open_device(visits, paired.source, paired.source_id, "pump-2")
    await source.get_by_label("Tag", exact=True).fill("shift")
    await source.get_by_label("Value", exact=True).fill("night")
    await source.get_by_role("button", name="Add", exact=True).first.click()
    refused = change(source, "tag shift=night")
    await expect(refused).to_contain_text("refused")
    await expect(refused).to_contain_text(
        "does not let this one edit tags; its operator decides that on Settings, Sharing"
    )
    await expect(source.locator("#tags")).not_to_contain_text("night")  # what stands there stands here again
    await expect(source.locator("#device-facts")).to_contain_text("refused")
    devices = await visits.open(paired.source, f"/connectors/{paired.source_id}/devices?sync=refused")
    await expect(devices.locator("#device-table tbody tr")).to_have_count(1)
    await source.get_by_role("button", name="Put away").click()
    await expect(source.locator("#device-facts")).to_contain_text("applied on both")
    await sharing.get_by_label("Edit tags").check()
    await sharing.get_by_role("button", name="Save rights").click()
    await expect(sharing.get_by_label("Edit tags")).to_be_checked()


async def test_w8_of_two_edits_that_cross_one_stands_on_both_and_the_other_is_restored_on_changes(
    paired: Paired, visits: Visits
) -> None:
    source = await open_device(visits, paired.source, paired.source_id, "pump-2")
    target = await open_device(visits, paired.target, paired.target_id, "pump-2")
    paired.target.proxy.cut()
    await expect(source.locator("#link-pill")).to_contain_text("peer off line")
    await rename(source, "Crossing of plant")
    await expect(change(source, "name")).to_contain_text("pending")
    await rename(target, "Crossing of office")  # the newer one
    await expect(change(target, "name")).to_contain_text("pending")
    paired.target.proxy.mend()
    for page in (source, target):
        await expect(page.locator("#device-facts")).to_contain_text("Crossing of office", timeout=BACK_MS)
    changes = await visits.open(paired.source, f"/connectors/{paired.source_id}/changes")
    conflict = changes.locator("#conflicts li.conflict")
    await expect(conflict).to_have_count(1)
    await expect(conflict).to_contain_text("the newer one stands")
    await expect(conflict).to_contain_text("Crossing of plant")
    await conflict.get_by_role("button", name="Restore “Crossing of plant”").click()
    await expect(changes.locator("#toasts")).to_contain_text("Restored")
    await expect(changes.locator("#conflicts li.conflict")).to_have_count(0)
    for page in (source, target):
        await expect(page.locator("#device-facts")).to_contain_text("Crossing of plant")
        await expect(change(page, "name")).to_contain_text(re.compile("Crossing of plant.*applied on both", re.DOTALL))

    async def settled() -> bool:
        return not await paired.target.rows(f"/connectors/{paired.target_id}/conflicts")

    await until(settled, what="the conflict to be settled at the other side too")


# --- refused (W5, W11) --------------------------------------------------------------------------------------------------


async def test_w5_w11_a_logged_in_browser_that_skips_the_pages_is_refused_with_the_reason(
    paired: Paired, visits: Visits
) -> None:
    """The same session, without the forms that the pages leave out: the answer says why not, and where to go."""
    for site, connector_id, _ in ends(paired):
        page = await visits.open(site, f"/connectors/{connector_id}/settings")
        headers = {"Origin": site.daemon.url}
        for form in ("disable", "delete"):
            url = f"{site.daemon.url}/connectors/{connector_id}/{form}"
            answer = await page.context.request.post(url, form={"confirmed": "yes"}, headers=headers)
            assert answer.status == 409
            assert "A paired connector can be neither disabled nor deleted" in await answer.text()
        await page.reload()
        await expect(page.get_by_role("button", name="Disable", exact=True)).to_be_disabled()
    page = await visits.open(paired.target, f"/connectors/{paired.target_id}/settings")
    await expect(page.locator("#general-settings")).to_contain_text("Devices and programs report to the source")
    await expect(page.get_by_label("Create unknown devices")).to_have_count(0)
    url = f"{paired.target.daemon.url}/api/v1/connectors/{paired.target_id}/readings"
    reading = {"device": "pump-1", "resource": "speed", "value": 1.0}
    answer = await page.context.request.post(url, data=reading, headers={"Origin": paired.target.daemon.url})
    assert answer.status == 409
    assert (await answer.json())["message"].endswith("come from the source site 'plant'. Send them there.")
