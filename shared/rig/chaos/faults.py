"""The faults of chaos: what is done to the three daemons and to the network between them, when, and undone again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import psutil

from shared.limits import DAY_MS, HOUR_MS
from shared.rig.chaos.plant import Machine, Plant

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
# Of the kills of a site: how many leave a copy of its data behind, and how many go on from the last copy.
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
        self.source_restored_s: list[tuple[float, float]] = []  # (when copied, when restored), monotonic
        self._copied_s: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._every(_KILL_EVERY_S, self._kill)),
            asyncio.create_task(self._every(_DISK_EVERY_S, self._fill_disk)),
            asyncio.create_task(self._every(_CLOCK_EVERY_S, self._shift_clock)),
            *(asyncio.create_task(self._every(_NETWORK_EVERY_S, self._network(site))) for site in self._plant.sites),
        ]

    def failed(self) -> BaseException | None:
        """Return what ended the faults before their time: a daemon that did not start again."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                return task.exception()
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
            if not machine.daemon.running:
                await machine.daemon.start()

    async def _every(self, between_s: tuple[float, float], fault: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*between_s))
            await fault()

    def _some_time(self, between_s: tuple[float, float]) -> Awaitable[None]:
        return asyncio.sleep(self._chance.uniform(*between_s))

    # --- processes ----------------------------------------------------------------------------------------------------

    async def _kill(self) -> None:
        machine = self._chance.choice(self._plant.machines)
        async with machine.held:
            await machine.daemon.kill()
            self._note("kill", machine)
            if machine in self._plant.sites:
                self._copy_or_restore(machine)
            await self._some_time(_DOWN_S)
            await machine.daemon.start()

    def _copy_or_restore(self, machine: Machine) -> None:
        now_s = asyncio.get_running_loop().time()
        if machine.has_copy and self._chance.random() < _RESTORED:
            machine.restore_copy()
            self._note("restore", machine)
            if machine is self._plant.source:
                self.source_restored_s.append((self._copied_s[machine.name], now_s))
        elif self._chance.random() < _COPIED:
            machine.take_copy()
            self._copied_s[machine.name] = now_s

    # --- disks and clocks ---------------------------------------------------------------------------------------------

    async def _fill_disk(self) -> None:
        machine = self._chance.choice(self._plant.machines)
        async with machine.held:
            if not machine.daemon.pid:
                return
            process = psutil.Process(machine.daemon.pid)
            _, most = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (_FULL_BYTES, most))
            self._note("disk_full", machine)
            try:
                await self._some_time(_DISK_FULL_S)
            finally:
                with contextlib.suppress(psutil.Error):  # it may have ended by itself; heal and the verdict will tell
                    process.rlimit(psutil.RLIMIT_FSIZE, (most, most))

    async def _shift_clock(self) -> None:
        machine = self._chance.choice(self._plant.machines)
        machine.set_clock(self._chance.choice(_CLOCK_OFF_MS))
        self._note("clock_shift", machine)
        try:
            await self._some_time(_CLOCK_WRONG_S)
        finally:
            machine.set_clock(0)

    # --- the network --------------------------------------------------------------------------------------------------

    def _network(self, site: Machine) -> Callable[[], Awaitable[None]]:
        proxy = site.proxy
        assert proxy is not None

        async def fault() -> None:
            match self._chance.choice(("cut", "drop", "half_open", "slow")):
                case "cut":
                    proxy.cut()
                    self._note("cut", site)
                    await self._some_time(_CUT_S)
                case "drop":
                    proxy.drop()
                    self._note("cut", site)
                case "half_open":
                    proxy.freeze()
                    self._note("half_open", site)
                    await self._some_time(_FROZEN_S)
                case _:
                    proxy.slow_bytes_per_s = self._chance.randint(*_SLOW_BYTES_PER_S)
                    self._note("slow", site)
                    await self._some_time(_SLOW_S)
            proxy.mend()

        return fault

    def _note(self, fault: str, machine: Machine) -> None:
        self.fired[fault] += 1
        self._say(f"{fault.replace('_', ' ')}: {machine.name}")
