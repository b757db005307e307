"""The origin of a stream of readings: tail, segments, epochs, and the account of them all (G1 to G6; DESIGN section 5).

What must survive is in the store; what is about the present link only is in `shared.core.sending`, rebuilt by
`on_link_opened`. All methods that take a store run inside one unit of work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.batches import BatchCodec, Packed, pack
from shared.columns import Batch, Columns, Series, as_columns
from shared.core.account import add_counts
from shared.core.engine_link import held_segments
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.overflow import Overflow
from shared.core.ports import EpochOut, OutboxStore, Segment, SentSegment, TailChunk, TailTotal
from shared.core.remembered import Remembered
from shared.core.sending import Outgoing, Sending
from shared.core.tail import Tail
from shared.errors import Refused, SealBroken, Undecodable
from shared.limits import (
    HISTORY_RETENTION_MS,
    LIVE_AGE_MS,
    OUTBOX_BYTES_MAX,
    QUARANTINE_BYTES_MAX,
    RETENTION_MS,
    SEALED_NUMBER_MAX,
    SECOND_MS,
    SEGMENT_GREAT_READINGS,
    SEGMENT_PLAIN_BYTES_TARGET,
    SEGMENT_READINGS_MAX,
    TAIL_AGE_MS_MAX,
    TAIL_READING_BYTES,
)
from shared.sealing import NONCE_BYTES, Kind, PairKeys

Chance = Callable[[int], bytes]
# One unit of work expires at most this many segments, so that a month's backlog does not stop the writer.
_EXPIRE_SEGMENTS_MAX: Final = 64
_TAIL_CHUNKS_EXPIRED_MAX: Final = 512
# So much is dropped at the byte cap in one unit of work: in pieces of the tail, where a segment is as much as some of them.
_DROPPED_BITS_MAX: Final = _TAIL_CHUNKS_EXPIRED_MAX
_SEGMENT_BITS: Final = _DROPPED_BITS_MAX // _EXPIRE_SEGMENTS_MAX
# Segments sealed out of the tail in one unit of work: what is beyond comes with the next.
_TAIL_SEALED_MAX: Final = 16
_SENT_FORGOTTEN_MAX: Final = 512
# So often it is looked through for what is too old.
_SENT_FORGOTTEN_EVERY_MS: Final = 5 * SECOND_MS
# At the cap, room for a thousandth of it is made at once: each time costs a notice, which both sides keep.
_SPARED_PART: Final = 1_024


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Settings of one stream. `refuse_when_full`: refuse new readings at the cap instead of dropping the oldest,

    of resources that do not say otherwise (shared.core.overflow). `live_age_ms`: what was accepted so long ago or less is
    live when a link opens. `drain_bytes_per_s`: what a backlog may take of a link, 0 for no bound. `quarantine_bytes_max`:
    what its destination keeps aside of what it cannot apply.
    """

    retention_ms: int = RETENTION_MS
    bytes_max: int = OUTBOX_BYTES_MAX
    refuse_when_full: bool = False
    live_age_ms: int = LIVE_AGE_MS
    drain_bytes_per_s: int = 0
    quarantine_bytes_max: int = QUARANTINE_BYTES_MAX


