"""Whatever ends a link, it is made again without a restart, and a person reads meanwhile why there is none (G9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest
from websockets import ConnectionClosedError

from connector.hub_client import HubClient
from connector.link import Link
from connector.link_socket import LinkSocket
from connector.serve import running_site
from connector.settings import SiteSettings
from connector.site import Site
from hub.serve import running_hub
from hub.settings import HubSettings
from shared.core.link_state import LinkState
from shared.errors import LinkLost
from shared.rig.client import until
from tests.connector.test_link import FakeSocket

_PAGE = b"<html>Please accept the terms of the guest network</html>"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"


class GuestNetwork:
    """Stands before a hub: passes everything on, or answers everything with a page of its own."""

    def __init__(self, hub_port: int) -> None:
        self.is_open = False
        self._hub_port = hub_port
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            if self.is_open:
                hub_reader, hub_writer = await asyncio.open_connection("127.0.0.1", self._hub_port)
                await asyncio.gather(_pass(reader, hub_writer), _pass(hub_reader, writer))
            else:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_ANSWER % (len(_PAGE), _PAGE))
                await writer.drain()
        writer.close()
        self._open.discard(writer)

    def shut(self) -> None:
        """End what passes, and let nothing more pass."""
        self.is_open = False
        for writer in self._open:
            writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def behind_a_guest_network(folder: Path) -> AsyncIterator[tuple[GuestNetwork, Site]]:
    async with running_hub(HubSettings(port=0, data_dir=folder / "hub", open_enrolment=True)) as hub:
        network = GuestNetwork(urlsplit(hub.url).port or 0)
        server = await asyncio.start_server(network.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = SiteSettings(
            port=0, data_dir=folder / "plant", site_name="plant", hub_url=f"http://127.0.0.1:{port}"
        )
        try:
            async with running_site(settings) as running:
                yield network, running.site
        finally:
            server.close()


async def until_linked(site: Site, connector_id: str) -> None:
    async def linked() -> bool:
        return site.runtime(connector_id).view.state is LinkState.LINKED

    await until(linked, what="the link to be up")


async def test_g9_a_page_in_place_of_the_hub_is_said_and_the_link_comes_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.hub_watch.HUB_LOOK_EVERY_S", 0.05)
    async with behind_a_guest_network(tmp_path) as (network, site):
        connector_id = (await site.create_connector("pumps")).connector_id
        await site.enable_remote_sync(connector_id)

        async def said() -> bool:
            return "is not a Pairhub hub" in site.enrolment.problem

        await until(said, what="the site to say why it is not enrolled")
        network.is_open = True
        await until_linked(site, connector_id)

        network.shut()

        async def known() -> bool:
            return "is not a Pairhub hub" in site.runtime(connector_id).view.problem

        await until(known, what="the link to say what answers in place of the hub")
        network.is_open = True
        await until_linked(site, connector_id)
        assert site.runtime(connector_id).view.problem == ""


async def test_g9_an_error_that_nobody_expected_costs_one_link_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = asyncio.Event()
    failing.set()
    really_open = HubClient.open

    async def fails(hub: HubClient, *asked: object) -> LinkSocket:
        if failing.is_set():
            raise RuntimeError("a case nobody thought of")
        return await really_open(hub, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(HubClient, "open", fails)
    async with behind_a_guest_network(tmp_path) as (network, site):
        network.is_open = True
        connector_id = (await site.create_connector("pumps")).connector_id
        await site.enable_remote_sync(connector_id)

        async def said() -> bool:
            view = site.runtime(connector_id).view
            return view.state is LinkState.WAITING and "a case nobody thought of" in view.problem

        await until(said, what="the link to wait for the next attempt, and to say why")
        failing.clear()
        await until_linked(site, connector_id)


async def test_g9_a_connector_that_stopped_between_two_states_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.supervision.STOPPED_AGAIN_S", 0.05)
    async with behind_a_guest_network(tmp_path) as (network, site):
        network.is_open = True
        rung: list[str] = []
        ring = site.repairs.on_link

        def fails_once(connector_id: str, *, is_linked: bool, peer_is_linked: bool) -> None:
            rung.append(connector_id)
            if len(rung) == 1:  # as it begins to connect
                raise RuntimeError("a page that cannot be told")
            ring(connector_id, is_linked=is_linked, peer_is_linked=peer_is_linked)

        monkeypatch.setattr(site.repairs, "on_link", fails_once)
        connector_id = (await site.create_connector("pumps")).connector_id
        await site.enable_remote_sync(connector_id)
        await until_linked(site, connector_id)
        assert len(rung) > 1


async def test_g9_a_hub_that_goes_away_right_after_the_upgrade_is_a_link_lost() -> None:
    class GoneSocket(FakeSocket):
        async def send(self, message: bytes) -> None:
            raise ConnectionClosedError(None, None)

    with pytest.raises(LinkLost):
        await Link(cast("LinkSocket", GoneSocket()), b"start", lambda frame: False).greet()
