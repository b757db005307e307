"""A hub and a site behind the real nginx and the real Caddy, each below a path of one name, as deploy/ shows it."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from connector.serve import RunningSite, running_site
from connector.settings import SiteSettings
from hub.access import SETUP_TOKEN_FILE
from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from shared.joining import LINK_PATH
from shared.rig.client import operator_token, until
from shared.self_signed import SelfSigned
from tests.e2e.real_proxy import free_port, running_proxy

# Not trusted as a proxy, and told from the proxy's own address.
CLIENT_ADDRESS = "127.0.0.5"
_OUR_ADDRESSES = re.compile(r'\s(?:href|src|action|hx-get|hx-sse:connect)="(/[^"]*)"')


@dataclass
class Behind:
    """Hub and site with a proxy before them, and a browser of a kind."""

    hub: RunningHub
    site: RunningSite
    address: str
    ca: Path
    browser: httpx2.AsyncClient


@asynccontextmanager
async def behind(proxy: str, folder: Path) -> AsyncIterator[Behind]:
    """Run them for the time of a block."""
    port, hub_port, site_port = free_port(), free_port(), free_port()
    address = f"https://localhost:{port}"
    pair = SelfSigned(folder / "tls")
    pair.ensure(("localhost",), time.time_ns() // 1_000_000)
    hub_settings = HubSettings(
        port=hub_port, data_dir=folder / "hub", open_enrolment=True, behind_proxy=True, public_url=f"{address}/pairhub/"
    )
    site_settings = SiteSettings(
        port=site_port,
        data_dir=folder / "site",
        site_name="plant",
        hub_url=f"{address}/pairhub",
        hub_ca=pair.ca,
        behind_proxy=True,
        public_url=f"{address}/plant",
    )
    async with AsyncExitStack() as stack:
        ports = (hub_port, site_port)
        await stack.enter_async_context(running_proxy(proxy, folder / proxy, port, (pair.cert, pair.key), ports))
        hub = await stack.enter_async_context(running_hub(hub_settings))
        site = await stack.enter_async_context(running_site(site_settings))
        way = httpx2.AsyncHTTPTransport(
            verify=ssl.create_default_context(cafile=pair.ca),
            local_address=CLIENT_ADDRESS,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        browser = await stack.enter_async_context(
            httpx2.AsyncClient(transport=way, headers={"X-Forwarded-For": "203.0.113.9"})
        )
        yield Behind(hub, site, address, pair.ca, browser)


@pytest.mark.e2e
@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
async def test_all_of_hub_and_site_works_through_a_real_proxy_below_a_path(proxy: str, tmp_path: Path) -> None:
    async with behind(proxy, tmp_path) as stage:
        await _set_up_and_log_in(stage)
        await _read_the_update_stream(stage)
        await _post_readings_and_link(stage)
        await _ask_for_the_link_without_an_upgrade(stage)


async def _set_up_and_log_in(stage: Behind) -> None:
    """The first page, its files, the form, the cookie, and who the audit says it was."""
    root = f"{stage.address}/pairhub"
    page = await stage.browser.get(root, follow_redirects=True)
    assert (page.status_code, str(page.url)) == (200, f"{root}/setup")
    found = _OUR_ADDRESSES.findall(page.text)
    assert found
    assert all(each.startswith("/pairhub/") for each in found), found
    style = next(each for each in found if ".css" in each)
    served = await stage.browser.get(stage.address + style)
    assert (served.status_code, "immutable" in served.headers["cache-control"]) == (200, True)

    token = (stage.hub.hub.settings.data_dir / SETUP_TOKEN_FILE).read_text().strip()
    words = {"token": token, "user_name": "ada", "password": "a long walk by the sea"}
    form = words | {"password_again": words["password"]}
    foreign = await stage.browser.post(f"{root}/setup", data=form, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    made = await stage.browser.post(f"{root}/setup", data=form, headers={"Origin": stage.address})
    assert (made.status_code, made.headers["location"]) == (303, "/pairhub/operator")
    cookie = next(each for each in made.headers.get_list("set-cookie") if "pairhub-hub" in each)
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert [row.where for row in await stage.hub.hub.store.audit(rows_max=5)] == [CLIENT_ADDRESS]


async def _read_the_update_stream(stage: Behind) -> None:
    """The operator's page names its stream below the base path, and what comes of it has links below it, too."""
    page = await stage.browser.get(f"{stage.address}/pairhub/operator")
    stream = re.search(r'hx-sse:connect="([^"]+)"', page.text)
    assert stream is not None
    assert stream[1].startswith("/pairhub/operator/")
    heard = ""
    async with stage.browser.stream("GET", stage.address + stream[1]) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for part in answer.aiter_text():
            heard += part
            if "event: beat" in heard:
                break
    assert "<hx-partial" in heard
    found = _OUR_ADDRESSES.findall(heard)
    assert found
    assert all(each.startswith("/pairhub/") for each in found), found


async def _post_readings_and_link(stage: Behind) -> None:
    """A program uses the site's API through the proxy; the site links to its hub through the proxy, by its CA."""
    api = f"{stage.address}/plant/api/v1"
    secret = {"Authorization": f"Bearer {operator_token(stage.site.site.settings.data_dir)}"}
    made = await stage.browser.post(f"{api}/connectors", json={"name": "m", "creates_devices": True}, headers=secret)
    assert made.is_success, made.text
    connector = f"{api}/connectors/{made.json()['connector_id']}"
    resource = await stage.browser.post(
        f"{connector}/resources", json={"alias": "flow", "format": "number"}, headers=secret
    )
    assert resource.is_success, resource.text
    line = b'{"device":"pump","resource":"flow","value":1.5}\n'
    posted = await stage.browser.post(f"{connector}/readings", content=line, headers=secret)
    assert posted.json()["accepted"] == 1, posted.text
    opened = await stage.browser.post(f"{connector}/remote-sync", headers=secret)
    assert opened.is_success, opened.text

    async def linked() -> bool:
        return bool(stage.hub.hub.links)

    await until(linked, timeout_s=10, what="the site to link through the proxy")


async def _ask_for_the_link_without_an_upgrade(stage: Behind) -> None:
    answer = await stage.browser.get(f"{stage.address}/pairhub{LINK_PATH}")
    assert answer.status_code == 426
    assert "Upgrade header" in answer.json()["message"]
