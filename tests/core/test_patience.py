"""Where many pairs are at work, a destination acknowledges a few segments at once, and never later than the hub may bear."""

from __future__ import annotations

from shared.core.engine import PairEngine
from shared.core.engine_effects import Send
from shared.core.entries import GapEntry, GapNotice, encode_entry
from shared.core.intervals import IntervalSet
from shared.limits import (
    CREDIT_BYTES,
    DAY_MS,
    HUB_COPY_DELAY_MS,
    LIVE_IN_FLIGHT_MAX,
    STATED_AT_ONCE_SEGMENTS,
    WORD_WAITS_MS_MAX,
)
from shared.messages import LANE_CONTROL, LANE_LIVE, AskStatement, Held, Sealed, Statement, decode_recorded
from shared.sealing import Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store, series

SOURCE = keys(Side.SOURCE)
EPOCH = 5


class Target:
    """A target's engine on a real store, with a link, at a site with many pairs."""

    def __init__(self) -> None:
        self.store = open_store()
        self.engine = PairEngine(keys=keys(Side.TARGET), site_id="t", chance=chance(7).randbytes)
        self.engine.load(self.store, NOW_MS)
        self.engine.on_link_opened(self.store, peer_linked=True, credit_bytes=CREDIT_BYTES, now_ms=NOW_MS)
        self.engine.on_frame(self.store, Held(True, []), NOW_MS)
        self.engine.flush(self.store, NOW_MS)

    def segment(self, *numbers: int, after_ms: int = 0, patient: bool = True) -> list[int]:
        """Take segments in one unit of work; return the numbers that are stated at its end."""
        for number in numbers:
            self.take(Kind.SEGMENT, CODEC.encode([series(NOW_MS - number)]), number)
        return self.flush(after_ms, patient=patient)

    def take(self, kind: Kind, plain: bytes, number: int) -> None:
        nonce = chance(number).randbytes(12)
        lane = LANE_LIVE if kind is Kind.SEGMENT else LANE_CONTROL
        sealed = SOURCE.seal(kind, plain, epoch=EPOCH, number=number, accepted_ms=NOW_MS, count=1, nonce=nonce)
        self.engine.on_frame(self.store, Sealed(lane, *sealed), NOW_MS)

    def flush(self, after_ms: int = 0, *, patient: bool = True) -> list[int]:
        effects = self.engine.flush(self.store, NOW_MS + after_ms, patient=patient)
        return [number for each in effects if isinstance(each, Send) for number in stated(each.frame)]

    def due_ms(self) -> int:
        due_ms = self.engine.next_deadline_ms(self.store)
        assert due_ms is not None
        return due_ms - NOW_MS


def stated(frame: object) -> list[int]:
    if not isinstance(frame, Statement):
        return []
    recorded = [IntervalSet(epoch.recorded) for epoch in decode_recorded(frame.public).segments]
    return [number for numbers in recorded for low, high in numbers.intervals() for number in range(low, high + 1)]


def test_a_segment_waits_for_the_next_three_and_all_are_acknowledged_at_once() -> None:
    target = Target()
    for number in range(1, STATED_AT_ONCE_SEGMENTS):
        assert target.segment(number, after_ms=100 * number) == []
    assert target.segment(4, after_ms=400) == [1, 2, 3, 4]
    assert target.segment(5, after_ms=401) == []
    assert target.segment(6, 7, 8, after_ms=410) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_segment_that_stays_alone_is_acknowledged_when_its_time_is_up() -> None:
    target = Target()
    assert target.segment(1) == []
    assert target.due_ms() == WORD_WAITS_MS_MAX
    assert target.flush(WORD_WAITS_MS_MAX - 1) == []
    assert target.flush(WORD_WAITS_MS_MAX) == [1]
    assert target.due_ms() > WORD_WAITS_MS_MAX


def test_a_clock_set_back_makes_no_acknowledgement_wait_longer() -> None:
    target = Target()
    assert target.segment(1) == []
    assert target.flush(-DAY_MS) == [1]


def test_with_few_pairs_every_segment_is_acknowledged_at_once() -> None:
    target = Target()
    assert target.segment(1, patient=False) == [1]
    assert target.segment(2) == []
    assert target.flush(patient=False) == [1, 2]


def test_a_question_and_an_entry_are_answered_at_once() -> None:
    target = Target()
    assert target.segment(1) == []
    target.take(Kind.CONTROL, encode_entry(GapEntry(GapNotice("g", "retention", 1, 0, 0, [], [], NOW_MS))), 1)
    assert target.flush() == [1]
    assert target.segment(2) == []
    answer = target.engine.on_frame(target.store, AskStatement(SOURCE.pair_id, b"n" * 16), NOW_MS)
    assert [number for each in answer if isinstance(each, Send) for number in stated(each.frame)] == [1, 2]


def test_what_waits_is_acknowledged_before_the_hub_writes_a_copy() -> None:
    assert WORD_WAITS_MS_MAX < HUB_COPY_DELAY_MS


def test_an_origin_with_few_pairs_never_waits_for_a_word_that_is_not_due() -> None:
    assert STATED_AT_ONCE_SEGMENTS <= LIVE_IN_FLIGHT_MAX
