"""The house that tests walk through: a hub and two sites as processes, set up, and a browser that is logged in at all three."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from playwright.async_api import Browser, BrowserContext, Page, StorageState

from shared.rig.client import pair
from shared.rig.daemons import Daemon
from tests.chromium import DESKTOP, listen, running_chromium
from tests.e2e.stage import Paired, Site, Stage, open_stage

USER_NAME: Final = "admin"
PASSWORD: Final = "correct horse battery"  # of a user who lives as long as a test


def setup_url(daemon: Daemon) -> str:
    """Return what the daemon's console said at its first start: where to set it up, with the one-time token."""
    said = re.search(r"Set it up once: (\S+)", daemon.log_path.read_text(encoding="utf-8"))
    assert said, f"{daemon.name} did not say how to set it up"
    return said[1]


class House:
    """A stage and a browser whose pages are logged in everywhere."""

    def __init__(self, stage: Stage, browser: Browser, cookies: StorageState) -> None:
        self.stage = stage
        self.browser = browser
        self._cookies = cookies
        self._windows: dict[str, BrowserContext] = {}

    async def window(self, **options: Any) -> BrowserContext:
        """Return the signed-in window for pages of this kind; a new one for each walk would load and compile all anew."""
        kind = repr(sorted(options.items()))
        if kind not in self._windows:
            self._windows[kind] = await self.new_window(storage_state=self._cookies, **options)
        return self._windows[kind]

    async def new_window(self, **options: Any) -> BrowserContext:
        """Return a window of its own, where nobody is signed in unless the options say so."""
        return await self.browser.new_context(**{"viewport": DESKTOP, "timezone_id": "Europe/Prague", **options})

    @property
    def plant(self) -> Site:
        """The site that is the source of most walks."""
        return self.stage.plant

    @property
    def office(self) -> Site:
        """The site that is the target."""
        return self.stage.office

    @property
    def hub(self) -> Daemon:
        """The hub."""
        return self.stage.hub

    async def pair(self, source_name: str, target_name: str, **more: Any) -> Paired:
        """Pair a new connector of plant with a new one of office by the API, for walks that begin with a pair."""
        source_id = await self.stage.source(name=source_name, **more)
        async with self.plant.client() as plant, self.office.client() as office:
            target_id = await pair(plant, source_id, office, target_name)
        return Paired(self.plant, source_id, self.office, target_id)


class Visits:
    """The pages that one test opens, and what their consoles complained about."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._pages: list[Page] = []
        self._windows: list[BrowserContext] = []  # of those who are not signed in
        self._expected: list[str] = []
        self._complaints: list[str] = []

    async def open(self, at: Site | Daemon, path: str = "/", *, logged_in: bool = True, **options: Any) -> Page:
        """Open a page at a site or the hub; `options` are those of a browser context."""
        if logged_in:
            window = await self._house.window(**options)
        else:  # one that signs in here leaves that to nobody else
            window = await self._house.new_window(**options)
            self._windows.append(window)
        page = await window.new_page()
        self._pages.append(page)
        listen(page, self._complaints)
        await page.goto(url_of(at) + path)
        return page

    def expect_complaint(self, pattern: str) -> None:
        """Say that consoles may report what this pattern finds, such as the status of a form that is refused."""
        self._expected.append(pattern)

    async def close(self) -> None:
        """Close all pages; fails where a console complained of something that was not expected."""
        for opened in (*self._pages, *self._windows):
            await opened.close()
        unexpected = [said for said in self._complaints if not any(re.search(one, said) for one in self._expected)]
        if unexpected:
            # Without the frames that lead here, which would bury what the console said.
            pytest.fail("\n".join(["A console complained:", *unexpected]), pytrace=False)


def url_of(at: Site | Daemon) -> str:
    """Return the address of a site or the hub."""
    return at.url if isinstance(at, Daemon) else at.daemon.url


@asynccontextmanager
async def open_house(folder: Path, *, shifted: bool = True) -> AsyncIterator[House]:
    """Run a house on fresh data for the time of a block; its clocks can be set forward."""
    async with open_stage(folder, shifted=shifted) as stage, running_chromium() as browser:
        context = await browser.new_context()
        for daemon in (stage.hub, stage.plant.daemon, stage.office.daemon):
            await set_up(daemon, context)
        cookies = await context.storage_state()
        await context.close()
        yield House(stage, browser, cookies)


async def set_up(daemon: Daemon, context: BrowserContext) -> None:
    """Make the first user of a daemon as its set-up form does; the browser is then logged in."""
    url = setup_url(daemon)
    form: dict[str, str | float | bool] = {
        "token": url.partition("token=")[2],
        "user_name": USER_NAME,
        "password": PASSWORD,
        "password_again": PASSWORD,
    }
    answer = await context.request.post(f"{daemon.url}/setup", form=form, headers={"Origin": daemon.url})
    assert answer.ok, f"{daemon.name} could not be set up: {answer.status}"


async def is_up(daemon: Daemon) -> bool:
    """Tell whether a daemon answers."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return (await http.get(daemon.url + "/healthz")).status_code == 200
