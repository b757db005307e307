"""`pairhub bench lookup`: live lookups across a pair, asked as a library by the program that runs the asking site.

The hub and the answering site are processes of their own; the asking site runs in this one, so that a lookup is one call of
`Lookups.get_device` and what is measured is sealing, the link, the relay, the question at the other side, and the way back.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from connector.device_queries import DeviceQuery
from connector.lookups import Origin
from connector.serve import RunningSite, serve
from connector.settings import SiteSettings
from shared.errors import PairhubError
from shared.rig.client import ApiClient, operator_token, pair, until
from shared.rig.daemons import Daemon
from shared.rig.demo import take_ports

_PARTS: Final = 10  # tags, and grants, of the device that is looked up
_WARM_UP: Final = 200
_PAGE_ROWS: Final = 50
_CREATED_AT_ONCE: Final = 2_000
_SETTLE_S: Final = 300.0


async def measure(devices: int, lookups: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError."""
    ports = take_ports({"hub": None, "plant": None, "office": None})
    hub_url = f"http://127.0.0.1:{ports['hub']}"
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        base = Path(folder)
        flags = {"port": ports["hub"], "open_enrolment": "true", "log_level": "warning"}
        hub = Daemon("hub", "hub", flags, base / "hub", hub_url)
        flags = {"port": ports["plant"], "site_name": "plant", "hub_url": hub_url, "log_level": "warning"}
        plant = Daemon("site", "plant", flags, base / "plant", f"http://127.0.0.1:{ports['plant']}")
        settings = SiteSettings(
            data_dir=base / "office", port=ports["office"], site_name="office", hub_url=hub_url, log_level="warning"
        )
        stop = asyncio.Event()
        started: asyncio.Future[RunningSite] = asyncio.get_running_loop().create_future()
        try:
            await hub.start()
            await plant.start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(serve(settings, started.set_result, stop))
                try:
                    return await _measure(await started, settings, plant, devices, lookups, say)
                finally:
                    stop.set()
        finally:
            await plant.stop()
            await hub.stop()


async def _measure(
    office: RunningSite,
    settings: SiteSettings,
    plant: Daemon,
    devices: int,
    lookups: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    async with (
        ApiClient(plant.url, operator_token(plant.data_dir), timeout_s=_SETTLE_S) as source,
        ApiClient(office.url, operator_token(settings.data_dir), timeout_s=_SETTLE_S) as target,
    ):
        source_id = (await source.post("/connectors", {"name": "bench"}))["connector_id"]
        say(f"Making {devices} devices ...")
        await _make_devices(source, source_id, devices)
        target_id = await pair(source, source_id, target, "bench")

        async def arrived() -> bool:
            return bool((await target.get(f"/connectors/{target_id}/devices?limit=1"))["total"] == devices)

        await until(arrived, timeout_s=_SETTLE_S, every_s=0.5, what="the devices to arrive at the other side")
    calls = office.site.runtime(target_id).calls
    asked = office.site.lookups

    async def one() -> Origin:
        found, origin = await asked.get_device(target_id, calls, "device-00042")
        if found is None or len(found.device.tags) != _PARTS or len(found.grants) != _PARTS:
            raise PairhubError("the lookup did not bring the device with its tags and grants")
        return origin

    async def page() -> Origin:
        found, origin = await asked.list_devices(target_id, calls, DeviceQuery(limit=_PAGE_ROWS))
        if found is None or len(found.rows) != min(_PAGE_ROWS, devices) or found.total != devices:
            raise PairhubError("the lookup did not bring a page of the devices")
        return origin

    say(f"Looking up {lookups} times ...")
    single, pages = await _timed(one, lookups), await _timed(page, max(50, lookups // 10))
    return {
        "devices": devices,
        "lookups": lookups,
        "p50_ms": _quantile(single, 0.50),
        "p99_ms": _quantile(single, 0.99),
        "page_p50_ms": _quantile(pages, 0.50),
        "page_p99_ms": _quantile(pages, 0.99),
        "cpu_count": psutil.cpu_count(),
    }


async def _make_devices(source: ApiClient, source_id: str, devices: int) -> None:
    base = f"/connectors/{source_id}/devices"
    names = [f"device-{at:05}" for at in range(devices)]
    for at in range(0, devices, _CREATED_AT_ONCE):
        records = [
            {"identity": name, "tags": [["floor", str(int(name[-2:]) % 12)]]}
            for name in names[at : at + _CREATED_AT_ONCE]
        ]
        await source.post(f"{base}/import", records)
    for part in range(_PARTS - 1):
        await source.post(f"{base}/device-00042/tags", {"name": f"tag-{part}", "value": "value"})
    for part in range(_PARTS):
        grant = {"kind": "user", "subject": f"person-{part}", "level": "write"}
        await source.ask("PUT", f"{base}/device-00042/grants", grant)


async def _timed(ask: Callable[[], Awaitable[Origin]], count: int) -> list[float]:
    """Return the durations of `count` live answers, ms, one after the other, after a warm-up."""
    found: list[float] = []
    for at in range(_WARM_UP + count):
        began = time.perf_counter()
        origin = await ask()
        taken_ms = (time.perf_counter() - began) * 1_000
        if origin.kind != "live":
            raise PairhubError(f"the answer was not live: {origin.why}")
        if at >= _WARM_UP:
            found.append(taken_ms)
    return found


def _quantile(durations_ms: Sequence[float], part: float) -> float:
    return round(statistics.quantiles(durations_ms, n=1_000, method="inclusive")[round(part * 1_000) - 1], 3)
