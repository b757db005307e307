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
    guard.on_hub_time(NOW_MS + DAY_MS + 1_500, NOW_MS + DAY_MS + 1_000, 1_000)
    assert not guard.in_doubt


def test_a_clock_that_jumps_back_by_itself_is_believed_again() -> None:
    guard = ticking()
    guard.on_tick(NOW_MS - 3 * HOUR_MS, 0)
    assert guard.in_doubt
    guard.on_tick(NOW_MS + 1_000, 1_000)
    assert not guard.in_doubt


def test_a_hub_or_a_peer_that_disagrees_raises_doubt_until_it_agrees() -> None:
    guard = ticking()
    guard.on_hub_time(NOW_MS + 2 * HOUR_MS, NOW_MS, 0)
    assert guard.in_doubt
    guard.on_hub_time(NOW_MS, NOW_MS, 0)
    guard.on_peer_time(NOW_MS - 2 * HOUR_MS, NOW_MS, 0)
    assert guard.in_doubt
    guard.on_peer_time(NOW_MS, NOW_MS, 0)
    assert not guard.in_doubt


def test_what_the_hub_said_is_followed_as_our_clock_is_set_right_or_wrong_under_a_living_link() -> None:
    guard = ticking()
    guard.on_hub_time(NOW_MS + 3 * HOUR_MS, NOW_MS, 0)
    assert guard.in_doubt
    guard.on_tick(NOW_MS + 3 * HOUR_MS + 1_000, 1_000)  # somebody sets our clock right
    assert (guard.in_doubt, guard.hub_off_ms) == (False, 0)
    guard.on_tick(NOW_MS + 300 * DAY_MS, 2_000)
    assert guard.in_doubt


def test_a_jump_just_before_the_hub_says_the_time_is_not_taken_off_twice() -> None:
    guard = ticking()
    guard.on_hub_time(NOW_MS + 1_000 - 40 * DAY_MS, NOW_MS + 1_000, 1_000)
    assert guard.in_doubt
    right_ms = NOW_MS + 2_000 - 40 * DAY_MS
    guard.on_hub_time(right_ms, right_ms, 2_000)  # set right since the last look
    guard.on_tick(right_ms + 1_000, 3_000)
    assert (guard.in_doubt, guard.hub_off_ms) == (False, 0)


def test_a_clock_that_drifts_away_in_small_steps_is_doubted_once_it_is_an_hour_off() -> None:
    guard = ticking()
    guard.on_hub_time(NOW_MS, NOW_MS, 0)
    for at in range(1, 13):
        guard.on_tick(NOW_MS + at * (CLOCK_JUMP_MS_MAX // 12 + 1_000), 1_000 * at)
    assert not guard.in_doubt
    guard.on_tick(NOW_MS + 14 * (CLOCK_JUMP_MS_MAX // 12), 13_000)
    assert guard.in_doubt


def test_a_start_long_after_or_before_the_last_run_is_doubted_until_somebody_says_the_time() -> None:
    for away_ms in (365 * DAY_MS, -2 * HOUR_MS):
        guard = ClockGuard()
        guard.on_start(NOW_MS + away_ms, NOW_MS)
        guard.on_tick(NOW_MS + away_ms, 0)
        assert (guard.in_doubt, guard.was_away, guard.jumped_ms) == (True, True, away_ms)
        guard.on_peer_time(NOW_MS + away_ms + 5_000, NOW_MS + away_ms, 0)
        assert (guard.in_doubt, guard.was_away) == (False, False)


def test_a_short_rest_is_no_doubt_and_a_lone_site_may_rest_longer() -> None:
    short, lone = ClockGuard(), ClockGuard()
    short.on_start(NOW_MS + CLOCK_JUMP_MS_MAX, NOW_MS)
    lone.on_start(NOW_MS + 20 * DAY_MS, NOW_MS, away_ms_max=30 * DAY_MS)
    assert (short.in_doubt, lone.in_doubt) == (False, False)
    lone.on_start(NOW_MS - 2 * HOUR_MS, NOW_MS, away_ms_max=30 * DAY_MS)
    assert lone.in_doubt


def test_a_person_who_knows_the_time_ends_the_doubt_about_a_jump_and_no_other() -> None:
    guard = ticking()
    guard.on_tick(NOW_MS + DAY_MS, 0)
    guard.on_confirmed()
    assert not guard.in_doubt
    guard.on_hub_time(NOW_MS, NOW_MS + DAY_MS, 0)
    guard.on_confirmed()
    assert guard.in_doubt
