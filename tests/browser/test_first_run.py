"""From a first start to a user who is logged in: at the hub and at both sites, in one browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.house import PASSWORD, setup_url
from tests.chromium import DESKTOP, PHONE, inspect, listen, running_chromium
from tests.e2e.stage import open_stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def set_up(page: Page, url: str, again: str = PASSWORD) -> None:
    await page.goto(url)
    await page.get_by_label("User name").fill("maria")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("Password, once more").fill(again)
    await page.get_by_role("button", name="Create user and log in").click()


async def log_in(page: Page, password: str) -> None:
    await page.get_by_label("User name").fill("maria")
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Log in").click()


async def log_out(page: Page) -> None:
    await page.locator(".user-menu > summary").click()
    await page.get_by_role("button", name="Log out").click()


async def test_the_console_token_sets_each_daemon_up_and_one_browser_is_logged_in_at_all_three(tmp_path: Path) -> None:
    async with open_stage(tmp_path / "house") as stage, running_chromium() as browser:
        page = await browser.new_page()
        complaints: list[str] = []
        listen(page, complaints)
        daemons = (stage.hub, stage.plant.daemon, stage.office.daemon)
        problems: list[str] = []
        for daemon in daemons:
            await page.goto(daemon.url)
            await expect(page).to_have_url(f"{daemon.url}/setup")
            if daemon is not stage.office.daemon:  # it looks as plant's does
                problems += await inspect(page, f"set-up page of {daemon.name}", (("light", DESKTOP),), widths=(PHONE,))
            await set_up(page, setup_url(daemon), again="something else")
            await expect(page.get_by_text("The two passwords differ")).to_be_visible()
            await set_up(page, f"{daemon.url}/setup?token=phs_wrong")
            await expect(page.locator("#field-token-error")).to_be_visible()
            await set_up(page, setup_url(daemon))
            await expect(page.locator(".user-name")).to_have_text("maria")
        await page.goto(stage.plant.daemon.url)
        await expect(page.get_by_role("heading", name="Connectors", level=1)).to_be_visible()
        await expect(page.get_by_text("No connector yet")).to_be_visible()
        for daemon in daemons:
            await page.goto(daemon.url)
            await log_out(page)
            await expect(page).to_have_url(f"{daemon.url}/login")
            await log_in(page, "not the password")
            await expect(page.get_by_role("alert")).to_be_visible()
            await log_in(page, PASSWORD)
            await expect(page.locator(".user-name")).to_have_text("maria")
        for daemon in daemons:
            await page.goto(daemon.url)
            await expect(page.locator(".user-name")).to_have_text("maria")
            await page.goto(f"{daemon.url}/setup")
            await expect(page).not_to_have_url(f"{daemon.url}/setup")
        assert problems == []
        # A form that is refused answers with its status, which a browser's console reports.
        assert [said for said in complaints if "the server responded with a status of 4" not in said] == []
