"""`pairhub bench growth`: what a reading costs with little and with much in history, and with little and with much behind.

Costs are processor time of source, hub and target together, so that they can be compared on a busy machine. Twice the
same round is run on one set of daemons, first small, then great: readings fall behind while the network is away, some more
are accepted on top of them, all of it drains, and a stream of readings goes through. Single readings are posted all the
while: how long one of them waits for its commit while all drains shows whether deleting what was applied stops the world.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from shared.rig.bench_stream import START_MS, Stage, make_bodies
from shared.rig.client import until
from shared.rig.fault_proxy import FaultProxy
from shared.rig.live_readings import LiveLine, quantile

_BATCH: Final = 500
_SMALL: Final = 1_000_000
_SAMPLE_MAX: Final = 500_000
_SINGLE: Final = "single"
# Few, for they cost the daemons some 7 ms each, which is taken off: 50 a second were more than half of what a drain took.
_SINGLE_PER_S: Final = 10.0
_SETTLE_S: Final = 3_600.0
# The processes count as at rest when they took less than this part of a second in each of so many, and so much for each
# single reading.
_REST_S: Final = 0.1
_SINGLE_S: Final = 0.006
_REST_LOOKS: Final = 3
# Questions for the account are a cost, too: of seconds, not of readings.
_ASK_EVERY_S: Final = 0.5
# The workload brings 50 readings a second; each lot begins where the one before it ended, as readings do, and a bit later.
_READING_MS: Final = 20
_PAUSE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class _Round:
    """Processor time per reading, us, and from when to when it drained (perf_counter)."""

    accept_us: float
    drain_us: float
    stream_us: float
    draining_s: tuple[float, float]


async def measure(readings: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError."""
    small = min(_SMALL, max(1, readings // 5))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pairhub-bench-")))
        stage = Stage(folder, (_SINGLE,))
        proxy = await stack.enter_async_context(FaultProxy(stage.hub.url))
        stage.source.flags["hub_url"] = proxy.url
        await stack.enter_async_context(stage)
        ends = (stage.source, stage.source_id), (stage.target, stage.target_id)
        line = await stack.enter_async_context(LiveLine(*ends, _SINGLE, _SINGLE_PER_S))
        growth = _Growth(stage, proxy, min(small, _SAMPLE_MAX), say)
        first = await growth.run(small)
        last = await growth.run(readings)
        line.check()
        _, commit_ms = line.delays_ms(*last.draining_s)
    accept_ratio, drain_ratio = last.accept_us / first.accept_us, last.drain_us / first.drain_us
    return {
        "readings": readings,
        "small": small,
        "history_ratio": round(last.stream_us / first.stream_us, 3),
        "outbox_ratio": round(max(accept_ratio, drain_ratio), 3),
        "accept_ratio": round(accept_ratio, 3),
        "drain_ratio": round(drain_ratio, 3),
        "cpu_us_per_reading": {"small": _shown(first), "great": _shown(last)},
        "commit_p99_ms": quantile(commit_ms, 0.99),
        "cpu_count": psutil.cpu_count(),
    }


def _shown(found: _Round) -> dict[str, float]:
    return {"accept": round(found.accept_us, 2), "drain": round(found.drain_us, 2), "stream": round(found.stream_us, 2)}


class _Growth:
    def __init__(self, stage: Stage, proxy: FaultProxy, sample: int, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._proxy = proxy
        self._sample = sample
        self._say = say
        self._lots = 0
        self._rest_rate = 0.0  # processor time per second, at rest
        self._next_ms = START_MS

    async def run(self, behind: int) -> _Round:
        """Return what a reading costs with so many behind, and afterwards in history."""
        stage = self._stage
        self._say(f"{behind} readings fall behind ...")
        self._proxy.cut()
        await stage.post_made(self._lot(behind))
        await self._at_rest()
        accept_us = await self._cost(self._sample, self._post, self._sample)
        self._say("They drain ...")
        began = time.perf_counter()
        drain_us = await self._cost(behind + self._sample, self._drain)
        draining_s = began, time.perf_counter()
        self._say("A stream goes through ...")
        stream_us = await self._cost(self._sample, self._stream, self._sample)
        return _Round(accept_us, drain_us, stream_us, draining_s)

    def _lot(self, readings: int) -> Iterator[bytes]:
        """Yield bodies of readings that nobody has posted yet."""
        start_ms = self._next_ms
        self._lots += 1
        self._next_ms += readings * _READING_MS + _PAUSE_MS
        return make_bodies(readings, _BATCH, seed=self._lots, start_ms=start_ms)

    async def _cost(self, readings: int, work: Callable[..., Any], *arguments: int) -> float:
        """Return the processor time of the daemons for some work and what follows from it, us for each reading.

        What they take without it, for single readings, pages and pings, is no part of it.
        """
        before_s, began = self._daemons_s(), time.perf_counter()
        await work(*arguments)
        await self._at_rest()
        beside_s = self._rest_rate * (time.perf_counter() - began)
        return 1e6 * (self._daemons_s() - before_s - beside_s) / readings

    def _daemons_s(self) -> float:
        return sum(spent for name, spent in self._stage.cpu_s().items() if name != "poster")

    async def _post(self, readings: int) -> None:
        await self._stage.post_made(self._lot(readings))

    async def _drain(self) -> None:
        self._proxy.mend()
        await self._all_applied()

    async def _stream(self, readings: int) -> None:
        await self._post(readings)
        await self._all_applied()

    async def _all_applied(self) -> None:
        async with self._stage.client(self._stage.source) as source:

            async def applied() -> bool:
                account = (await source.get(f"/connectors/{self._stage.source_id}/account"))["own"]
                # Single readings go on meanwhile: a handful is always on its way.
                return bool(account["tail"] + account["outbox"] < 1_000)

            await until(
                applied, timeout_s=_SETTLE_S, every_s=_ASK_EVERY_S, what="the target to have applied everything"
            )

    async def _at_rest(self) -> None:
        """Wait until only the single readings are left to work on: folding of history is a cost of what was accepted.

        Each look takes a second, and one alone may fall between two bites of folding, or before the log of a database at
        rest is written back.
        """
        rates: deque[float] = deque(maxlen=_REST_LOOKS)

        async def rests() -> bool:
            before_s, looked_s = self._daemons_s(), time.perf_counter()
            await asyncio.sleep(1)
            rates.append((self._daemons_s() - before_s) / (time.perf_counter() - looked_s))
            return len(rates) == _REST_LOOKS and max(rates) < _REST_S + _SINGLE_PER_S * _SINGLE_S

        await until(rests, timeout_s=_SETTLE_S, every_s=0, what="the daemons to come to rest")
        self._rest_rate = sum(rates) / len(rates)
