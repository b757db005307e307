"""The origin of a stream of readings: tail, segments, epochs, and the account of them all (G1 to G6; DESIGN section 5).

What must survive is in the store; what this object holds is about the present link only and is rebuilt by `load` and
`on_link_opened`. All methods that take a store run inside one unit of work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.batches import BatchCodec, Series, count, merge
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.ports import EpochOut, OutboxStore, Segment, TailTotal
from shared.errors import Refused, SealBroken, Undecodable
from shared.limits import (
    FRESH_SEGMENTS_MAX,
    LIVE_AGE_MS,
    LIVE_IN_FLIGHT_MAX,
    OUTBOX_BYTES_MAX,
    RETENTION_MS,
    SEGMENT_PLAIN_BYTES_TARGET,
    SEGMENT_READINGS_MAX,
    TAIL_AGE_MS_MAX,
)
from shared.messages import LANE_BACKFILL, LANE_LIVE
from shared.sealing import NONCE_BYTES, Kind, PairKeys

Chance = Callable[[int], bytes]
# One unit of work expires at most this many segments, so that a month's backlog does not stop the writer.
_EXPIRE_SEGMENTS_MAX: Final = 64
_TAIL_CHUNKS_EXPIRED_MAX: Final = 512
_BACKFILL_LOOK_AHEAD: Final = 16
_RATHER_EMPTY: Final = TailTotal(0, 0, 0)


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Settings of one stream. `refuse_when_full`: refuse new readings at the cap instead of dropping the oldest."""

    retention_ms: int = RETENTION_MS
    bytes_max: int = OUTBOX_BYTES_MAX
    refuse_when_full: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A segment to send now in a lane."""

    lane: int
    header: bytes
    body: bytes


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
        self.on_link_closed()

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
        self._reachable = False
        self._open = False
        self._credit_bytes = 0
        self._sent = IntervalSet()
        self._fresh: deque[int] = deque()
        self._in_flight: set[int] = set()
        self._cursor = 0
        self._hub_holds: dict[int, IntervalSet] = {}

    def on_link_opened(self, store: OutboxStore, hub_holds: dict[int, IntervalSet], now_ms: int) -> None:
        """Start sending what neither the destination nor the hub has. `hub_holds`: numbers by epoch, stated by the hub."""
        self._open = True
        self._hub_holds = hub_holds
        self._sent = IntervalSet()
        self._in_flight.clear()
        self._cursor = 0
        # Newest first: what is live is worth most while it is fresh; the rest follows as backfill.
        self._fresh = deque(store.fresh_rows(now_ms - LIVE_AGE_MS, FRESH_SEGMENTS_MAX))

    def set_reachable(self, reachable: bool) -> None:
        """Whether the destination is linked: readings are then sealed at once."""
        self._reachable = reachable
        if not reachable:
            self._in_flight.clear()

    def add_credit(self, body_bytes: int) -> None:
        """The hub takes this many more bytes."""
        self._credit_bytes += body_bytes

    def on_hub_holds(self, epoch: int, numbers: IntervalSet) -> None:
        """The hub holds these numbers durably; they need not be sent again while this link lives."""
        self._hub_holds.setdefault(epoch, IntervalSet()).update(numbers)

    @property
    def waits_for_word(self) -> bool:
        """Whether something was sent on this link that the destination has not recorded."""
        return bool(self._in_flight)

    # --- accepting ------------------------------------------------------------------------------------------------

    def accept(self, store: OutboxStore, batch: Sequence[Series], now_ms: int) -> None:
        """Take readings into the stream; they are new, valid, and their toggle is on (G14).

        Raises Refused('outbox_full') where the cap is reached and the policy is to refuse.
        """
        if self.limits.refuse_when_full and store.waiting_bytes() >= self.limits.bytes_max:
            raise Refused("outbox_full", bytes_max=self.limits.bytes_max)
        store.count_accepted(count(batch))
        ready = [series for series in batch if series.resource in self._accepts]
        for series in batch:
            if series.resource not in self._accepts:
                self._add_tail(store, series, now_ms)
        if not ready:
            return
        if self._reachable and self._credit_bytes > 0 and len(self._in_flight) < LIVE_IN_FLIGHT_MAX:
            self._seal(store, ready, now_ms, now_ms)
            return
        for series in ready:
            self._add_tail(store, series, now_ms)
        self._seal_full_tail(store, now_ms)

    def _add_tail(self, store: OutboxStore, series: Series, now_ms: int) -> None:
        body = self._codec.encode([series])
        store.add_tail(series.resource, now_ms, [series], body)
        total = self._tail.get(series.resource, _RATHER_EMPTY)
        oldest_ms = total.oldest_accepted_ms or now_ms
        self._tail[series.resource] = TailTotal(total.count + len(series), total.bytes + len(body), oldest_ms)

    def _ready_tail(self) -> TailTotal:
        totals = [total for resource, total in self._tail.items() if resource in self._accepts and total.count]
        return TailTotal(
            sum(total.count for total in totals),
            sum(total.bytes for total in totals),
            min((total.oldest_accepted_ms for total in totals), default=0),
        )

    def _seal_full_tail(self, store: OutboxStore, now_ms: int) -> None:
        while True:
            ready = self._ready_tail()
            aged = ready.count and now_ms - ready.oldest_accepted_ms >= TAIL_AGE_MS_MAX
            if ready.count < SEGMENT_READINGS_MAX and ready.bytes < SEGMENT_PLAIN_BYTES_TARGET and not aged:
                return
            self._seal_tail(store)

    def _seal_tail(self, store: OutboxStore) -> None:
        """Seal up to one segment's worth of what waits in the tail."""
        accepted = [resource for resource in self._tail if resource in self._accepts]
        chunks = store.tail_chunks(accepted, SEGMENT_READINGS_MAX)
        batch = merge([self._codec.decode(chunk.body) for chunk in chunks])
        store.remove_tail(chunks)
        self._tail = store.tail_totals()
        first_ms = min(chunk.accepted_ms for chunk in chunks)
        self._seal(store, batch, first_ms, max(chunk.accepted_ms for chunk in chunks))

    def _seal(self, store: OutboxStore, batch: Sequence[Series], first_ms: int, accepted_ms: int) -> None:
        for piece in _pieces(batch):
            if self._epoch is None:
                self._epoch = EpochOut(int.from_bytes(self._chance(8), "big") >> 1 or 1)  # SQLite integers are signed
            self._epoch.last_number += 1
            store.save_epoch_out(self._epoch)
            row = self._store_sealed(store, self._epoch.epoch, self._epoch.last_number, piece, count(piece), accepted_ms)
            if self._open:
                self._fresh.append(row)
                if len(self._fresh) > FRESH_SEGMENTS_MAX:
                    # The oldest becomes backfill: the cursor must still come by it.
                    self._cursor = min(self._cursor, self._fresh.popleft() - 1)

    def _store_sealed(
        self, store: OutboxStore, epoch: int, number: int, batch: Sequence[Series], readings: int, accepted_ms: int
    ) -> int:
        header, body = self._keys.seal(
            Kind.SEGMENT,
            self._codec.encode(batch),
            epoch=epoch,
            number=number,
            accepted_ms=accepted_ms,
            count=readings,
            nonce=self._chance(NONCE_BYTES),
        )
        return store.add_segment(epoch, number, batch, readings, accepted_ms, header, body)

    # --- sending --------------------------------------------------------------------------------------------------

    def pump(self, store: OutboxStore, now_ms: int) -> list[Outgoing]:
        """Return the segments to send now, live before backfill, as far as the credit reaches."""
        if not self._open:
            return []
        if self._reachable and len(self._in_flight) < LIVE_IN_FLIGHT_MAX and self._credit_bytes > 0:
            while self._ready_tail().count:
                self._seal_tail(store)
        outgoing: list[Outgoing] = []
        while self._credit_bytes > 0 and self._fresh:
            segment = store.segment(self._fresh.popleft())
            if segment is not None and self._wants(segment):
                lane = LANE_LIVE if segment.accepted_ms > now_ms - LIVE_AGE_MS else LANE_BACKFILL
                outgoing.append(self._send(segment, lane))
        while self._credit_bytes > 0:
            segments = store.segments_after(self._cursor, _BACKFILL_LOOK_AHEAD)
            if not segments:
                break
            for segment in segments:
                if self._credit_bytes <= 0:
                    break
                self._cursor = segment.row
                if self._wants(segment):
                    outgoing.append(self._send(segment, LANE_BACKFILL))
        return outgoing

    def _wants(self, segment: Segment) -> bool:
        held = self._hub_holds.get(segment.epoch)
        return segment.dropped is None and segment.row not in self._sent and not (held and segment.number in held)

    def _send(self, segment: Segment, lane: int) -> Outgoing:
        self._sent.add(segment.row)
        if self._reachable:
            self._in_flight.add(segment.row)
        self._credit_bytes -= len(segment.body)
        return Outgoing(lane, segment.header, segment.body)

    # --- the destination's word -------------------------------------------------------------------------------------

    def on_stated(self, store: OutboxStore, stated: EpochOut, *, fresh: bool, now_ms: int, tally: GapTally) -> bool:
        """Take the destination's state of one epoch; return whether anything changed.

        `fresh` tells that it answers a question of this link, so that what it lacks is really lacking there (G4).
        Losses it reveals go into `tally`.
        """
        known = store.epochs_out().get(stated.epoch)
        if known is None:
            # Ours from before a restore: the backup does not know the epoch at all.
            known = EpochOut(stated.epoch)
        before = (known.recorded_count, known.recorded.flat(), known.closed.flat())
        expected = known.recorded_count
        expected += self._settle(store, known, stated, now_ms)
        self._close(store, known, stated)
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
        store.save_epoch_out(known)
        if self._epoch is not None and self._epoch.epoch == known.epoch:
            self._epoch = known
        return before != (known.recorded_count, known.recorded.flat(), known.closed.flat())

    def _settle(self, store: OutboxStore, known: EpochOut, stated: EpochOut, now_ms: int) -> int:
        """Take newly recorded segments out of the outbox; return their readings."""
        readings = 0
        for segment in store.segments_numbered(stated.epoch, stated.recorded.minus(known.recorded)):
            if segment.dropped is not None:
                store.undrop_segment(segment)  # the destination's first word wins over our notice that crossed it
            store.settle_segment(segment, now_ms)
            self._in_flight.discard(segment.row)
            readings += segment.count
        return readings

    def _close(self, store: OutboxStore, known: EpochOut, stated: EpochOut) -> None:
        for segment in store.segments_numbered(stated.epoch, stated.closed.minus(known.closed)):
            if segment.dropped is None:
                # Given up by an origin that was restored since; the destination will never take the number.
                store.drop_segment(segment, "origin_restored")
            store.forget_segment(segment)
            self._in_flight.discard(segment.row)

    def _make_again(
        self, store: OutboxStore, known: EpochOut, stated: EpochOut, now_ms: int, tally: GapTally
    ) -> int:
        """Make segments again that a restored destination lacks; return the readings that are recorded no longer."""
        lost = known.recorded.minus(stated.recorded)
        if not lost:
            return 0
        tally.destination_restored = True
        readings = 0
        for sent in store.sent_segments(stated.epoch, lost):
            # The destination closes or records a number once; here it has forgotten both, so the number is free again.
            batch = store.history(sent.series, sent.first_ms, sent.last_ms, 64 * SEGMENT_READINGS_MAX)
            found = min(count(batch), sent.count)
            readings += sent.count
            if found:
                self._store_sealed(store, sent.epoch, sent.number, batch, found, now_ms)
            if found < sent.count:
                store.count_dropped(tally.lost(sent.count - found, sent.first_ms, sent.last_ms), sent.count - found)
        for low, high in lost.intervals():
            for number in range(low, high + 1):
                known.recorded.discard(number)
        self._cursor = 0
        return readings

    # --- giving up --------------------------------------------------------------------------------------------------

    def expire(self, store: OutboxStore, now_ms: int, tally: GapTally) -> bool:
        """Give up what was accepted longer than the retention ago; return whether more waits to be given up (G5)."""
        before_ms = now_ms - self.limits.retention_ms
        segments = store.expired_segments(before_ms, _EXPIRE_SEGMENTS_MAX)
        chunks = store.expired_tail(before_ms, _TAIL_CHUNKS_EXPIRED_MAX)
        self._give_up(store, segments, chunks, tally)
        return len(segments) == _EXPIRE_SEGMENTS_MAX or len(chunks) == _TAIL_CHUNKS_EXPIRED_MAX

    def drop_over_cap(self, store: OutboxStore, tally: GapTally) -> None:
        """Give up the oldest until what waits fits the byte cap (policy *drop oldest*)."""
        while store.waiting_bytes() > self.limits.bytes_max:
            segments = store.oldest_segments(1)
            chunks = [] if segments else store.oldest_tail(_TAIL_CHUNKS_EXPIRED_MAX)
            if not segments and not chunks:
                return
            self._give_up(store, segments, chunks, tally)

    def _give_up(self, store: OutboxStore, segments: list[Segment], chunks: list, tally: GapTally) -> None:  # type: ignore[type-arg]
        for segment in segments:
            store.drop_segment(segment, tally.cause)
            tally.number(segment.epoch, segment.number)
            try:
                _, plain = self._keys.open(Kind.SEGMENT, segment.header, segment.body, own=True)
                tally.batch(self._codec.decode(plain))
            except (SealBroken, Undecodable):
                tally.bare(segment.count, segment.accepted_ms)
        for chunk in chunks:
            tally.batch(self._codec.decode(chunk.body))
            store.count_dropped(tally.cause, chunk.count)
        if chunks:
            store.remove_tail(chunks)
            self._tail = store.tail_totals()

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


def _pieces(batch: Sequence[Series]) -> list[list[Series]]:
    """Cut a batch into segments' worth of readings and of text."""
    if count(batch) <= SEGMENT_READINGS_MAX and _text_bytes(batch) <= SEGMENT_PLAIN_BYTES_TARGET:
        return [list(batch)]
    pieces: list[list[Series]] = [[]]
    readings = size = 0
    for series in batch:
        at = 0
        while at < len(series):
            if readings >= SEGMENT_READINGS_MAX or size >= SEGMENT_PLAIN_BYTES_TARGET:
                pieces.append([])
                readings = size = 0
            stop = at
            while stop < len(series) and readings < SEGMENT_READINGS_MAX and size < SEGMENT_PLAIN_BYTES_TARGET:
                value = series.values[stop]
                size += len(value) if isinstance(value, str) else 0
                readings += 1
                stop += 1
            part = Series(series.device, series.resource, series.format, series.times_ms[at:stop], series.values[at:stop])
            pieces[-1].append(part)
            at = stop
    return [piece for piece in pieces if piece]


def _text_bytes(batch: Sequence[Series]) -> int:
    return sum(len(value) for series in batch if series.format == "string" for value in series.values)
