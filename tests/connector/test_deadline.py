"""A deadline that moves with each commit: who waits for it wakes when it has come, and only then."""

from __future__ import annotations

import asyncio

from connector.deadline import Deadline
from shared.clock import SystemClock


async def waiting(deadline: Deadline) -> asyncio.Task[None]:
    task = asyncio.ensure_future(deadline.wait())
    await asyncio.sleep(0)
    return task


async def test_a_deadline_that_moves_nearer_is_kept() -> None:
    clock = SystemClock()
    deadline = Deadline(clock)
    deadline.move(clock.wall_ms() + 60_000)
    task = await waiting(deadline)
    deadline.move(clock.wall_ms() + 20)
    due_ms = clock.wall_ms() + 20
    await asyncio.wait_for(task, 5)
    assert clock.wall_ms() >= due_ms - 1


async def test_a_deadline_that_moves_further_away_wakes_nobody_before() -> None:
    clock = SystemClock()
    deadline = Deadline(clock)
    deadline.move(clock.wall_ms() + 10)
    task = await waiting(deadline)
    later_ms = clock.wall_ms() + 120
    deadline.move(later_ms)
    await asyncio.wait_for(task, 5)
    assert clock.wall_ms() >= later_ms


async def test_a_deadline_in_the_past_has_come() -> None:
    deadline = Deadline(SystemClock())
    deadline.move(0)
    await asyncio.wait_for(deadline.wait(), 5)
    deadline.move(None)
    task = await waiting(deadline)
    deadline.move(0)
    await asyncio.wait_for(task, 5)
