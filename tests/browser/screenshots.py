"""Save a picture of every page in two themes and two widths: `python -m tests.browser.screenshots DIRECTORY`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.browser.house import House, Visits, open_house
from tests.browser.rooms import Room, enter, furnish, rooms
from tests.chromium import DESKTOP, PHONE
from tests.web.sample_app import World, running_app

# What no house comes to without a foreign release or a damaged disk; the sample pages have it.
SAMPLES = ("quarantine", "quarantine-none")
# Sparklines and rates need a few samples before they look as they do all day.
SETTLE_S = 12


async def main(out: Path) -> None:
    """Furnish a house and walk through it."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with open_house(Path(folder), shifted=False) as house:
            await take_samples(house.browser, out)
            paired, waiting = await furnish(house)
            await asyncio.sleep(SETTLE_S)
            for room in rooms(house, paired, waiting):
                await take(house, room, out)


async def take(house: House, room: Room, out: Path) -> None:
    """Save the four pictures of one page."""
    visits = Visits(house)
    page = await enter(visits, room)
    if room.act is None:
        await page.reload()  # now the server knows the viewer's zone
    await pictures(page, room.name.replace(" ", "-"), out)
    visits.expect_complaint("")
    await visits.close()


async def take_samples(browser: Browser, out: Path) -> None:
    """Save the four pictures of each page in SAMPLES."""
    page = await browser.new_page(timezone_id="Europe/Prague")
    async with running_app(World()) as base:
        for name in SAMPLES:
            await page.goto(f"{base}/samples/{name}")
            await page.reload()  # now the server knows the viewer's zone
            await pictures(page, f"sample-{name}", out)
    await page.close()


async def pictures(page: Page, name: str, out: Path) -> None:
    """Save the page as it stands in two widths and two themes."""
    for width, viewport in (("wide", DESKTOP), ("narrow", PHONE)):
        await page.set_viewport_size(viewport)
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
            await picture(page, out / f"{name}.{width}.{theme}.png")


async def picture(page: Page, path: Path) -> None:
    """Save the whole page, as long as it is."""
    await page.screenshot(path=path, full_page=True, animations="disabled")
    print(path)  # noqa: T201  # a command line prints


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.browser.screenshots DIRECTORY")
    asyncio.run(main(Path(sys.argv[1])))
