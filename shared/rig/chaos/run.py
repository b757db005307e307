"""One run of chaos from beginning to verdict."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from shared.errors import PairhubError
from shared.rig.chaos.faults import Faults
from shared.rig.chaos.load import BATCH_READINGS, Load
from shared.rig.chaos.looks import Looks
from shared.rig.chaos.plant import Plant
from shared.rig.chaos.verdict import judge, settle

# Long enough for the longest wait between two tries of a link, and for what piled up meanwhile.
_SETTLE_S: Final = 120.0
_SETTLE_PART: Final = 0.5
_LOOK_EVERY_S: Final = 0.5


async def measure(minutes: float, seed: int, say: Callable[[str], None], keep: Path | None = None) -> dict[str, Any]:
    """Run chaos for so many minutes, heal, wait for peace and judge; `keep`: a new folder for the data, else it is deleted.

    Raises PairhubError where a daemon does not start again, or where there is no peace in the end.
    """
    if keep is not None:
        keep.mkdir(parents=True)
        return await _run(keep, minutes, seed, say)
    with tempfile.TemporaryDirectory(prefix="pairhub-chaos-") as folder:
        return await _run(Path(folder), minutes, seed, say)


async def _run(folder: Path, minutes: float, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    chance = random.Random(seed)  # noqa: S311  # which fault comes next, not a secret
    async with Plant(folder) as plant:
        load = Load(plant, random.Random(chance.random()))  # noqa: S311  # as above
        faults = Faults(plant, random.Random(chance.random()), _with_time(say))  # noqa: S311  # as above
        looks = Looks(plant)
        try:
            settled_s = await _wreak(plant, load, faults, looks, minutes, say)
        finally:
            await looks.stop()
            await load.end()
        say("Reading everything back ...")
        verdict = await judge(plant, load, faults.restores)
        done = load.done
        mean_s, longest_s = faults.kill_every_s
        return {
            "minutes": minutes,
            "seed": seed,
            "readings": len(done.accepted) * BATCH_READINGS,
            "edits": done.edits,
            "lookups": done.lookups,
            "lookups_failed": done.lookups_failed,
            "lookups_wrong": done.lookups_wrong,
            "kills": faults.fired["kill"],
            "kill_every_s": round(mean_s, 2),
            "kill_every_s_max": round(longest_s, 2),
            "cuts": faults.fired["cut"],
            "half_open": faults.fired["half_open"],
            "slow": faults.fired["slow"],
            "disks_full": faults.fired["disk_full"],
            "clock_shifts": faults.fired["clock_shift"],
            "restores": faults.fired["restore"],
            "source_restores": sum(restore.site == "source" for restore in faults.restores),
            "lost": verdict.lost,
            "duplicated": verdict.duplicated,
            "unaccounted": verdict.unaccounted,
            "edits_unequal": verdict.edits_unequal,
            "unbalanced": looks.unbalanced,
            "looks": dict(sorted(looks.looked.items())),
            "named": verdict.named,
            "forgotten": verdict.forgotten,
            "counted_twice": verdict.counted_twice,
            "settled_s": round(settled_s, 1),
            "unanswered": done.unanswered,
            "refusals": dict(sorted(done.refusals.items())),
            "samples": [*verdict.samples, *looks.samples],
            "clean": verdict.clean and not done.lookups_wrong and not looks.unbalanced,
        }


async def _wreak(
    plant: Plant, load: Load, faults: Faults, looks: Looks, minutes: float, say: Callable[[str], None]
) -> float:
    """Let it all happen, heal and wait for peace; return how long that took, seconds."""
    load.start()
    faults.start()
    looks.start()
    try:
        await _watch(load, faults, looks, minutes * 60)
    finally:
        say("Healing ...")
        await load.stop()
        await faults.heal()
    began_s = time.monotonic()
    timeout_s = _SETTLE_S + _SETTLE_PART * minutes * 60
    await load.finish(timeout_s)
    await settle(plant, timeout_s)
    return time.monotonic() - began_s


async def _watch(load: Load, faults: Faults, looks: Looks, seconds: float) -> None:
    """Let it run, and end it early where a part of it failed."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        await asyncio.sleep(min(_LOOK_EVERY_S, left_s))
        if (error := faults.failed() or load.failed() or looks.failed()) is not None:
            raise PairhubError(f"chaos was broken off: {error}") from error


def _with_time(say: Callable[[str], None]) -> Callable[[str], None]:
    began_s = time.monotonic()
    return lambda text: say(f"{time.monotonic() - began_s:7.1f} s  {text}")
