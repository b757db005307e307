"""The origin: numbers, keeping, sending, and the destination's word (G1 to G6)."""

from __future__ import annotations

import pytest

from connector.streams import Streams
from shared.batches import Series
from shared.core.entries import CAUSE_DESTINATION_RESTORED, CAUSE_ORIGIN_RESTORED
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.outbox import Outbox, OutboxLimits
from shared.core.ports import EpochOut
from shared.core.sending import Outgoing
from shared.errors import Refused
from shared.limits import (
    CREDIT_BYTES,
    DAY_MS,
    HOUR_MS,
    LIVE_AGE_MS,
    LIVE_IN_FLIGHT_CROWD_MAX,
    LIVE_IN_FLIGHT_MAX,
    MINUTE_MS,
    READING_VALUE_BYTES_MAX,
    SEGMENT_READINGS_MAX,
    TAIL_AGE_MS_MAX,
)
from shared.messages import LANE_BACKFILL, LANE_LIVE
from shared.sealing import Header, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, noise, open_store, rows, series, with_page_lost


def outbox(store: Streams, *, seed: int = 1, limits: OutboxLimits | None = None) -> Outbox:
    made = Outbox(keys(Side.SOURCE), CODEC, chance(seed).randbytes, limits or OutboxLimits())
    made.load(store, frozenset({"r"}))
    return made


def linked(
    store: Streams, box: Outbox, *, credit: int = CREDIT_BYTES, now_ms: int = NOW_MS, reachable: bool = True
) -> Outbox:
    box.on_link_opened(store, {}, now_ms)
    box.set_reachable(reachable)
    box.add_credit(credit)
    return box


def numbers(sent: list[Outgoing]) -> list[int]:
    return [Header.unpack(one.header).number for one in sent]


def accept(store: Streams, box: Outbox, *times_ms: int, now_ms: int = NOW_MS, resource: str = "r") -> None:
    one = series(*times_ms, resource=resource)
    row = store._catalogue.find(store._connection, "C0NNECT0", "d", resource)
    assert row is not None
    store._connection.executemany(
        "INSERT OR IGNORE INTO reading VALUES (?, ?, ?)",
        [(row.series_id, at, value) for at, value in zip(one.times_ms, one.values, strict=True)],
    )
    box.accept(store, [one], now_ms)


def state(
    store: Streams, box: Outbox, flat: list[int], *, applied: int, closed: list[int] | None = None, fresh: bool = False
) -> tuple[GapTally, GapTally]:
    (epoch,) = store.epochs_out()
    stated = EpochOut(epoch, 0, IntervalSet(flat), IntervalSet(closed or []), applied)
    tally, given_up = GapTally(CAUSE_DESTINATION_RESTORED), GapTally(CAUSE_ORIGIN_RESTORED)
    box.on_stated(store, stated, fresh=fresh, now_ms=NOW_MS, tally=tally, closed=given_up)
    assert store.ledger().balanced
    return tally, given_up


def test_readings_are_sealed_at_once_while_the_destination_is_reachable() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    accept(store, box, 1, 2)
    (sent,) = box.pump(store, NOW_MS)
    assert sent.lane == LANE_LIVE
    assert Header.unpack(sent.header).count == 2
    assert (store.ledger().outbox, store.ledger().tail) == (2, 0)


def test_readings_wait_in_the_tail_while_nobody_is_there() -> None:
    store = open_store()
    box = outbox(store)
    for at_ms in range(1, 50):
        accept(store, box, at_ms)
    assert (store.ledger().outbox, store.ledger().tail) == (0, 49)
    assert box.next_deadline_ms(store) == NOW_MS + TAIL_AGE_MS_MAX


def test_a_tail_is_sealed_when_it_is_full_or_an_hour_old() -> None:
    store = open_store()
    box = outbox(store)
    accept(store, box, *range(1, SEGMENT_READINGS_MAX))
    assert store.ledger().outbox == 0
    accept(store, box, SEGMENT_READINGS_MAX)
    assert store.ledger().tail == 0
    accept(store, box, 10**6)
    box.on_deadline(store, NOW_MS + TAIL_AGE_MS_MAX - 1)
    assert store.ledger().tail == 1
    box.on_deadline(store, NOW_MS + TAIL_AGE_MS_MAX)
    assert store.ledger().tail == 0


