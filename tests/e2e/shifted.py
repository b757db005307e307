"""The command line with clocks that a test can set forward: `shifted.py FILE hub serve ...`.

FILE holds 8 bytes, the milliseconds to add to both clocks, read anew each time they are asked.
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

from pairhub import main
from shared.clock import SystemClock

_path = Path(sys.argv.pop(1))
with _path.open("rb") as _file:
    _shift = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
_wall_ms, _monotonic_ms = SystemClock.wall_ms, SystemClock.monotonic_ms


def _ahead_ms() -> int:
    return int.from_bytes(_shift[:8], "little")


SystemClock.wall_ms = lambda self: _wall_ms(self) + _ahead_ms()  # type: ignore[method-assign]
SystemClock.monotonic_ms = lambda self: _monotonic_ms(self) + _ahead_ms()  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
