"""Interval sets behave as sets of numbers."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.intervals import IntervalSet

numbers = st.sets(st.integers(0, 60), max_size=40)


def interval_set(members: set[int]) -> IntervalSet:
    made = IntervalSet()
    for number in members:
        made.add(number)
    return made


@given(numbers)
def test_a_set_holds_what_was_added_in_the_fewest_intervals(members: set[int]) -> None:
    made = interval_set(members)
    assert list(made) == sorted(members)
    assert len(made) == len(members)
    assert bool(made) == bool(members)
    assert made.highest == max(members, default=0)
    flat = made.flat()
    assert all(high + 1 < low for high, low in zip(flat[1::2], flat[2::2], strict=False))
    assert IntervalSet(flat) == made


@given(numbers, numbers)
def test_union_and_difference_are_those_of_sets(left: set[int], right: set[int]) -> None:
    union = interval_set(left)
    union.update(interval_set(right))
    assert set(union) == left | right
    assert set(interval_set(left).minus(interval_set(right))) == left - right


@given(numbers, st.integers(0, 60))
def test_adding_and_discarding_one_number_changes_that_one_only(members: set[int], number: int) -> None:
    made = interval_set(members)
    assert made.add(number) == (number not in members)
    assert number in made
    made.discard(number)
    assert set(made) == members - {number}


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 12)), max_size=12))
def test_ranges_in_any_order_make_the_same_set(ranges: list[tuple[int, int]]) -> None:
    made = IntervalSet()
    members: set[int] = set()
    for low, more in ranges:
        made.add_range(low, low + more)
        members |= set(range(low, low + more + 1))
    assert set(made) == members
    assert made == interval_set(members)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        IntervalSet().add_range(5, 4)


def test_half_an_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        IntervalSet([1, 2, 3])


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=80))
def test_a_set_made_of_intervals_in_any_order_is_the_one_they_were_put_into(ranges: list[tuple[int, int]]) -> None:
    made = IntervalSet()
    for low, more in ranges:
        made.add_range(low, low + more)
    assert IntervalSet([end for low, more in ranges for end in (low, low + more)]) == made


def test_an_empty_interval_among_others_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        IntervalSet([9, 9, 5, 4, 1, 1])


_MANY = 160_000


def _seconds(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began


def test_many_intervals_between_many_others_cost_no_more_than_a_pass_over_both() -> None:
    evens = IntervalSet([end for each in range(_MANY) for end in (4 * each, 4 * each)])
    odds = IntervalSet([end for each in range(_MANY) for end in (4 * each + 2, 4 * each + 2)])
    assert _seconds(lambda: evens.update(odds)) < 1.5  # one by one: four to five seconds
    assert len(evens) == 2 * _MANY


def test_many_intervals_in_falling_order_cost_no_more_than_sorting_them() -> None:
    falling = [end for each in range(_MANY, 0, -1) for end in (4 * each, 4 * each)]
    assert _seconds(lambda: IntervalSet(falling)) < 1.5  # one by one: four to five seconds
