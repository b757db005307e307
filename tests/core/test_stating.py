"""Whatever a partner made a side keep, the hub takes what that side states, and its link goes on (G4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.streams import Streams
from shared.core.account import Apart
from shared.core.engine import PairEngine
from shared.core.engine_effects import Send
from shared.core.entries import CAUSE_BYTE_CAP, GapEntry, GapNotice, Private, StatedEpoch, encode_entry
from shared.core.intervals import IntervalSet
from shared.core.ledger import Ledger
from shared.core.ports import EpochIn, EpochOut
from shared.core.relay import PairRelay
from shared.core.relay_effects import Fault
from shared.core.replay_job import ReplayAsk, ReplayJob, ReplayState, StatedReplay
from shared.core.statements import read_private
from shared.limits import (
    ALIAS_CHARS_MAX,
    FRAME_BYTES_MAX,
    NUMBER_EXACT_MAX,
    SEALED_NUMBER_MAX,
)
from shared.messages import (
    LANE_CONTROL,
    AskStatement,
    Held,
    Recorded,
    RecordedEpoch,
    Sealed,
    Statement,
    decode_recorded,
    encode_frame,
    encode_recorded,
)
from shared.sealing import NONCE_BYTES, Header, Kind, Side
from tests.core.stores import NOW_MS, keys, rows, series
from tests.core.test_hostile_peer import applied_up_to, linked, sealed_entry, take

EPOCH = 5


def apart_from_one_another(count: int, first: int = 1 << 40) -> IntervalSet:
    """So many numbers, with one lacking between each two."""
    return IntervalSet(end for at in range(count) for end in (first + 2 * at,) * 2)


def stated(engine: PairEngine, store: Streams, *, whole: bool = True) -> list[RecordedEpoch]:
    """What a side says now of the epochs of the other one; the hub, whose copies it trims, has to take it."""
    effects = engine.on_frame(store, AskStatement(keys(engine.side).pair_id, b"n" * 16), NOW_MS) if whole else []
    effects += engine.flush(store, NOW_MS)
    relay = PairRelay(keys(engine.side).pair_id)
    found: list[RecordedEpoch] = []
    for side in Side:
        relay.on_linked(side, 0)
    for frame in (effect.frame for effect in effects if isinstance(effect, Send)):
        if isinstance(frame, Statement):
            assert len(encode_frame(frame)) <= FRAME_BYTES_MAX
            assert not [each for each in relay.on_frame(engine.side, frame, 1) if isinstance(each, Fault)]
            plain = keys(engine.side.other).open(Kind.STATEMENT, frame.header, frame.body, associated=frame.public)[1]
            read_private(plain)
            found += decode_recorded(frame.public).segments
    return found


def keep(*epochs: EpochIn) -> tuple[PairEngine, Streams]:
    """A target that has kept these epochs, from before there were bounds on what it takes."""
    engine, store = linked(Side.TARGET)
    for epoch in epochs:
        store.save_epoch_in(epoch, NOW_MS)
    return engine, store


def test_g4_numbers_that_no_segment_has_are_left_out_though_they_were_kept() -> None:
    closed = IntervalSet([-9, -7, -5, 3, 8, 9])
    assert stated(*keep(EpochIn(EPOCH, IntervalSet([5, 6]), closed))) == [RecordedEpoch(EPOCH, [5, 6], [0, 3, 8, 9])]


@pytest.mark.parametrize("name", ["recorded", "closed"])
def test_g4_an_epoch_of_more_holes_than_a_statement_has_room_for_is_left_out_and_the_others_are_not(name: str) -> None:
    engine, store = keep(
        EpochIn(EPOCH - 1, IntervalSet([1, 1])),
        EpochIn(EPOCH, **{name: apart_from_one_another(230_000)}),  # type: ignore[arg-type]
        EpochIn(EPOCH + 1, IntervalSet([2, 2])),
    )
    assert {part.epoch for part in stated(engine, store)} == {EPOCH - 1, EPOCH + 1}
    assert engine.inbox.named_all == (0, EPOCH - 1)
    stated(engine, store)
    assert engine.inbox.named_all == (EPOCH + 1, SEALED_NUMBER_MAX)


def test_g4_what_has_no_room_in_a_statement_follows_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("stating", "STATEMENT_EPOCHS_BYTES_MAX"), ("public_parts", "STATEMENT_PUBLIC_BYTES_MAX")):
        monkeypatch.setattr(f"shared.core.{module}.{name}", 20_000)
    engine, store = keep(*(EpochIn(at, apart_from_one_another(250)) for at in range(1, 11)))
    named: set[int] = set()
    asked = 0
    while len(named) < 10:
        told = {part.epoch for part in stated(engine, store)}
        assert engine.inbox.named_all is not None
        low, high = engine.inbox.named_all
        assert told >= set(range(max(low, 1), min(high, 10) + 1))
        named |= told
        asked += 1
    assert 1 < asked <= 5


def test_g4_names_and_numbers_that_wait_or_were_set_aside_do_not_make_a_statement_too_long() -> None:
    names = {f"{at:0{ALIAS_CHARS_MAX}}": 1 for at in range(256)}
    waiting = [EpochIn(at, IntervalSet([1, 1]), held=256, apart=Apart(dict(names))) for at in range(200)]
    aside = EpochIn(200, IntervalSet([1, 1]), apart=Apart(quarantined=apart_from_one_another(200_000).flat()))
    engine, store = keep(*waiting, aside)
    assert 200 in {part.epoch for part in stated(engine, store)}


def test_g4_more_epochs_than_a_statement_has_room_for_may_change_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("stating", "relay"):
        monkeypatch.setattr(f"shared.core.{module}.EPOCHS_STATED_MAX", 4)
    engine, store = linked(Side.TARGET)
    epochs = [(at, [1, 1]) for at in range(30)]
    plain = encode_entry(GapEntry(GapNotice("g", CAUSE_BYTE_CAP, 0, 0, 0, [], epochs, NOW_MS)))
    engine.on_frame(store, sealed_entry(plain, Side.SOURCE), NOW_MS)
    assert applied_up_to(store) == 1
    assert sorted(part.epoch for part in stated(engine, store, whole=False)) == list(range(30))


def test_g4_an_epoch_of_readings_and_of_a_replay_at_once_is_named_once() -> None:
    engine, store = keep(EpochIn(EPOCH, IntervalSet([1, 1])))
    store.save_replay_epoch(EPOCH, IntervalSet([2, 2]), NOW_MS)
    store.save_replay_epoch(EPOCH + 1, apart_from_one_another(20_000), NOW_MS)
    store.save_replay_epoch(EPOCH + 2, IntervalSet([7, 7]), NOW_MS)
    assert [part.epoch for part in stated(engine, store)] == [EPOCH, EPOCH + 2]


def test_g4_a_notice_that_would_make_an_epoch_too_long_for_a_statement_is_kept_aside() -> None:
    engine, store = keep(EpochIn(EPOCH, closed=apart_from_one_another(180_000)))
    for number in (1, 2):
        flat = apart_from_one_another(13_000, (2 << 40) + number * 40_000).flat()
        plain = encode_entry(GapEntry(GapNotice(f"g{number}", CAUSE_BYTE_CAP, 0, 0, 0, [], [(EPOCH, flat)], NOW_MS)))
        take(engine, store, sealed_entry(plain, Side.SOURCE, number))
    assert [item.number for item in store.quarantined_after(0, 99)] == [2]
    assert rows(store, "SELECT COUNT(*) FROM gap") == [(1,)]
    assert [part.epoch for part in stated(engine, store)] == [EPOCH]


def test_g1_a_source_states_an_account_that_can_be_read_whatever_its_target_stated() -> None:
    engine, store = linked(Side.SOURCE)
    for at in range(3_000):
        store.save_epoch_out(EpochOut(at, applied=NUMBER_EXACT_MAX, dropped={f"{'c' * 900}{at}": 1, "retention": 1}))
    assert stated(engine, store) == []
    assert Ledger(applied=NUMBER_EXACT_MAX + 5, dropped={"retention": 4}).stated() == Ledger(
        applied=NUMBER_EXACT_MAX, dropped={"retention": 4}
    )


def test_n9_a_source_states_a_replay_without_the_names_that_its_target_stated() -> None:
    engine, store = linked(Side.SOURCE)
    ask = ReplayAsk("ab" * 8, 0, 1, [], [], 0, "", 0)
    figures = StatedReplay(ask.job_id, 1, 5, names=[("d" * 256, "r" * 4_000_000)] * 3)
    store.save_replay(replace(ReplayJob.of(ask, ReplayState.DONE), figures=figures), NOW_MS)
    assert stated(engine, store) == []


def word(epochs: list[RecordedEpoch], nonce: bytes, number: int) -> Statement:
    """What a target states."""
    public = encode_recorded(Recorded(nonce, False, epochs, []) if number > 1 else Recorded(nonce, True, epochs, []))
    private = Private([StatedEpoch(part.epoch, 0, 0, 0, {}) for part in epochs], None, NOW_MS, b"", b"")
    header, body = keys(Side.TARGET).seal(
        Kind.STATEMENT,
        encode_entry(private),
        epoch=3,
        number=number,
        accepted_ms=NOW_MS,
        count=0,
        nonce=bytes(NONCE_BYTES),
        associated=public,
    )
    return Statement(header, public, body)


def test_g2_a_destination_that_states_the_last_number_there_is_does_not_stop_its_source() -> None:
    engine, store = linked(Side.SOURCE)
    store.save_peer_definitions(store.definitions())
    engine.load(store, NOW_MS)
    asked = engine.on_link_opened(store, peer_linked=True, credit_bytes=1_000_000, now_ms=NOW_MS)
    nonce = next(each.frame.nonce for each in asked if isinstance(each, Send) and isinstance(each.frame, AskStatement))
    engine.on_frame(store, Held(True, []), NOW_MS)
    engine.on_frame(store, word([], nonce, 1), NOW_MS)
    sent: list[Header] = []
    for number in (2, 3):
        engine.accept(store, [series(NOW_MS + number)], NOW_MS)
        frames = [effect.frame for effect in engine.flush(store, NOW_MS) if isinstance(effect, Send)]
        sent += [
            Header.unpack(each.header) for each in frames if isinstance(each, Sealed) and each.lane != LANE_CONTROL
        ]
        last = RecordedEpoch(sent[0].epoch, [], [SEALED_NUMBER_MAX] * 2)
        engine.on_frame(store, word([last], b"", number), NOW_MS)
    assert [header.number for header in sent] == [1, 1]
    assert sent[0].epoch != sent[1].epoch
