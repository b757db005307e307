"""A deadline by the wall clock that moves with each commit, and the one who waits for it."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from shared.clock import Clock
from shared.limits import SECOND_MS

# Waiting longer than this would miss a wall clock that somebody sets forward.
_WAIT_MS_MAX: Final = 30 * SECOND_MS


class Deadline:
    """Used on the event loop only, by one who waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None  # while somebody waits
        self._timer_due_ms: float = inf
        self._wait_until_ms: float = 0  # by the clock that nobody sets
        self._come = asyncio.Event()

    def move(self, due_ms: int | None) -> None:
        """It is due at another time now, ms since 1970; None for never.

        One that moved further away is found when the timer fires, for setting a timer costs each commit.
        """
        self._due_ms = due_ms
        if self._timer is not None and due_ms is not None and due_ms < self._timer_due_ms:
            self._arm()

    async def wait(self) -> None:
        """Return when it has come, wherever it moves meanwhile, or after so long that a clock may have been set."""
        self._come.clear()
        self._wait_until_ms = self._clock.monotonic_ms() + _WAIT_MS_MAX
        self._arm()
        try:
            await self._come.wait()
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_ms = self._wait_until_ms - self._clock.monotonic_ms()
        self._timer_due_ms = inf
        if self._due_ms is not None:
            wait_ms = min(wait_ms, self._due_ms - self._clock.wall_ms())
            self._timer_due_ms = self._due_ms
        self._timer = asyncio.get_running_loop().call_later(max(0.0, wait_ms) / SECOND_MS, self._on_timer)

    def _on_timer(self) -> None:
        """Look whether it has come: it may have moved further away."""
        is_due = self._due_ms is not None and self._due_ms <= self._clock.wall_ms()
        if is_due or self._clock.monotonic_ms() >= self._wait_until_ms:
            self._come.set()
        else:
            self._arm()
