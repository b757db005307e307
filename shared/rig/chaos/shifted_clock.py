"""A daemon whose wall clock can be set wrong from outside: `python -m shared.rig.chaos.shifted_clock FILE hub serve ...`.

FILE holds a signed 64-bit number, the milliseconds that the wall clock is wrong by, read anew each time the clock is
asked. The monotonic clock stays as it is, as it does when a machine's time is set.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
from pathlib import Path
from typing import Final

from shared.clock import SystemClock

_OFF: Final = struct.Struct("<q")


def write_off(path: Path, off_ms: int) -> None:
    """Set the clock of the daemon that was started with this file wrong by so much, ms either way."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(_OFF.pack(off_ms))


def main() -> None:
    """Put the wrong clock in and run the program itself."""
    path = Path(sys.argv.pop(1))
    with path.open("rb") as file:
        off = mmap.mmap(file.fileno(), _OFF.size, access=mmap.ACCESS_READ)
    right_ms = SystemClock.wall_ms
    SystemClock.wall_ms = lambda self: right_ms(self) + _OFF.unpack(off[: _OFF.size])[0]  # type: ignore[method-assign]
    runpy.run_module("pairhub", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
