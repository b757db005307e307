"""A site ends when it is told to, also where its disk gives nothing back any more."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from connector.serve import RunningSite, running_site, serve
from connector.settings import SiteSettings
from hub.serve import running_hub
from shared.database import Database
from tests.connector.test_told_again import a_hub, claim, linked, true

_STOP_S = 10


def _break_reads(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on every reader meets what the driver says of a disk that does not give its blocks back."""

    async def fail(work: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    for reader in database._readers:
        monkeypatch.setattr(reader, "run", fail)


async def test_a_site_whose_disk_no_longer_reads_ends_with_paired_and_with_free_connectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_hub(a_hub(tmp_path)) as hub:
        plant, office = (
            SiteSettings(port=0, data_dir=tmp_path / name, site_name=name, hub_url=hub.url)
            for name in ("plant", "office")
        )
        async with running_site(office) as other:
            stop = asyncio.Event()
            started: asyncio.Future[RunningSite] = asyncio.get_running_loop().create_future()
            serving = asyncio.ensure_future(serve(plant, started.set_result, stop))
            site = (await started).site
            source_id = (await site.create_connector("pumps")).connector_id
            target_id = await claim(site, source_id, other.site)
            free_id = (await site.create_connector("valves")).connector_id
            await site.enable_remote_sync(free_id)
            await true(lambda: linked(site.runtime(source_id), other.site.runtime(target_id)), "both to be paired")
            await true(lambda: site.runtime(free_id).source.filed, "a window to be filed")
            _break_reads(site.database, monkeypatch)
            stop.set()
            done, _ = await asyncio.wait([serving], timeout=_STOP_S)
            assert done, sorted(task.get_name() for task in asyncio.all_tasks())
