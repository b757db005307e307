"""Resources in the browser (W9, N4): made there in one click, switched together, charted with their gaps shaded."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from connector.gaps import GapRow
from connector.resources import NewResource
from shared.limits import DAY_MS
from tests.browser.house import House, Visits
from tests.chromium import DESKTOP, PHONE, inspect, listen
from tests.connector.site_stage import line
from tests.connector.visitors import PASSWORD, Two, Visitor, two_sites, until
from tests.e2e.stage import Paired

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

BACK_MS: Final = 60_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def paired(_house: House) -> Paired:
    """A pair whose resources the tests make."""
    await _house.stage.heal()
    return await _house.pair("filter house", "filters (from plant)")


async def report(paired: Paired, resource: str, values: list[Any], device: str = "pump") -> None:
    """Let a device report values at this moment."""
    rows = [{"device": device, "resource": resource, "value": value} for value in values]
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    outcome = await paired.source.post(f"/connectors/{paired.source_id}/readings", body)
    assert outcome["accepted"] == len(values), outcome


def row_of(page: Page, alias: str) -> Locator:
    return page.locator("#resource-table tbody tr").filter(has=page.locator(f"th:has-text('{alias}')"))


def cell(row: Locator, label: str) -> Locator:
    return row.locator(f"td[data-label='{label}']")


async def test_w9_create_the_same_there_is_one_click_and_its_answer_is_followed(
    house: House, paired: Paired, visits: Visits
) -> None:
    await paired.sync("flow", unit="l/s", allowed={"low": 0, "high": 50}, at_target=False)
    await report(paired, "flow", [17.5, 18.25, 19.0])
    source = await visits.open(paired.source, f"/connectors/{paired.source_id}/resources")
    row = row_of(source, "flow")
    await expect(row).to_contain_text("missing at office; its readings wait until it exists there")
    await expect(cell(row, "Waiting")).to_have_text("3")
    house.office.proxy.cut()
    await row.get_by_role("button", name="Create the same there").click()
    await expect(row.locator(".mismatch")).to_contain_text("pending")
    await expect(row.get_by_role("button", name="Create the same there")).to_have_count(0)
    house.office.proxy.mend()
    await expect(row.locator(".mismatch")).to_have_count(0, timeout=BACK_MS)
    await expect(cell(row, "Waiting")).to_have_text("0")
    target = await visits.open(paired.target, f"/connectors/{paired.target_id}/resources")
    received = row_of(target, "flow")
    await expect(received).to_contain_text("0 to 50")
    await expect(received).to_contain_text("received")
    await expect(cell(received, "Last value")).to_contain_text("19 l/s".replace(" ", "\u00a0"))


async def test_w9_selected_resources_are_switched_together_while_readings_keep_coming(
    paired: Paired, visits: Visits
) -> None:
    for alias in ("left", "middle", "right"):
        await paired.source.post(f"/connectors/{paired.source_id}/resources", {"alias": alias, "format": "number"})
    page = await visits.open(paired.source, f"/connectors/{paired.source_id}/resources?sort=-alias")
    await page.get_by_label("Select left").check()
    await page.get_by_label("Select right").check()
    await report(paired, "middle", [42.0])
    await expect(cell(row_of(page, "middle"), "Last value")).to_contain_text("42")  # the table was drawn again
    await expect(page.get_by_label("Select left")).to_be_checked()
    await page.get_by_role("button", name="Switch Remote-Sync on").click()
    await expect(page.locator("#toasts")).to_contain_text("Remote-Sync of 2 resources is on")
    await expect(page).to_have_url(re.compile(r"\?sort=-alias$"))
    for alias, word in (("left", "on"), ("middle", "off"), ("right", "on")):
        await expect(page.get_by_role("switch", name=f"Remote-Sync of {alias}")).to_have_text(word)


async def test_w9_a_chart_follows_new_readings_and_says_the_same_in_words_and_as_a_table(
    paired: Paired, visits: Visits
) -> None:
    await paired.sync("level", unit="m", at_target=False)
    await report(paired, "level", [1.0])
    await report(paired, "level", [4.0])
    page = await visits.open(paired.source, f"/connectors/{paired.source_id}/resources")
    await page.get_by_role("link", name="level", exact=True).click()
    plot = page.locator(".plot")
    await expect(plot).to_have_attribute("data-points", "2")
    await page.get_by_role("link", name="1 hour").click()
    await expect(page.locator(".chart-summary")).to_have_text("2 readings, from 1 to 4 m; the last is 4 m.")
    await page.get_by_text("The chart as a table").click()
    await report(paired, "level", [9.5])
    await expect(plot).to_have_attribute("data-points", "3")
    await expect(page.locator(".chart-summary")).to_contain_text("3 readings, from 1 to 9.5 m")
    await expect(page.locator("#chart-table tbody tr").last).to_contain_text("9.5")
    await expect(page.locator("#raw-readings tbody tr").first).to_contain_text("9.5")


async def painted(page: Page, *shares: float) -> list[str]:
    """Return the colours of the plot at shares of its width, in one row of pixels near its bottom."""
    return list(
        await page.evaluate(
            """(shares) => {
            const over = document.querySelector('.u-over').getBoundingClientRect();
            const canvas = document.querySelector('.plot canvas'), at = canvas.getBoundingClientRect();
            const scale = canvas.width / at.width;
            const y = Math.round((over.top - at.top + over.height * 0.93) * scale);
            const left = Math.round((over.left - at.left) * scale), width = Math.round(over.width * scale);
            const pixels = canvas.getContext('2d').getImageData(left, y, width, 1).data;
            return shares.map((share) => pixels.slice(4 * Math.round(width * share)).slice(0, 4).join(','));
        }""",
            shares,
        )
    )


# --- gaps (N4) ----------------------------------------------------------------------------------------------------------

_RETENTION_S: Final = 2


async def lose(two: Two, source_id: str) -> GapRow:
    """Let three readings of a resource that the target lacks wait for too long; return the notice."""
    await two.source.site.create_resource(source_id, NewResource(alias="flow", format="number", remote_sync=True))
    now_ms = two.source.site.clock.wall_ms()
    rows = [line("pump", "flow", float(at), now_ms - 1_200_000 + at * 300_000) for at in range(3)]
    outcome = await two.source.site.ingest(source_id, b"\n".join(rows))
    assert outcome.accepted == 3

    async def noticed() -> list[GapRow]:
        return await two.source.site.gaps(source_id)

    return (await until(noticed, "the source to give up what waited"))[0]


async def test_w9_n4_a_chart_shades_what_will_never_arrive_at_both_sides(house: House, tmp_path: Path) -> None:
    async with two_sites(tmp_path, retention_days=_RETENTION_S * 1_000 / DAY_MS) as two:
        connector = await two.source.site.create_connector("pumps", creates_devices=True)
        source_id = connector.connector_id
        target_id = await two.pair(source_id)
        notice = (await lose(two, source_id)).notice
        assert (notice.count, [row.resource for row in notice.rows]) == (3, ["flow"])
        await two.target.site.create_resource_like_peer(target_id, "flow")

        async def arrived() -> bool:
            now_ms = two.source.site.clock.wall_ms()
            await two.source.site.ingest(source_id, line("pump", "flow", 5.0, now_ms))
            rows = await two.target.site.resources(target_id)
            return any(row.last_value == 5.0 for row in rows) and bool(await two.target.site.gaps(target_id))

        await until(arrived, "later readings, and the notice, to be at the target")
        complaints: list[str] = []
        for found, connector_id in ((two.target, target_id), (two.source, source_id)):
            page = await logged_in(house, found)
            listen(page, complaints)
            await page.goto(f"{found.running.url}/connectors/{connector_id}/resources")
            await expect(cell(row_of(page, "flow"), "Gaps")).to_have_text("1")
            await page.goto(f"{found.running.url}/connectors/{connector_id}/resources/flow?range=1h")
            await expect(page.locator(".gap-legend")).to_contain_text("3 readings")
            await expect(page.locator(".gap-legend")).to_contain_text("older than")
            await expect(page.locator(".plot")).to_have_attribute("data-gaps", "1")
            start = 1 - (time.time() * 1000 - notice.first_ms) / 3_600_000
            before, *inside = await painted(page, start - 0.03, start + 0.04, start + 0.07, start + 0.11)
            assert any(colour != before for colour in inside), "the gap looks like any other time"
            if found is two.target:
                assert await inspect(page, "a chart with a gap", (("light", DESKTOP), ("dark", PHONE))) == []
            await page.context.close()
        assert complaints == []


async def logged_in(house: House, found: Visitor) -> Page:
    """Open a browser window that is logged in at a site in this process."""
    context = await house.browser.new_context(viewport=DESKTOP)
    form: dict[str, str | float | bool] = {"user_name": "admin", "password": PASSWORD}
    answer = await context.request.post(f"{found.running.url}/login", form=form, headers={"Origin": found.running.url})
    assert answer.ok
    return await context.new_page()
