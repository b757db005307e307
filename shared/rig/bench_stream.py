"""`pairhub bench stream`: real daemons, real sockets, from HTTP at the source to queryable and durable at the target.

Sizes are taken first (shared.rig.bench_sizes); speed is taken with everything linked, on fresh daemons.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from shared.limits import DAY_MS
from shared.rig.client import ApiClient, operator_token, pair, until
from shared.rig.daemons import Daemon
from shared.rig.demo import free_ports
from shared.rig.poster import post_all, request_bytes

_DEVICES: Final = 10
_RESOURCES: Final = 5
# A month ago: whatever a bench makes up to today is younger than what sites keep.
START_MS: Final = (time.time_ns() // 1_000_000 // DAY_MS - 30) * DAY_MS
_SIGMA: Final = 0.05
_JITTER_MS: Final = 5
# Requests under way at once: the source batches what arrives while a commit runs.
_POSTERS: Final = 32
# Looks at the files that find no change: two seconds, for a log is emptied a second after it was written last.
_REST_LOOKS: Final = 8
_REST_LOOK_EVERY_S: Final = 0.25
_SETTLE_S: Final = 600.0
_SIZE_READINGS_MAX: Final = 1_000_000


def make_bodies(readings: int, batch: int, seed: int = 1, start_ms: int = START_MS) -> Iterator[bytes]:
    """Yield request bodies of `batch` NDJSON lines: 10 devices x 5 resources at 1 Hz with +-5 ms of jitter, random walks."""
    chance = random.Random(seed)  # noqa: S311  # a workload, not a secret
    values = [20.0] * (_DEVICES * _RESOURCES)
    lines: list[bytes] = []
    made = second = 0
    while made < readings:
        for at in range(_DEVICES * _RESOURCES):
            values[at] += chance.gauss(0, _SIGMA)
            lines.append(
                msgspec.json.encode(
                    {
                        "device": f"device-{at // _RESOURCES:02}",
                        "resource": f"resource-{at % _RESOURCES}",
                        "timestamp": start_ms + second * 1_000 + chance.randint(-_JITTER_MS, _JITTER_MS),
                        "value": round(values[at], 2),
                    }
                )
            )
            made += 1
            if len(lines) == batch or made == readings:
                yield b"\n".join(lines)
                lines = []
            if made == readings:
                return
        second += 1


class Stage:
    """A hub and two paired sites on fresh data, with the resources of the workload on both."""

    def __init__(self, folder: Path, more_resources: Sequence[str] = ()) -> None:
        """`more_resources` are there beside those of the workload."""
        self._resources = [*(f"resource-{at}" for at in range(_RESOURCES)), *more_resources]
        ports = free_ports("hub", "plant", "office")
        hub_url = f"http://127.0.0.1:{ports['hub']}"
        self.hub = Daemon(
            "hub",
            "hub",
            {"port": ports["hub"], "open_enrolment": "true", "log_level": "warning"},
            folder / "hub",
            hub_url,
        )
        self.source, self.target = (
            Daemon(
                "site",
                name,
                {"port": ports[name], "site_name": name, "hub_url": hub_url, "log_level": "warning"},
                folder / name,
                f"http://127.0.0.1:{ports[name]}",
            )
            for name in ("plant", "office")
        )
        self.source_id = self.target_id = ""

    async def __aenter__(self) -> Stage:
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        for daemon in (self.hub, self.source, self.target):
            await daemon.start()
        async with self.client(self.source) as source, self.client(self.target) as target:
            made = await source.post("/connectors", {"name": "bench", "creates_devices": True})
            self.source_id = made["connector_id"]
            self.target_id = await pair(source, self.source_id, target, "bench")
            for alias in self._resources:
                resource = {"alias": alias, "format": "number", "remote_sync": True}
                await source.post(f"/connectors/{self.source_id}/resources", resource)
                await target.post(f"/connectors/{self.target_id}/resources", {**resource, "remote_sync": False})

            async def agreed() -> bool:
                rows = await source.rows(f"/connectors/{self.source_id}/resources")
                return len(rows) == len(self._resources) and all(row["match"] == "same" for row in rows)

            await until(agreed, what="both sides to agree on the resources")

    async def __aexit__(self, *_: object) -> None:
        for daemon in (self.source, self.target, self.hub):
            await daemon.stop()

    def client(self, site: Daemon) -> ApiClient:
        return ApiClient(site.url, operator_token(site.data_dir), timeout_s=_SETTLE_S)

    def requests(self, bodies: Iterator[bytes]) -> list[bytes]:
        """Lay out requests as they go over the wire."""
        token = operator_token(self.source.data_dir)
        return [request_bytes(self._url, token, body) for body in bodies]

    @property
    def _url(self) -> str:
        return f"{self.source.url}/api/v1/connectors/{self.source_id}/readings"

    async def post_all(self, requests: list[bytes]) -> None:
        """Post all requests, a few at a time."""
        await post_all(self._url, iter(requests), _POSTERS)

    async def post_made(self, bodies: Iterator[bytes]) -> None:
        """Post bodies that are made while they are posted, where the load is not what is measured."""
        token = operator_token(self.source.data_dir)
        await post_all(self._url, (request_bytes(self._url, token, body) for body in bodies), _POSTERS)

    async def account(self, site: Daemon, connector_id: str) -> dict[str, Any]:
        async with self.client(site) as client:
            return dict((await client.get(f"/connectors/{connector_id}/account"))["own"] or {})

    async def hub_at_rest(self) -> None:
        """Wait until the hub has written the copies of what it was sent, and no more come."""
        last = -1

        async def unchanged() -> bool:
            nonlocal last
            async with self.client(self.hub) as hub:
                copies = sum(int(found["copies"]) for found in (await hub.get("/status"))["pairs"])
            before, last = last, copies
            return copies > 0 and copies == before

        await until(unchanged, timeout_s=60, every_s=1, what="the hub to hold copies")

    async def sizes_at_rest(self) -> dict[str, int]:
        """Return the bytes of the database files of source and hub once neither writes any more."""
        sizes: dict[str, int] = {}
        same = 0

        async def unchanged() -> bool:
            nonlocal sizes, same
            now = {"outbox": _file_bytes(self.source.data_dir), "hub": _file_bytes(self.hub.data_dir)}
            same = same + 1 if now == sizes else 0
            sizes = now
            return same >= _REST_LOOKS

        await until(
            unchanged, timeout_s=60, every_s=_REST_LOOK_EVERY_S, what="source and hub to have written everything"
        )
        return sizes

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time that each process has taken, the poster's (this one) included."""
        spent = {"poster": time.process_time()}
        for name, daemon in (("source", self.source), ("hub", self.hub), ("target", self.target)):
            times = psutil.Process(daemon.pid).cpu_times()
            spent[name] = times.user + times.system
        return spent

    async def count_at_target(self, readings: int) -> tuple[int, int]:
        """Read every reading back at the target; return (lost, duplicated).

        A history shows a time once, however often it was stored: what was applied twice is what the account of either side
        says beyond what is there.
        """
        distinct = 0
        async with self.client(self.target) as target:
            for device in range(_DEVICES):
                for resource in range(_RESOURCES):
                    at_ms = 0
                    while True:
                        query = f"device=device-{device:02}&resource=resource-{resource}&from={at_ms}&limit=50000"
                        answer = await target.get(f"/connectors/{self.target_id}/readings?{query}")
                        rows = answer["readings"]
                        distinct += len({row[0] for row in rows})
                        if len(rows) < 50_000:
                            break
                        at_ms = rows[-1][0] + 1
        here = (await self.account(self.target, self.target_id))["applied"]
        there = (await self.account(self.source, self.source_id))["applied"]
        return readings - distinct, max(0, here - distinct, there - readings)


