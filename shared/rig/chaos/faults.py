"""The faults of chaos: what is done to the three daemons and to the network between them, when, and undone again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import psutil

from shared.errors import PairhubError
from shared.limits import DAY_MS, HOUR_MS
from shared.rig.chaos.plant import Machine, Plant
from shared.rig.chaos.weighing import Restore

_KILL_EVERY_S: Final = (2.0, 10.0)
_DOWN_S: Final = (0.0, 1.5)
_NETWORK_EVERY_S: Final = (1.0, 6.0)
_CUT_S: Final = (0.1, 3.0)
_FROZEN_S: Final = (1.0, 8.0)
_SLOW_S: Final = (2.0, 6.0)
_SLOW_BYTES_PER_S: Final = (20_000, 200_000)
_DISK_EVERY_S: Final = (8.0, 20.0)
_DISK_FULL_S: Final = (0.5, 3.0)
_CLOCK_EVERY_S: Final = (8.0, 20.0)
_CLOCK_WRONG_S: Final = (1.0, 6.0)
_NETWORK_FAULTS: Final = ("cut", "drop", "half_open", "slow")
_FREE_AGAIN_S: Final = 0.02
# Of the kills of a site: how many leave a copy of its data behind, and how many go on from the last copy. The first of a
# site always leaves one, and a run's first of a site with a copy goes on from it.
_COPIED: Final = 0.4
_RESTORED: Final = 0.12
# No file may grow beyond this while the disk is "full". Files that are larger already can still be changed inside.
_FULL_BYTES: Final = 4_096
_CLOCK_OFF_MS: Final = (-365 * DAY_MS, -3 * HOUR_MS, -2 * HOUR_MS, 2 * HOUR_MS, 30 * HOUR_MS, 365 * DAY_MS)


class Faults:
    """`start`, and later `heal`: all daemons run, links are whole, disks have room and clocks are right."""

    def __init__(self, plant: Plant, chance: random.Random, say: Callable[[str], None]) -> None:
        self._plant = plant
        self._chance = chance
        self._say = say
        self.fired: Counter[str] = Counter()
        self.restores: list[Restore] = []
        self._killed_s: list[float] = []
        self._copied: dict[str, tuple[float, int]] = {}  # when, and how many readings of it are in the tail
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin. Each kind has a chance of its own: the seed decides about it whatever the others meet."""
        self._begin(self._kill_on_and_on)
        self._begin(self._every(_DISK_EVERY_S, self._fill_disk))
        self._begin(self._every(_CLOCK_EVERY_S, self._shift_clock))
        for site in self._plant.sites:
            self._begin(self._every(_NETWORK_EVERY_S, self._network(site)))

    def _begin(self, fault: Callable[[random.Random], Coroutine[Any, Any, None]]) -> None:
        chance = random.Random(self._chance.random())  # noqa: S311  # which fault comes next, not a secret
        self._tasks.append(asyncio.create_task(fault(chance)))

    @property
    def kill_every_s(self) -> tuple[float, float]:
        """From one kill to the next, seconds: the mean and the longest; 0 where there were not two."""
        waits_s = [after - before for before, after in itertools.pairwise(self._killed_s)]
        return (sum(waits_s) / len(waits_s), max(waits_s)) if waits_s else (0.0, 0.0)

    def failed(self) -> BaseException | None:
        """Return what ended the faults before their time: a daemon that did not start again, or ended by itself."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                return task.exception()
        for machine in self._plant.machines:
            if not machine.held.locked() and not machine.daemon.running:
                return PairhubError(f"{machine.name} ended by itself, see {machine.daemon.log_path}")
        return None

    async def heal(self) -> None:
        """Do no more, and undo what was done. Raises DaemonFailed where a daemon does not start again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for machine in self._plant.machines:
            machine.set_clock(0)
            if machine.proxy is not None:
                machine.proxy.mend()
            if machine.held.locked():
                await machine.daemon.kill()  # it was about to be: it may seem to run, and be dead
            if not machine.daemon.running:
                await self._bring_back(machine)

    def _every(
        self, between_s: tuple[float, float], fault: Callable[[random.Random], Coroutine[Any, Any, None]]
    ) -> Callable[[random.Random], Coroutine[Any, Any, None]]:
        async def on_and_on(chance: random.Random) -> None:
            while True:
                await _some_time(chance, between_s)
                await fault(chance)

        return on_and_on

    async def _take_free(self, chance: random.Random) -> Machine:
        """Take a machine that nobody holds; `held` is to be released."""
        while True:
            if free := [machine for machine in self._plant.machines if not machine.held.locked()]:
                machine = chance.choice(free)
                await machine.held.acquire()  # at once: nobody waits for one that is held
                return machine
            await asyncio.sleep(_FREE_AGAIN_S)

    # --- processes ----------------------------------------------------------------------------------------------------

    async def _kill_on_and_on(self, chance: random.Random) -> None:
        """Kill, counted from the kill before: a machine that takes its time to come back does not keep the others alive."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += chance.uniform(*_KILL_EVERY_S)
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            machine = await self._take_free(chance)
            due_s = loop.time()
            self._killed_s.append(due_s)
            await machine.daemon.kill()
            self._note("kill", machine)
            if machine in self._plant.sites:
                self._copy_or_restore(machine, chance)
            self._tasks.append(asyncio.create_task(self._return_later(machine, chance.uniform(*_DOWN_S))))

    def _copy_or_restore(self, machine: Machine, chance: random.Random) -> None:
        restored, copied = chance.random() < _RESTORED, chance.random() < _COPIED
        if machine.has_copy and (restored or not self.restores):
            machine.restore_copy()
            copied_s, unsealed = self._copied[machine.name]
            side = "source" if machine is self._plant.source else "target"
            self.restores.append(Restore(side, copied_s, math.inf, unsealed))
            self._note("restore", machine)
        elif copied or not machine.has_copy:
            machine.take_copy()
            self._copied[machine.name] = asyncio.get_running_loop().time(), machine.unsealed_in_copy()

    async def _return_later(self, machine: Machine, down_s: float) -> None:
        try:
            await asyncio.sleep(down_s)
            await self._bring_back(machine)
        finally:
            machine.held.release()

    async def _bring_back(self, machine: Machine) -> None:
        """Start it: from here on its answers are about what it was put back to, if it was."""
        side = "source" if machine is self._plant.source else "target"
        for restore in self.restores:
            if restore.site == side and math.isinf(restore.restored_s):
                restore.restored_s = asyncio.get_running_loop().time()
        await machine.daemon.start()

    # --- disks and clocks ---------------------------------------------------------------------------------------------

    async def _fill_disk(self, chance: random.Random) -> None:
        machine = await self._take_free(chance)
        try:
            process = psutil.Process(machine.daemon.pid)
            _, most = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (_FULL_BYTES, most))
            self._note("disk_full", machine)
            try:
                await _some_time(chance, _DISK_FULL_S)
            finally:
                with contextlib.suppress(psutil.Error):  # it may have ended by itself; heal and the verdict will tell
                    process.rlimit(psutil.RLIMIT_FSIZE, (most, most))
        finally:
            machine.held.release()

    async def _shift_clock(self, chance: random.Random) -> None:
        machine = chance.choice(self._plant.machines)
        machine.set_clock(chance.choice(_CLOCK_OFF_MS))
        self._note("clock_shift", machine)
        try:
            await _some_time(chance, _CLOCK_WRONG_S)
        finally:
            machine.set_clock(0)

    # --- the network --------------------------------------------------------------------------------------------------

    def _network(self, site: Machine) -> Callable[[random.Random], Coroutine[Any, Any, None]]:
        proxy = site.proxy
        assert proxy is not None
        kinds = _shuffled(_NETWORK_FAULTS)

        async def fault(chance: random.Random) -> None:
            match kinds(chance):
                case "cut":
                    proxy.cut()
                    self._note("cut", site)
                    await _some_time(chance, _CUT_S)
                case "drop":
                    proxy.drop()
                    self._note("cut", site)
                case "half_open":
                    proxy.freeze()
                    self._note("half_open", site)
                    await _some_time(chance, _FROZEN_S)
                case _:
                    proxy.slow_bytes_per_s = chance.randint(*_SLOW_BYTES_PER_S)
                    self._note("slow", site)
                    await _some_time(chance, _SLOW_S)
            proxy.mend()

        return fault

    def _note(self, fault: str, machine: Machine) -> None:
        self.fired[fault] += 1
        self._say(f"{fault.replace('_', ' ')}: {machine.name}")


def _some_time(chance: random.Random, between_s: tuple[float, float]) -> Coroutine[Any, Any, None]:
    return asyncio.sleep(chance.uniform(*between_s))


def _shuffled(kinds: tuple[str, ...]) -> Callable[[random.Random], str]:
    """Return what draws one after another, each kind once before any comes again: none is left out of a short run."""
    left: list[str] = []

    def draw(chance: random.Random) -> str:
        if not left:
            left.extend(chance.sample(kinds, len(kinds)))
        return left.pop()

    return draw
