"""The origin of a stream of readings: tail, segments, epochs, and the account of them all (G1 to G6; DESIGN section 5).

What must survive is in the store; what is about the present link only is in `shared.core.sending`, rebuilt by
`on_link_opened`. All methods that take a store run inside one unit of work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.batches import BatchCodec, Packed, count, pack
from shared.columns import Batch, Columns, Series, as_columns, joined
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.ports import EpochOut, OutboxStore, Segment, SentSegment, TailChunk, TailTotal
from shared.core.sending import Outgoing, Sending
from shared.errors import Refused, SealBroken, Undecodable
from shared.limits import (
    HISTORY_RETENTION_MS,
    OUTBOX_BYTES_MAX,
    RETENTION_MS,
    SEGMENT_GREAT_READINGS,
    SEGMENT_PLAIN_BYTES_TARGET,
    SEGMENT_READINGS_MAX,
    TAIL_AGE_MS_MAX,
)
from shared.sealing import NONCE_BYTES, Kind, PairKeys

Chance = Callable[[int], bytes]
# One unit of work expires at most this many segments, so that a month's backlog does not stop the writer.
_EXPIRE_SEGMENTS_MAX: Final = 64
_TAIL_CHUNKS_EXPIRED_MAX: Final = 512
# Segments sealed out of the tail in one unit of work: what is beyond comes with the next.
_TAIL_SEALED_MAX: Final = 16
_SENT_FORGOTTEN_MAX: Final = 512
# The part of the tail whose resources the target took when it came; the others wait under their alias.
_READY: Final = ""
_RATHER_EMPTY: Final = TailTotal(0, 0, 0)


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Settings of one stream. `refuse_when_full`: refuse new readings at the cap instead of dropping the oldest."""

    retention_ms: int = RETENTION_MS
    bytes_max: int = OUTBOX_BYTES_MAX
    refuse_when_full: bool = False