def test_a_trickle_is_sealed_in_full_segments() -> None:
    store = open_store()
    box = outbox(store)
    for at_ms in range(1_600):  # each with names and a frame: more than 64 KiB in all, and yet no segment's worth
        accept(store, box, at_ms)
    assert store.ledger().outbox == 0
    for at in range(240):
        accept(store, box, *range(10_000 + 90 * at, 10_000 + 90 * (at + 1)))
    segments = store.droppable_segments(0, 10)
    assert [SEGMENT_READINGS_MAX - 90 < each.count <= SEGMENT_READINGS_MAX for each in segments] == [True] * 2
    assert store.ledger().tail == 1_600 + 240 * 90 - sum(each.count for each in segments)


def test_small_accepts_gather_while_earlier_ones_are_in_flight() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    for at_ms in range(1, 40):
        accept(store, box, at_ms)
        box.pump(store, NOW_MS)
    assert store.ledger().outbox == LIVE_IN_FLIGHT_MAX
    state(store, box, [1, LIVE_IN_FLIGHT_MAX], applied=LIVE_IN_FLIGHT_MAX)
    (sent,) = box.pump(store, NOW_MS)
    assert Header.unpack(sent.header).count == 39 - LIVE_IN_FLIGHT_MAX


def test_where_many_pairs_are_at_work_small_accepts_go_on_while_a_word_is_awaited() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    box.set_crowded(True)
    for at_ms in range(1, 40):
        accept(store, box, at_ms)
        box.pump(store, NOW_MS)
    assert store.ledger().outbox == LIVE_IN_FLIGHT_CROWD_MAX


def test_a_backlog_in_flight_does_not_keep_live_readings_in_the_tail() -> None:
    store = open_store()
    box = outbox(store)
    for at_ms in range(1, 20):
        accept(store, box, at_ms, now_ms=NOW_MS - DAY_MS + at_ms * TAIL_AGE_MS_MAX)
        box.on_deadline(store, NOW_MS - DAY_MS + (at_ms + 1) * TAIL_AGE_MS_MAX)
    linked(store, box)
    assert {sent.lane for sent in box.pump(store, NOW_MS)} == {LANE_BACKFILL}
    accept(store, box, 10**6)
    assert [sent.lane for sent in box.pump(store, NOW_MS)] == [LANE_LIVE]


def test_a_resource_that_the_target_does_not_take_is_held_back_and_others_flow() -> None:
    store = open_store("r", "other")
    box = linked(store, outbox(store))
    accept(store, box, 1, resource="other")
    accept(store, box, 1)
    assert numbers(box.pump(store, NOW_MS)) == [1]
    assert store.ledger().tail == 1
    box.set_accepts(frozenset({"r", "other"}))
    assert numbers(box.pump(store, NOW_MS)) == [2]


def test_every_start_opens_a_new_epoch_and_an_undone_unit_uses_no_number_up() -> None:
    store = open_store()
    for seed in (1, 2):
        accept(store, linked(store, outbox(store, seed=seed)), seed)
    assert [(epoch.last_number) for epoch in store.epochs_out().values()] == [1, 1]
    box = linked(store, outbox(store, seed=3))
    store._connection.execute("BEGIN")
    accept(store, box, 10)
    store._connection.execute("ROLLBACK")
    store._catalogue.forget()
    box.on_link_closed()
    box.load(store, frozenset({"r"}))
    linked(store, box)
    accept(store, box, 11)
    assert sorted(epoch.last_number for epoch in store.epochs_out().values()) == [1, 1, 1]


def test_a_big_batch_is_cut_into_segments_by_readings_and_by_text() -> None:
    store = open_store("r", "text")
    box = linked(store, outbox(store))
    box.set_accepts(frozenset({"r", "text"}))
    box.accept(store, [series(*range(2 * SEGMENT_READINGS_MAX + 1))], NOW_MS)
    counts = [Header.unpack(sent.header).count for sent in box.pump(store, NOW_MS)]
    assert sorted(counts) == [1, SEGMENT_READINGS_MAX, SEGMENT_READINGS_MAX]
    assert store.ledger().accepted == store.ledger().outbox == 2 * SEGMENT_READINGS_MAX + 1
    text = series(*range(10), resource="text")
    text.format, text.values = "string", ["x" * READING_VALUE_BYTES_MAX] * 10
    store.ledger()
    box.set_reachable(False)
    box.set_reachable(True)  # forgets what was on its way
    box.accept(store, [text], NOW_MS)
    assert len(box.pump(store, NOW_MS)) == 10


