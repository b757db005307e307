"""The pairing window: every state and event, as the table has them (W1, W2, G15)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from shared.core.completion import PAIR_TABLE, PairEvent, PairState
from shared.core.window import WINDOW_TABLE, Window, WindowEvent, WindowState
from shared.errors import Misuse, Refused
from shared.limits import MINUTE_MS

OPENED_MS, EXPIRES_MS = 1_000, 61_000


def window(state: WindowState = WindowState.WAITING, attempts_left: int = 3) -> Window:
    code = "7KQ2M9XF" if state in (WindowState.WAITING, WindowState.CLAIMING) else ""
    return Window(b"w", code, OPENED_MS, EXPIRES_MS, attempts_left, state)


FINAL = (WindowState.USED, WindowState.EXPIRED, WindowState.CLOSED, WindowState.CANCELLED)


@pytest.mark.parametrize(("state", "event"), list(product(WindowState, WindowEvent)))
def test_every_move_is_either_in_the_table_or_misuse(state: WindowState, event: WindowEvent) -> None:
    if WINDOW_TABLE.allows(state, event):
        assert WINDOW_TABLE.after(state, event) is not state
        assert state not in FINAL
    else:
        with pytest.raises(Misuse):
            WINDOW_TABLE.after(state, event)


def test_no_final_state_has_a_way_out() -> None:
    assert not [move for move in WINDOW_TABLE.moves if move[0] in FINAL]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (WindowState.CLAIMING, "source_busy"),
        (WindowState.USED, "no_such_window"),
        (WindowState.CANCELLED, "no_such_window"),
        (WindowState.EXPIRED, "window_expired"),
        (WindowState.CLOSED, "window_closed"),
    ],
)
def test_a_knock_is_refused_in_its_own_words(state: WindowState, code: str) -> None:
    with pytest.raises(Refused) as caught:
        window(state).on_knock(OPENED_MS)
    assert caught.value.code == code


def test_three_wrong_codes_close_the_window_and_erase_the_code() -> None:
    present = window()
    for left in (2, 1, 0):
        present = present.on_knock(OPENED_MS)
        assert present.attempts_left == left
        present = present.on_wrong_code()
    assert present.state is WindowState.CLOSED
    assert present.code == ""
    with pytest.raises(Refused, match="three wrong codes"):
        present.on_knock(OPENED_MS)


def test_a_claim_that_is_never_proven_uses_its_attempt_up() -> None:
    present = window()
    for _ in range(3):
        present = present.on_knock(OPENED_MS).on_claim_lost()
    assert present.state is WindowState.CLOSED


@pytest.mark.parametrize(("now_ms", "open_"), [(EXPIRES_MS - 1, True), (EXPIRES_MS, False), (EXPIRES_MS + 1, False)])
def test_the_end_of_a_window_is_exact(now_ms: int, open_: bool) -> None:
    assert window().on_time(now_ms).open is open_
    proved = window(WindowState.CLAIMING)
    if open_:
        assert proved.on_proved(now_ms).state is WindowState.USED
    else:
        with pytest.raises(Refused) as caught:
            proved.on_proved(now_ms)
        assert caught.value.code == "window_expired"


def test_a_clock_that_was_set_back_beyond_its_opening_ends_a_window() -> None:
    assert window().on_time(OPENED_MS - MINUTE_MS).open
    assert not window().on_time(OPENED_MS - MINUTE_MS - 1).open


@pytest.mark.parametrize("state", FINAL)
def test_time_changes_no_final_state(state: WindowState) -> None:
    assert window(state).on_time(EXPIRES_MS + 1).state is state


@pytest.mark.parametrize(
    "end",
    [lambda w: w.on_cancel(), lambda w: w.on_time(EXPIRES_MS), lambda w: w.on_knock(OPENED_MS).on_proved(OPENED_MS)],
)
def test_every_end_erases_the_code(end: Callable[[Window], Window]) -> None:
    ended = end(window())
    assert not ended.open
    assert ended.code == ""


@pytest.mark.parametrize(("state", "event"), list(product(PairState, PairEvent)))
def test_a_pair_is_never_rolled_back_once_paired_and_never_paired_once_rolled_back(
    state: PairState, event: PairEvent
) -> None:
    if not PAIR_TABLE.allows(state, event):
        with pytest.raises(Misuse):
            PAIR_TABLE.after(state, event)
        return
    after = PAIR_TABLE.after(state, event)
    assert state is not PairState.ROLLED_BACK
    if state is PairState.PAIRED:
        assert after is PairState.PAIRED


def test_diagrams_name_every_state() -> None:
    for state in WindowState:
        assert state.value in WINDOW_TABLE.mermaid()
