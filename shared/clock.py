"""The clocks of a daemon, as one thing that can be handed over and replaced."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time in ms since 1970 UTC, and a monotonic time in ms that no one can set."""

    def wall_ms(self) -> int: ...
    def monotonic_ms(self) -> int: ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Wall time, ms since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Time since some start, ms; never set, never going back, and not standing still while the machine sleeps."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