def _file_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.db*") if path.is_file())


async def measure(
    readings: int, batch: int, say: Callable[[str], None], *, outage: int = 0, series: Path | None = None
) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError, Refused by the daemons.

    `readings`: of the workload, 0 to weigh the others only. `outage`: readings posted one by one while the target is
    away, 0 for none; `series`: a folder of CSV files to weigh.
    """
    from shared.rig import bench_sizes  # stands on the stage of this module

    found: dict[str, Any] = {"readings": readings, "batch": batch}
    if readings:
        sizes = await bench_sizes.measure_stream(min(readings, _SIZE_READINGS_MAX), batch, say)
        speed = await _measure_speed(readings, batch, say)
        sizes["wire"] = round(speed.pop("wire_bytes") / readings, 2)
        found |= {**speed, "bytes_per_reading": sizes}
    found["cpu_count"] = psutil.cpu_count()
    more: dict[str, Coroutine[Any, Any, dict[str, Any]]] = {}
    if outage:
        more["outage"] = bench_sizes.measure_outage(outage, say)
    if series is not None:
        more["series"] = bench_sizes.measure_series(series, say)
    # At the same time, each on a stage of its own: sizes do not depend on how busy a machine is.
    return found | dict(zip(more, await asyncio.gather(*more.values()), strict=True))


async def _measure_speed(readings: int, batch: int, say: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        async with Stage(Path(folder)) as stage:
            say(f"Making {readings} readings in requests of {batch} ...")
            requests = stage.requests(make_bodies(readings, batch))
            peaks = {"source": 0.0, "hub": 0.0, "target": 0.0}
            watching = asyncio.ensure_future(watch_memory(stage, peaks))
            say("Streaming ...")
            before = await _link_bytes(stage)
            before_s = stage.cpu_s()
            began = time.perf_counter()
            await stage.post_all(requests)
            posted_s = time.perf_counter() - began

            async with stage.client(stage.target) as target:

                async def all_applied() -> bool:
                    account = (await target.get(f"/connectors/{stage.target_id}/account"))["own"] or {}
                    return bool(account.get("applied", 0) >= readings)

                await until(
                    all_applied, timeout_s=_SETTLE_S, every_s=0.01, what="the target to have applied everything"
                )
            taken_s = time.perf_counter() - began
            spent_s = {name: cpu_s - before_s[name] for name, cpu_s in stage.cpu_s().items()}
            watching.cancel()
            wire_bytes = await _link_bytes(stage) - before
            say("Reading everything back ...")
            lost, duplicated = await stage.count_at_target(readings)
            return {
                "readings_per_s": round(readings / taken_s),
                "accepted_per_s": round(readings / posted_s),
                "cpu_us_per_reading": {name: round(1e6 * each / readings, 2) for name, each in spent_s.items()},
                "rss_mib": {name: round(peak, 1) for name, peak in peaks.items()},
                "lost": lost,
                "duplicated": duplicated,
                "wire_bytes": wire_bytes,
            }


async def watch_memory(stage: Stage, peaks: dict[str, float]) -> None:
    """Note the greatest resident memory of each process, MiB, until cancelled."""
    while True:
        for name, daemon in (("source", stage.source), ("hub", stage.hub), ("target", stage.target)):
            peaks[name] = max(peaks[name], daemon.rss_mib)
        await asyncio.sleep(0.05)


async def _link_bytes(stage: Stage) -> int:
    """Return the bytes that the source's link to the hub has carried, both ways, WebSocket framing included."""
    async with stage.client(stage.source) as source:
        link = (await source.get(f"/connectors/{stage.source_id}"))["link"]
    return int(link["bytes_sent"]) + int(link["bytes_received"])
