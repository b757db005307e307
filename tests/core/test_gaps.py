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


def test_numbers_with_others_between_them_make_several_notices_that_each_fit_and_together_name_all() -> None:
    tally = GapTally("byte_cap")
    alternate = range(1, 60_000, 2)
    for number in alternate:
        tally.number(1 << 62, number)
    for number in (alternate[0], alternate[-1]):
        tally.batch([series(number)], of=(1 << 62, number))
    notices = tally.notices("g", 9)
    assert len({notice.gap_id for notice in notices}) == len(notices) > 2
    assert all(len(encode_entry(GapEntry(notice))) < CONTROL_ENTRY_BYTES_MAX for notice in notices)
    named = [number for notice in notices for _, flat in notice.epochs for number in IntervalSet(flat)]
    assert named == list(alternate)
    assert sum(notice.count or 0 for notice in notices) == 2
    later = GapTally("byte_cap").taken_back
    for epoch, number, share in tally.shares("g"):
        later.add(epoch, number, share)
    assert set(later.gap_ids) == {notices[0].gap_id, notices[-1].gap_id}
    first, last = later.corrected(notices[0]), later.corrected(notices[-1])
    assert (first.count, first.taken_back, first.epochs[0][1][0], last.epochs[0][1][-1]) == (0, 2, 3, 59_997)


def test_n4_what_arrived_after_all_leaves_the_rows_and_the_count_and_the_numbers_of_its_notice() -> None:
    tally = GapTally("retention")
    for number in (1, 2, 3):
        tally.number(5, number)
    tally.batch([series(7, 8), series(1, device="e")], of=(5, 1))
    tally.batch([series(9)], of=(5, 2))
    tally.bare(4, 100, of=(5, 3))
    (notice,) = tally.notices("g", 9)
    shares = {number: share for _, number, share in tally.shares("g")}
    later = GapTally("retention").taken_back
    later.add(5, 1, shares[1])
    assert later.gap_ids == ["g"]
    once = later.corrected(notice)
    assert (once.count, once.taken_back, once.epochs) == (5, 3, [(5, [2, 3])])
    assert [(row.device, row.count) for row in once.rows] == [("d", 1), ("e", 0)]
    rest = GapTally("retention").taken_back
    rest.add(5, 2, shares[2])
    rest.add(5, 3, shares[3])
    nothing = rest.corrected(once)
    assert (nothing.count, nothing.taken_back, nothing.named, nothing.epochs) == (0, 8, [], [])


def test_n4_shares_find_their_rows_in_whichever_notice_they_are() -> None:
    tally = GapTally("retention")
    many = GAP_ROWS_MAX + 3
    tally.batch([series(at, device=f"{at:06}") for at in range(many)], of=(5, 1))
    notices = {notice.gap_id: notice for notice in tally.notices("g", 9)}
    ((_, _, share),) = tally.shares("g")
    later = GapTally("retention").taken_back
    later.add(5, 1, share)
    assert sorted(later.gap_ids) == sorted(notices)
    assert len(notices) > 1
    assert sum(later.corrected(notices[gap_id]).taken_back for gap_id in later.gap_ids) == many
    assert all(later.corrected(notices[gap_id]).count == 0 for gap_id in later.gap_ids)


def test_n4_a_segment_made_again_counts_what_the_account_says_and_not_all_that_it_carries() -> None:
    tally = GapTally("retention")
    tally.batch([series(1, 2, 3), series(4, device="e")], count=2, of=(5, 1))
    tally.batch([series(9)], count=3, of=(5, 2))
    (notice,) = tally.notices("g", 9)
    assert (notice.count, [row.count for row in notice.rows]) == (5, [3, 0])
