"""By how much a wall clock was moved between two looks at it."""

from __future__ import annotations

import pytest

from shared.core.ages import Ages
from shared.limits import CLOCK_JUMP_MS_MAX, DAY_MS, HOUR_MS

NOW_MS = 1_795_000_000_000


@pytest.mark.parametrize("moved_ms", [2 * HOUR_MS, -2 * HOUR_MS, 365 * DAY_MS, -365 * DAY_MS])
def test_a_clock_that_was_set_has_moved_by_what_the_monotonic_clock_does_not_know_of(moved_ms: int) -> None:
    ages = Ages()
    assert ages.on_tick(NOW_MS, 5_000) == 0
    assert ages.on_tick(NOW_MS + 1_000 + moved_ms, 6_000) == moved_ms
    assert ages.on_tick(NOW_MS + 2_000 + moved_ms, 7_000) == 0


def test_time_that_passes_and_small_corrections_move_nothing() -> None:
    ages = Ages()
    ages.on_tick(NOW_MS, 0)
    assert ages.on_tick(NOW_MS + DAY_MS, DAY_MS) == 0
    assert ages.on_tick(NOW_MS + DAY_MS + CLOCK_JUMP_MS_MAX, DAY_MS) == 0


def test_a_move_is_found_again_after_what_followed_from_it_was_undone() -> None:
    ages = Ages()
    ages.on_tick(NOW_MS, 0)
    assert ages.on_tick(NOW_MS + DAY_MS, 10) == DAY_MS - 10
    ages.on_undone()
    assert ages.on_tick(NOW_MS + DAY_MS, 10) == DAY_MS - 10
    assert ages.on_tick(NOW_MS + DAY_MS, 10) == 0
