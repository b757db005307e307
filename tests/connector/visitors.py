"""Sites that serve their pages in this process, and browsers without scripts that walk through them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx2

from connector.serve import RunningSite, running_site
from connector.settings import SiteSettings
from connector.site import Site
from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from shared.clock import Clock, SystemClock
from shared.core.completion import PairState
from shared.trust import trust_for
from web import pairing_text

PASSWORD = "correct horse battery"
# What a browser says of a form that one of our own pages sent.
FLAGS = {"Sec-Fetch-Site": "same-origin"}


class Visitor:
    """Somebody at a site's pages, with a cookie jar and without scripts."""

    def __init__(self, running: RunningSite, http: httpx2.AsyncClient) -> None:
        self.running = running
        self.http = http

    @property
    def site(self) -> Site:
        """The site itself, for what no page shows."""
        return self.running.site

    async def get(self, path: str, status: int = 200, **headers: str) -> str:
        """Return the text of a page that must answer with this status."""
        response = await self.http.get(path, headers=headers)
        assert response.status_code == status, f"GET {path}: {response.status_code} {text_of(response.text)[:500]}"
        return text_of(response.text) if "html" in response.headers.get("content-type", "") else response.text

    async def post(self, path: str, status: int = 303, **fields: str) -> str:
        """Send a form that must be answered with this status; return where it leads, or the text of the page."""
        response = await self.http.post(path, data=fields)
        assert response.status_code == status, f"POST {path}: {response.status_code} {text_of(response.text)[:500]}"
        return response.headers["location"] if status == 303 else text_of(response.text)

    async def set_up(self, name: str = "admin") -> None:
        """Make the first user, who is logged in then."""
        token = self.running.access.setup_token or ""
        await self.post("/setup", token=token, user_name=name, password=PASSWORD, password_again=PASSWORD)

    async def create(self, name: str) -> str:
        """Create a connector by the form; return the path of its overview."""
        return await self.post("/connectors", name=name)


def text_of(html: str) -> str:
    """Return the words of a page, its tags taken out, one space between."""
    without = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", without)).split())


@asynccontextmanager
async def visitor(
    data_dir: Path, name: str = "hillside", *, set_up: bool = True, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Visitor]:
    """Serve a site and visit it."""
    chosen = SiteSettings(port=0, data_dir=data_dir / name, site_name=name, **settings)
    async with running_site(chosen, clock) as running, browsing(running) as found:
        if set_up:
            await found.set_up()
        yield found


@asynccontextmanager
async def browsing(running: RunningSite) -> AsyncIterator[Visitor]:
    """Visit a site that is being served, as somebody not logged in."""
    async with httpx2.AsyncClient(
        base_url=running.url, headers=FLAGS, trust_env=False, verify=trust_for(running.url), timeout=30
    ) as http:
        yield Visitor(running, http)


@dataclass(frozen=True, slots=True)
class Two:
    """Two sites at one hub, each visited by its owner."""

    hub: RunningHub
    source: Visitor
    target: Visitor

    async def open_window(self, connector_id: str) -> str:
        """Press ENABLE REMOTE-SYNC at the source; return the text of *copy all*, once the hub knows of the window."""
        await self.source.post(f"/connectors/{connector_id}/remote-sync/enable")

        async def filed() -> bool:
            return self.source.site.runtime(connector_id).source.filed

        await until(filed, "the hub to file the window")
        window = await self.source.site.window(connector_id)
        assert window is not None
        return pairing_text.write("hillside", connector_id, window.code)

    async def pair(self, connector_id: str) -> str:
        """Pair by the pages; return the target's connector ID once both sides say that they are paired."""
        pasted = await self.open_window(connector_id)
        way = await self.target.post("/connectors", is_target="on", pasted=pasted)
        target_id = way.split("/")[2]

        async def paired() -> bool:
            pairs = (self.source.site.pair(connector_id), self.target.site.pair(target_id))
            return all(pair is not None and pair.state is PairState.PAIRED for pair in pairs)

        await until(paired, "both sides to be paired")
        return target_id


@asynccontextmanager
async def two_sites(data_dir: Path, **settings: Any) -> AsyncIterator[Two]:
    """Serve a hub and two sites that are set up and not paired."""
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(
            running_hub(HubSettings(port=0, data_dir=data_dir / "hub", open_enrolment=True))
        )
        sites = [
            await stack.enter_async_context(visitor(data_dir, name, hub_url=hub.url, **settings))
            for name in ("hillside", "riverside")
        ]
        yield Two(hub, sites[0], sites[1])


async def until(question: Callable[[], Awaitable[object]], what: str, timeout_s: float = 15.0) -> Any:
    """Ask until the answer is true, and return it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not (found := await question()):
        assert loop.time() < end, f"waited {timeout_s:.0f} s for {what}"
        await asyncio.sleep(0.02)
    return found


class ShiftedClock(SystemClock):
    """The machine's clock, set forward by whoever holds it; the monotonic one runs on undisturbed."""

    ahead_ms = 0

    def wall_ms(self) -> int:
        """Wall time, ms since 1970 UTC."""
        return super().wall_ms() + self.ahead_ms
