"""The pages in a real browser: strict CSP, live updates, scripts, and accessibility of every page."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import anyio
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.chromium import DESKTOP, PHONE, Look, bring_axe, inspect, listen, running_chromium
from tests.web import samples
from tests.web.sample_app import World, running_app
from tests.web.samples.frame import CONNECTOR_ID
from web import pairing_text

# One browser for all: starting it takes longer than most of these tests.
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# The samples show every state in both themes and widths; of the real pages (tests/browser) one look and the other width do.
SAMPLE_LOOKS: tuple[Look, ...] = (("dark", DESKTOP), ("light", PHONE))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with running_chromium() as browser:
        yield browser


OpenPage = Callable[..., AbstractAsyncContextManager[tuple[Page, list[str], str]]]


@pytest.fixture
def open_page(browser: Browser) -> OpenPage:
    """Give a test its way to open a page: `async with open_page(world, path)`."""
    return partial(opened_page, browser)


@asynccontextmanager
async def opened_page(
    browser: Browser, world: World, path: str, **options: object
) -> AsyncIterator[tuple[Page, list[str], str]]:
    """Open a page of the sample application; yield it, the complaints of its console, and the base address."""
    async with running_app(world) as base:
        context: BrowserContext = await browser.new_context(timezone_id="Europe/Prague", **options)  # type: ignore[arg-type]
        page = await context.new_page()
        complaints: list[str] = []
        listen(page, complaints)
        await page.goto(base + path)
        yield page, complaints, base
        await context.close()


async def look_through(browser: Browser, base: str, names: list[str], problems: list[str]) -> None:
    page = await browser.new_page(reduced_motion="reduce")
    listen(page, problems)
    await bring_axe(page)
    for name in names:
        response = await page.goto(f"{base}/samples/{name}")
        assert response
        assert response.ok
        problems += await inspect(page, name, SAMPLE_LOOKS)
    await page.close()


@pytest.mark.timeout(400)
async def test_every_page_is_accessible_fits_and_obeys_the_policy(browser: Browser) -> None:
    """Axe finds nothing, nothing overflows sideways, the console is silent: each page, two themes and widths."""
    problems: list[str] = []
    names = list(samples.PAGES)
    async with running_app(World()) as base, anyio.create_task_group() as tasks:
        for half in (names[::2], names[1::2]):
            tasks.start_soon(look_through, browser, base, half, problems)
    assert problems == []


async def test_change_at_the_server_reaches_the_page(open_page: OpenPage) -> None:
    world = World()
    async with open_page(world, "/live") as (page, complaints, _):
        figure = page.locator("#backlog .figure b").first
        await expect(figure).to_have_text("5")
        await expect(page.locator("#stale")).to_be_hidden()
        world.queued_count = 4321
        world.bell.ring()
        await expect(figure).to_have_text("4,321")
        assert complaints == []


async def test_focus_and_open_menu_survive_an_update(open_page: OpenPage) -> None:
    world = World()
    async with open_page(world, "/live") as (page, _, _):
        link = page.locator("#repairs a").first
        await link.focus()
        world.queued_count = 99
        world.bell.ring()
        await expect(page.locator("#backlog .figure b").first).to_have_text("99")
        await expect(link).to_be_focused()


async def test_banner_shows_when_updates_stop_and_goes_when_they_resume(open_page: OpenPage) -> None:
    world = World()
    async with open_page(world, "/live") as (page, _, _):
        await expect(page.locator("#backlog .figure b").first).to_have_text("5")
        world.streams_refused = True
        await page.context.set_offline(True)
        world.drop_streams()
        await expect(page.locator("#stale")).to_be_visible(timeout=10_000)
        await expect(page.locator("#stale")).to_contain_text("Live updates have stopped.")
        world.streams_refused = False
        world.queued_count = 77
        await page.context.set_offline(False)
        await expect(page.locator("#stale")).to_be_hidden(timeout=20_000)
        await expect(page.locator("#backlog .figure b").first).to_have_text("77")


async def test_stream_that_never_opened_is_tried_again(open_page: OpenPage) -> None:
    world = World(streams_refused=True)
    async with open_page(world, "/live") as (page, _, _):
        await expect(page.locator("#stale")).to_be_visible(timeout=10_000)
        world.streams_refused = False
        await expect(page.locator("#stale")).to_be_hidden(timeout=20_000)


async def test_page_says_that_the_session_ended(open_page: OpenPage) -> None:
    world = World()
    async with open_page(world, "/live") as (page, _, _):
        await expect(page.locator("#backlog .figure b").first).to_have_text("5")
        world.is_session_open = False
        await expect(page.locator("#stale")).to_contain_text("Your session has ended.")


async def test_switch_changes_in_place(open_page: OpenPage) -> None:
    world = World()
    async with open_page(world, f"/connectors/{CONNECTOR_ID}/resources") as (page, complaints, _):
        switch = page.get_by_role("switch", name="Remote-Sync of cpu_percent")
        await expect(switch).to_have_attribute("aria-checked", "false")
        await switch.click()
        await expect(switch).to_have_attribute("aria-checked", "true")
        assert world.is_synced
        assert complaints == []


async def test_switch_works_without_scripts(open_page: OpenPage) -> None:
    world = World()
    path = f"/connectors/{CONNECTOR_ID}/resources"
    async with open_page(world, path, java_script_enabled=False) as (page, _, base):
        await page.get_by_role("switch", name="Remote-Sync of cpu_percent").click()
        await expect(page).to_have_url(base + path)
        assert world.is_synced


async def test_confirmation_is_asked_in_a_dialog_and_as_a_page(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/api-keys") as (page, complaints, base):
        await page.get_by_role("link", name="Revoke").first.click()
        dialog = page.locator("dialog[open]")
        await expect(dialog).to_contain_text("Revoke the key “historian”?")
        await dialog.get_by_role("link", name="Cancel").click()
        await expect(dialog).to_have_count(0)
        await page.goto(f"{base}/api-key/k1/revoke")
        await expect(page.get_by_role("button", name="Revoke key")).to_be_visible()
        assert complaints == []


async def test_failed_request_becomes_a_toast_and_leaves_the_page_alone(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/resources") as (page, _, _):
        await page.get_by_role("switch", name="Remote-Sync of pressure").click()
        await expect(page.locator("#toasts")).to_contain_text("This is gone.")
        await expect(page.get_by_role("switch", name="Remote-Sync of pressure")).to_be_visible()


async def test_theme_is_changed_at_once_and_kept(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/gaps") as (page, complaints, base):
        await page.get_by_role("button", name="Dark").first.click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.goto(f"{base}/samples/devices")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert complaints == []


async def test_theme_is_changed_without_scripts(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/gaps", java_script_enabled=False) as (page, _, base):
        await page.get_by_role("button", name="Dark").first.click()
        await expect(page).to_have_url(f"{base}/samples/gaps")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_times_are_in_the_zone_of_the_viewer_from_the_second_page_on(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/gaps") as (page, _, _):
        await expect(page.locator("#gap-list")).to_contain_text("UTC")
        await page.reload()
        await expect(page.locator("#gap-list")).to_contain_text("11 Nov 2026, 15:02:09 CET")


async def test_one_paste_fills_all_three_fields(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/connector-form") as (page, complaints, _):
        await page.get_by_label("Paste all three at once").fill(pairing_text.write("north", "ABC12", "1234-5678-9"))
        await expect(page.get_by_label("Site name", exact=True)).to_have_value("north")
        await expect(page.get_by_label("Connector ID", exact=True)).to_have_value("ABC12")
        await expect(page.get_by_label("Code", exact=True)).to_have_value("1234-5678-9")
        await expect(page.locator("#pasted-hint")).to_have_text("All three fields are filled.")
        assert complaints == []


async def test_target_fields_appear_with_the_switch_also_without_scripts(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/connector-form-plain", java_script_enabled=False) as (page, _, _):
        await expect(page.get_by_label("Code", exact=True)).to_be_hidden()
        await page.get_by_label("Remote-Sync Target").check()
        await expect(page.get_by_label("Code", exact=True)).to_be_visible()
        await expect(page.get_by_role("button", name="Create and pair")).to_be_visible()


async def test_copy_all_copies_what_paste_reads(open_page: OpenPage) -> None:
    path = "/samples/remote-sync-waiting"
    async with open_page(World(), path, permissions=["clipboard-read", "clipboard-write"]) as (page, complaints, _):
        await page.get_by_role("button", name="Copy all").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        text = await page.evaluate("navigator.clipboard.readText()")
        assert pairing_text.parse(text) == pairing_text.PairingText("hillside", "K7QM2", "7K3M-Q9TD-5")
        assert complaints == []


async def test_countdown_runs(open_page: OpenPage) -> None:
    async with open_page(World(), "/samples/remote-sync-claiming") as (page, complaints, _):
        await expect(page.get_by_role("timer")).to_contain_text(re.compile(r"4[0-7] s"))
        ring = page.locator(".ring")
        assert float(await ring.get_attribute("stroke-dashoffset") or 0) > 92.0
        assert complaints == []


async def test_drawer_opens_on_a_phone_without_scripts(open_page: OpenPage) -> None:
    options = {"java_script_enabled": False, "viewport": PHONE}
    async with open_page(World(), "/samples/overview", **options) as (page, _, _):
        drawer = page.locator(".drawer-panel")
        await expect(drawer).to_be_hidden()
        await page.locator(".drawer > summary").click()
        await expect(drawer.get_by_role("link", name="Devices")).to_be_visible()
