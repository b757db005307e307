"""More starts of a source than one statement has room for: a restored target still gets back what it lost (G4)."""

from __future__ import annotations

import sqlite3
from collections import deque

import pytest

from connector.catalogue import Catalogue
from connector.streams import Streams
from shared.columns import as_columns
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Send
from shared.core.inbox import Inbox
from shared.core.intervals import IntervalSet
from shared.core.ports import EpochIn, SeriesSpan
from shared.limits import CREDIT_BYTES
from shared.messages import AskHeld, AskStatement, Credit, Held, Sealed, Statement
from shared.sealing import NONCE_BYTES, Kind, Side
from tests.core.stores import CODEC, CONNECTOR, NOW_MS, chance, keys, open_store, series

Frame = Sealed | Statement | AskStatement | AskHeld | Held | Credit


class Pair:
    """A source and a target on one link, over a hub that keeps nothing."""

    def __init__(self) -> None:
        self._chance = chance(5)
        self.now_ms = NOW_MS
        self.stores = {side: open_store("r") for side in Side}
        for store in self.stores.values():
            store.save_peer_definitions(store.definitions())
        self.asked = 0
        self._frames: deque[tuple[Side, Frame]] = deque()
        self._engines = {side: self._engine(side) for side in Side}

    def _engine(self, side: Side) -> PairEngine:
        engine = PairEngine(keys=keys(side), site_id=side.word, chance=self._chance.randbytes)
        engine.load(self.stores[side], self.now_ms)
        return engine

    def start(self, side: Side, contents: bytes | None = None) -> None:
        """Start a side anew, from a backup where there is one, and link both."""
        if contents is not None:
            connection = sqlite3.connect(":memory:", isolation_level=None)
            connection.deserialize(contents)
            self.stores[side] = Streams(connection, CONNECTOR, Catalogue())
        self._engines[side] = self._engine(side)
        self.now_ms += 60_000
        self.asked = 0
        for each, engine in self._engines.items():
            store = self.stores[each]
            engine.on_link_closed()
            opened = engine.on_link_opened(store, peer_linked=True, credit_bytes=CREDIT_BYTES, now_ms=self.now_ms)
            self._send(each, opened + engine.on_frame(store, Held(True, []), self.now_ms))
        self._deliver()

    def feed(self, at_ms: int) -> None:
        """Let the source take one reading, and tell."""
        store, batch = self.stores[Side.SOURCE], series(at_ms)
        store._catalogue.apply(store.connection, CONNECTOR, as_columns([batch]), None, self.now_ms)
        self._engines[Side.SOURCE].accept(store, [batch], self.now_ms)
        self._send(Side.SOURCE, [])
        self._deliver()

    def _send(self, side: Side, effects: list[Effect]) -> None:
        effects = effects + self._engines[side].flush(self.stores[side], self.now_ms)
        self._frames += [(side, effect.frame) for effect in effects if isinstance(effect, Send)]

    def _deliver(self) -> None:
        while self._frames:
            side, frame = self._frames.popleft()
            self.asked += side is Side.SOURCE and isinstance(frame, AskStatement)
            if isinstance(frame, AskHeld):
                self._take(side, Held(True, []))
            elif not isinstance(frame, Credit):
                self._take(side.other, frame)

    def _take(self, side: Side, frame: Frame) -> None:
        assert not isinstance(frame, AskHeld)
        self._send(side, self._engines[side].on_frame(self.stores[side], frame, self.now_ms))

    def readings(self, side: Side) -> list[int]:
        """The times of what is in the history of a side."""
        return [at_ms for found in self.stores[side].history([SeriesSpan(1, 0, 1 << 60)]) for at_ms in found.times_ms]


@pytest.fixture
def room_for_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("stating", "statements"):
        monkeypatch.setattr(f"shared.core.{module}.EPOCHS_STATED_MAX", 4)


@pytest.mark.usefixtures("room_for_four")
@pytest.mark.parametrize("kept", [2, 4, 5, 9])
def test_g4_a_restored_target_gets_back_what_it_lost_of_more_starts_than_a_statement_has_room_for(kept: int) -> None:
    pair, starts = Pair(), 11
    backup = b""
    for at in range(starts):
        pair.start(Side.SOURCE)
        pair.feed(NOW_MS + at)
        if at + 1 == kept:
            backup = pair.stores[Side.TARGET].connection.serialize()
    everything = [NOW_MS + at for at in range(starts)]
    assert pair.readings(Side.TARGET) == everything
    pair.start(Side.TARGET, backup)
    assert pair.readings(Side.TARGET) == everything
    ledger = pair.stores[Side.SOURCE].ledger()
    assert (ledger.accepted, ledger.applied, ledger.queued, ledger.dropped) == (starts, starts, 0, {})
    assert pair.stores[Side.SOURCE].own_gaps() == []
    pair.start(Side.TARGET)
    assert 1 < pair.asked <= starts, "as often as it takes to hear of all, and no longer"


def test_g4_an_epoch_that_no_statement_has_room_for_is_not_asked_about_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.core.stating.STATEMENT_EPOCHS_BYTES_MAX", 20_000)
    pair = Pair()
    pair.start(Side.SOURCE)
    pair.feed(NOW_MS)
    holes = IntervalSet(end for at in range(9_000) for end in (2 * at,) * 2)
    pair.stores[Side.TARGET].save_epoch_in(EpochIn(1 << 40, holes), NOW_MS)
    pair.start(Side.TARGET)
    assert 1 < pair.asked < 50
    pair.feed(NOW_MS + 1)
    assert pair.readings(Side.TARGET) == [NOW_MS, NOW_MS + 1]


@pytest.mark.usefixtures("room_for_four")
def test_g4_a_statement_with_no_room_for_all_names_what_changed_whatever_the_clock_says() -> None:
    store = open_store()
    box = Inbox(keys(Side.TARGET), CODEC)
    source = keys(Side.SOURCE)

    def arrive(epoch: int, now_ms: int) -> None:
        header, body = source.seal(
            Kind.SEGMENT,
            CODEC.encode([series(NOW_MS + epoch)]),
            epoch=epoch,
            number=1,
            accepted_ms=NOW_MS,
            count=1,
            nonce=bytes(NONCE_BYTES),
        )
        box.on_segment(store, header, body, now_ms)

    for epoch in range(1, 10):
        arrive(epoch, NOW_MS + epoch)
    box.state(store, whole=True)
    arrive(10, NOW_MS - 10**9)
    named: list[set[int]] = []
    between: list[tuple[int, int] | None] = []
    for _ in range(6):
        public, _private = box.state(store, whole=True)
        named.append({stated.epoch for stated in public})
        between.append(box.named_all)
    assert 10 in named[0]
    assert all(len(epochs) == 4 for epochs in named)
    assert between == [(3, 4), (5, 6), (7, 8), (9, (1 << 63) - 1), (0, 2), (3, 4)]
    assert all(
        {low, high} <= epochs for epochs, (low, high) in zip(named, [(3, 4), (5, 6), (7, 8), (9, 10)], strict=False)
    )
