"""A site without a hub, in this process, for tests of what it does alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from connector import history
from connector.resources import NewResource
from connector.settings import SiteSettings
from connector.site import Site
from shared.clock import SystemClock

# 2025-11-20 14:00:00 UTC
NOON_MS = 1_763_647_200_000


class SetClock:
    """A wall clock that stands where a test sets it; the monotonic one runs."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return SystemClock().monotonic_ms()


@asynccontextmanager
async def lone_site(folder: Path, clock: SetClock | None = None) -> AsyncIterator[Site]:
    """Run a site for the time of a block."""
    site = await Site.open(SiteSettings(data_dir=folder / "site", site_name="plant"), clock or SetClock())
    started = asyncio.Event()
    running = asyncio.ensure_future(site.run(started.set))
    await started.wait()
    try:
        yield site
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await site.close()


async def make_connector(site: Site, *, creates_devices: bool = False) -> str:
    """Make a connector with a device `pump` and one resource of each format; return its ID."""
    connector = await site.create_connector("m", creates_devices=creates_devices)
    connector_id = connector.connector_id
    await site.create_device(connector_id, "pump")
    for new in (
        NewResource(alias="flow", format="number", unit="l/s"),
        NewResource(alias="level", format="number", allowed={"low": 0, "high": 100}),
        NewResource(alias="mode", format="string", allowed={"any": ["auto", "off"]}),
        NewResource(alias="note", format="string"),
        NewResource(alias="on", format="boolean"),
    ):
        await site.create_resource(connector_id, new)
    return connector_id


def line(device: str, resource: str, value: Any, timestamp: Any = None) -> bytes:
    """One line of NDJSON."""
    made = {"device": device, "resource": resource, "value": value}
    return msgspec.json.encode(made if timestamp is None else {**made, "timestamp": timestamp})


async def stored(site: Site, connector_id: str, resource: str, device: str = "pump") -> list[tuple[int, Any]]:
    """Return the history of one series, oldest first."""

    def unit(connection: sqlite3.Connection) -> list[tuple[int, Any]]:
        series_id = history.find_series(connection, connector_id, device, resource)
        return [] if series_id is None else history.between(connection, series_id)

    return await site.database.read(unit)
