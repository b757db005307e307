"""The pairing window of a source (W1, W2, G15): minutes, three attempts, one claim at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from shared.core.tables import Table
from shared.errors import Refused
from shared.limits import CODE_ATTEMPTS, MINUTE_MS


class WindowState(Enum):
    """Where a window stands. All but the first two are final."""

    WAITING = "waiting"
    CLAIMING = "claiming"
    USED = "used"
    EXPIRED = "expired"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class WindowEvent(Enum):
    """What happens to a window."""

    ATTEMPT_COUNTED = "attempt_counted"
    CODE_WRONG = "code_wrong"
    CLAIM_LOST = "claim_lost"
    ATTEMPTS_USED_UP = "attempts_used_up"
    PROVED = "proved"
    TIME_UP = "time_up"
    CANCEL = "cancel"


_W, _C = WindowState.WAITING, WindowState.CLAIMING
WINDOW_TABLE: Final = Table(
    "pairing window",
    _W,
    {
        (_W, WindowEvent.ATTEMPT_COUNTED): _C,
        (_W, WindowEvent.TIME_UP): WindowState.EXPIRED,
        (_W, WindowEvent.CANCEL): WindowState.CANCELLED,
        (_C, WindowEvent.CODE_WRONG): _W,
        (_C, WindowEvent.CLAIM_LOST): _W,
        (_C, WindowEvent.ATTEMPTS_USED_UP): WindowState.CLOSED,
        (_C, WindowEvent.PROVED): WindowState.USED,
        (_C, WindowEvent.TIME_UP): WindowState.EXPIRED,
        (_C, WindowEvent.CANCEL): WindowState.CANCELLED,
    },
)


@dataclass(frozen=True, slots=True)
class Window:
    """One window. `code` is as written for people; it is erased (empty) in every final state."""

    window_id: bytes
    code: str
    opened_ms: int
    expires_ms: int
    attempts_left: int = CODE_ATTEMPTS
    state: WindowState = WindowState.WAITING

    @property
    def open(self) -> bool:
        """Whether a claim may still succeed."""
        return self.state in (WindowState.WAITING, WindowState.CLAIMING)

    def on_time(self, now_ms: int) -> Window:
        """Return the window as it is at a time: expired once its end is reached, or the clock is from before it."""
        over = now_ms >= self.expires_ms or now_ms < self.opened_ms - MINUTE_MS  # a clock set back would keep it open
        return _after(self, WindowEvent.TIME_UP) if self.open and over else self

    def on_knock(self, now_ms: int) -> Window:
        """Count an attempt; the result must be on disk before the claim is answered. Raises Refused."""
        current = self.on_time(now_ms)
        if current.state is WindowState.EXPIRED:
            raise Refused("window_expired")
        if current.state is WindowState.CLOSED:
            raise Refused("window_closed")
        if current.state is WindowState.CLAIMING:
            raise Refused("source_busy")
        if current.state is not WindowState.WAITING:
            raise Refused("no_such_window")
        return replace(_after(current, WindowEvent.ATTEMPT_COUNTED), attempts_left=current.attempts_left - 1)

    def on_wrong_code(self) -> Window:
        """Return the window after a proof that did not fit; closed where that was the last attempt."""
        return _after(self, WindowEvent.CODE_WRONG if self.attempts_left else WindowEvent.ATTEMPTS_USED_UP)

    def on_claim_lost(self) -> Window:
        """Return the window after a claim that was never proven (link lost, timed out): the attempt stays counted."""
        return _after(self, WindowEvent.CLAIM_LOST if self.attempts_left else WindowEvent.ATTEMPTS_USED_UP)

    def on_proved(self, now_ms: int) -> Window:
        """Return the window used up by a right code; raises Refused('window_expired') where time ran out meanwhile."""
        current = self.on_time(now_ms)
        if current.state is WindowState.EXPIRED:
            raise Refused("window_expired")
        return _after(current, WindowEvent.PROVED)

    def on_cancel(self) -> Window:
        """Return the window closed by its operator."""
        return _after(self, WindowEvent.CANCEL)


def _after(window: Window, event: WindowEvent) -> Window:
    state = WINDOW_TABLE.after(window.state, event)
    final = state not in (WindowState.WAITING, WindowState.CLAIMING)
    return replace(window, state=state, code="" if final else window.code)
