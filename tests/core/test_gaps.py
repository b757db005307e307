"""Gap notices: complete counts, and never larger than what carries them (G1)."""

from __future__ import annotations

from shared.core.entries import GapEntry, encode_entry
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.limits import CONTROL_ENTRY_BYTES_MAX, GAP_ROWS_MAX
from tests.core.stores import series


def test_nothing_given_up_makes_no_notice() -> None:
    assert GapTally("retention").notices("g", 9) == []


def test_a_notice_counts_by_series_and_names_its_numbers() -> None:
    tally = GapTally("retention")
    tally.number(5, 1)
    tally.number(5, 2)
    tally.batch([series(7, 3), series(1, device="e")])
    tally.batch([series(9)])
    tally.bare(4, 100)
    (notice,) = tally.notices("g", 9)
    assert (notice.count, notice.first_ms, notice.last_ms) == (8, 1, 100)
    assert [(row.device, row.count, row.first_ms, row.last_ms) for row in notice.rows] == [
        ("d", 3, 3, 9),
        ("e", 1, 1, 1),
    ]
    assert notice.epochs == [(5, IntervalSet([1, 2]).flat())]


def test_many_series_with_long_names_make_several_notices_that_each_fit_and_together_count_all() -> None:
    tally = GapTally("retention")
    tally.number(5, 1)
    many = GAP_ROWS_MAX * 2 + 7
    tally.batch([series(at, device=f"{at:06}" + "ö" * 250, resource="r" * 128) for at in range(many)])
    notices = tally.notices("g", 9)
    assert len({notice.gap_id for notice in notices}) == len(notices) > 2
    assert sum(notice.count or 0 for notice in notices) == many == sum(len(notice.rows) for notice in notices)
    assert [notice.epochs for notice in notices if notice.epochs] == [[(5, [1, 1])]]
    assert all(len(encode_entry(GapEntry(notice))) < CONTROL_ENTRY_BYTES_MAX for notice in notices)