def test_credit_is_spent_by_bytes_and_never_passed_by_more_than_one_segment_of_each_lane() -> None:
    store = open_store()
    box = outbox(store)
    for at_ms in range(1, 30):
        accept(store, box, at_ms)
        box.on_deadline(store, NOW_MS + TAIL_AGE_MS_MAX)
    linked(store, box, credit=300)
    first = box.pump(store, NOW_MS)
    assert sum(len(sent.body) for sent in first[:-2]) < 300 <= sum(len(sent.body) for sent in first)
    assert box.pump(store, NOW_MS) == []
    box.add_credit(1_000_000)
    assert sorted(numbers(first) + numbers(box.pump(store, NOW_MS))) == list(range(1, 30))


def test_without_credit_nothing_is_sealed_one_by_one() -> None:
    store = open_store()
    box = linked(store, outbox(store), credit=0)
    accept(store, box, 1)
    assert len(box.pump(store, NOW_MS)) == 1  # one segment of the lane may always go (G6)
    for at_ms in range(2, 30):
        accept(store, box, at_ms)
        assert box.pump(store, NOW_MS) == []
    assert store.ledger().tail == 28


def test_what_the_hub_holds_is_not_sent_and_what_is_old_goes_as_backfill() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    for at_ms in range(1, 4):
        accept(store, box, at_ms)
    (epoch,) = store.epochs_out()
    box.on_link_closed()
    box.on_link_opened(store, {epoch: IntervalSet([2, 2])}, NOW_MS + 2 * LIVE_AGE_MS)
    box.set_reachable(True)
    box.add_credit(CREDIT_BYTES)
    sent = box.pump(store, NOW_MS + 2 * LIVE_AGE_MS)
    assert numbers(sent) == [1, 3]
    assert {one.lane for one in sent} == {LANE_BACKFILL}


def test_after_a_new_link_the_newest_goes_first() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    for at_ms in range(1, 4):
        accept(store, box, at_ms, now_ms=NOW_MS + at_ms)
    box.on_link_closed()
    linked(store, box, now_ms=NOW_MS + 10)
    assert numbers(box.pump(store, NOW_MS + 10)) == [3, 2, 1]


def test_a_recorded_segment_leaves_the_outbox_whatever_order_the_words_come_in() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    for at_ms in range(1, 4):
        accept(store, box, at_ms)
    state(store, box, [3, 3], applied=1)
    state(store, box, [1, 1, 3, 3], applied=2)
    assert (store.ledger().applied, store.ledger().outbox) == (2, 1)
    state(store, box, [1, 3], applied=3)
    assert rows(store, "SELECT COUNT(*) FROM segment") == [(0,)]


def test_a_restored_destination_is_given_again_the_same_numbers_out_of_history() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    for at_ms in range(1, 4):
        accept(store, box, at_ms)
    box.pump(store, NOW_MS)
    state(store, box, [1, 3], applied=3)
    tally, _ = state(store, box, [1, 1], applied=1, fresh=True)
    assert tally.destination_restored
    assert tally.notices("g", NOW_MS) == []
    assert (store.ledger().applied, store.ledger().outbox) == (1, 2)
    box.on_link_closed()
    assert sorted(numbers(linked(store, box).pump(store, NOW_MS))) == [2, 3]
    state(store, box, [1, 3], applied=3)
    assert store.ledger().applied == 3


def test_a_word_that_is_not_fresh_never_looks_like_a_restore() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    for at_ms in range(1, 4):
        accept(store, box, at_ms)
    state(store, box, [1, 3], applied=3)
    before = store.ledger()
    (epoch,) = store.epochs_out()
    stated = EpochOut(epoch, 0, IntervalSet([1, 3]), IntervalSet(), 3)
    tally = GapTally(CAUSE_DESTINATION_RESTORED)
    assert not box.on_stated(store, stated, fresh=False, now_ms=NOW_MS, tally=tally, closed=tally)
    assert store.ledger() == before


def made_again_out_of_a_dense_history() -> tuple[Streams, Outbox]:
    """Two readings delivered and lost by a restored target; between them history holds two segments more."""
    store = open_store()
    box = linked(store, outbox(store))
    accept(store, box, 1, 10**6)
    state(store, box, [1, 1], applied=2)
    row = store._catalogue.find(store._connection, "C0NNECT0", "d", "r")
    assert row is not None
    store._connection.executemany(
        "INSERT OR IGNORE INTO reading VALUES (?, ?, 1.0)",
        [(row.series_id, at_ms) for at_ms in range(2, 2 * SEGMENT_READINGS_MAX + 2)],
    )
    state(store, box, [], applied=0, fresh=True)
    return store, box


def test_a_segment_made_again_out_of_a_dense_history_is_cut_and_counts_once() -> None:
    store, box = made_again_out_of_a_dense_history()
    assert store.ledger().outbox == 2
    box.on_link_closed()
    headers = [Header.unpack(sent.header) for sent in linked(store, box).pump(store, NOW_MS)]
    assert sorted(header.count for header in headers) == [0, 0, 2]
    assert next(header.number for header in headers if header.count == 2) == 1


