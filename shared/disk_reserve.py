"""Room on the disk that is kept for what must always be stored: acknowledgements, edits, log-ins, a way out of trouble.

A database never gives back what its file took: pages that nothing uses any more are room for what comes next. Where they
counted for nothing, a disk that a backlog had filled would never be written to again after it was delivered.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.clock import Clock
from shared.disk import nearest
from shared.limits import SECOND_MS

_LOOK_EVERY_MS: Final = SECOND_MS
# This part of the reserve has to be free outside the file all the same: what is stored goes through the log first.
_LOG_PART: Final = 0.25


class DiskReserve:
    """Tells whether the disk of a database has less room than its reserve; looks at most once a second."""

    def __init__(
        self, database: Path, reserve_bytes: int, clock: Clock, lacking: str = "no readings are taken"
    ) -> None:
        """`reserve_bytes` 0 keeps none; `lacking` says what does not happen while it is touched."""
        self.reserve_bytes = reserve_bytes
        self._database = database
        self._lacking = lacking
        self._clock = clock
        self._looked_ms = -_LOOK_EVERY_MS
        self._free_bytes: int | None = None
        self._unused_bytes = 0
        self.unused_bytes: Callable[[], int] = lambda: 0
        """Returns the room in the database's file that nothing uses; asked at most once a second, where the disk is short."""

    @property
    def free_bytes(self) -> int | None:
        """Room as last seen, None where it cannot be seen."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._looked_ms >= _LOOK_EVERY_MS:
            self._looked_ms = now_ms
            try:
                self._free_bytes = shutil.disk_usage(nearest(self._database.parent)).free
            except OSError:
                self._free_bytes = None
            is_short = self._free_bytes is not None and self._free_bytes < self.reserve_bytes
            self._unused_bytes = self.unused_bytes() if is_short else 0
        return self._free_bytes

    @property
    def is_touched(self) -> bool:
        """Whether less than the reserve is free, on the disk and in the file: then no more readings, or copies, are taken."""
        free_bytes = self.free_bytes if self.reserve_bytes else None
        if free_bytes is None:
            return False
        return free_bytes < _LOG_PART * self.reserve_bytes or free_bytes + self._unused_bytes < self.reserve_bytes

    @property
    def problem(self) -> str:
        """The same in words; empty where there is room."""
        if not self.is_touched:
            return ""
        free, reserve = (f"{size / 2**20:.1f} MiB" for size in (self._free_bytes or 0, self.reserve_bytes))
        return (
            f"the disk of {self._database} has {free} left, less than its reserve of {reserve} (disk_reserve_bytes): "
            f"{self._lacking}. Make room; it goes on by itself"
        )
