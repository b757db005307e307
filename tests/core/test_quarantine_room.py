"""G7: what a quarantine may take is bounded; what finds no room is not taken, so that its origin keeps it."""

from __future__ import annotations

import pytest

from shared.core import quarantine_room
from shared.core.engine_effects import Relink, Send
from shared.core.entries import decode_private
from shared.core.outbox import OutboxLimits
from shared.core.replay_job import JOB_ID_BYTES, encode_replayed
from shared.limits import CREDIT_GRANT_BYTES
from shared.messages import Credit, Statement
from shared.sealing import Kind
from tests.core.stores import NOW_MS, series
from tests.core.test_quarantine import EPOCH, SOURCE, Target

TWO = OutboxLimits(quarantine_bytes_max=900)  # room for two of some 340 bytes


def full(target: Target) -> None:
    while not target.engine.quarantine.is_full:
        target.segment(plain=b"no batch", count=4)


def test_g7_what_finds_no_room_is_neither_recorded_nor_counted_and_what_can_be_read_is_taken_all_the_same() -> None:
    target = Target(TWO)
    full(target)
    assert (len(target.kept), target.counts) == (2, (0, 8, {}))
    target.segment(series(1))
    assert target.counts == (1, 8, {})
    epoch = target.store.epoch_in(EPOCH)
    assert epoch is not None
    assert epoch.recorded.flat() == [1, 2, 4, 4]
    target.take(Kind.SEGMENT, b"no batch", 4, number=3)  # once more, as the hub brings it
    assert target.counts == (1, 8, {})


def test_g7_it_goes_on_with_a_new_link_once_a_part_of_the_space_is_free_and_says_both_to_the_other_side() -> None:
    target = Target(TWO)
    full(target)
    assert _told(target) is True
    (first, second) = target.kept
    target.engine.quarantine.discard(target.store, first, NOW_MS)
    effects = target.engine.flush(target.store, NOW_MS)
    assert [each.why for each in effects if isinstance(each, Relink)] == ["there is room in quarantine again"]
    assert not [each for each in target.engine.flush(target.store, NOW_MS) if isinstance(each, Relink)]
    target.take(Kind.SEGMENT, b"no batch", 4, number=3)
    assert (target.kept, target.engine.quarantine.is_full) == ([second, second + 1], False)


def test_g7_what_is_too_large_for_the_room_that_is_left_does_not_end_the_link_for_nothing() -> None:
    target = Target(TWO)
    target.segment(plain=b"no batch", count=4)
    target.segment(plain=b"no batch" * 60, count=4)
    assert (len(target.kept), target.engine.quarantine.is_full) == (1, True)
    assert not [each for each in target.effects if isinstance(each, Relink)]
    target.engine.quarantine.discard(target.store, target.kept[0], NOW_MS)
    assert any(isinstance(each, Relink) for each in target.engine.flush(target.store, NOW_MS))


def _told(target: Target) -> bool:
    """What the last statement says."""
    statements = [each.frame for each in target.effects if isinstance(each, Send) and isinstance(each.frame, Statement)]
    _, plain = SOURCE.open(Kind.STATEMENT, statements[-1].header, statements[-1].body, associated=statements[-1].public)
    return decode_private(plain).is_full


def test_g7_no_credit_is_given_for_what_is_not_taken() -> None:
    target = Target(TWO)
    full(target)
    plain = b"no batch" * (CREDIT_GRANT_BYTES // 16)
    for _ in range(4):
        target.segment(plain=plain, count=1)
        assert not [each for each in target.effects if isinstance(each, Send) and isinstance(each.frame, Credit)]


def test_g7_one_always_finds_room_and_a_start_counts_what_is_kept() -> None:
    target = Target(OutboxLimits(quarantine_bytes_max=1))
    target.segment(plain=b"no batch" * 1_000, count=4)
    assert len(target.kept) == 1
    target.start()
    target.segment(plain=b"no batch", count=4)
    assert (len(target.kept), target.engine.quarantine.is_full) == (1, True)


def test_g12_entries_have_a_room_of_their_own_and_one_that_finds_none_is_passed_by_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quarantine_room, "QUARANTINE_ENTRIES_BYTES_MAX", 600)
    target = Target(TWO)
    full(target)
    for number in (1, 2, 3, 4):
        target.take(Kind.CONTROL, b"no entry", number=number)
    assert target.store.control_in() == {EPOCH: 2}
    for row in target.kept:
        target.engine.quarantine.discard(target.store, row, NOW_MS)
    assert any(isinstance(each, Relink) for each in target.engine.flush(target.store, NOW_MS))
    for number in (3, 4):
        target.take(Kind.CONTROL, b"no entry", number=number)
    assert target.store.control_in() == {EPOCH: 4}


def test_g7_a_segment_of_a_replay_that_finds_no_room_comes_again() -> None:
    target = Target(TWO)
    full(target)
    for _ in range(2):
        target.take(Kind.SEGMENT, encode_replayed("0" * 2 * JOB_ID_BYTES, 1, b"no batch"), number=77)
        assert 77 not in (target.store.replay_epoch(EPOCH) or ())
    assert len(target.kept) == 2