class Outbox:
    """Origin side of one pair's readings."""

    def __init__(self, keys: PairKeys, codec: BatchCodec, chance: Chance, limits: OutboxLimits) -> None:
        self._keys = keys
        self._codec = codec
        self._chance = chance
        self.limits = limits
        self._epoch: EpochOut | None = None  # opened by the first segment of this start (G2)
        self._accepts: frozenset[str] = frozenset()
        self._tail = Tail(codec)
        self._overflow = Overflow(limits.refuse_when_full)
        self._has_kept = True  # whether anything that waits may not be dropped; looked at when it is needed
        self._dropped_row = 0  # nothing that may be dropped is in segments up to here
        self._sending = Sending(limits.live_age_ms, limits.drain_bytes_per_s)
        self._sent_looked_at_ms = 0  # when what was sent was looked through for what is too old
        self._waiting_bytes_most = -1  # what waits takes this or less; -1 where that is not known
        self._left_bytes: int | None = None  # what waited when it was last held against the cap
        self._first_row: Remembered[OutboxStore, int] = Remembered(lambda store: store.first_segment_row())
        self._oldest_ms: Remembered[OutboxStore, int | None] = Remembered(lambda store: store.oldest_accepted_ms())

    # --- life -----------------------------------------------------------------------------------------------------

    def load(self, store: OutboxStore, accepts: frozenset[str]) -> None:
        """Take up what the store holds; also after a unit of work that was undone. `accepts`: aliases the target takes."""
        self._accepts = accepts
        self._forget_oldest()
        self._waiting_bytes_most = -1
        self._left_bytes = None
        self._tail.load(store)
        self.load_overflow(store)
        self._dropped_row = 0
        if self._epoch is not None:
            self._epoch = store.epoch_out(self._epoch.epoch)

    def _forget_oldest(self) -> None:
        """What waits has changed."""
        self._first_row.forget()
        self._oldest_ms.forget()

    def first_row(self, store: OutboxStore) -> int:
        """Return the row of the oldest segment that waits for the destination's word, 0 where there is none."""
        return self._first_row.get(store)

    def load_overflow(self, store: OutboxStore) -> None:
        """Take up which resources drop their oldest readings at the cap, and which refuse new ones; it may have changed."""
        self._overflow = Overflow(self.limits.refuse_when_full, store.own_overflows())
        self._has_kept = True

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

    def set_crowded(self, crowded: bool) -> None:
        """Whether many pairs are at work, so that words come late."""
        self._sending.crowded = crowded

    def add_credit(self, body_bytes: int) -> None:
        """The hub takes this many more bytes."""
        self._sending.add_credit(body_bytes)

    def on_hub_holds(self, epoch: int, numbers: IntervalSet) -> None:
        """The hub holds these numbers durably; they need not be sent again while this link lives."""
        self._sending.on_hub_holds(epoch, numbers)

    def on_hub_holds_all(self, hub_holds: dict[int, IntervalSet]) -> None:
        """The hub holds these numbers, by epoch, and no others."""
        self._sending.on_hub_holds_all(hub_holds)

    def accepts(self, alias: str) -> bool:
        """Whether the target takes readings of this resource (G14)."""
        return alias in self._accepts

    @property
    def has_room_beside(self) -> bool:
        """Whether the stream leaves credit over for what goes behind it (replays)."""
        return self._sending.has_room_beside

    def send_beside(self, header: bytes, body: bytes) -> Outgoing:
        """Send a sealed segment that is not the stream's, as backfill, on the same credit."""
        return self._sending.send_beside(header, body)

    @property
    def credit_bytes(self) -> int:
        """What the hub takes on the present link; 0 or less: nothing."""
        return self._sending.credit_bytes

    @property
    def has_work(self) -> bool:
        """Whether the last `pump` left something to do although nothing further may happen."""
        return self._sending.behind and self._sending.has_credit

    @property
    def send_next_ms(self) -> int | None:
        """When a backlog that waits for its budget goes on; None where it waits for something else, or nothing waits."""
        return self._sending.next_ms

    @property
    def drain_bytes_per_s(self) -> int:
        """The operator's bound on how fast a backlog drains; 0 for none."""
        return self._sending.budget.bytes_per_s

    def set_budget(self, bytes_per_s: int, now_ms: int) -> None:
        """Bound how fast a backlog drains, in bytes per second; 0 for no bound."""
        self._sending.budget.set(bytes_per_s, now_ms)

    # --- accepting ------------------------------------------------------------------------------------------------

    def accept(self, store: OutboxStore, batch: Batch | Sequence[Packed], now_ms: int) -> None:
        """Take readings into the stream; they are new, valid, and their toggle is on (G14).

        Raises Refused('outbox_full') where the cap is reached by what may not be dropped.
        """
        self.refuse_when_full(store)
        self.take(store, batch, now_ms)

    def take(self, store: OutboxStore, batch: Batch | Sequence[Packed], now_ms: int) -> None:
        """Accept what was let in by `refuse_when_full`. What is packed and can be sealed as it is, is not packed again."""
        pieces = self._pieces(batch)
        store.count_accepted(_counted(pieces))
        for piece in pieces:
            for kept, part in self._by_overflow(piece):
                self._accept_part(store, part, now_ms, kept=kept)

    def _by_overflow(self, piece: Packed) -> Iterator[tuple[bool, Packed]]:
        """Tell what is kept at the cap from what gives way: the two never share a segment."""
        marks = self._overflow.kept(piece.columns)
        if all(marks) or not any(marks):
            yield marks[0], piece
            return
        for kept in (False, True):
            yield kept, Packed(piece.columns.pick([mark is kept for mark in marks]), self._codec)

    def _accept_part(self, store: OutboxStore, piece: Packed, now_ms: int, *, kept: bool) -> None:
        taken = [name[1] in self._accepts for name in piece.columns.series]
        if all(taken):
            self._accept_ready(store, piece, now_ms, kept=kept)
            return
        self._note_tail(now_ms)
        self._tail.hold_back(store, piece.columns.pick([not each for each in taken]), now_ms, kept=kept)
        if any(taken):
            self._accept_ready(store, Packed(piece.columns.pick(taken), self._codec), now_ms, kept=kept)

    def refuse_when_full(self, store: OutboxStore) -> None:
        """Raise Refused('outbox_full') where the cap is reached by what may not be dropped."""
        if self._overflow.keeps_none and not self._has_kept:
            return
        filled = store.waiting_bytes() if self._overflow.keeps_all else store.kept_bytes()
        self._has_kept = filled > 0
        if filled >= self.limits.bytes_max:
            raise Refused("outbox_full", bytes_max=self.limits.bytes_max)

    def _pieces(self, batch: Batch | Sequence[Packed]) -> list[Packed]:
        if isinstance(batch, Columns):
            return pack(batch, self._codec)
        packed = [piece for piece in batch if isinstance(piece, Packed)]
        return packed or pack(as_columns([one for one in batch if isinstance(one, Series)]), self._codec)

    def _accept_ready(self, store: OutboxStore, piece: Packed, now_ms: int, *, kept: bool) -> None:
        """Seal at once what can be sent now, or is a segment of a size; what is small waits while others are in flight."""
        great = len(piece) >= (SEGMENT_GREAT_READINGS if self._sending.reachable else SEGMENT_READINGS_MAX)
        if great or self._sending.takes_at_once:
            self._seal(store, piece, now_ms, kept=kept)
            return
        self._note_tail(now_ms)
        self._tail.add(store, piece, now_ms, kept=kept)
        self._seal_full_tail(store, now_ms)

    def _seal_full_tail(self, store: OutboxStore, now_ms: int) -> None:
        for kept in (False, True):
            while self._is_full(self._tail.ready(self._accepts, kept=kept), now_ms):
                self._seal_tail(store, kept=kept)

    def _is_full(self, ready: TailTotal, now_ms: int) -> bool:
        # A chunk of one reading is mostly names and frame, which a segment has once: they do not fill it.
        full_bytes = SEGMENT_PLAIN_BYTES_TARGET + TAIL_READING_BYTES * ready.count
        if ready.count >= SEGMENT_READINGS_MAX or ready.bytes >= full_bytes:
            return True
        return bool(ready.count) and now_ms - ready.oldest_accepted_ms >= TAIL_AGE_MS_MAX

    def _seal_tail(self, store: OutboxStore, *, kept: bool) -> None:
        """Seal up to one segment's worth of what waits in the tail."""
        self._forget_oldest()
        columns, accepted_ms = self._tail.take(store, self._accepts, kept=kept)
        for piece in pack(columns, self._codec):
            self._seal(store, piece, accepted_ms, kept=kept)

    def _seal(self, store: OutboxStore, piece: Packed, accepted_ms: int, *, kept: bool) -> None:
        number = self._next_number(store)
        self._sending.on_sealed(self._store_sealed(store, *number, piece, len(piece), accepted_ms, kept=kept))

    def _next_number(self, store: OutboxStore) -> tuple[int, int]:
        """Give the next number. The store tells the last one by the segments that wait, once it knows the epoch."""
        # A destination that states the last number there is has used an epoch up: it goes on in another one.
        if self._epoch is None or self._epoch.last_number >= SEALED_NUMBER_MAX:
            self._epoch = EpochOut(int.from_bytes(self._chance(8), "big") >> 1 or 1)  # SQLite integers are signed
            store.save_epoch_out(self._epoch)
        self._epoch.last_number += 1
        return self._epoch.epoch, self._epoch.last_number

    def _note_tail(self, accepted_ms: int) -> None:
        """Something goes into the tail."""
        self._waiting_bytes_most = -1  # chunks are made one, which nobody tells us
        self._oldest_ms.change(lambda oldest_ms: accepted_ms if oldest_ms is None else min(oldest_ms, accepted_ms))

    def _note_sealed(self, row: int, accepted_ms: int, body_bytes: int) -> None:
        """Something is sealed that was not in the tail, or in place of what was taken out of it."""
        self._first_row.change(lambda first_row: first_row or row)
        self._oldest_ms.change(lambda oldest_ms: accepted_ms if oldest_ms is None else min(oldest_ms, accepted_ms))
        if self._waiting_bytes_most >= 0:
            self._waiting_bytes_most += body_bytes

    def _store_sealed(
        self,
        store: OutboxStore,
        epoch: int,
        number: int,
        piece: Packed,
        readings: int,
        accepted_ms: int,
        counts: Mapping[str, int] | None = None,
        *,
        kept: bool,
    ) -> Segment:
        header, body = self._keys.seal(
            Kind.SEGMENT,
            piece.body,
            epoch=epoch,
            number=number,
            accepted_ms=accepted_ms,
            count=readings,
            nonce=self._chance(NONCE_BYTES),
        )
        row = store.add_segment(epoch, number, piece.columns, readings, accepted_ms, header, body, counts, kept=kept)
        self._note_sealed(row, accepted_ms, len(body))
        return Segment(row, epoch, number, readings, accepted_ms, header, body, None, kept)

    # --- sending --------------------------------------------------------------------------------------------------

    def pump(self, store: OutboxStore, now_ms: int) -> list[Outgoing]:
        """Return the segments to send now, live before backfill, as far as the credit reaches."""
        self._sending.behind = False
        self._seal_ready_tail(store)
        return self._sending.pump(store, now_ms)

    def _seal_ready_tail(self, store: OutboxStore) -> None:
        """Seal what waits in the tail, as soon as what was sent live before has found a word."""
        if self._tail.is_empty or not (self._sending.is_open and self._sending.takes_at_once):
            return
        left = _TAIL_SEALED_MAX
        for kept in (True, False):
            while left and self._tail.ready(self._accepts, kept=kept).count:
                self._seal_tail(store, kept=kept)
                left -= 1
        self._sending.behind = any(self._tail.ready(self._accepts, kept=kept).count for kept in (True, False))

    # --- the destination's word -------------------------------------------------------------------------------------

    def on_stated(
        self, store: OutboxStore, stated: EpochOut, *, fresh: bool, now_ms: int, tally: GapTally, closed: GapTally
    ) -> bool:
        """Take the destination's state of one epoch; return whether anything changed.

        `fresh` tells that it answers a question of this link, so that what it lacks is really lacking there (G4).
        Losses it reveals go into `tally`, with what was given up and is there after all; into `closed` what we, since
        restored, had given up there before.
        """
        self._sending.on_stated(stated.epoch, stated.recorded, stated.closed)
        ours = self._epoch if self._epoch is not None and self._epoch.epoch == stated.epoch else None
        known = ours or store.epoch_out(stated.epoch)
        if known is None:
            # Ours from before a restore: the backup does not know the epoch at all.
            known = EpochOut(stated.epoch)
        before = (known.recorded_count, known.recorded.flat(), known.closed.flat())
        expected = known.recorded_count
        expected += self._settle(store, known, stated, now_ms, tally)
        lacking = known.recorded.minus(stated.recorded) if fresh else IntervalSet()
        expected -= self._make_again(store, known, lacking, now_ms, tally)
        # Also what was made again just now: one that we, since restored, had given up there is never taken.
        self._close(store, stated.epoch, stated.closed.minus(known.closed.minus(lacking)), closed)
        highest = max(stated.recorded.highest, stated.closed.highest)
        if highest > known.last_number:
            known.last_number = highest
            tally.origin_restored = True
            store.set_unknown()
        excess = stated.recorded_count - expected
        if excess > 0:
            store.count_adopted(excess)  # delivered before our restore; we learn of it here
        elif excess < 0:
            store.count_dropped(tally.lost(-excess), -excess, {})
        known.recorded.update(stated.recorded)
        known.closed.update(stated.closed)
        known.applied, known.held = stated.applied, stated.held
        known.quarantined, known.dropped = stated.quarantined, dict(stated.dropped)
        if known.apart.quarantined:  # what was set aside and is applied by now needs no keeping
            store.forget_aside(known.epoch, IntervalSet(stated.apart.quarantined + stated.apart.discarded))
        known.apart = stated.apart
        if self._epoch is not None and self._epoch.epoch == known.epoch:
            known.last_number = max(known.last_number, self._epoch.last_number)
            self._epoch = known
        store.save_epoch_out(known)
        return before != (known.recorded_count, known.recorded.flat(), known.closed.flat())

    def _settle(self, store: OutboxStore, known: EpochOut, stated: EpochOut, now_ms: int, tally: GapTally) -> int:
        """Take newly recorded segments out of the outbox; return their readings."""
        numbers = stated.recorded.minus(known.recorded)
        segments = store.segments_numbered(stated.epoch, numbers)
        if not segments:
            return 0
        # The first word of a segment may come when a person has discarded it already.
        aside = IntervalSet(stated.apart.quarantined + stated.apart.discarded)
        for segment in segments:
            if segment.dropped is not None:
                self._take_back(store, segment, tally)
            if segment.number in aside:
                store.set_aside(segment)
            self._sending.on_word(segment.row)
        store.settle_segments(stated.epoch, numbers, segments, now_ms)
        self._forget_oldest()
        return sum(segment.count for segment in segments)

    def _take_back(self, store: OutboxStore, segment: Segment, tally: GapTally) -> None:
        """The destination's first word wins over our notice that crossed it, in the account and in the list of gaps."""
        share = store.gap_share(segment)
        store.undrop_segment(segment)
        if share is not None:
            tally.taken_back.add(segment.epoch, segment.number, share)

    def _close(self, store: OutboxStore, epoch: int, numbers: IntervalSet, closed: GapTally) -> None:
        for segment in store.segments_numbered(epoch, numbers):
            if segment.dropped is None:
                # Given up by an origin that was restored since; the destination will never take the number.
                self._drop(store, segment, closed)
            store.forget_segment(segment)
            self._forget_oldest()
            self._sending.on_word(segment.row)

    def _make_again(self, store: OutboxStore, known: EpochOut, lost: IntervalSet, now_ms: int, tally: GapTally) -> int:
        """Make segments again that a restored destination lacks; return the readings that are recorded no longer."""
        if not lost:
            return 0
        tally.destination_restored = True
        self._forget_oldest()
        readings, waited_bytes = 0, store.waiting_bytes()
        for sent in store.sent_segments(known.epoch, lost):
            readings += sent.count
            store.count_unrecorded(sent.counts)
            found, missing = self._seal_again(store, sent, now_ms)
            if found < sent.count:
                cause = tally.lost(sent.count - found, sent.first_ms, sent.last_ms)
                store.count_dropped(cause, sent.count - found, missing)
        if self._left_bytes is not None:  # where that is over the cap it goes bit by bit, as a backlog does
            self._left_bytes += store.waiting_bytes() - waited_bytes
        known.recorded = known.recorded.minus(lost)
        self._sending.start_over()
        return readings

    def _seal_again(self, store: OutboxStore, sent: SentSegment, now_ms: int) -> tuple[int, dict[str, int]]:
        """Seal a segment again under its number; return how many of its readings the history still has, and lacks by resource.

        Between its first and its last reading there may be others of the same series. They do no harm, for the count
        in the header is what the account goes by; where they are too many for one segment, the rest goes into new
        ones that count nothing.
        """
        batch = as_columns(store.history(sent.series))
        there = batch.counts()
        counts = {resource: min(there.get(resource, 0), sent.counts[resource]) for resource in sent.counts}
        found = sum(counts.values()) if counts else min(len(batch), sent.count)
        # Also where none count: such a segment holds what did not fit in another, and is lost with a restored target as well.
        pieces = pack(batch, self._codec) if len(batch) else []
        kept = all(self._overflow.kept(batch))
        if pieces:
            self._store_sealed(store, sent.epoch, sent.number, pieces[0], found, now_ms, counts, kept=kept)
        for piece in pieces[1:]:
            self._store_sealed(store, *self._next_number(store), piece, 0, now_ms, {}, kept=kept)
        return found, {resource: sent.counts[resource] - counts[resource] for resource in counts}

    def knows_all(self, store: OutboxStore, held: Mapping[tuple[int, int], IntervalSet] | None) -> bool:
        """Whether the hub, as far as it said, holds no segment but what we know: a restore has forgotten the others."""
        if held is None:
            return False
        epochs = store.epochs_out()
        parts = held_segments(held).items()
        return all(
            epoch in epochs and numbers.highest <= epochs[epoch].last_number for epoch, numbers in parts if numbers
        )

    def still_closed(self, store: OutboxStore, epoch: int, numbers: IntervalSet) -> IntervalSet:
        """Return those of the numbers, once given up, that a word of the destination has not corrected since."""
        known = store.epoch_out(epoch)
        given_up = IntervalSet(known.closed.flat() if known is not None else ())
        for segment in store.segments_numbered(epoch, numbers):
            if segment.dropped is not None:
                given_up.add(segment.number)
        return numbers.minus(numbers.minus(given_up))

    # --- giving up --------------------------------------------------------------------------------------------------

    def oldest_ms(self, store: OutboxStore) -> int | None:
        """When the oldest that waits here was accepted, None where nothing does."""
        return self._oldest_ms.get(store)

    def expires(self, store: OutboxStore, now_ms: int) -> bool:
        """Whether `expire` has something to do."""
        oldest_ms = self._oldest_ms.get(store)
        return oldest_ms is not None and oldest_ms + self.limits.retention_ms <= now_ms

    def forget_sent(self, store: OutboxStore, now_ms: int) -> None:
        """Forget what is kept of segments that were recorded long ago: without the history it is of no use."""
        if not 0 <= now_ms - self._sent_looked_at_ms < _SENT_FORGOTTEN_EVERY_MS:
            self._sent_looked_at_ms = now_ms
            store.forget_sent(now_ms - HISTORY_RETENTION_MS, _SENT_FORGOTTEN_MAX)

    def expire(self, store: OutboxStore, now_ms: int, tally: GapTally) -> bool:
        """Give up what was accepted longer than the retention ago; return whether more waits to be given up (G5)."""
        before_ms = now_ms - self.limits.retention_ms
        segments = store.expired_segments(before_ms, _EXPIRE_SEGMENTS_MAX)
        chunks = store.expired_tail(before_ms, _TAIL_CHUNKS_EXPIRED_MAX)
        self._give_up(store, segments, chunks, tally)
        return len(segments) == _EXPIRE_SEGMENTS_MAX or len(chunks) == _TAIL_CHUNKS_EXPIRED_MAX

    def drop_over_cap(self, store: OutboxStore, tally: GapTally) -> bool:
        """Give up the oldest of what may be dropped while what waits is over the byte cap; return whether more has to go.

        A backlog that a lowered cap made too long goes bit by bit, so that it does not stop the writer; but what came since
        the last call always makes room for itself.
        """
        if self._overflow.keeps_all:
            return False
        if not 0 <= self._waiting_bytes_most <= self.limits.bytes_max:
            self._waiting_bytes_most = store.waiting_bytes()
        waiting_bytes = self._waiting_bytes_most
        bits_left = 0
        if waiting_bytes > self.limits.bytes_max:
            self._waiting_bytes_most = -1
            bits_left = _DROPPED_BITS_MAX
            left_bytes = waiting_bytes if self._left_bytes is None else max(self._left_bytes, self.limits.bytes_max)
            down_to = self.limits.bytes_max - self.limits.bytes_max // _SPARED_PART
            while waiting_bytes > down_to and (bits_left > 0 or waiting_bytes > left_bytes):
                if not (bits := self._drop_oldest(store, waiting_bytes - down_to, tally)):
                    break
                bits_left -= bits
                waiting_bytes = store.waiting_bytes()
        self._left_bytes = waiting_bytes
        return waiting_bytes > self.limits.bytes_max and bits_left <= 0

    def _drop_oldest(self, store: OutboxStore, over_bytes: int, tally: GapTally) -> int:
        """Give up a segment, or some of the tail; return how much work that was, 0 where nothing may be dropped."""
        segments = store.droppable_segments(self._dropped_row, 1)
        if chunks := self._droppable_chunks(store, segments, over_bytes):
            self._give_up(store, [], chunks, tally)
            return len(chunks)
        if not segments:
            return 0
        self._dropped_row = segments[0].row
        self._give_up(store, segments, [], tally)
        return _SEGMENT_BITS

    def _droppable_chunks(self, store: OutboxStore, segments: Sequence[Segment], over_bytes: int) -> list[TailChunk]:
        """Return the oldest of the tail that may be dropped, if it is older than the oldest such segment."""
        before_ms = segments[0].accepted_ms if segments else None
        oldest = store.droppable_tail(1)
        if not oldest or (before_ms is not None and oldest[0].accepted_ms >= before_ms):
            return []
        found: list[TailChunk] = []
        for chunk in store.droppable_tail(_TAIL_CHUNKS_EXPIRED_MAX):
            if over_bytes <= 0 or (before_ms is not None and chunk.accepted_ms >= before_ms):
                break
            found.append(chunk)
            over_bytes -= len(chunk.body)
        return found

    def _give_up(
        self, store: OutboxStore, segments: Sequence[Segment], chunks: Sequence[TailChunk], tally: GapTally
    ) -> None:
        self._forget_oldest()
        for segment in segments:
            tally.number(segment.epoch, segment.number)
            self._drop(store, segment, tally)
        for chunk in chunks:
            if (columns := self._tail.opened(chunk)) is None:
                tally.bare(chunk.count, chunk.accepted_ms)
                store.count_dropped(tally.cause, chunk.count, store.tail_counts(chunk))
                continue
            tally.batch(columns.listed())
            store.count_dropped(tally.cause, chunk.count, columns.counts())
        if chunks:
            self._tail.remove(store, chunks)

    def _drop(self, store: OutboxStore, segment: Segment, tally: GapTally) -> None:
        store.drop_segment(segment, tally.cause)
        self._sending.on_word(segment.row)
        try:
            _, plain = self._keys.open(Kind.SEGMENT, segment.header, segment.body, own=True)
            tally.batch(self._codec.decode(plain), count=segment.count, of=(segment.epoch, segment.number))
        except (SealBroken, Undecodable):
            tally.bare(segment.count, segment.accepted_ms, of=(segment.epoch, segment.number))

    def next_deadline_ms(self, store: OutboxStore) -> int | None:
        """When `expire` or sealing by age has something to do next (wall clock), None where nothing waits."""
        oldest_ms = self._oldest_ms.get(store)
        due = [] if oldest_ms is None else [oldest_ms + self.limits.retention_ms]
        if self._tail.is_empty:
            return due[0] if due else None
        parts = [self._tail.ready(self._accepts, kept=kept) for kept in (False, True)]
        due += [ready.oldest_accepted_ms + TAIL_AGE_MS_MAX for ready in parts if ready.count]
        return min(due, default=None)

    def on_deadline(self, store: OutboxStore, now_ms: int) -> None:
        """Seal what waited in the tail for too long, so that expiry stays exact (limits.TAIL_AGE_MS_MAX)."""
        self._seal_full_tail(store, now_ms)


def _counted(pieces: Sequence[Packed]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for piece in pieces:
        add_counts(counts, piece.columns.counts())
    return counts
