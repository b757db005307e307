"""`pairhub bench drain`: live readings and lookups while a backlog drains, after the network came back (DESIGN G6, G8).

A stream is measured undisturbed. Then the cable between the source and the hub is pulled and readings are posted at the
source, the ordinary way, until so many are behind. The cable is plugged in again: from then on one live reading at a time,
one lookup at a time and one edit at a time go on at a steady pace beside the backlog. When most of it is through, the hub
is killed and started again. At the end the stream is measured again: how fast a machine is changes by the minute.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from shared.errors import PairhubError
from shared.rig.bench_stream import START_MS, Stage, make_bodies, watch_memory
from shared.rig.client import until
from shared.rig.fault_proxy import FaultProxy
from shared.rig.live_edits import EditLine
from shared.rig.live_readings import LIVE_DEVICE, LiveLine, quantile
from shared.rig.plain_http import Asker

_LIVE: Final = "live"
_LIVE_PER_S: Final = 50.0
_LOOKUPS_PER_S: Final = 20.0
_EDITS_PER_S: Final = 4.0
_SAMPLES_MIN: Final = 2
_BATCH: Final = 500
_STREAM_READINGS_MAX: Final = 1_000_000
# The hub is killed when so much of the backlog is through, and is away for so long.
_KILLED_AT: Final = 0.8
_AWAY_S: Final = 1.0
_ARRIVE_S: Final = 0.5
_FIRST_S: Final = 60.0
_SETTLE_S: Final = 3_600.0
# The random walks lie one behind the other: a reading takes 20 ms of them.
_READING_MS: Final = 25
_STREAM_SEED: Final = 2
_BEHIND_FROM_MS: Final = START_MS + _READING_MS * _STREAM_READINGS_MAX


async def measure(behind: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pairhub-bench-")))
        stage = Stage(folder, (_LIVE,))
        cable = await stack.enter_async_context(FaultProxy(stage.hub.url))
        stage.source.flags["hub_url"] = cable.url
        await stack.enter_async_context(stage)
        peaks = {"source": 0.0, "hub": 0.0, "target": 0.0}
        watching = asyncio.ensure_future(watch_memory(stage, peaks))
        stack.callback(watching.cancel)
        return {
            "behind": behind,
            **await _Drain(stage, cable, behind, say).run(),
            "rss_mib": {name: round(peak, 1) for name, peak in peaks.items()},
            "cpu_count": psutil.cpu_count(),
        }


def _figure(durations_ms: list[float], part: float) -> float | None:
    """Return a quantile; None where a small backlog was through before there was anything to take one of."""
    return quantile(durations_ms, part) if len(durations_ms) >= _SAMPLES_MIN else None


class _Drain:
    """One run of the bench."""

    def __init__(self, stage: Stage, cable: FaultProxy, behind: int, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._cable = cable
        self._behind = behind
        self._say = say
        self._lookups: list[tuple[float, float]] = []  # when asked, and the seconds until the answer

    async def run(self) -> dict[str, Any]:
        """Return the figures."""
        streamed = min(self._behind, _STREAM_READINGS_MAX)
        first_per_s = await self._stream(streamed, START_MS)
        figures = await self._drained()
        last_per_s = await self._stream(streamed, _BEHIND_FROM_MS + _READING_MS * self._behind)
        stream_per_s = (first_per_s + last_per_s) / 2
        return {
            **figures,
            "stream_per_s": round(stream_per_s),
            "streams_per_s": [round(first_per_s), round(last_per_s)],
            "drain_ratio": round(figures["drain_per_s"] / stream_per_s, 3),
        }

    async def _drained(self) -> dict[str, Any]:
        """Let readings fall behind and drain; return all figures of it."""
        await self._fall_behind()
        stage = self._stage
        edits = EditLine((stage.source, stage.source_id), (stage.target, stage.target_id), _EDITS_PER_S)
        async with LiveLine(
            (stage.source, stage.source_id), (stage.target, stage.target_id), _LIVE, _LIVE_PER_S
        ) as line:
            before = await self._applied()
            self._say("The network is back ...")
            self._cable.mend()
            back_s = time.perf_counter()
            beside = [asyncio.ensure_future(each) for each in (self._look_up(), edits.run())]
            try:
                first_s = await line.first_applied_s(back_s, _FIRST_S) - back_s
                through, taken_s = await self._until_applied(before, round(_KILLED_AT * self._behind), back_s)
                steady = (back_s + first_s, back_s + taken_s)
                await asyncio.sleep(_ARRIVE_S)  # what was sent so far is not to be lost with the hub
                self._say("Killing the hub ...")
                hub = await self._kill_hub(line)
                await self._until_applied(before, self._behind, back_s)
            finally:
                for each in beside:
                    each.cancel()
                ended = await asyncio.gather(*beside, return_exceptions=True)
        for how in ended:
            if not isinstance(how, asyncio.CancelledError):
                raise PairhubError("lookups or edits beside the drain ended before it") from how
        live_ms, accept_ms = line.delays_ms(*steady)
        edit_ms = edits.delays_ms(*steady)
        lookup_ms = [1_000 * took for at, took in self._lookups if steady[0] <= at < steady[1]]
        return {
            "live_p99_ms": _figure(live_ms, 0.99),
            "live_p50_ms": _figure(live_ms, 0.50),
            "lookup_p99_ms": _figure(lookup_ms, 0.99),
            "lookup_p50_ms": _figure(lookup_ms, 0.50),
            "edit_p99_ms": _figure(edit_ms, 0.99),
            "edit_p50_ms": _figure(edit_ms, 0.50),
            "accept_p99_ms": _figure(accept_ms, 0.99),
            "live_readings": len(live_ms),
            "lookups": len(lookup_ms),
            "edits": len(edit_ms),
            "drain_per_s": round(through / taken_s),
            "first_live_s": round(first_s, 3),
            **hub,
        }

    async def _stream(self, readings: int, start_ms: int) -> float:
        """Return readings per second of an undisturbed stream, of readings from a time on."""
        stage = self._stage
        self._say(f"Streaming {readings} readings undisturbed ...")
        requests = stage.requests(make_bodies(readings, _BATCH, _STREAM_SEED, start_ms))
        before = await self._applied()
        began = time.perf_counter()
        await stage.post_all(requests)
        _, taken_s = await self._until_applied(before, readings, began)
        return readings / taken_s

    async def _fall_behind(self) -> None:
        self._say(f"The network is gone; posting {self._behind} readings ...")
        self._cable.cut()
        stage = self._stage
        await stage.post_made(make_bodies(self._behind, _BATCH, start_ms=_BEHIND_FROM_MS))

    async def _applied(self) -> int:
        account = await self._stage.account(self._stage.target, self._stage.target_id)
        return int(account.get("applied", 0))

    async def _until_applied(self, before: int, count: int, began: float) -> tuple[int, float]:
        """Wait until so many more are applied than before; return how many were, and the seconds since `began`."""
        async with self._stage.client(self._stage.target) as target:

            async def through() -> int:
                account = (await target.get(f"/connectors/{self._stage.target_id}/account"))["own"] or {}
                return max(0, int(account.get("applied", 0)) - before - count + 1)

            more = await until(through, timeout_s=_SETTLE_S, every_s=0.02, what="the target to have applied everything")
            return count + int(more) - 1, time.perf_counter() - began

    async def _look_up(self) -> None:
        """Ask the target, from the source, for a device at a steady pace; what is no live answer is no sample."""
        stage = self._stage
        asker = await Asker.open(stage.source, f"/api/v1/connectors/{stage.source_id}/devices/{LIVE_DEVICE}?from=peer")
        began, at = time.perf_counter(), 0
        while True:
            wait_s = began + at / _LOOKUPS_PER_S - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            due_s = time.perf_counter() + min(0.0, wait_s)
            at += 1
            with suppress(PairhubError):
                answer = await asker.ask()
                if b'"live"' in answer:
                    self._lookups.append((due_s, time.perf_counter() - due_s))

    async def _kill_hub(self, line: LiveLine) -> dict[str, float]:
        """Kill the hub, start it again, and return how long it took from then until live readings flowed."""
        hub = self._stage.hub
        await hub.kill()
        await asyncio.sleep(_AWAY_S)
        began = time.perf_counter()
        await hub.start()
        ready_s = time.perf_counter() - began
        flowing_s = await line.first_applied_s(began, _FIRST_S) - began
        return {"hub_restart_s": round(flowing_s, 3), "hub_ready_s": round(ready_s, 3)}
