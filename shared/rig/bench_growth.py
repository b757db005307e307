"""`pairhub bench growth`: what a reading costs with little and with much in history, and with little and with much behind.

Costs are processor time of source, hub and target together, so that they can be compared on a busy machine. How fast a
machine is changes by the minute, though, so what is compared is taken in turn: beside the stage with much there is one with
little, the same work goes to one and the other, and each pair of samples gives a ratio, of which the median counts. What
the poster itself took, which knows of neither, is compared in the same way: it shows what of a ratio is the machine.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

from shared.limits import HISTORY_FOLD_READINGS_MAX
from shared.rig.bench_stream import START_MS, Stage, make_bodies
from shared.rig.client import until
from shared.rig.fault_proxy import FaultProxy
from shared.rig.live_readings import LiveLine, quantile

_BATCH: Final = 500
_SMALL: Final = 1_000_000
# Three bites of folding: the workload's chunks are full after about so many.
_SAMPLE_MAX: Final = 3 * HISTORY_FOLD_READINGS_MAX
_ROUNDS: Final = 5
_SINGLE: Final = "single"
# Few, for they cost the daemons some 7 ms each, which is taken off: 50 a second were more than half of what a drain took.
_SINGLE_PER_S: Final = 10.0
_SETTLE_S: Final = 3_600.0
# The processes count as at rest when they took less than this part of a second in each of so many, and so much for each
# single reading: on a crowded machine twice as much as at rest.
_REST_S: Final = 0.15
_SINGLE_S: Final = 0.012
_REST_LOOKS: Final = 3
# Questions for the account are a cost, too: of seconds, not of readings.
_ASK_EVERY_S: Final = 0.5
# The workload brings 50 readings a second; each lot begins where the one before it ended, as readings do, and a bit later.
_READING_MS: Final = 20
_PAUSE_MS: Final = 60_000
_POSTER: Final = "poster"

Cost: TypeAlias = Mapping[str, float]
"""Processor time per reading, us, of each process."""


async def measure(readings: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError."""
    small = min(_SMALL, max(1, readings // 5))
    sample = min(small, _SAMPLE_MAX)
    async with _plot() as great:
        async with _plot() as little:
            for plot, behind in ((little, small), (great, readings)):
                say(f"{behind} readings fall behind ...")
                await plot.fall_behind(behind)
            say("Some more are accepted, here and there in turn ...")
            accepted = await _in_turn(lambda plot: plot.accept(sample), little, great)
            say("They drain ...")
            drained = await _drained(little, great, small)
            commit_ms = great.commits_ms
        async with _plot() as little:
            say("Streams go through, here and there in turn ...")
            await little.stream(small)
            streamed = await _in_turn(lambda plot: plot.stream(sample), little, great)
    accept, drain, history = accepted.ratio, drained.ratio, streamed.ratio
    return {
        "readings": readings,
        "small": small,
        "history_ratio": history,
        "outbox_ratio": max(accept, drain),
        "accept_ratio": accept,
        "drain_ratio": drain,
        "ratios": {"accept": accepted.ratios, "drain": drained.ratios, "stream": streamed.ratios},
        "poster_ratio": {"accept": accepted.poster_ratio, "stream": streamed.poster_ratio},
        "cpu_us_per_reading": {"accept": accepted.shown, "drain": drained.shown, "stream": streamed.shown},
        "commit_p99_ms": quantile(commit_ms, 0.99),
        "cpu_count": psutil.cpu_count(),
    }


@dataclass(frozen=True, slots=True)
class _Compared:
    """Pairs of samples: with little and with much."""

    pairs: Sequence[tuple[Cost, Cost]]

    @property
    def ratios(self) -> list[float]:
        """What the daemons took with much, over what they took with little, of each pair."""
        return [round(_all_daemons(much) / _all_daemons(little), 3) for little, much in self.pairs]

    @property
    def ratio(self) -> float:
        """The median of those."""
        return round(statistics.median(self.ratios), 3)

    @property
    def poster_ratio(self) -> float:
        """The same of the poster."""
        return round(statistics.median(much[_POSTER] / little[_POSTER] for little, much in self.pairs), 3)

    @property
    def shown(self) -> dict[str, dict[str, float]]:
        """The medians, by process."""
        return {
            name: {
                each: round(statistics.median(pair[at][each] for pair in self.pairs), 3) for each in self.pairs[0][at]
            }
            for at, name in enumerate(("small", "great"))
        }


def _all_daemons(cost: Cost) -> float:
    return sum(spent for name, spent in cost.items() if name != _POSTER)


async def _in_turn(sample: Callable[[_Plot], Awaitable[Cost]], little: _Plot, great: _Plot) -> _Compared:
    """Take samples of both in turn, the little first and last: each of the great is compared with its two neighbours.

    Strictly in turn, for daemons that have just been busy do the same for less.
    """
    few, much = [await sample(little)], []
    for _ in range(_ROUNDS):
        much.append(await sample(great))
        few.append(await sample(little))
    return _Compared([(_between(*few[at : at + 2]), each) for at, each in enumerate(much)])


async def _drained(little: _Plot, great: _Plot, small: int) -> _Compared:
    """Drain what is behind. That takes minutes where it is much: the little is drained twice before and twice after it."""
    few = [await little.drain(), await _drained_again(little, small)]
    much = await great.drain()
    few += [await _drained_again(little, small), await _drained_again(little, small)]
    return _Compared([(each, much) for each in few])


async def _drained_again(plot: _Plot, readings: int) -> Cost:
    await plot.fall_behind(readings)
    return await plot.drain()


def _between(one: Cost, other: Cost) -> Cost:
    return {name: (spent + other[name]) / 2 for name, spent in one.items()}


@asynccontextmanager
async def _plot() -> AsyncIterator[_Plot]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pairhub-bench-")))
        stage = Stage(folder, (_SINGLE,))
        proxy = await stack.enter_async_context(FaultProxy(stage.hub.url))
        stage.source.flags["hub_url"] = proxy.url
        await stack.enter_async_context(stage)
        yield _Plot(stage, proxy)


class _Plot:
    """A stage on which something grows."""

    def __init__(self, stage: Stage, proxy: FaultProxy) -> None:
        self._stage = stage
        self._proxy = proxy
        self._singles_per_s = 0.0
        self._lots = 0
        self._next_ms = START_MS
        self._behind = 0
        self._is_at_rest = False
        self._rest_rates: Cost = {}  # processor time per second, at rest
        self.commits_ms: list[float] = []
        """How long single readings waited for their answer during the last drain."""
        self._drained_s = 0.0, 0.0

    async def fall_behind(self, readings: int) -> None:
        """Let so many wait at the source, for which the network is away until `drain`."""
        self._proxy.cut()
        self._is_at_rest = False
        await self._post(readings)
        self._behind += readings

    async def accept(self, readings: int) -> Cost:
        """Return what it costs to accept a reading behind those that wait."""
        self._behind += readings
        return await self._cost(readings, self._post, readings)

    async def drain(self) -> Cost:
        """Return what each of those costs that wait.

        Single readings are posted meanwhile: how long one of them waits for its commit shows what stops the world.
        """
        readings, self._behind = self._behind, 0
        ends = (self._stage.source, self._stage.source_id), (self._stage.target, self._stage.target_id)
        await self._at_rest()
        async with LiveLine(*ends, _SINGLE, _SINGLE_PER_S) as line:
            self._singles_per_s = _SINGLE_PER_S
            self._is_at_rest = True
            cost = await self._cost(readings, self._drain)
            line.check()
            _, self.commits_ms = line.delays_ms(*self._drained_s)
        self._singles_per_s = 0.0
        return cost

    async def stream(self, readings: int) -> Cost:
        """Return what it costs to bring a reading into the history of both sites."""
        return await self._cost(readings, self._stream, readings)

    async def _cost(self, readings: int, work: Callable[..., Any], *arguments: int) -> Cost:
        """Return the cost of some work and of what follows from it: folding of history belongs to what was accepted.

        What the daemons take without it, for single readings, pages and pings, is no part of it.
        """
        if not self._is_at_rest:
            await self._at_rest()
        before_s, began = self._stage.cpu_s(), time.perf_counter()
        self._is_at_rest = False
        await work(*arguments)
        worked_s = self._stage.cpu_s()[_POSTER]
        await self._at_rest()
        beside_s = time.perf_counter() - began
        spent_s = {
            name: cpu_s - before_s[name] - self._rest_rates.get(name, 0.0) * beside_s
            for name, cpu_s in self._stage.cpu_s().items()
        }
        spent_s[_POSTER] = worked_s - before_s[_POSTER]
        return {name: 1e6 * each / readings for name, each in spent_s.items()}

    async def _post(self, readings: int) -> None:
        start_ms = self._next_ms
        self._lots += 1
        self._next_ms += readings * _READING_MS + _PAUSE_MS
        await self._stage.post_made(make_bodies(readings, _BATCH, seed=self._lots, start_ms=start_ms))

    async def _drain(self) -> None:
        began = time.perf_counter()
        self._proxy.mend()
        await self._all_applied()
        self._drained_s = began, time.perf_counter()

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
        """Wait until nothing, or only single readings, are left to work on.

        Each look takes a second, and one alone may fall between two bites of folding, or before the log of a database at
        rest is written back.
        """
        rates: deque[dict[str, float]] = deque(maxlen=_REST_LOOKS)

        async def rests() -> bool:
            before_s, looked_s = self._stage.cpu_s(), time.perf_counter()
            await asyncio.sleep(1)
            lasted_s = time.perf_counter() - looked_s
            spent_s = self._stage.cpu_s()
            rates.append(
                {name: (spent_s[name] - each) / lasted_s for name, each in before_s.items() if name != _POSTER}
            )
            busiest = max(sum(each.values()) for each in rates)
            return len(rates) == _REST_LOOKS and busiest < _REST_S + self._singles_per_s * _SINGLE_S

        await until(rests, timeout_s=_SETTLE_S, every_s=0, what="the daemons to come to rest")
        self._rest_rates = {name: statistics.mean(each[name] for each in rates) for name in rates[0]}
        self._is_at_rest = True
