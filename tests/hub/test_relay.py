"""The pure relay of one pair: what it forwards, stores, announces and refuses."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hub.store.memory import MemoryCopies
from shared.core.intervals import IntervalSet
from shared.core.relay import Copy, Effect, Fault, LoadCopies, PairRelay, Send, StoreCopies, TrimCopies
from shared.core.relay_memory import RelayMemory
from shared.limits import (
    BACKFILL_IN_FLIGHT_BYTES,
    CREDIT_BYTES,
    CREDIT_GRANT_BYTES,
    HELD_TOLD_EVERY_MS,
    HUB_COPY_DELAY_MS,
    HUB_COPY_DELAY_MS_MAX,
    HUB_STORE_RETRY_MS,
    RESYNC_AFTER_MS,
    STATEMENT_PUBLIC_BYTES_MAX,
)
from shared.messages import (
    LANE_BACKFILL,
    LANE_CONTROL,
    LANE_LIVE,
    AnyFrame,
    AskHeld,
    AskStatement,
    Credit,
    Held,
    HeldEpoch,
    Notice,
    PeerPresence,
    Recorded,
    RecordedEpoch,
    Sealed,
    Statement,
    encode_recorded,
)
from shared.sealing import Header, Kind, Side

PAIR = b"p" * 16
EPOCH = 2**63 - 7  # as great as an epoch may be: 63 bits
S, T = Side.SOURCE, Side.TARGET


def sealed(
    number: int,
    *,
    side: Side = S,
    kind: Kind = Kind.SEGMENT,
    lane: int = LANE_LIVE,
    body: bytes = b"x" * 100,
    pair: bytes = PAIR,
    epoch: int = EPOCH,
    nonce: bytes = b"n" * 12,
) -> Sealed:
    header = Header(1, kind, side, pair, 1, 1, epoch, number, 1_000, 1, nonce)
    return Sealed(lane, header.pack(), body)


def statement(
    *flat: int, side: Side = T, control: Iterable[tuple[int, int]] = (), closed: Iterable[int] = ()
) -> Statement:
    header = Header(1, Kind.STATEMENT, side, PAIR, 1, 1, 5, 1, 1_000, 0, b"n" * 12)
    segments = [RecordedEpoch(EPOCH, list(flat), list(closed))]
    return Statement(header.pack(), encode_recorded(Recorded(b"", True, segments, list(control))), b"sealed")


def public(*segments: RecordedEpoch, nonce: bytes = b"") -> Statement:
    return Statement(statement(side=S).header, encode_recorded(Recorded(nonce, True, list(segments), [])), b"sealed")


def number_of(frame: AnyFrame) -> int:
    assert isinstance(frame, Sealed)
    return Header.unpack(frame.header).number


class Bench:
    """A relay with a real (memory) store that obeys at once, unless told to hold back."""

    def __init__(self, copies: MemoryCopies | None = None, memory: RelayMemory | None = None) -> None:
        self.copies = copies or MemoryCopies()
        self.relay = PairRelay(PAIR, self.copies.held(PAIR), memory)
        self.now_ms = 1_000
        self.sent: dict[Side, list[AnyFrame]] = {S: [], T: []}
        self.faults: list[Fault] = []
        self.stored: list[Copy] = []
        self.trims: list[TrimCopies] = []
        self.holding_back: list[StoreCopies] | None = None
        self.disk_full = False

    def do(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Send(side, frame):
                    self.sent[side].append(frame)
                case StoreCopies(copies):
                    if self.disk_full:
                        self.do(self.relay.on_store_failed(copies, self.now_ms))
                    elif self.holding_back is not None:
                        self.holding_back.append(effect)
                    else:
                        self.store(effect)
                case TrimCopies(side, kind, epoch, flat):
                    self.trims.append(effect)
                    self.copies.trim(PAIR, side, kind, epoch, flat)
                case LoadCopies(side, kind, after, body_bytes_max, copies_max):
                    found = self.copies.load(
                        PAIR, side, kind, after=after, body_bytes_max=body_bytes_max, copies_max=copies_max
                    )
                    self.do(self.relay.on_loaded(side, kind, found, self.now_ms))
                case Fault():
                    self.faults.append(effect)

    def store(self, effect: StoreCopies) -> None:
        self.copies.store(PAIR, effect.copies)
        self.stored += effect.copies
        self.do(self.relay.on_stored(effect.copies, self.now_ms))

    def link(self, *sides: Side) -> Bench:
        for side in sides:
            self.do(self.relay.on_linked(side, self.now_ms))
        for side in sides:
            self.sent[side].clear()
        return self

    def unlink(self, side: Side) -> None:
        self.do(self.relay.on_unlinked(side, self.now_ms))

    def frame(self, side: Side, frame: Sealed | Statement | AskStatement | AskHeld | Credit) -> None:
        self.do(self.relay.on_frame(side, frame, self.now_ms))

    def passing(self, ms: int) -> None:
        """Let time go by, stopping at each deadline on the way."""
        end_ms = self.now_ms + ms
        while (due := self.relay.next_deadline()) is not None and due <= end_ms:
            self.now_ms = max(self.now_ms, due)
            self.do(self.relay.on_deadline(self.now_ms))
        self.now_ms = end_ms

    def numbers(self, side: Side) -> list[int]:
        return [number_of(frame) for frame in self.sent[side] if isinstance(frame, Sealed)]

    def held(self) -> list[HeldEpoch]:
        return self.relay.streams[S].held.listed()


def test_a_segment_is_forwarded_unchanged_and_not_stored_while_it_is_acknowledged_in_time() -> None:
    bench = Bench().link(S, T)
    bench.frame(S, sealed(1))
    assert bench.sent[T] == [sealed(1)]
    bench.frame(T, statement(1, 1))
    bench.passing(10 * HUB_COPY_DELAY_MS)
    assert bench.stored == []
    assert isinstance(bench.sent[S][-1], Statement)


def test_an_unacknowledged_segment_is_stored_after_the_delay_and_announced_only_then() -> None:
    bench = Bench().link(S, T)
    bench.holding_back = []
    bench.frame(S, sealed(1))
    bench.passing(HUB_COPY_DELAY_MS - 1)
    assert bench.holding_back == []
    bench.passing(1)
    assert len(bench.holding_back) == 1
    assert bench.sent[S] == []
    bench.store(bench.holding_back.pop())
    assert bench.sent[S] == [Held(False, [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 1])])]


def test_with_the_peer_away_a_segment_is_stored_at_once() -> None:
    bench = Bench().link(S)
    bench.frame(S, sealed(1))
    assert [copy.number for copy in bench.stored] == [1]
    assert bench.held() == [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 1])]


def test_when_the_peer_unlinks_what_is_not_acknowledged_is_stored() -> None:
    bench = Bench().link(S, T)
    bench.frame(S, sealed(1))
    bench.unlink(T)
    assert [copy.number for copy in bench.stored] == [1]
    assert PeerPresence(PAIR, False) in bench.sent[S]


def test_copies_are_delivered_when_the_destination_links_control_first_and_in_order() -> None:
    bench = Bench().link(S)
    for number in (1, 2):
        bench.frame(S, sealed(number))
    for number in (1, 2, 3):
        bench.frame(S, sealed(number, kind=Kind.CONTROL, lane=LANE_CONTROL))
    bench.do(bench.relay.on_linked(T, bench.now_ms))
    lanes = [(frame.lane, number_of(frame)) for frame in bench.sent[T] if isinstance(frame, Sealed)]
    assert lanes == [(LANE_CONTROL, 1), (LANE_CONTROL, 2), (LANE_CONTROL, 3), (LANE_BACKFILL, 1), (LANE_BACKFILL, 2)]


def test_a_restarted_hub_delivers_what_its_store_kept() -> None:
    before = Bench().link(S)
    before.frame(S, sealed(1))
    after = Bench(before.copies)
    after.do(after.relay.on_linked(S, after.now_ms))
    assert after.sent[S] == [Held(True, [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 1])])]
    after.do(after.relay.on_linked(T, after.now_ms))
    assert after.numbers(T) == [1]


def test_a_hub_without_its_disk_has_nothing_and_says_so() -> None:
    bench = Bench()
    bench.do(bench.relay.on_linked(S, bench.now_ms))
    assert bench.sent[S] == [Held(True, [])]


def test_an_acknowledgement_trims_copies_and_says_nothing_about_numbers_that_are_not_there() -> None:
    bench = Bench().link(S)
    for number in (1, 2, 3):
        bench.frame(S, sealed(number))
    bench.link(T)
    bench.frame(T, statement(1, 2, closed=[9, 99]))
    assert bench.trims == [TrimCopies(S, Kind.SEGMENT, EPOCH, (1, 2))]
    assert bench.held() == [HeldEpoch(Kind.SEGMENT, EPOCH, [3, 3])]
    bench.frame(T, statement(1, 2))
    assert len(bench.trims) == 1


def test_control_is_trimmed_by_its_applied_up_to() -> None:
    bench = Bench().link(S)
    for number in (1, 2, 3):
        bench.frame(S, sealed(number, kind=Kind.CONTROL))
    bench.link(T)
    bench.frame(T, statement(control=[(EPOCH, 2)]))
    assert bench.held() == [HeldEpoch(Kind.CONTROL, EPOCH, [3, 3])]


def test_an_acknowledgement_that_crosses_the_storing_leaves_no_copy_behind() -> None:
    bench = Bench().link(S, T)
    bench.holding_back = []
    bench.frame(S, sealed(1))
    bench.passing(HUB_COPY_DELAY_MS)
    bench.frame(T, statement(1, 1))
    bench.store(bench.holding_back.pop())
    assert bench.copies.load(PAIR, S, Kind.SEGMENT, after=0, body_bytes_max=1, copies_max=1) == []
    assert bench.held() == []


def test_the_same_number_twice_is_stored_once_and_the_newer_seal_is_kept() -> None:
    bench = Bench().link(S)
    bench.frame(S, sealed(1))
    bench.frame(S, sealed(1, nonce=b"m" * 12))
    kept = bench.copies.load(PAIR, S, Kind.SEGMENT, after=0, body_bytes_max=10_000, copies_max=9)
    assert [Header.unpack(copy.header).nonce for copy in kept] == [b"m" * 12]


def test_a_segment_sealed_again_while_it_is_being_stored_is_stored_again() -> None:
    bench = Bench().link(S)
    bench.holding_back = []
    bench.frame(S, sealed(1))
    bench.frame(S, sealed(1, nonce=b"m" * 12))
    bench.store(bench.holding_back.pop(0))
    bench.store(bench.holding_back.pop(0))
    kept = bench.copies.load(PAIR, S, Kind.SEGMENT, after=0, body_bytes_max=10_000, copies_max=9)
    assert [Header.unpack(copy.header).nonce for copy in kept] == [b"m" * 12]


def test_while_the_disk_refuses_nothing_is_announced_and_relaying_goes_on() -> None:
    bench = Bench().link(S)
    bench.disk_full = True
    bench.frame(S, sealed(1))
    assert bench.sent[S] == []
    bench.link(T)
    bench.sent[T].clear()
    bench.frame(S, sealed(2))
    assert bench.numbers(T) == [2]
    bench.disk_full = False
    bench.passing(HUB_STORE_RETRY_MS)
    assert [copy.number for copy in bench.stored] == [1, 2]


def test_what_no_disk_takes_is_bounded_over_all_pairs_and_those_that_are_both_there_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.core.relay_memory.HUB_MEMORY_BYTES_MAX", 20_000)
    monkeypatch.setattr("shared.core.relay_stream.HUB_MEMORY_BYTES_SHORT", 3_000)
    memory = RelayMemory()
    alone = [Bench(memory=memory).link(S) for _ in range(5)]
    both = Bench(memory=memory).link(S, T)
    for bench in (*alone, both):
        bench.disk_full = True
        for number in range(1, 21):
            bench.frame(S, sealed(number, body=b"b" * 1_000))
    assert memory.kept_bytes < 22_000 + 20 * 1_300  # what was there first, one of each further pair, and `both`
    assert both.numbers(T) == list(range(1, 21))
    both.passing(HUB_STORE_RETRY_MS)
    both.frame(T, statement(1, 20))
    for number in range(21, 31):
        both.frame(S, sealed(number, body=b"b" * 1_000))
        both.frame(T, statement(1, number))
    assert both.numbers(T) == list(range(1, 31))
    for bench in alone:
        bench.passing(HUB_STORE_RETRY_MS)
    assert memory.kept_bytes <= 20_000
    for bench in (*alone, both):
        bench.disk_full = False
        bench.passing(2 * HUB_STORE_RETRY_MS)
        bench.frame(S, sealed(40))
        bench.passing(HUB_STORE_RETRY_MS)
    assert memory.kept_bytes == 0
    assert {bench.stored[-1].number for bench in (*alone, both)} == {40}


def test_a_stream_that_was_let_go_asks_the_disk_again_while_others_keep_memory_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.core.relay_memory.HUB_MEMORY_BYTES_MAX", 2_000)
    memory = RelayMemory()
    busy = Bench(memory=memory).link(S, T)
    for number in range(1, 11):
        busy.frame(S, sealed(number, body=b"b" * 1_000))
    alone = Bench(memory=memory).link(S)
    alone.disk_full = True
    alone.frame(S, sealed(1))
    assert alone.relay.streams[S].dropped_copies == 1
    alone.disk_full = False
    alone.frame(S, sealed(2))
    assert alone.stored == []
    alone.passing(HUB_STORE_RETRY_MS)
    for number in (3, 4, 5, 6):
        alone.frame(S, sealed(number))
    assert memory.is_short
    assert [copy.number for copy in alone.stored][-1] == 6


def test_small_ones_that_come_again_as_great_ones_are_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.core.relay_stream.HUB_MEMORY_BYTES_PER_STREAM", 4_000)
    memory = RelayMemory()
    bench = Bench(memory=memory).link(S)
    bench.holding_back = []
    for body, nonce in ((b"x" * 100, b"n" * 12), (b"x" * 3_000, b"m" * 12)):
        for number in range(1, 11):
            bench.frame(S, sealed(number, body=body, nonce=nonce))
    assert memory.kept_bytes < 4_000 + 10 * 256
    # What was on its way to the disk and is not wanted any more leaves nothing behind.
    for effect in bench.holding_back:
        bench.store(effect)
    bench.holding_back = None
    bench.passing(HUB_STORE_RETRY_MS)
    kept = bench.copies.load(PAIR, S, Kind.SEGMENT, after=0, body_bytes_max=2**20, copies_max=99)
    assert [copy.number for copy in kept] == list(IntervalSet(bench.held()[0].numbers))
    assert {Header.unpack(copy.header).nonce for copy in kept} == {b"m" * 12}


def test_a_relay_that_is_closed_takes_nothing_of_the_memory_of_others() -> None:
    memory = RelayMemory()
    bench = Bench(memory=memory).link(S)
    bench.holding_back = []
    bench.frame(S, sealed(1))
    assert memory.kept_bytes > 0
    bench.relay.on_closed()
    assert memory.kept_bytes == 0
    bench.store(bench.holding_back[0])
    bench.frame(S, sealed(2))
    assert memory.kept_bytes == 0


def test_segments_wait_for_the_destinations_credit_and_control_does_not() -> None:
    bench = Bench().link(S, T)
    big = b"x" * (CREDIT_BYTES // 2)
    for number in (1, 2, 3):
        bench.frame(S, sealed(number, body=big))
    bench.frame(S, sealed(1, kind=Kind.CONTROL))
    assert [(Header.unpack(f.header).kind, number_of(f)) for f in bench.sent[T] if isinstance(f, Sealed)] == [
        (Kind.SEGMENT, 1),
        (Kind.SEGMENT, 2),
        (Kind.CONTROL, 1),
    ]
    bench.frame(T, Credit(len(big)))
    assert bench.numbers(T) == [1, 2, 1, 3]


def test_live_goes_before_backfill_and_backfill_gets_its_tenth() -> None:
    bench = Bench().link(S, T)
    bench.frame(S, sealed(1, lane=LANE_BACKFILL, body=b"x" * CREDIT_BYTES))
    body = b"x" * 16_384
    for number in range(100, 130):
        bench.frame(S, sealed(number, lane=LANE_BACKFILL, body=body))
    for number in range(2, 80):
        bench.frame(S, sealed(number, body=body))
    assert bench.numbers(T) == [1, 2]  # of each lane one may go without credit
    bench.frame(T, statement(1, 2))
    assert bench.numbers(T) == [1, 2, 3, 100]
    bench.frame(T, Credit(CREDIT_BYTES))
    numbers = bench.numbers(T)[4:]
    assert numbers[:36] == list(range(4, 40))
    assert numbers[36] == 101
    # What lies before live in sockets is bounded: backfill goes on as it finds its word.
    in_flight = BACKFILL_IN_FLIGHT_BYTES // len(body)
    assert sorted(numbers) == [*range(4, 80), *range(101, 100 + in_flight)]
    for up_to in range(99 + in_flight, 130, in_flight):
        bench.frame(T, statement(1, 2, 100, up_to))
    assert bench.numbers(T)[-1] == 129


def test_credit_comes_back_when_bytes_leave_memory() -> None:
    bench = Bench().link(S, T)
    body = b"x" * (CREDIT_GRANT_BYTES // 2)
    bench.frame(S, sealed(1, body=body))
    bench.frame(S, sealed(2, body=body))
    assert Credit(2 * len(body)) not in bench.sent[S]
    bench.frame(T, statement(1, 2))
    assert Credit(2 * len(body)) in bench.sent[S]


def test_credit_spent_on_an_earlier_link_is_not_given_back_on_the_next() -> None:
    bench = Bench().link(S, T)
    bench.frame(S, sealed(1, body=b"x" * CREDIT_GRANT_BYTES))
    bench.unlink(S)
    bench.link(S)
    bench.frame(T, statement(1, 1))
    assert not any(isinstance(frame, Credit) for frame in bench.sent[S])


def test_an_entry_that_fills_a_hole_passes_those_that_wait() -> None:
    bench = Bench().link(S)
    for number in range(2, 200):
        bench.frame(S, sealed(number, kind=Kind.CONTROL))
    bench.link(T)
    bench.sent[T].clear()
    bench.frame(S, sealed(500, kind=Kind.CONTROL))
    assert bench.numbers(T) == []
    bench.frame(S, sealed(1, kind=Kind.CONTROL))
    assert bench.numbers(T) == [1]


def test_stored_control_is_delivered_wholly_and_in_order_as_it_is_acknowledged() -> None:
    bench = Bench().link(S)
    for number in range(1, 200):
        bench.frame(S, sealed(number, kind=Kind.CONTROL))
    bench.do(bench.relay.on_linked(T, bench.now_ms))
    while (sent := bench.numbers(T)) and sent[-1] < 199:
        before = len(sent)
        bench.frame(T, statement(control=[(EPOCH, sent[-1])]))
        assert len(bench.numbers(T)) > before
    assert bench.numbers(T) == list(range(1, 200))


def test_what_was_stored_unforwarded_is_delivered_when_credit_comes() -> None:
    bench = Bench().link(S, T)
    body = b"x" * (CREDIT_BYTES // 2)
    for number in (1, 2, 3):
        bench.frame(S, sealed(number, body=body))
    bench.passing(HUB_COPY_DELAY_MS)
    assert bench.numbers(T) == [1, 2]
    bench.frame(T, Credit(2 * len(body)))
    assert bench.numbers(T) == [1, 2, 3]


def test_held_and_forwarded_but_never_acknowledged_is_delivered_again() -> None:
    bench = Bench().link(S, T)
    bench.frame(S, sealed(1))
    bench.passing(RESYNC_AFTER_MS + HUB_COPY_DELAY_MS)
    assert bench.numbers(T) == [1, 1]


def test_what_was_forwarded_from_memory_while_others_were_delivered_again_is_so_as_well_once_it_is_stored() -> None:
    bench = Bench().link(S, T)
    bench.frame(S, sealed(1))
    bench.passing(RESYNC_AFTER_MS - 1)
    bench.frame(S, sealed(2))  # and lost on its way
    bench.passing(1)
    assert bench.numbers(T) == [1, 2, 1]
    bench.frame(T, statement(1, 1))
    bench.passing(HUB_COPY_DELAY_MS)
    assert bench.numbers(T) == [1, 2, 1, 2]


def test_while_the_peer_keeps_acknowledging_a_backlog_passes_unwritten_for_a_while() -> None:
    bench = Bench().link(S, T)
    for number in range(1, 9):
        bench.frame(S, sealed(number))
        bench.passing(HUB_COPY_DELAY_MS // 3)
        bench.frame(T, statement(1, number - 1) if number > 1 else statement())
    assert bench.stored == []
    bench.frame(S, sealed(100))
    for number in range(9, 60):
        bench.frame(S, sealed(number))
        bench.passing(HUB_COPY_DELAY_MS // 2)
        bench.frame(T, statement(1, number))
    assert [copy.number for copy in bench.stored] == [100]
    assert bench.now_ms > HUB_COPY_DELAY_MS_MAX


def test_a_call_is_forwarded_or_refused_and_never_stored() -> None:
    bench = Bench().link(S)
    bench.frame(S, sealed(0, kind=Kind.CALL, lane=LANE_CONTROL))
    assert bench.sent[S] == [Notice("peer_not_linked", {}, EPOCH.to_bytes(8, "big"))]
    bench.link(T)
    bench.frame(S, sealed(0, kind=Kind.CALL, lane=LANE_CONTROL))
    assert bench.numbers(T) == [0]
    bench.unlink(T)
    assert bench.stored == []


def test_a_question_for_a_statement_goes_to_a_linked_peer_only() -> None:
    bench = Bench().link(S)
    bench.frame(S, AskStatement(PAIR, b"nonce"))
    bench.link(T)
    assert not any(isinstance(frame, AskStatement) for frame in bench.sent[T])
    bench.frame(S, AskStatement(PAIR, b"nonce"))
    assert AskStatement(PAIR, b"nonce") in bench.sent[T]


def test_presence_is_told_to_the_side_that_was_there_first() -> None:
    bench = Bench().link(S)
    bench.do(bench.relay.on_linked(T, bench.now_ms))
    assert bench.sent[S] == [PeerPresence(PAIR, True)]
    assert bench.sent[T] == [Held(True, [])]


@pytest.mark.parametrize(
    "frame",
    [
        sealed(1, side=T),
        sealed(1, pair=b"q" * 16),
        sealed(0),
        sealed(1, body=b"short"),
        sealed(1, kind=Kind.STATEMENT),
        sealed(2**63),
        Sealed(LANE_LIVE, b"not a header", b"x" * 100),
        statement(1, 1, side=T),
        Statement(sealed(1, kind=Kind.STATEMENT).header, b"garbage", b""),
        public(RecordedEpoch(EPOCH, [4, 4, 1, 1], [])),
        public(RecordedEpoch(EPOCH, [], [1, 2**63])),
        public(RecordedEpoch(EPOCH, [1, 1], []), RecordedEpoch(EPOCH, [2, 2], [])),
        public(
            RecordedEpoch(
                EPOCH, [], [end for each in range(STATEMENT_PUBLIC_BYTES_MAX // 18) for end in (2**32 + 2 * each,) * 2]
            )
        ),
        public(nonce=b"n" * 65),
        AskStatement(b"q" * 16, b""),
        AskStatement(PAIR, b"n" * 65),
        Credit(-1),
    ],
    ids=lambda frame: str(frame)[:80],
)
def test_a_frame_of_another_pair_side_or_shape_is_a_fault_and_goes_nowhere(
    frame: Sealed | Statement | AskStatement | Credit,
) -> None:
    bench = Bench().link(S, T)
    bench.frame(S, frame)
    assert [fault.side for fault in bench.faults] == [S]
    assert bench.sent[T] == []
    assert bench.stored == []


def test_who_asks_again_and_again_what_is_held_is_told_once_a_second_and_hears_the_last_of_it() -> None:
    bench = Bench().link(S, T)
    for _ in range(100):
        bench.frame(S, AskHeld())
    bench.frame(T, AskHeld())
    assert bench.sent[S] == [Held(True, [])]
    assert bench.sent[T] == [Held(True, [])]
    assert bench.relay.next_deadline() == bench.now_ms + HELD_TOLD_EVERY_MS
    bench.passing(HELD_TOLD_EVERY_MS)
    assert bench.sent[S] == [Held(True, [])] * 2
    bench.passing(HELD_TOLD_EVERY_MS)
    assert bench.sent[S] == [Held(True, [])] * 2


def test_who_presents_its_pair_again_and_again_hears_what_is_held_as_seldom_as_who_asks() -> None:
    bench = Bench().link(S)
    bench.frame(S, sealed(1))
    bench.sent[S].clear()
    for _ in range(50):
        bench.do(bench.relay.on_linked(S, bench.now_ms))
    whole = Held(True, [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 1])])
    assert bench.sent[S] == [whole]
    bench.frame(S, sealed(3))  # on the last link, which has not heard the whole yet
    bench.unlink(S)
    bench.do(bench.relay.on_linked(S, bench.now_ms))
    bench.passing(HELD_TOLD_EVERY_MS)
    assert bench.sent[S][-1] == Held(True, [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 1, 3, 3])])
    assert sum(isinstance(frame, Held) and frame.whole for frame in bench.sent[S]) == 2
    bench.passing(2 * HELD_TOLD_EVERY_MS)
    bench.sent[S].clear()
    bench.do(bench.relay.on_linked(S, bench.now_ms))  # after a rest, at once and once more
    bench.frame(S, AskHeld())
    assert [frame.whole for frame in bench.sent[S] if isinstance(frame, Held)] == [True, True]


def test_an_origin_whose_copies_are_let_go_one_after_another_hears_of_all_of_them_within_the_second() -> None:
    bench = Bench().link(S)
    for number in range(1, 31):
        bench.frame(S, sealed(number))
    bench.sent[S].clear()
    for _ in range(20):
        (dropped,) = bench.copies.drop(before_ms=bench.now_ms + 1, stored_bytes_max=0, copies_max=1)
        bench.do(bench.relay.on_dropped(dropped.side, dropped.epochs, bench.now_ms))
    assert len(bench.sent[S]) == 1
    bench.passing(HELD_TOLD_EVERY_MS)
    assert bench.sent[S][1:] == [Held(True, [HeldEpoch(Kind.SEGMENT, EPOCH, [21, 30])])]


def test_an_origin_whose_numbers_are_too_scattered_gets_none_kept_that_stands_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.core.relay_stream.HUB_HELD_INTERVALS_MAX", 4)
    bench = Bench().link(S)
    for number in (10, 20, 30, 40, 50, 11, 9, 60):
        bench.frame(S, sealed(number))
    assert bench.held()[0].numbers == [9, 11, 20, 20, 30, 30, 40, 40]
    bench.link(T)
    bench.frame(T, statement(20, 20))
    bench.frame(S, sealed(50))
    assert bench.numbers(T)[-1] == 50


def test_what_a_linked_destination_takes_at_once_and_edits_find_room_beside_all_that_an_outage_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.core.relay_stream.HUB_HELD_INTERVALS_MAX", 3)
    bench = Bench().link(S)
    for number in (10, 20, 30, 40):
        bench.frame(S, sealed(number))
    assert bench.relay.streams[S].dropped_copies == 1
    bench.frame(S, sealed(1, kind=Kind.CONTROL))
    assert bench.relay.streams[S].dropped_copies == 1
    bench.holding_back = []
    bench.link(T)
    bench.frame(S, sealed(50))
    assert bench.numbers(T)[-1] == 50
    assert bench.relay.streams[S].dropped_copies == 1


def test_an_origin_of_more_epochs_than_a_destination_states_gets_no_further_ones_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.core.relay_stream.EPOCHS_STATED_MAX", 2)
    bench = Bench().link(S)
    for epoch in range(1, 9):
        bench.frame(S, sealed(1, epoch=epoch))
    bench.frame(S, sealed(2, epoch=1))
    assert [(held.epoch, held.numbers) for held in bench.held()] == [(1, [1, 2]), (2, [1, 1]), (3, [1, 1]), (4, [1, 1])]
    assert bench.relay.streams[S].dropped_copies == 4


def test_a_frame_before_the_pair_was_presented_is_a_fault() -> None:
    bench = Bench().link(T)
    bench.frame(S, sealed(1))
    assert len(bench.faults) == 1


def test_what_housekeeping_dropped_is_not_held_any_more_and_the_origin_hears_it() -> None:
    bench = Bench().link(S)
    bench.frame(S, sealed(1))
    bench.frame(S, sealed(2))
    bench.sent[S].clear()
    (dropped,) = bench.copies.drop(before_ms=0, stored_bytes_max=500)
    bench.do(bench.relay.on_dropped(dropped.side, dropped.epochs, bench.now_ms))
    assert bench.sent[S] == [Held(True, [HeldEpoch(Kind.SEGMENT, EPOCH, [2, 2])])]


def test_a_hub_about_to_end_stores_what_is_only_in_memory() -> None:
    bench = Bench().link(S, T)
    bench.frame(S, sealed(1))
    bench.frame(T, sealed(1, side=T, kind=Kind.CONTROL))
    flushed = [copy for effect in bench.relay.on_draining() for copy in effect.copies]
    assert [(copy.side, copy.number) for copy in flushed] == [(S, 1), (T, 1)]


def test_a_destination_that_links_again_gets_what_it_had_not_acknowledged() -> None:
    bench = Bench().link(S, T)
    bench.holding_back = []
    bench.frame(S, sealed(1))
    bench.frame(S, sealed(1, kind=Kind.CONTROL))
    bench.unlink(T)
    bench.sent[T].clear()
    bench.do(bench.relay.on_linked(T, bench.now_ms))
    assert sorted(bench.numbers(T)) == [1, 1]
