"""How a daemon's memory is given back: settings of glibc's allocator, for memory that follows what is in use (DESIGN G8).

By default each thread takes memory from a heap of its own, and a heap gives back what is free at its end only, if that is
much; how much that is grows with the blocks that are freed. A site folds history in one thread and commits in another, in
blocks of some megabytes: what one has freed the other cannot use, and the longer a daemon runs the more of it there is.
"""

from __future__ import annotations

import ctypes
from typing import Final

# From malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

# glibc's own values to begin with. Set by hand they stay as they are: a greater block always goes back once it is freed.
_GIVEN_BACK_BYTES_MIN: Final = 128 * 1024


def give_memory_back() -> None:
    """Let all threads share one heap, and let what is freed go back to the system; for a process that has no threads yet.

    Does nothing where the C library knows nothing of it.
    """
    settings = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _GIVEN_BACK_BYTES_MIN), (_TRIM_THRESHOLD, _GIVEN_BACK_BYTES_MIN))
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; no library of that kind at all
        return
    for option, value in settings:
        set_option(option, value)
