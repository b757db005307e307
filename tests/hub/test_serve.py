"""The hub as a process: it starts, says where it listens, and ends within 5 s of SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest

from hub.serve import running_hub
from hub.settings import HubSettings
from shared.limits import DRAIN_DEADLINE_S
from shared.messages import HelloBack
from shared.settings import SettingWrong
from tests.hub.builders import TestSite
from tests.hub.client import SiteClient


@pytest.mark.e2e
async def test_sigterm_closes_links_and_ends_in_time_with_exit_code_0(tmp_path: Path) -> None:
    words = [
        "-m",
        "pairhub",
        "hub",
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path / "hub"),
        "--open-enrolment",
        "true",
    ]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        url = (await process.stdout.readline()).decode().split()[-1]
        plant = SiteClient(TestSite("plant"), url)
        await plant.enrol()
        async with plant.linked("SRC1-SRC1") as wire:
            await wire.hear(HelloBack)
            process.send_signal(signal.SIGTERM)
            assert (await wire.close_code())[0] == 1012
            async with asyncio.timeout(DRAIN_DEADLINE_S):
                assert await process.wait() == 0
    assert not (tmp_path / "hub" / "hub.db-wal").exists()


async def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingWrong, match=rf"'port' \(127\.0\.0\.1:{port}\)"):
            async with running_hub(HubSettings(port=port, data_dir=tmp_path / "hub")):
                pass


async def test_an_ipv6_address_will_do(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with running_hub(HubSettings(host="::1", port=0, data_dir=tmp_path / "hub")) as running:
        assert running.url.startswith("http://[::1]:")
        assert await SiteClient(TestSite("plant"), running.url).ask("GET", "/healthz") == {"status": "ok"}