class Outbox:
    """Origin side of one pair's readings."""

    def __init__(self, keys: PairKeys, codec: BatchCodec, chance: Chance, limits: OutboxLimits) -> None:
        self._keys = keys
        self._codec = codec
        self._chance = chance
        self.limits = limits
        self._epoch: EpochOut | None = None  # opened by the first segment of this start (G2)
        self._accepts: frozenset[str] = frozenset()
        self._tail: dict[str, TailTotal] = {}
        self._sending = Sending()

    # --- life -----------------------------------------------------------------------------------------------------

    def load(self, store: OutboxStore, accepts: frozenset[str]) -> None:
        """Take up what the store holds; also after a unit of work that was undone. `accepts`: aliases the target takes."""
        self._accepts = accepts
        self._tail = store.tail_totals()
        if self._epoch is not None:
            self._epoch = store.epochs_out().get(self._epoch.epoch)

    def set_accepts(self, accepts: frozenset[str]) -> None:
        """The target's statement which resources it takes; the others are held back in the tail (G14)."""
        self._accepts = accepts

    def on_link_closed(self) -> None:
        """Forget the present link."""
        self._sending.close()

    def on_link_opened(self, store: OutboxStore, hub_holds: dict[int, IntervalSet], now_ms: int) -> None:
        """Start sending what neither the destination nor the hub has. `hub_holds`: numbers by epoch, stated by the hub."""
        self._sending.open(store, hub_holds, now_ms)

    def set_reachable(self, reachable: bool) -> None:
        """Whether the destination is linked: readings are then sealed at once."""
        self._sending.set_reachable(reachable)

    def add_credit(self, body_bytes: int) -> None:
        """The hub takes this many more bytes."""
        self._sending.add_credit(body_bytes)

    def on_hub_holds(self, epoch: int, numbers: IntervalSet) -> None:
        """The hub holds these numbers durably; they need not be sent again while this link lives."""
        self._sending.on_hub_holds(epoch, numbers)

    def on_hub_holds_all(self, hub_holds: dict[int, IntervalSet]) -> None:
        """The hub holds these numbers, by epoch, and no others."""
        self._sending.on_hub_holds_all(hub_holds)

    @property
    def has_work(self) -> bool:
        """Whether the last `pump` left something to do although nothing further may happen."""
        return self._sending.behind and self._sending.has_credit

    # --- accepting ------------------------------------------------------------------------------------------------

    def accept(self, store: OutboxStore, batch: Batch | Sequence[Packed], now_ms: int) -> None:
        """Take readings into the stream; they are new, valid, and their toggle is on (G14).

        Raises Refused('outbox_full') where the cap is reached and the policy is to refuse.
        """
        self.refuse_when_full(store)
        self.take(store, batch, now_ms)

    def take(self, store: OutboxStore, batch: Batch | Sequence[Packed], now_ms: int) -> None:
        """Accept what was let in by `refuse_when_full`. What is packed and can be sealed as it is, is not packed again."""
        pieces = self._pieces(batch)
        store.count_accepted(sum(map(len, pieces)))
        for piece in pieces:
            taken = [name[1] in self._accepts for name in piece.columns.series]
            if all(taken):
                self._accept_ready(store, piece, now_ms)
                continue
            self._hold_back(store, piece.columns.pick([not each for each in taken]), now_ms)
            if any(taken):
                self._accept_ready(store, Packed(piece.columns.pick(taken), self._codec), now_ms)

    def refuse_when_full(self, store: OutboxStore) -> None:
        """Raise Refused('outbox_full') where the cap is reached and the policy is to refuse."""
        if self.limits.refuse_when_full and store.waiting_bytes() >= self.limits.bytes_max:
            raise Refused("outbox_full", bytes_max=self.limits.bytes_max)

    def _pieces(self, batch: Batch | Sequence[Packed]) -> list[Packed]:
        if isinstance(batch, Columns):
            return pack(batch, self._codec)
        packed = [piece for piece in batch if isinstance(piece, Packed)]
        return packed or pack(as_columns([one for one in batch if isinstance(one, Series)]), self._codec)

    def _accept_ready(self, store: OutboxStore, piece: Packed, now_ms: int) -> None:
        """Seal at once what can be sent now, or is a segment of a size; what is small waits while others are in flight."""
        great = len(piece) >= (SEGMENT_GREAT_READINGS if self._sending.reachable else SEGMENT_READINGS_MAX)
        if great or self._sending.takes_at_once:
            self._seal(store, piece, now_ms)
            return
        self._add_tail(store, _READY, piece, now_ms)
        self._seal_full_tail(store, now_ms)

    def _hold_back(self, store: OutboxStore, columns: Columns, accepted_ms: int) -> None:
        """Put readings that the target does not take into the tail, by resource, so that each waits by itself (G14)."""
        for resource in dict.fromkeys(name[1] for name in columns.series):
            part = columns.pick([name[1] == resource for name in columns.series])
            self._add_tail(store, resource, Packed(part, self._codec), accepted_ms)

    def _add_tail(self, store: OutboxStore, resource: str, piece: Packed, accepted_ms: int) -> None:
        store.add_tail(resource, accepted_ms, piece.columns, piece.body)
        total = self._tail.get(resource, _RATHER_EMPTY)
        oldest_ms = min(total.oldest_accepted_ms or accepted_ms, accepted_ms)
        self._tail[resource] = TailTotal(total.count + len(piece), total.bytes + len(piece.body), oldest_ms)

    def _ready_tail(self) -> TailTotal:
        totals = [self._tail[resource] for resource in self._ready_resources() if self._tail[resource].count]
        return TailTotal(
            sum(total.count for total in totals),
            sum(total.bytes for total in totals),
            min((total.oldest_accepted_ms for total in totals), default=0),
        )

    def _ready_resources(self) -> list[str]:
        """The parts of the tail that may be sealed: what was ready, and what the target takes by now."""
        return [resource for resource in self._tail if resource == _READY or resource in self._accepts]

    def _seal_full_tail(self, store: OutboxStore, now_ms: int) -> None:
        while True:
            ready = self._ready_tail()
            aged = ready.count and now_ms - ready.oldest_accepted_ms >= TAIL_AGE_MS_MAX
            if ready.count < SEGMENT_READINGS_MAX and ready.bytes < SEGMENT_PLAIN_BYTES_TARGET and not aged:
                return
            self._seal_tail(store)

    def _seal_tail(self, store: OutboxStore) -> None:
        """Seal up to one segment's worth of what waits in the tail."""
        chunks = store.tail_chunks(self._ready_resources(), SEGMENT_READINGS_MAX)
        columns = joined(self._codec.decode_tail(chunk.body) for chunk in chunks)
        accepted_ms = max(chunk.accepted_ms for chunk in chunks)
        store.remove_tail(chunks)
        self._tail = store.tail_totals()
        taken = [name[1] in self._accepts for name in columns.series]
        if not all(taken):  # it was ready when it came; what the target has ceased to take goes on waiting
            self._hold_back(store, columns.pick([not each for each in taken]), min(each.accepted_ms for each in chunks))
            columns = columns.pick(taken)
        for piece in pack(columns, self._codec):
            self._seal(store, piece, accepted_ms)

    def _seal(self, store: OutboxStore, piece: Packed, accepted_ms: int) -> None:
        self._sending.on_sealed(self._store_sealed(store, *self._next_number(store), piece, len(piece), accepted_ms))

    def _next_number(self, store: OutboxStore) -> tuple[int, int]:
        if self._epoch is None:
            self._epoch = EpochOut(int.from_bytes(self._chance(8), "big") >> 1 or 1)  # SQLite integers are signed
        self._epoch.last_number += 1
        store.save_epoch_out(self._epoch)
        return self._epoch.epoch, self._epoch.last_number

    def _store_sealed(
        self, store: OutboxStore, epoch: int, number: int, piece: Packed, readings: int, accepted_ms: int
    ) -> int:
        header, body = self._keys.seal(
            Kind.SEGMENT,
            piece.body,
            epoch=epoch,
            number=number,
            accepted_ms=accepted_ms,
            count=readings,
            nonce=self._chance(NONCE_BYTES),
        )
        return store.add_segment(epoch, number, piece.columns, readings, accepted_ms, header, body)

    # --- sending --------------------------------------------------------------------------------------------------

    def pump(self, store: OutboxStore, now_ms: int) -> list[Outgoing]:
        """Return the segments to send now, live before backfill, as far as the credit reaches."""
        self._sending.behind = False
        self._seal_ready_tail(store)
        return self._sending.pump(store, now_ms)

    def _seal_ready_tail(self, store: OutboxStore) -> None:
        """Seal what waits in the tail, as soon as what was sent live before has found a word."""
        if not (self._sending.is_open and self._sending.takes_at_once):
            return
        for _ in range(_TAIL_SEALED_MAX):
            if not self._ready_tail().count:
                return
            self._seal_tail(store)
        self._sending.behind = bool(self._ready_tail().count)

    # --- the destination's word -------------------------------------------------------------------------------------

    def on_stated(
        self, store: OutboxStore, stated: EpochOut, *, fresh: bool, now_ms: int, tally: GapTally, closed: GapTally
    ) -> bool:
        """Take the destination's state of one epoch; return whether anything changed.

        `fresh` tells that it answers a question of this link, so that what it lacks is really lacking there (G4).
        Losses it reveals go into `tally`; into `closed` what we, since restored, had given up there before.
        """
        self._sending.on_stated(stated.epoch, stated.recorded, stated.closed)
        known = store.epochs_out().get(stated.epoch)
        if known is None:
            # Ours from before a restore: the backup does not know the epoch at all.
            known = EpochOut(stated.epoch)
        before = (known.recorded_count, known.recorded.flat(), known.closed.flat())
        expected = known.recorded_count
        expected += self._settle(store, known, stated, now_ms)
        self._close(store, known, stated, closed)
        if fresh:
            expected -= self._make_again(store, known, stated, now_ms, tally)
        highest = max(stated.recorded.highest, stated.closed.highest)
        if highest > known.last_number:
            known.last_number = highest
            tally.origin_restored = True
            store.set_unknown()
        excess = stated.recorded_count - expected
        if excess > 0:
            store.count_adopted(excess)  # delivered before our restore; we learn of it here
        elif excess < 0:
            store.count_dropped(tally.lost(-excess), -excess)
        known.recorded.update(stated.recorded)
        known.closed.update(stated.closed)
        known.applied, known.held = stated.applied, stated.held
        known.quarantined, known.dropped = stated.quarantined, dict(stated.dropped)
        if self._epoch is not None and self._epoch.epoch == known.epoch:
            known.last_number = max(known.last_number, self._epoch.last_number)
            self._epoch = known
        store.save_epoch_out(known)
        return before != (known.recorded_count, known.recorded.flat(), known.closed.flat())

    def _settle(self, store: OutboxStore, known: EpochOut, stated: EpochOut, now_ms: int) -> int:
        """Take newly recorded segments out of the outbox; return their readings."""
        readings = 0
        for segment in store.segments_numbered(stated.epoch, stated.recorded.minus(known.recorded)):
            if segment.dropped is not None:
                store.undrop_segment(segment)  # the destination's first word wins over our notice that crossed it
            store.settle_segment(segment, now_ms)
            self._sending.on_word(segment.row)
            readings += segment.count
        return readings

    def _close(self, store: OutboxStore, known: EpochOut, stated: EpochOut, closed: GapTally) -> None:
        for segment in store.segments_numbered(stated.epoch, stated.closed.minus(known.closed)):
            if segment.dropped is None:
                # Given up by an origin that was restored since; the destination will never take the number.
                self._drop(store, segment, closed)
            store.forget_segment(segment)
            self._sending.on_word(segment.row)

    def _make_again(self, store: OutboxStore, known: EpochOut, stated: EpochOut, now_ms: int, tally: GapTally) -> int:
        """Make segments again that a restored destination lacks; return the readings that are recorded no longer."""
        lost = known.recorded.minus(stated.recorded)
        if not lost:
            return 0
        tally.destination_restored = True
        readings = 0
        for sent in store.sent_segments(stated.epoch, lost):
            readings += sent.count
            found = self._seal_again(store, sent, now_ms)
            if found < sent.count:
                store.count_dropped(tally.lost(sent.count - found, sent.first_ms, sent.last_ms), sent.count - found)
        known.recorded = known.recorded.minus(lost)
        self._sending.start_over()
        return readings

    def _seal_again(self, store: OutboxStore, sent: SentSegment, now_ms: int) -> int:
        """Seal a segment again under its number; return how many of its readings the history still has.

        Between its first and its last reading there may be others of the same series. They do no harm, for the count
        in the header is what the account goes by; where they are too many for one segment, the rest goes into new
        ones that count nothing.
        """
        batch = store.history(sent.series)
        found = min(count(batch), sent.count)
        pieces = pack(as_columns(batch), self._codec) if found else []
        if pieces:
            self._store_sealed(store, sent.epoch, sent.number, pieces[0], found, now_ms)
        for piece in pieces[1:]:
            self._store_sealed(store, *self._next_number(store), piece, 0, now_ms)
        return found

    def still_closed(self, store: OutboxStore, epoch: int, numbers: IntervalSet) -> IntervalSet:
        """Return those of the numbers, once given up, that a word of the destination has not corrected since."""
        known = store.epochs_out().get(epoch)
        given_up = IntervalSet(known.closed.flat() if known is not None else ())
        for segment in store.segments_numbered(epoch, numbers):
            if segment.dropped is not None:
                given_up.add(segment.number)
        return numbers.minus(numbers.minus(given_up))

    # --- giving up --------------------------------------------------------------------------------------------------

    def expire(self, store: OutboxStore, now_ms: int, tally: GapTally) -> bool:
        """Give up what was accepted longer than the retention ago; return whether more waits to be given up (G5)."""
        before_ms = now_ms - self.limits.retention_ms
        segments = store.expired_segments(before_ms, _EXPIRE_SEGMENTS_MAX)
        chunks = store.expired_tail(before_ms, _TAIL_CHUNKS_EXPIRED_MAX)
        self._give_up(store, segments, chunks, tally)
        store.forget_sent(now_ms - HISTORY_RETENTION_MS, _SENT_FORGOTTEN_MAX)  # of no use without the history
        return len(segments) == _EXPIRE_SEGMENTS_MAX or len(chunks) == _TAIL_CHUNKS_EXPIRED_MAX

    def drop_over_cap(self, store: OutboxStore, tally: GapTally) -> None:
        """Give up the oldest until what waits fits the byte cap (policy *drop oldest*)."""
        while store.waiting_bytes() > self.limits.bytes_max:
            segments = store.oldest_segments(1)
            chunks = [] if segments else store.oldest_tail(_TAIL_CHUNKS_EXPIRED_MAX)
            if not segments and not chunks:
                return
            self._give_up(store, segments, chunks, tally)

    def _give_up(
        self, store: OutboxStore, segments: Sequence[Segment], chunks: Sequence[TailChunk], tally: GapTally
    ) -> None:
        for segment in segments:
            tally.number(segment.epoch, segment.number)
            self._drop(store, segment, tally)
        for chunk in chunks:
            tally.batch(self._codec.decode_tail(chunk.body).listed())
            store.count_dropped(tally.cause, chunk.count)
        if chunks:
            store.remove_tail(chunks)
            self._tail = store.tail_totals()

    def _drop(self, store: OutboxStore, segment: Segment, tally: GapTally) -> None:
        store.drop_segment(segment, tally.cause)
        self._sending.on_word(segment.row)
        try:
            _, plain = self._keys.open(Kind.SEGMENT, segment.header, segment.body, own=True)
            tally.batch(self._codec.decode(plain))
        except (SealBroken, Undecodable):
            tally.bare(segment.count, segment.accepted_ms)

    def next_deadline_ms(self, store: OutboxStore) -> int | None:
        """When `expire` or sealing by age has something to do next (wall clock), None where nothing waits."""
        oldest_ms = store.oldest_accepted_ms()
        due = [] if oldest_ms is None else [oldest_ms + self.limits.retention_ms]
        ready = self._ready_tail()
        if ready.count:
            due.append(ready.oldest_accepted_ms + TAIL_AGE_MS_MAX)
        return min(due, default=None)

    def on_deadline(self, store: OutboxStore, now_ms: int) -> None:
        """Seal what waited in the tail for too long, so that expiry stays exact (limits.TAIL_AGE_MS_MAX)."""
        self._seal_full_tail(store, now_ms)
