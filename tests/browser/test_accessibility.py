"""Every page of a real pair and its hub: nothing for axe to find, nothing too wide, no word from the console."""

from __future__ import annotations

from typing import Final

import anyio
import pytest
from playwright.async_api import Page

from tests.browser.house import House, Visits
from tests.browser.rooms import Room, enter, furnish, rooms
from tests.chromium import DESKTOP, PHONE, Look, bring_axe, inspect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


# The samples of tests/web are looked at in both themes and widths with the same markup and colours; what is real here is
# what stands in the pages.
LOOKS: Final[tuple[Look, ...]] = (("light", DESKTOP),)


@pytest.mark.timeout(400)
async def test_every_page_of_both_sites_and_the_hub_is_accessible_and_fits_both_widths(
    house: House, visits: Visits
) -> None:
    visits.expect_complaint("status of 4")  # the pages of refusals
    paired, waiting = await furnish(house)
    problems: list[str] = []

    async def walk(through: list[Room]) -> None:
        windows: dict[bool, Page] = {}  # by whether somebody is logged in: a new one would load and compile all anew
        for room in through:
            page = await enter(visits, room, windows.get(room.logged_in))
            if room.logged_in not in windows:
                windows[room.logged_in] = page
                await bring_axe(page)
            problems.extend(await inspect(page, room.name, LOOKS, widths=(PHONE,)))

    every = rooms(house, paired, waiting)
    # Two pages at once: the browser gives each a process of its own.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(walk, every[::2])
        tasks.start_soon(walk, every[1::2])
    assert not problems, "\n".join(problems)
