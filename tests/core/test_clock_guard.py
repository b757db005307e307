"""Doubt about the wall clock (G5): what raises it, what explains it."""

from __future__ import annotations

from shared.core.clock_guard import ClockGuard
from shared.limits import CLOCK_JUMP_MS_MAX, DAY_MS, HOUR_MS

NOW_MS = 1_763_650_000_000


def ticking() -> ClockGuard:
    guard = ClockGuard()
    guard.on_tick(NOW_MS, 0)
    return guard


def test_a_clock_that_only_ticks_is_not_in_doubt() -> None:
    guard = ticking()
    guard.on_tick(NOW_MS + DAY_MS, DAY_MS)
    assert not guard.in_doubt


def test_a_jump_of_an_hour_is_let_pass_and_of_more_is_not() -> None:
    exact, beyond = ticking(), ticking()
    exact.on_tick(NOW_MS + CLOCK_JUMP_MS_MAX, 0)
    beyond.on_tick(NOW_MS + CLOCK_JUMP_MS_MAX + 1, 0)
    assert (exact.in_doubt, beyond.in_doubt) == (False, True)


def test_doubt_lasts_until_somebody_else_agrees_with_the_new_time() -> None:
    guard = ticking()
    guard.on_tick(NOW_MS + DAY_MS, 0)
    guard.on_tick(NOW_MS + DAY_MS + 1_000, 1_000)
    assert guard.in_doubt
    guard.on_hub_time(NOW_MS + DAY_MS + 1_500, NOW_MS + DAY_MS + 1_000)
    assert not guard.in_doubt


def test_a_clock_that_jumps_back_by_itself_is_believed_again() -> None:
    guard = ticking()
    guard.on_tick(NOW_MS - 3 * HOUR_MS, 0)
    assert guard.in_doubt
    guard.on_tick(NOW_MS + 1_000, 1_000)
    assert not guard.in_doubt


def test_a_hub_or_a_peer_that_disagrees_raises_doubt_until_it_agrees() -> None:
    guard = ticking()
    guard.on_hub_time(NOW_MS + 2 * HOUR_MS, NOW_MS)
    assert guard.in_doubt
    guard.on_hub_time(NOW_MS, NOW_MS)
    guard.on_peer_time(NOW_MS - 2 * HOUR_MS, NOW_MS)
    assert guard.in_doubt
    guard.on_peer_time(NOW_MS, NOW_MS)
    assert not guard.in_doubt
