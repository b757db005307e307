"""The hub's relay of one pair: forwards at once, keeps copies of what cannot be delivered, believes nothing more.

It reads headers and the public part of statements, never a body (DESIGN G17). Losing all its state, memory and store,
loses no data: the origin keeps everything until its peer has acknowledged it under seal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, assert_never

from shared.core.intervals import IntervalSet
from shared.core.public_parts import check_nonce, read_stated
from shared.core.relay_effects import Copy, Effect, Fault, LoadCopies, Send, StoreCopies, TrimCopies
from shared.core.relay_memory import RelayMemory
from shared.core.relay_stream import StreamRelay
from shared.errors import ProtocolError
from shared.limits import (
    CALL_BODY_BYTES_MAX,
    CONTROL_ENTRY_BYTES_MAX,
    EPOCHS_STATED_MAX,
    HELD_TOLD_AT_ONCE_MAX,
    HELD_TOLD_EVERY_MS,
    SEAL_OVERHEAD_BYTES_MAX,
    SEALED_NUMBER_MAX,
    SEGMENT_SEALED_BYTES_MAX,
)
from shared.messages import (
    AskHeld,
    AskStatement,
    Credit,
    Held,
    HeldEpoch,
    Notice,
    PeerPresence,
    Sealed,
    Statement,
)
from shared.sealing import Header, Kind, Side, is_call

__all__ = [
    "Copy",
    "Effect",
    "Fault",
    "LoadCopies",
    "PairRelay",
    "RelayedFrame",
    "Send",
    "StoreCopies",
    "TrimCopies",
]

RelayedFrame = Sealed | Statement | AskStatement | AskHeld | Credit

_BODY_BYTES_MAX: Final = {
    Kind.SEGMENT: SEGMENT_SEALED_BYTES_MAX + SEAL_OVERHEAD_BYTES_MAX,
    Kind.CONTROL: CONTROL_ENTRY_BYTES_MAX + SEAL_OVERHEAD_BYTES_MAX,
    Kind.CALL: CALL_BODY_BYTES_MAX + SEAL_OVERHEAD_BYTES_MAX,
}
_TAG_BYTES: Final = 16


class PairRelay:
    """Both directions of one pair at the hub.

    Every event returns effects, to be obeyed in order; `next_deadline` says when `on_deadline` is due. A link counts
    as this pair's from `on_linked` (after `PairKnown` was sent) to `on_unlinked`; a link that displaces another of
    the same side is `on_linked` again.
    """

    def __init__(
        self,
        pair_id: bytes,
        held: Mapping[Side, Iterable[HeldEpoch]] | None = None,
        memory: RelayMemory | None = None,
    ) -> None:
        """`held` is what the store has of the pair, per origin side; `memory` is shared by all relays of a hub."""
        self.pair_id = pair_id
        held, memory = held or {}, memory or RelayMemory()
        self.streams = {side: StreamRelay(side, held.get(side, ()), memory) for side in Side}
        self._asked_held: set[Side] = set()
        # Before then no link of a side hears again, whole, what is held, whatever calls for it: listing it takes time.
        self._held_due_ms: dict[Side, int] = {}

    def linked(self, side: Side) -> bool:
        """Tell whether a side is linked."""
        return self.streams[side].origin_linked

    def on_linked(self, side: Side, now_ms: int) -> tuple[Effect, ...]:
        """A side presented the pair: tell it what is held of its own, and its peer that it is there."""
        outgoing, incoming = self.streams[side], self.streams[side.other]
        self._asked_held.add(side)
        effects = list(self._tell_held(now_ms))
        if self.linked(side.other):
            effects.append(Send(side.other, PeerPresence(self.pair_id, True)))
        outgoing.on_origin_linked()
        incoming.on_destination_linked(now_ms)
        return (*effects, *self._pump(now_ms))

    def on_unlinked(self, side: Side, now_ms: int) -> tuple[Effect, ...]:
        """A side's link ended: what waits for it is stored at once, and its peer is told."""
        effects: list[Effect] = []
        if self.linked(side) and self.linked(side.other):
            effects.append(Send(side.other, PeerPresence(self.pair_id, False)))
        self._asked_held.discard(side)
        self.streams[side].origin_linked = False
        self.streams[side.other].on_destination_unlinked()
        return (*effects, *self._pump(now_ms))

    def on_frame(self, side: Side, frame: RelayedFrame, now_ms: int) -> tuple[Effect, ...]:
        """A frame came on a side's link."""
        try:
            effects = tuple(self._obey(side, frame, now_ms))
        except ProtocolError as error:
            return (Fault(side, error.what),)
        if isinstance(frame, Sealed) and is_call(frame.header):
            return effects  # of no stream: nothing follows from it
        touched = self.streams[side if isinstance(frame, Sealed) else side.other]
        return (*effects, *touched.pump(now_ms))

    def on_stored(self, copies: tuple[Copy, ...], now_ms: int) -> tuple[Effect, ...]:
        """`StoreCopies` was obeyed: the copies are durable."""
        self.streams[copies[0].side].on_stored(copies)
        return self._pump(now_ms)

    def on_store_failed(self, copies: tuple[Copy, ...], now_ms: int) -> tuple[Effect, ...]:
        """`StoreCopies` could not be obeyed: nothing is announced, relaying goes on from memory."""
        self.streams[copies[0].side].on_store_failed(copies, now_ms)
        return self._pump(now_ms)

    def on_loaded(self, side: Side, kind: Kind, copies: Iterable[Copy], now_ms: int) -> tuple[Effect, ...]:
        """`LoadCopies` was obeyed; `side` and `kind` are those of the effect."""
        self.streams[side].on_loaded(kind, copies)
        return self._pump(now_ms)

    def on_load_failed(self, side: Side, kind: Kind, now_ms: int) -> tuple[Effect, ...]:
        """`LoadCopies` could not be obeyed."""
        self.streams[side].on_load_failed(kind, now_ms)
        return self._pump(now_ms)

    def on_dropped(self, side: Side, dropped: Iterable[HeldEpoch], now_ms: int) -> tuple[Effect, ...]:
        """The store let copies go by age or cap: the origin hears, whole, what is still held."""
        stream = self.streams[side]
        known = [stream.on_dropped(Kind(epoch.kind), epoch.epoch, epoch.numbers) for epoch in dropped]
        if any(known) and stream.origin_linked:
            self._asked_held.add(side)
        return (*self._tell_held(now_ms), *self._pump(now_ms))

    def next_deadline(self) -> int | None:
        """When `on_deadline` is due, in ms, or None."""
        times = [due for stream in self.streams.values() if (due := stream.next_deadline()) is not None]
        times += [self._held_due_ms[side] for side in self._asked_held]
        return min(times) if times else None

    def on_deadline(self, now_ms: int) -> tuple[Effect, ...]:
        """Time went by."""
        return (*self._tell_held(now_ms), *self._pump(now_ms))

    def on_draining(self) -> tuple[StoreCopies, ...]:
        """The hub is about to end: store what is in memory only. No other event may follow."""
        return tuple(flush for stream in self.streams.values() if (flush := stream.flush()) is not None)

    def on_closed(self) -> None:
        """The pair is over, or its store is gone: what is in memory counts for nobody any more."""
        for stream in self.streams.values():
            stream.leave_memory()

    def _pump(self, now_ms: int) -> tuple[Effect, ...]:
        return tuple(effect for stream in self.streams.values() for effect in stream.pump(now_ms))

    def _obey(self, side: Side, frame: RelayedFrame, now_ms: int) -> Iterator[Effect]:
        if not self.linked(side):
            raise ProtocolError("a pair's frame before the pair was presented")
        match frame:
            case Sealed():
                yield from self._on_sealed(side, frame, now_ms)
            case Statement():
                yield from self._on_statement(side, frame, now_ms)
            case AskStatement():
                if frame.pair_id != self.pair_id:
                    raise ProtocolError("a frame of another pair")
                check_nonce(frame.nonce)
                yield from self._to_peer(side, frame)
            case AskHeld():
                self._asked_held.add(side)
                yield from self._tell_held(now_ms)
            case Credit():
                if frame.body_bytes < 0:
                    raise ProtocolError("credit below zero")
                self.streams[side.other].on_credit(frame.body_bytes)
            case _:
                assert_never(frame)

    def _on_sealed(self, side: Side, frame: Sealed, now_ms: int) -> Iterator[Effect]:
        header = self._header(side, frame.header)
        kind = Kind(header.kind)
        if kind is Kind.STATEMENT:
            raise ProtocolError("a statement in a frame of another kind")
        if not _TAG_BYTES <= len(frame.body) <= _BODY_BYTES_MAX[kind]:
            raise ProtocolError(f"a sealed {kind.name.lower()} of {len(frame.body)} bytes", 1009)
        if kind is Kind.CALL:
            if self.linked(side.other):
                yield Send(side.other, frame)
            elif header.number == 0:  # a request; for an answer nobody is left to hear of it
                yield Send(side, Notice("peer_not_linked", {}, header.epoch.to_bytes(8, "big")))
            return
        if not 1 <= header.number <= SEALED_NUMBER_MAX:
            raise ProtocolError("a sealed number out of range")
        copy = Copy(side, kind, header.epoch, header.number, now_ms, frame.header, frame.body)
        self.streams[side].on_arrived(copy, frame.lane)

    def _on_statement(self, side: Side, frame: Statement, now_ms: int) -> Iterator[Effect]:
        if self._header(side, frame.header).kind != Kind.STATEMENT:
            raise ProtocolError("a statement whose header says otherwise")
        recorded = read_stated(frame.public)
        if len(recorded.segments) + len(recorded.control) > 2 * EPOCHS_STATED_MAX:
            raise ProtocolError("a statement of too many epochs", 1009)
        stream = self.streams[side.other]
        for stated in recorded.segments:
            if stream.knows_of(Kind.SEGMENT, stated.epoch):
                numbers = IntervalSet(stated.recorded)
                numbers.update(IntervalSet(stated.closed))
                stream.on_recorded(Kind.SEGMENT, stated.epoch, numbers, now_ms)
        for epoch, applied_up_to in recorded.control:
            if applied_up_to > 0 and stream.knows_of(Kind.CONTROL, epoch):
                stream.on_recorded(Kind.CONTROL, epoch, IntervalSet((1, applied_up_to)), now_ms)
        yield from self._to_peer(side, frame)

    def _tell_held(self, now_ms: int) -> Iterator[Effect]:
        """Tell what is held for it whoever is to hear it; who heard it some times a moment ago hears it a moment later."""
        for side in [side for side in self._asked_held if now_ms >= self._held_due_ms.get(side, 0)]:
            self._asked_held.discard(side)
            earliest_ms = now_ms - (HELD_TOLD_AT_ONCE_MAX - 1) * HELD_TOLD_EVERY_MS
            self._held_due_ms[side] = max(self._held_due_ms.get(side, 0), earliest_ms) + HELD_TOLD_EVERY_MS
            yield Send(side, Held(True, self.streams[side].held.listed()))

    def _to_peer(self, side: Side, frame: Statement | AskStatement) -> Iterator[Effect]:
        if self.linked(side.other):
            yield Send(side.other, frame)

    def _header(self, side: Side, packed: bytes) -> Header:
        header = Header.unpack(packed)
        if header.pair_id != self.pair_id:
            raise ProtocolError("a sealed frame of another pair")
        if header.side != side:
            raise ProtocolError("a sealed frame of the other side")
        return header