def test_what_did_not_fit_in_a_segment_made_again_is_made_again_by_the_next_restore_too() -> None:
    """Chaos found it: a target restored twice, to a copy that had the segment and not the rest, never got the rest."""
    store, box = made_again_out_of_a_dense_history()
    state(store, box, [1, 3], applied=2)
    box.on_link_closed()
    tally, _ = state(store, box, [1, 1], applied=2, fresh=True)
    assert tally.notices("g", NOW_MS) == []
    assert sorted(numbers(linked(store, box).pump(store, NOW_MS))) == [2, 3]


def test_given_up_segments_are_named_closed_and_forgotten() -> None:
    store = open_store()
    box = linked(store, outbox(store), reachable=True)
    accept(store, box, 1)
    tally = GapTally("retention")
    assert not box.expire(store, NOW_MS + box.limits.retention_ms, tally)
    (notice,) = tally.notices("g", NOW_MS)
    (epoch,) = store.epochs_out()
    assert (notice.count, notice.epochs) == (1, [(epoch, [1, 1])])
    assert store.ledger().dropped == {"retention": 1}
    assert box.pump(store, NOW_MS) == []
    state(store, box, [], applied=0, closed=[1, 1])
    assert rows(store, "SELECT COUNT(*) FROM segment") == [(0,)]
    assert store.ledger().dropped == {"retention": 1}


def test_giving_up_what_is_thirty_days_old_leaves_what_is_a_minute_younger() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    accept(store, box, 1)
    accept(store, box, 2, now_ms=NOW_MS + MINUTE_MS)
    box.expire(store, NOW_MS + box.limits.retention_ms, GapTally("retention"))
    assert (store.ledger().dropped, store.ledger().outbox) == ({"retention": 1}, 1)


def test_the_destinations_first_word_corrects_a_notice_that_crossed_it() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    accept(store, box, 1)
    box.expire(store, NOW_MS + box.limits.retention_ms, GapTally("retention"))
    tally, _ = state(store, box, [1, 1], applied=1)
    assert (store.ledger().applied, store.ledger().dropped_total) == (1, 0)
    assert tally.taken_back.gap_ids == []  # given up before its notice was written, so that none names it


def test_an_origin_restored_behind_its_own_notice_names_what_it_finds_closed() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    accept(store, box, 1, 2)
    _, closed = state(store, box, [], applied=0, closed=[1, 1])
    (notice,) = closed.notices("g", NOW_MS)
    assert (notice.cause, notice.count, notice.epochs) == (CAUSE_ORIGIN_RESTORED, 2, [])
    assert store.ledger().dropped == {CAUSE_ORIGIN_RESTORED: 2}


def test_what_a_restored_destination_lacks_and_an_origin_restored_since_gave_up_there_is_not_sent_for_ever() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    accept(store, box, 1, 2)
    accept(store, box, 3)
    state(store, box, [1, 2], applied=3)
    _, closed = state(store, box, [2, 2], applied=1, closed=[1, 1], fresh=True)
    (notice,) = closed.notices("g", NOW_MS)
    assert (notice.cause, notice.count) == (CAUSE_ORIGIN_RESTORED, 2)
    assert rows(store, "SELECT COUNT(*) FROM segment") == [(0,)]
    assert box.pump(store, NOW_MS) == []
    assert (store.ledger().applied, store.ledger().dropped) == (1, {CAUSE_ORIGIN_RESTORED: 2})


def test_numbers_that_this_database_never_gave_are_adopted_and_something_is_called_unknown() -> None:
    store = open_store()
    box = linked(store, outbox(store))
    accept(store, box, 1)
    tally, _ = state(store, box, [1, 4], applied=9)
    ledger = store.ledger()
    assert (ledger.accepted, ledger.adopted, ledger.unknown) == (9, 8, True)
    assert tally.origin_restored
    accept(store, box, 2)
    (epoch,) = store.epochs_out().values()
    assert epoch.last_number == 5


def test_the_cap_refuses_before_anything_is_counted() -> None:
    store = open_store()
    box = outbox(store, limits=OutboxLimits(bytes_max=1, refuse_when_full=True))
    accept(store, box, 1)
    with pytest.raises(Refused, match="outbox is full"):
        box.accept(store, [series(2)], NOW_MS)
    assert store.ledger().accepted == 1


