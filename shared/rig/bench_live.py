"""`pairhub bench live`: how long one reading takes from accepted at the source to applied at the target, at a steady pace.

One reading per request at a fixed rate, each due at its moment whether or not the one before is back (so that a hiccup is
not hidden by waiting for it). *Accepted* is the moment the answer of the request is read here; *applied* the moment the
target's stream of events, which tells of committed readings only, has told of it. Both clients are plain sockets.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from shared.errors import PairhubError
from shared.rig.bench_stream import Stage
from shared.rig.client import until
from shared.rig.live_readings import ReadingPoster, listen, quantile

_WARM_UP_S: Final = 2.0
_LAST_S: Final = 10.0
_RESOURCE: Final = "resource-0"


async def measure(readings: int, per_s: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError."""
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        async with Stage(Path(folder)) as stage:
            warm_up = round(_WARM_UP_S * per_s)
            applied_s: dict[int, float] = {}
            accepted_s: dict[int, float] = {}
            sent_s: dict[int, float] = {}
            poster = await ReadingPoster.open(stage.source, stage.source_id, _RESOURCE)
            # The first reading makes the device on both sides, whose arrival is not what is measured.
            await poster.post(_first_ms() - 1, 0)
            listening = asyncio.Event()
            listener = asyncio.ensure_future(listen(stage.target, stage.target_id, _RESOURCE, applied_s, listening))
            await asyncio.wait_for(listening.wait(), 30)
            say(f"Sending {readings} readings at {per_s:g}/s ...")
            try:
                await _send(poster, warm_up + readings, per_s, sent_s, accepted_s)
                await _until_all(applied_s, sent_s)
            finally:
                listener.cancel()
                poster.close()
    timed = sorted(sent_s)[warm_up:]
    lost = [at for at in timed if at not in applied_s]
    # An answer and its event may overtake each other on their ways back here.
    accepted_ms = [max(0.0, applied_s[at] - accepted_s[at]) * 1_000 for at in timed if at in applied_s]
    whole_ms = [(applied_s[at] - sent_s[at]) * 1_000 for at in timed if at in applied_s]
    return {
        "readings": readings,
        "per_s": per_s,
        "p50_ms": quantile(accepted_ms, 0.50),
        "p99_ms": quantile(accepted_ms, 0.99),
        "sent_p50_ms": quantile(whole_ms, 0.50),
        "sent_p99_ms": quantile(whole_ms, 0.99),
        "lost": len(lost),
        "cpu_count": psutil.cpu_count(),
    }


def _first_ms() -> int:
    return int(time.time() * 1_000) - 86_400_000


async def _send(
    poster: ReadingPoster, count: int, per_s: float, sent_s: dict[int, float], accepted_s: dict[int, float]
) -> None:
    loop = asyncio.get_running_loop()
    first_ms, began = _first_ms(), loop.time()
    for at in range(count):
        wait_s = began + at / per_s - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        # Where the machine lags behind, the wait counts: the reading was due earlier.
        sent_s[first_ms + at] = time.perf_counter() + min(0.0, wait_s)
        await poster.post(first_ms + at, at)
        accepted_s[first_ms + at] = time.perf_counter()


async def _until_all(applied_s: dict[int, float], sent_s: dict[int, float]) -> None:
    """Give the last ones time to arrive; what has not is counted as lost."""

    async def all_arrived() -> bool:
        # The reading that made the device may be told of, too.
        return sent_s.keys() <= applied_s.keys()

    with suppress(PairhubError):
        await until(all_arrived, timeout_s=_LAST_S)
