"""`pairhub bench peers`: the same work given to Pairhub, to NATS JetStream and to a Mosquitto bridge, in turn, in one run.

Figures of one run can be compared; those of different machines, or of different hours on one, cannot. Hence each round
measures all of them one after the other, and what is reported are the medians of the rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from shared.limits import INGEST_LINES_MAX
from shared.rig.bench_stream import Stage, make_bodies
from shared.rig.client import until
from shared.rig.peers.mosquitto import Mosquitto
from shared.rig.peers.nats import Nats

_BATCH: Final = 500
_SETTLE_S: Final = 600.0
_WARM_UP_REQUESTS: Final = 300
# What each round measured, by name.
Figures = defaultdict[str, list[float]]
# Looks up so many times across a pair and returns the durations' median, ms.
LookUp = Callable[[int], Awaitable[float]]


async def measure(
    readings: int, single: int, lookups: int, rounds: int, look_up: LookUp, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError, also where a peer is not installed.

    `readings` go 500 in a request or message, `single` one in a line or message.
    """
    rounds_of: Figures = defaultdict(list)
    versions = await _versions()
    for at in range(rounds):
        say(f"Round {at + 1} of {rounds}")
        await _ours(rounds_of, readings, single, say)
        await _nats(rounds_of, readings, single, lookups, say)
        await _mosquitto(rounds_of, single, say)
        say(f"  Pairhub: {lookups} lookups")
        rounds_of["ours_lookup_p50_ms"].append(await look_up(lookups))
    return {
        **_ratios(rounds_of),
        **{name: round(statistics.median(values), 3) for name, values in rounds_of.items()},
        "rounds": {name: [round(value, 3) for value in values] for name, values in rounds_of.items()},
        "readings": readings,
        "single": single,
        "lookups": lookups,
        "versions": versions,
        "cpu_count": psutil.cpu_count(),
    }


def _ratios(rounds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return how many times as much as a peer Pairhub does; for lookups, how many times as long it takes."""
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    pairs = {
        "stream500_ratio": ("ours_stream500_per_s", "nats_stream500_per_s"),
        "single_ratio": ("ours_single_per_s", "nats_single_per_s"),
        "lookup_ratio": ("ours_lookup_p50_ms", "nats_lookup_p50_ms"),
        "mosquitto_ratio": ("ours_single_per_s", "mosquitto_single_per_s"),
    }
    return {name: round(medians[ours] / medians[theirs], 3) for name, (ours, theirs) in pairs.items()}


async def _versions() -> dict[str, str]:
    """Return who the peers say they are; raises PairhubError before anything is measured where one is missing."""
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        return {
            "nats": await Nats(Path(folder)).version(),
            "mosquitto": await Mosquitto(Path(folder)).version(),
        }


# --- one round ----------------------------------------------------------------------------------------------------------


async def _ours(figures: Figures, readings: int, single: int, say: Callable[[str], None]) -> None:
    say(f"  Pairhub: {readings} readings, {_BATCH} in a request, and {single}, one in a line of a single request")
    for name, count, batch in (("stream500_per_s", readings, _BATCH), ("single_per_s", single, INGEST_LINES_MAX)):
        with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
            async with Stage(Path(folder)) as stage:
                requests = stage.requests(make_bodies(count, batch))
                began = time.perf_counter()
                await stage.post_all(requests)
                await _until_applied(stage, count)
                figures[f"ours_{name}"].append(count / (time.perf_counter() - began))


async def _until_applied(stage: Stage, readings: int) -> None:
    """Wait until the target's account shows all as applied: durable there, and queryable."""
    async with stage.client(stage.target) as target:

        async def applied() -> bool:
            account = (await target.get(f"/connectors/{stage.target_id}/account"))["own"] or {}
            return bool(account.get("applied", 0) >= readings)

        await until(applied, timeout_s=_SETTLE_S, every_s=0.01, what="the target to have applied everything")


async def _nats(figures: Figures, readings: int, single: int, lookups: int, say: Callable[[str], None]) -> None:
    say("  NATS JetStream: the same readings 500 in a message, then one in a message, then requests across")
    for name, count, batch in (("stream500_per_s", readings, _BATCH), ("single_per_s", single, 1)):
        with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
            async with Nats(Path(folder)) as nats:
                payloads = _payloads(count, batch)
                figures[f"nats_{name}"].append(count / await nats.stream_s(payloads))
                if batch == 1:
                    taken_ms = await nats.requests_ms(lookups, _WARM_UP_REQUESTS)
                    figures["nats_lookup_p50_ms"].append(statistics.median(taken_ms))


async def _mosquitto(figures: Figures, single: int, say: Callable[[str], None]) -> None:
    say("  Mosquitto: the same readings, one in a message, QoS 1")
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        async with Mosquitto(Path(folder)) as mosquitto:
            figures["mosquitto_single_per_s"].append(single / await mosquitto.stream_s(_payloads(single, 1)))


def _payloads(readings: int, batch: int) -> list[bytes]:
    """Lay out the readings of the workload as messages: an object each, or an array of so many."""
    if batch == 1:
        return list(make_bodies(readings, 1))
    return [b"[" + body.replace(b"\n", b",") + b"]" for body in make_bodies(readings, batch)]