def test_over_the_cap_the_oldest_goes_first() -> None:
    store = open_store()
    box = linked(store, outbox(store, limits=OutboxLimits(bytes_max=400)), reachable=False)
    for at_ms in range(1, 9):
        accept(store, box, at_ms)
        box.on_deadline(store, NOW_MS + TAIL_AGE_MS_MAX)
    tally = GapTally("byte_cap")
    box.drop_over_cap(store, tally)
    (notice,) = tally.notices("g", NOW_MS)
    assert store.waiting_bytes() <= 400
    assert notice.first_ms == 1
    assert notice.count == store.ledger().dropped_total
    assert store.ledger().balanced


def test_what_is_made_again_for_a_restored_destination_goes_at_the_cap_bit_by_bit() -> None:
    store = open_store()
    box = linked(store, outbox(store, limits=OutboxLimits(bytes_max=1_000)))
    for at_ms in range(1, 201):
        accept(store, box, at_ms)
        state(store, box, [1, at_ms], applied=at_ms)
        box.drop_over_cap(store, GapTally("byte_cap"))
    state(store, box, [], applied=0, fresh=True)
    assert store.ledger().outbox == 200
    dropped: list[int] = []
    more = True
    while more:
        more = box.drop_over_cap(store, GapTally("byte_cap"))
        dropped.append(store.ledger().dropped_total)
    assert dropped[:2] == [64, 128]
    assert len(dropped) > 2
    assert store.waiting_bytes() <= 1_000


def test_backfill_gets_its_tenth_of_the_credit_however_much_is_live() -> None:
    store = open_store()
    box = outbox(store)
    noise = chance(7)

    def accept_noise(start_ms: int, now_ms: int) -> None:
        times_ms = [start_ms + at for at in range(SEGMENT_READINGS_MAX)]
        box.accept(store, [Series("d", "r", "number", times_ms, [noise.random() for _ in times_ms])], now_ms)

    for at in range(5):  # a backlog of an hour ago
        accept_noise(at * SEGMENT_READINGS_MAX, NOW_MS - HOUR_MS)
    box.on_link_closed()
    linked(store, box, credit=0)
    for at in range(40):
        accept_noise(10**9 + at * SEGMENT_READINGS_MAX, NOW_MS)
    fresh = [store.segment(row) for row in store.fresh_rows(NOW_MS, 40)]
    box.add_credit(sum(len(segment.body) for segment in fresh if segment is not None) * 3 // 4)

    lanes = [sent.lane for sent in box.pump(store, NOW_MS)]

    assert lanes.count(LANE_LIVE) > len(lanes) * 0.8
    assert lanes.count(LANE_BACKFILL) >= 1


def segments_with_lost_counts() -> tuple[Streams, Outbox]:
    """Of the two segments, the first, of two resources, has lost its last page: its seal does not fit, nor is it counted."""
    store = open_store("r", "other")
    first = linked(store, outbox(store))
    first.set_accepts(frozenset({"r", "other"}))
    first.accept(store, [noise(1_200), series(1, 2, resource="other")], NOW_MS)
    first.accept(store, [series(3, 4, 5), series(3, resource="other")], NOW_MS + 1)
    assert rows(store, "SELECT number, count FROM segment") == [(1, 1_202), (2, 4)]
    store = with_page_lost(store, b'{"r":1200')
    return store, outbox(store, seed=2)


def test_g7_a_segment_whose_counts_the_disk_lost_is_given_up_and_counted_all_the_same() -> None:
    store, box = segments_with_lost_counts()
    tally = GapTally("retention")
    box.expire(store, NOW_MS + DAY_MS * 30, tally)
    assert [notice.count for notice in tally.notices("gap", NOW_MS)] == [1_202]
    assert (store.ledger().dropped, store.ledger().balanced) == ({"retention": 1_202}, True)
    by_resource = store.resource_ledgers()
    assert {name: each.dropped for name, each in by_resource.items()} == {
        "r": {"retention": 1_200},
        "other": {"retention": 2},
    }
    assert [(each.outbox, each.balanced) for each in by_resource.values()] == [(1, True), (3, True)]


def test_g7_a_segment_whose_counts_the_disk_lost_settles_with_a_word_of_the_destination() -> None:
    store, box = segments_with_lost_counts()
    state(store, box, [1, 2], applied=1_206)
    assert {name: (each.applied, each.balanced) for name, each in store.resource_ledgers().items()} == {
        "r": (1_203, True),
        "other": (3, True),
    }
    (epoch,) = store.epochs_out()
    (sent,) = store.sent_segments(epoch, IntervalSet([1, 1]))
    assert sent.counts == {"r": 1_200, "other": 2}
