"""The clock is watched from run to run, and from the very first one (G5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from connector.clock_watch import ClockWatch
from shared.core.clock_guard import ClockGuard
from shared.database import Database
from shared.limits import DAY_MS, HOUR_MS
from tests.connector.site_stage import SetClock

_YEAR_MS = 365 * DAY_MS


@asynccontextmanager
async def a_run(folder: Path, clock: SetClock) -> AsyncIterator[ClockGuard]:
    """A run of a daemon that is killed at its end: nothing is noted on the way out."""
    database = await Database.open(folder / "site.db", files("connector") / "sql")
    guard = ClockGuard()
    try:
        await ClockWatch(database, clock, guard, ring=lambda connector_id, what: None).load(has_peers=True)
        yield guard
    finally:
        await database.close()


@pytest.mark.parametrize("by_ms", [_YEAR_MS, -_YEAR_MS])
async def test_g5_a_clock_set_between_the_first_run_and_the_second_is_doubted_though_the_first_was_in_doubt_itself(
    tmp_path: Path, by_ms: int
) -> None:
    # Seed 1204011: a hub that was off put the whole first run in doubt, so it never noted the time, and the next one
    # believed a clock that had been set a year ahead: what waited expired.
    clock = SetClock()
    async with a_run(tmp_path, clock) as guard:
        guard.on_hub_time(clock.wall_ms() + 2 * HOUR_MS, clock.wall_ms(), clock.monotonic_ms())
        assert guard.in_doubt
    clock.now_ms += by_ms
    async with a_run(tmp_path, clock) as guard:
        assert guard.in_doubt


async def test_g5_a_restart_within_the_first_minute_doubts_nothing(tmp_path: Path) -> None:
    clock = SetClock()
    for _ in range(2):
        async with a_run(tmp_path, clock) as guard:
            assert not guard.in_doubt
