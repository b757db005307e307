"""The command line with clocks that a test can set: `shifted.py FILE[@AT] hub serve ...`.

FILE begins with a signed number of 8 bytes, the milliseconds to add to both clocks, read anew each time they are asked.
Another at byte AT is added to the wall clock alone. Links that were lost are tried again after 2 s at the latest instead
of 30, as tests cut many and wait for each to come back.
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

from pairhub import main
from shared.clock import SystemClock
from shared.core import link_state
from shared.limits import SECOND_MS

_path, _, _at = sys.argv.pop(1).partition("@")
with Path(_path).open("rb") as _file:
    _shift = mmap.mmap(_file.fileno(), 0, access=mmap.ACCESS_READ)
_wall_ms, _monotonic_ms = SystemClock.wall_ms, SystemClock.monotonic_ms


def _ahead_ms(at: int) -> int:
    return int.from_bytes(_shift[at : at + 8], "little", signed=True)


def _wall_ahead_ms() -> int:
    return _ahead_ms(0) + (_ahead_ms(int(_at)) if _at else 0)


SystemClock.wall_ms = lambda self: _wall_ms(self) + _wall_ahead_ms()  # type: ignore[method-assign]
SystemClock.monotonic_ms = lambda self: _monotonic_ms(self) + _ahead_ms(0)  # type: ignore[method-assign]
vars(link_state)["BACKOFF_LAST_MS"] = 2 * SECOND_MS  # the real bound is tried in tests/core/test_link_state.py

if __name__ == "__main__":
    main()
