"""A network that swallows everything without a word: the site notices by itself, says so, and comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from connector.settings import SiteSettings
from connector.site import Site
from hub.serve import running_hub
from hub.settings import HubSettings
from shared.rig.client import until
from shared.rig.fault_proxy import FaultProxy


async def test_n2_a_half_open_link_is_found_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.link.PING_INTERVAL_S", 0.3)
    monkeypatch.setattr("connector.hub_client.PING_INTERVAL_S", 0.3)
    monkeypatch.setattr("connector.hub_client.PING_TIMEOUT_S", 0.3)
    settings = HubSettings(port=0, data_dir=tmp_path / "hub", open_enrolment=True)
    async with running_hub(settings) as hub, FaultProxy(hub.url) as proxy:
        site = await Site.open(SiteSettings(data_dir=tmp_path / "plant", site_name="plant", hub_url=proxy.url))
        started = asyncio.Event()
        running = asyncio.ensure_future(site.run(started.set))
        try:
            await started.wait()
            source_id = (await site.create_connector("m")).connector_id
            await site.enable_remote_sync(source_id)
            runtime = site.runtime(source_id)

            async def is_linked() -> bool:
                return runtime.view.state.value == "linked"

            async def is_lost() -> bool:
                return runtime.view.state.value != "linked" and bool(runtime.view.problem)

            await until(is_linked, what="the link")
            proxy.freeze()
            await until(is_lost, what="the site to notice", timeout_s=10)
            proxy.mend()
            await until(is_linked, what="the link to come back", timeout_s=20)
            assert runtime.view.problem == ""
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await site.close()
