"""Keeps an eye on this machine's clock (G5): from run to run by what is stored, within a run by the monotonic clock."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from typing import Final

from connector.identity import read_meta, write_meta
from shared.clock import Clock
from shared.core.clock_guard import ClockGuard
from shared.database import Database
from shared.errors import StorageFailed
from shared.limits import CLOCK_AWAY_ALONE_MS_MAX, CLOCK_JUMP_MS_MAX, CLOCK_LOOK_S, CLOCK_NOTED_EVERY_S

_SEEN: Final = "clock_seen_ms"


class ClockWatch:
    """Feeds the guard of one site; `load` before anything can expire, then `run`, and `note` at the end."""

    def __init__(self, database: Database, clock: Clock, guard: ClockGuard, ring: Callable[[str, str], None]) -> None:
        self._database = database
        self._clock = clock
        self._guard = guard
        self._ring = ring
        self._was_in_doubt = False

    async def load(self, *, has_peers: bool) -> None:
        """Compare the time with that of the last run. A site without peers has nobody to ask, so it may rest longer.

        The first run notes it at once: doubt may come before the next note, and what is accepted in it has to be safe from a
        clock that is set while the site is down.
        """
        seen_ms = await self._database.read(lambda connection: read_meta(connection, _SEEN))
        if isinstance(seen_ms, int):
            away_ms_max = CLOCK_JUMP_MS_MAX if has_peers else CLOCK_AWAY_ALONE_MS_MAX
            self._guard.on_start(self._clock.wall_ms(), seen_ms, away_ms_max=away_ms_max)
        else:
            await self.note()

    async def run(self) -> None:
        """Look at the clocks until cancelled, and note the time now and then."""
        noted_s = 0.0
        while True:
            await asyncio.sleep(CLOCK_LOOK_S)
            self.look()
            noted_s += CLOCK_LOOK_S
            if noted_s >= CLOCK_NOTED_EVERY_S:
                noted_s = 0.0
                await self.note()

    def look(self) -> None:
        """Look at both clocks now."""
        self._guard.on_tick(self._clock.wall_ms(), self._clock.monotonic_ms())
        if self._guard.in_doubt != self._was_in_doubt:  # also through what hub or peer said since the last look
            self._was_in_doubt = self._guard.in_doubt
            self._ring("", "clock")

    def confirm(self) -> None:
        """A person says that the clock is right."""
        self.look()
        self._guard.on_confirmed()
        self._ring("", "clock")

    async def note(self) -> None:
        """Store the time for the next run, unless it is in doubt."""
        if self._guard.in_doubt:
            return

        def unit(connection: sqlite3.Connection) -> None:
            write_meta(connection, _SEEN, self._clock.wall_ms())

        with contextlib.suppress(StorageFailed):
            await self._database.write(unit)
