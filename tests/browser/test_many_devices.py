"""Many devices (W12): added, imported after a preview, filtered, sorted, paged, and edited together from the list."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import FilePayload, Locator, Page, expect

from tests.browser.house import House, Visits
from tests.e2e.stage import Paired

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FAN_COUNT: Final = 60


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def paired(_house: House) -> Paired:
    """A pair with more devices than fit on one page."""
    await _house.stage.heal()
    paired = await _house.pair("wind tunnel", "wind tunnel (from plant)")
    devices = [
        {"identity": f"fan-{number:02}", "name": f"Fan {FAN_COUNT - number:02}", "tags": [["row", str(number % 3)]]}
        for number in range(FAN_COUNT)
    ]
    devices.append({"identity": "vane", "name": "Wind vane"})
    await paired.source.post(f"/connectors/{paired.source_id}/devices/create", {"devices": devices})
    await paired.sync("flow")
    return paired


def rows(page: Page) -> Locator:
    return page.locator("#device-table tbody tr")


def count(page: Page) -> Locator:
    return page.locator("#device-table .table-count")


async def open_list(paired: Paired, visits: Visits, query: str = "") -> Page:
    return await visits.open(paired.source, f"/connectors/{paired.source_id}/devices{query}")


async def test_w12_one_device_is_added_at_the_target_and_wrong_fields_are_named(paired: Paired, visits: Visits) -> None:
    page = await visits.open(paired.target, f"/connectors/{paired.target_id}/devices")
    await page.get_by_text("Add device").first.click()
    await page.locator("#field-device-identity").fill("fan-00")
    await page.locator("#field-device-name").fill("Again")
    visits.expect_complaint("status of 4")
    await page.get_by_role("button", name="Add device").click()
    await expect(page.locator("#field-device-identity-error")).to_contain_text("already")
    await expect(page.locator("#field-device-name")).to_have_value("Again")
    await page.locator("#field-device-identity").fill("weathercock")
    await page.locator("#field-device-name").fill("Weathercock")
    await page.get_by_role("button", name="Add device").click()
    await expect(page.locator("#toasts")).to_contain_text("Device “weathercock” added.")
    await expect(page.locator("#device-facts")).to_contain_text("applied on both")
    there = await open_list(paired, visits, "?search=weathercock")
    await expect(rows(there)).to_have_count(1)
    await page.get_by_role("link", name="Devices", exact=True).first.click()
    await expect(count(page)).to_contain_text("62 devices")
    await paired.source.ask("DELETE", f"/connectors/{paired.source_id}/devices/weathercock")
    await expect(rows(there)).to_have_count(0)


async def test_w12_filters_order_and_page_stand_in_the_address_and_survive_a_reload(
    paired: Paired, visits: Visits
) -> None:
    page = await open_list(paired, visits)
    await expect(count(page)).to_contain_text("61 devices")
    await expect(rows(page)).to_have_count(50)
    await page.get_by_role("link", name="Next page").click()
    await expect(rows(page)).to_have_count(11)
    await expect(rows(page).last).to_contain_text("vane")
    await page.reload()
    await expect(rows(page)).to_have_count(11)
    await page.get_by_role("link", name="First page").click()
    await page.get_by_role("link", name="Name", exact=True).click()
    await expect(rows(page).first).to_contain_text("fan-59")
    await page.get_by_role("link", name="Name", exact=True).click()
    await expect(rows(page).first).to_contain_text("vane")
    await expect(page.locator("th[aria-sort=descending]")).to_have_text("Name")
    await page.get_by_text("Filters").click()
    await page.get_by_label("Tag", exact=True).fill("row=1")
    await page.get_by_label("Tag", exact=True).press("Tab")
    await expect(count(page)).to_contain_text("20 match")
    await page.get_by_label("Search devices").fill("fan-1")
    await expect(count(page)).to_contain_text("4 match")  # 10, 13, 16, 19
    await expect(page).to_have_url(re.compile(r"search=fan-1.*tag=row.*sort=name.*way=desc"))
    await page.reload()
    await expect(count(page)).to_contain_text("4 match")
    await expect(rows(page).first).to_contain_text("fan-10")
    await page.get_by_role("link", name="Remove filter tag row=1").click()
    await expect(count(page)).to_contain_text("10 match")
    await page.get_by_label("Search devices").fill("nothing of the kind")
    await expect(page.get_by_text("No device matches")).to_be_visible()
    await page.get_by_role("link", name="Show all devices").click()
    await expect(count(page)).to_contain_text("61 devices")


async def test_w12_ticked_devices_are_tagged_locked_and_deleted_together_while_the_list_lives(
    paired: Paired, visits: Visits
) -> None:
    page = await open_list(paired, visits, "?search=fan-2")
    bulk = page.locator("#device-bulk")
    await page.get_by_label("Select fan-21").check()
    await page.get_by_label("Select fan-22").check()
    await expect(bulk.locator("summary")).to_have_text("Edit 2 devices", use_inner_text=True)
    await bulk.locator("summary").click()
    await bulk.get_by_label("Name").first.fill("shift")
    await bulk.get_by_label("Value").fill("night")
    # The list is drawn again: what was ticked, opened and typed stays.
    await paired.post(1, device="fan-29")
    await expect(rows(page).filter(has_text="fan-29")).to_contain_text("online")
    await expect(page.get_by_label("Select fan-21")).to_be_checked()
    await expect(page.get_by_label("Select fan-23")).not_to_be_checked()
    await expect(bulk.locator("summary")).to_have_text("Edit 2 devices", use_inner_text=True)
    await expect(bulk.get_by_label("Value")).to_have_value("night")
    await bulk.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("Tag “shift=night” added to 2 devices.")
    await expect(page).to_have_url(re.compile(r"\?search=fan-2$"))
    await expect(rows(page).filter(has_text="night")).to_have_count(2)

    await page.get_by_label("Select all on this page").check()
    await expect(bulk.locator("summary")).to_have_text("Edit 10 devices", use_inner_text=True)
    await page.get_by_label("Select fan-20").uncheck()
    await expect(bulk.locator("summary")).to_have_text("Edit 9 devices", use_inner_text=True)
    await bulk.locator("summary").click()
    await bulk.get_by_role("button", name="Lock", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("Locked 9 devices.")
    there = await visits.open(paired.target, f"/connectors/{paired.target_id}/devices?lock=locked")
    await expect(count(there)).to_contain_text("9 match")

    await page.get_by_label("Select fan-27").check()
    await page.get_by_label("Select fan-28").check()
    await bulk.locator("summary").click()
    await bulk.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="Delete 2 devices?")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("fan-27, fan-28. Tags, permissions, state and history go")
    await expect(page.locator("main")).to_contain_text("They go at office too.")
    await page.get_by_role("link", name="Cancel").click()
    await expect(count(page)).to_contain_text("10 match")
    await page.get_by_label("Select fan-27").check()
    await page.get_by_label("Select fan-28").check()
    await bulk.locator("summary").click()
    await bulk.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("Deleted 2 devices.")
    await expect(count(page)).to_contain_text("59 devices")
    await expect(count(there)).to_contain_text("7 match")


async def test_w12_everything_that_matches_is_edited_across_pages(paired: Paired, visits: Visits) -> None:
    page = await open_list(paired, visits)
    bulk = page.locator("#device-bulk")
    total = (await count(page).inner_text()).split()[0]
    assert int(total) > 50
    await bulk.locator("summary").click()
    await bulk.get_by_label(f"All {total} devices, on every page").check()
    await expect(bulk.locator("summary")).to_have_text("Edit all devices", use_inner_text=True)
    await bulk.get_by_label("Name").first.fill("checked")
    await bulk.get_by_label("Value").fill("2026")
    await bulk.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text(f"added to {total} devices.")
    await page.goto(page.url.partition("?")[0] + "?tag=checked")
    await expect(count(page)).to_contain_text(f"{total} match")


async def test_w12_a_file_is_imported_after_a_preview_that_names_wrong_rows(paired: Paired, visits: Visits) -> None:
    page = await open_list(paired, visits)
    await page.get_by_role("link", name="Add or change many").click()
    table = "identity,name,tags\nfan-01,First fan,row=1\nduct,Duct,place=roof\n,Nameless,\nfan-02,,broken"
    file = FilePayload(name="devices.csv", mimeType="text/csv", buffer=table.encode())
    await page.get_by_label("File").set_input_files(file)
    await page.get_by_role("button", name="Show what would happen").click()
    preview = page.locator("#import-preview")
    await expect(preview.locator("tbody tr")).to_have_count(4)
    for text, outcome in (("fan-01", "changed"), ("duct", "new"), ("broken", "refused"), ("Identity:", "refused")):
        await expect(preview.get_by_role("row").filter(has_text=text)).to_contain_text(outcome)
    here = await open_list(paired, visits, "?search=duct")
    await expect(page.get_by_role("button", name="Apply the good rows")).to_be_visible()
    await expect(rows(here)).to_have_count(0)  # nothing is changed by looking
    await page.get_by_role("button", name="Apply the good rows").click()
    await expect(page.locator("#toasts")).to_contain_text("1 added, 1 changed")
    await expect(page.locator("#toasts")).to_contain_text("2 rows were refused and left out.")
    await expect(rows(here)).to_contain_text("Duct")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="JSON", exact=True).click()
    exported = json.loads((await (await download.value).path()).read_text())
    assert any(one["identity"] == "duct" and one["name"] == "Duct" for one in exported)
