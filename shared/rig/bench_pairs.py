"""`pairhub bench pairs`: many pairs at once between two daemons, each with a steady stream in small requests.

Every source connector gets its readings in requests of 50, ten a second. On a few of the pairs it is noted when each request
was answered and when the target told of its last reading.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from shared.errors import PairhubError
from shared.rig.bench_stream import Stage, watch_memory
from shared.rig.client import ApiClient, operator_token, pair, until
from shared.rig.live_readings import listen, quantile
from shared.rig.poster import request_bytes

_RESOURCE: Final = "resource"
_DEVICE: Final = "device"
_BATCH: Final = 50
_PER_S: Final = 10
# Pairs whose readings are watched: each costs an event stream that this process reads.
_WATCHED: Final = 8
_PAIRED_AT_ONCE: Final = 4
_CLAIMS_PER_MINUTE: Final = 10_000
# A connection carries one request at a time, as a gateway's does.
_CONNECTIONS: Final = 64
_WARM_UP_S: Final = 2.0
# Laid out by hand: what the load costs is not what is measured. A time, and hundredths.
_LINE: Final = f'{{"device":"{_DEVICE}","resource":"{_RESOURCE}","timestamp":%d,"value":20.%02d}}'.encode()
_LAST_S: Final = 30.0
_BODIES_KEPT: Final = 64

Pair = tuple[str, str]


async def measure(pairs: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pairhub-bench-")))
        stage = Stage(folder)
        stage.hub.flags["claims_per_minute"] = _CLAIMS_PER_MINUTE
        await stack.enter_async_context(stage)
        say(f"Pairing {pairs} connectors with {pairs} others ...")
        made = await _make_pairs(stage, pairs)
        peaks = {"source": 0.0, "hub": 0.0, "target": 0.0}
        watching = asyncio.ensure_future(watch_memory(stage, peaks))
        stack.callback(watching.cancel)
        say(f"Sending {_BATCH * _PER_S * pairs} readings a second for {seconds:g} s ...")
        return {
            "pairs": pairs,
            **await _Load(stage, made).run(seconds),
            "rss_mib": {name: round(peak, 1) for name, peak in peaks.items()},
            "cpu_count": psutil.cpu_count(),
        }


async def _make_pairs(stage: Stage, count: int) -> list[Pair]:
    async with stage.client(stage.source) as source, stage.client(stage.target) as target:
        places = asyncio.Semaphore(_PAIRED_AT_ONCE)

        async def one(at: int) -> Pair:
            async with places:
                return await _make_pair(source, target, at)

        made = list(await asyncio.gather(*(one(at) for at in range(count))))
        for source_id, _ in made:

            async def agreed(connector_id: str = source_id) -> bool:
                rows = await source.rows(f"/connectors/{connector_id}/resources")
                return [row["match"] for row in rows] == ["same"]

            await until(agreed, timeout_s=120, what="both sides to agree on the resources")
        return made


async def _make_pair(source: ApiClient, target: ApiClient, at: int) -> Pair:
    made = await source.post("/connectors", {"name": f"pair {at}", "creates_devices": True})
    source_id = str(made["connector_id"])
    target_id = await pair(source, source_id, target, f"pair {at}")
    resource = {"alias": _RESOURCE, "format": "number", "remote_sync": True}
    await source.post(f"/connectors/{source_id}/resources", resource)
    await target.post(f"/connectors/{target_id}/resources", {**resource, "remote_sync": False})
    return source_id, target_id


class _Load:
    """The streams of all pairs, and what was seen of some of them."""

    def __init__(self, stage: Stage, pairs: Sequence[Pair]) -> None:
        self._stage = stage
        self._pairs = pairs
        self._token = operator_token(stage.source.data_dir)
        self._watched = {source_id: index for index, (source_id, _) in enumerate(pairs[:_WATCHED])}
        self._accepted_s: list[dict[int, float]] = [{} for _ in self._watched]
        self._applied_s: list[dict[int, float]] = [{} for _ in self._watched]
        self._late_s = 0.0
        self._first_ms = int(time.time() * 1_000) - 3_600_000
        self._bodies: dict[int, bytes] = {}
        self._posted = 0

    async def run(self, seconds: float) -> dict[str, Any]:
        """Return the figures."""
        listeners = await self._listen()
        try:
            before_s = self._stage.cpu_s()
            began = time.perf_counter()
            connections = min(_CONNECTIONS, len(self._pairs))
            lots = [self._pairs[at::connections] for at in range(connections)]
            await asyncio.gather(*(self._post(lot, began, _WARM_UP_S + seconds) for lot in lots))
            took_s = time.perf_counter() - began
            spent_s = {name: spent - before_s[name] for name, spent in self._stage.cpu_s().items()}
            with suppress(PairhubError):
                await until(self._all_arrived, timeout_s=_LAST_S, what="the last readings")
        finally:
            for listener in listeners:
                listener.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)
        return {
            **self._delays(began + _WARM_UP_S),
            "readings_per_s": round(self._posted / took_s),
            "wanted_per_s": _BATCH * _PER_S * len(self._pairs),
            "latest_request_s": round(self._late_s, 3),
            "cpu_us_per_reading": {name: round(1e6 * each / self._posted, 2) for name, each in spent_s.items()},
        }

    def _delays(self, since_s: float) -> dict[str, Any]:
        delays_ms: list[float] = []
        lost = 0
        for accepted_s, applied_s in zip(self._accepted_s, self._applied_s, strict=True):
            for at_ms, accepted in accepted_s.items():
                if accepted < since_s:
                    continue
                lost += at_ms not in applied_s
                delays_ms.append(1_000 * max(0.0, applied_s.get(at_ms, accepted + _LAST_S) - accepted))
        return {
            "live_p99_ms": quantile(delays_ms, 0.99),
            "live_p50_ms": quantile(delays_ms, 0.50),
            "watched": len(delays_ms),
            "lost": lost,
        }

    async def _all_arrived(self) -> bool:
        return all(
            accepted.keys() <= applied.keys()
            for accepted, applied in zip(self._accepted_s, self._applied_s, strict=True)
        )

    async def _listen(self) -> list[asyncio.Task[None]]:
        tasks: list[asyncio.Task[None]] = []
        for index, (_, target_id) in enumerate(self._pairs[:_WATCHED]):
            listening = asyncio.Event()
            work = listen(self._stage.target, target_id, _RESOURCE, self._applied_s[index], listening)
            tasks.append(asyncio.ensure_future(work))
            await asyncio.wait_for(listening.wait(), 30)
        return tasks

    def _body(self, last_ms: int) -> bytes:
        """Return the lines of one request of any pair: all pairs send the same, each a little later than the one before."""
        body = self._bodies.get(last_ms)
        if body is None:
            if len(self._bodies) >= _BODIES_KEPT:
                del self._bodies[next(iter(self._bodies))]
            body = self._bodies[last_ms] = b"\n".join(_lines(last_ms))
        return body

    async def _post(self, lot: Sequence[Pair], began: float, seconds: float) -> None:
        """Post for some of the pairs over one connection, each request at its moment or as soon after as it goes."""
        gap_s = 1 / (_PER_S * len(lot))
        url = self._stage.source.url
        address = url.rpartition(":")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address[2]))
        try:
            for turn in itertools.count():
                due_s = began + turn * gap_s
                if max(due_s, time.perf_counter()) > began + seconds:
                    return  # what a site has not taken in its time counts as not taken: the figures show it
                if (early_s := due_s - time.perf_counter()) > 0:
                    await asyncio.sleep(early_s)
                self._late_s = max(self._late_s, time.perf_counter() - due_s)
                source_id, _ = lot[turn % len(lot)]
                last_ms = self._first_ms + (turn // len(lot) + 1) * _BATCH
                path = f"{url}/api/v1/connectors/{source_id}/readings"
                writer.write(request_bytes(path, self._token, self._body(last_ms)))
                await _accepted(reader)
                self._posted += _BATCH
                if (index := self._watched.get(source_id)) is not None:
                    self._accepted_s[index][last_ms] = time.perf_counter()
        finally:
            writer.close()


def _lines(last_ms: int) -> Iterator[bytes]:
    for at_ms in range(last_ms - _BATCH + 1, last_ms + 1):
        yield _LINE % (at_ms, at_ms % 97)


async def _accepted(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    body = await reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0].strip() or 0))
    if not head.startswith("http/1.1 200") or f'"accepted":{_BATCH}'.encode() not in body:
        raise PairhubError(f"a request was not accepted: {head[:40]!r} {body[:200]!r}")
