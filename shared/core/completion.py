"""From *agreed* to *paired* (SECURITY, pairing, step 4): the source alone decides, and nothing half-made stays.

The target, pending, repeats a sealed hello. The source, pending, becomes paired by the first hello that opens, and
answers `welcome`; without one it rolls back when the window's time is over and from then on says so, signed.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from shared.core.tables import Table


class PairState(Enum):
    """Where a pair stands at one of its sides."""

    PENDING = "pending"
    PAIRED = "paired"
    ROLLED_BACK = "rolled_back"


class PairEvent(Enum):
    """What moves it."""

    HELLO_OPENED = "hello_opened"
    WELCOMED = "welcomed"
    WINDOW_OVER = "window_over"
    DISSOLVED = "dissolved"


PAIR_TABLE: Final = Table(
    "pair",
    PairState.PENDING,
    {
        (PairState.PENDING, PairEvent.HELLO_OPENED): PairState.PAIRED,
        (PairState.PENDING, PairEvent.WELCOMED): PairState.PAIRED,
        (PairState.PENDING, PairEvent.WINDOW_OVER): PairState.ROLLED_BACK,
        (PairState.PENDING, PairEvent.DISSOLVED): PairState.ROLLED_BACK,
        (PairState.PAIRED, PairEvent.HELLO_OPENED): PairState.PAIRED,
        (PairState.PAIRED, PairEvent.WELCOMED): PairState.PAIRED,
    },
)

# The grace after a window's end before a pending pair is rolled back: a claim answered in its last second completes.
ROLL_BACK_GRACE_MS: Final = 30_000
HELLO_METHOD: Final = "pair.hello"
WELCOME_ANSWER: Final = b"welcome"
