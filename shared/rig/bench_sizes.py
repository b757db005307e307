"""What a reading costs on disk while the target is away: streamed in batches, posted one by one for a day, and real series.

All by growth of the database files of source and hub, logs included, from before the readings to where neither writes any
more. The source's own history of the same readings is part of it.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from shared.errors import PairhubError
from shared.limits import SEGMENT_READINGS_MAX
from shared.rig.bench_stream import Stage, make_bodies

# One reading of each series of the workload: they bring devices, series and the first pages of the files with them.
_SERIES: Final = 50
_REAL_BATCH: Final = 500
_REAL_RESOURCE: Final = "resource-0"

Say = Callable[[str], None]


async def measure_stream(readings: int, batch: int, say: Say) -> dict[str, float]:
    """Return the bytes of a reading of the workload, in requests of `batch`, at source (`outbox`) and hub."""
    say(f"Sizes of {readings} readings with the target unlinked ...")
    return await _grown(_earlier(), lambda: make_bodies(readings, batch), readings)


async def measure_outage(readings: int, say: Say) -> dict[str, Any]:
    """Return the same, and the count, of readings that are posted one by one, a request each."""
    say(f"Sizes of {readings} readings posted one by one with the target unlinked ...")
    return {"readings": readings, **await _grown(_earlier(), lambda: make_bodies(readings, 1), readings)}


async def measure_series(folder: Path, say: Say) -> dict[str, Any]:
    """Return the same, and the count, of series in CSV files (`timestamp,value`, UTC), a device each, in order of time."""
    lines = _read_series(folder)
    say(f"Sizes of {len(lines)} readings of {folder.name} with the target unlinked ...")
    first = list({msgspec.json.decode(line)["device"]: line for line in lines[::-1]}.values())
    rest = [line for line in lines if line not in set(first)]

    def bodies() -> Iterator[bytes]:
        waiting = iter(rest)
        while some := list(islice(waiting, _REAL_BATCH)):
            yield b"\n".join(some)

    return {"readings": len(rest), **await _grown(first, bodies, len(rest))}


def _earlier() -> list[bytes]:
    first = make_bodies(_SERIES, _SERIES, seed=2)
    return [body.replace(b'"timestamp":17', b'"timestamp":16') for body in first]


def _read_series(folder: Path) -> list[bytes]:
    """Return the lines of all files, as they would have come in; raises PairhubError."""
    found: list[tuple[int, bytes]] = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            seen: set[int] = set()
            for row in csv.DictReader(file):
                try:
                    moment = datetime.fromisoformat(row["timestamp"])
                    value = float(row["value"])
                except (KeyError, ValueError) as error:
                    raise PairhubError(f"{path.name} has no timestamp,value in a line: {error}") from error
                at_ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
                if at_ms not in seen:
                    seen.add(at_ms)
                    line = {"device": path.stem, "resource": _REAL_RESOURCE, "timestamp": at_ms, "value": value}
                    found.append((at_ms, msgspec.json.encode(line)))
    if not found:
        raise PairhubError(f"There are no CSV files with readings in {folder}.")
    return [line for _, line in sorted(found)]


async def _grown(first: list[bytes], bodies: Callable[[], Iterator[bytes]], readings: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        async with Stage(Path(folder)) as stage:
            await stage.post_made(iter(first))
            await stage.target.stop()
            before = await stage.sizes_at_rest()
            await stage.post_made(bodies())
            if readings >= SEGMENT_READINGS_MAX:  # fewer wait in the tail, and the hub hears nothing of them
                await stage.hub_at_rest()
            after = await stage.sizes_at_rest()
            return {name: round((after[name] - before[name]) / readings, 2) for name in before}
