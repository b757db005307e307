"""The destination of a stream of readings: each segment once, in whatever order (G3, G4, G6, G7, G14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.batches import BatchCodec
from shared.columns import Columns
from shared.core.account import UNKNOWN_RESOURCE, Cuts
from shared.core.arrivals import Arrival, refuse_impossible
from shared.core.entries import GapNotice, StatedEpoch
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.ports import SEGMENT_KIND, EpochIn, HeldChunk, InboxStore, PairStore, Quarantined
from shared.core.quarantine_room import QuarantineRoom
from shared.core.remembered import Remembered
from shared.core.replaced import Replaced
from shared.core.replay_inbox import ReplayInbox
from shared.core.replay_job import is_replay
from shared.core.stating import Stating
from shared.errors import SealBroken, Undecodable
from shared.limits import RETENTION_MS, STATEMENT_EPOCHS_BYTES_MAX
from shared.messages import RecordedEpoch
from shared.sealing import Header, Kind, PairKeys

_HELD_RELEASED_MAX: Final = 256
# Intervals given up of one epoch: half of what a statement has room for, in numbers as usual, so that what lies between
# has it as well. What is beyond is kept aside, and what did arrive is acknowledged all the same.
_CLOSED_INTERVALS_MAX: Final = STATEMENT_EPOCHS_BYTES_MAX // 2 // 10
# Segments are of the origin's present start, but for what waited through earlier ones.
_EPOCHS_REMEMBERED_MAX: Final = 8


class Inbox:
    """Destination side of one pair's readings. Holds only the last epochs, which of them changed, and counts."""

    def __init__(self, keys: PairKeys, codec: BatchCodec, room: QuarantineRoom | None = None) -> None:
        """`room` is what its quarantine may take."""
        self._keys = keys
        self._codec = codec
        self.room = QuarantineRoom() if room is None else room
        self._changed: dict[int, None] = {}  # in order of change, so that statements repeat exactly
        self._stating = Stating()
        self._applied: dict[str, int] = {}  # of this unit of work, by resource
        self._epochs: dict[int, EpochIn] = {}  # as the store has them
        self._oldest_held_ms: Remembered[InboxStore, int | None] = Remembered(lambda store: store.oldest_held_ms())
        self.cuts = Cuts()
        self.replaced = Replaced()
        self.replays = ReplayInbox(keys.side, codec)

    def forget(self) -> None:
        """A unit of work was undone: forget what it counted."""
        self._applied.clear()
        self._epochs.clear()
        self.cuts.forget()
        self.replaced.forget()
        self.room.forget()
        self.forget_oldest()

    def forget_oldest(self) -> None:
        """What is held has changed."""
        self._oldest_held_ms.forget()

    def flush(self, store: InboxStore) -> None:
        """Write down what was applied by resource; before a unit of work ends."""
        if self._applied:
            store.count_applied(self._applied)
            self._applied.clear()

    def _epoch(self, store: InboxStore, number: int) -> EpochIn:
        """Return an epoch as it stands. Who changes it saves it in the same unit of work."""
        epoch = self._epochs.get(number)
        if epoch is None:
            if len(self._epochs) >= _EPOCHS_REMEMBERED_MAX:
                self._epochs.clear()
            epoch = self._epochs[number] = store.epoch_in(number) or EpochIn(number)
        return epoch

    def _count_applied(self, resource: str, count: int) -> None:
        self._applied[resource] = self._applied.get(resource, 0) + count
        self.cuts.on_applied(resource, count)

    def on_segment(self, store: PairStore, packed: bytes, body: bytes, now_ms: int) -> Arrival:
        """Take a segment in: open, decode, apply, record, all in the caller's one transaction."""
        try:
            header, plain = self._keys.open(Kind.SEGMENT, packed, body)
        except SealBroken:
            return Arrival.SEAL_BROKEN  # claims no number and no count (G7)
        if is_replay(plain):
            return self._on_replayed(store, header, plain, (packed, body), now_ms)
        epoch = self._epoch(store, header.epoch)
        self._changed[header.epoch] = None
        if header.number in epoch.recorded or header.number in epoch.closed:
            return Arrival.REPEATED
        epoch.recorded.add(header.number)
        try:
            self._apply(store, epoch, header.count, plain, now_ms, sealed_ms=header.accepted_ms)
        except Undecodable as error:
            if not self.room.takes(store, SEGMENT_KIND, len(packed) + len(body)):
                del self._epochs[header.epoch]
                return Arrival.NO_ROOM  # nothing was saved: it never came
            epoch.quarantined += header.count
            epoch.apart.quarantine(header.number)
            store.quarantine(header.epoch, header.number, header.count, str(error), packed, body, now_ms)
            store.save_epoch_in(epoch, now_ms)
            return Arrival.QUARANTINED
        store.save_epoch_in(epoch, now_ms)
        return Arrival.APPLIED

    def _apply(
        self, store: InboxStore, epoch: EpochIn, count: int, plain: bytes, now_ms: int, *, sealed_ms: int = 0
    ) -> None:
        """Apply and count what a segment holds; raises Undecodable before anything was done.

        `sealed_ms` is when the source accepted it, by its clock: where ours was set back, its readings are not from afar.
        """
        columns = self._codec.decode_columns(plain)
        refuse_impossible(columns, max(now_ms, sealed_ms))
        held: dict[str, int] = {}
        for at, applied in enumerate(store.apply(columns, plain, now_ms)):
            if not applied:
                series = columns.one(at)
                held[columns.series[at][1]] = held.get(columns.series[at][1], 0) + len(series)
                store.hold(epoch.epoch, series, self._codec.encode(series), now_ms)
                self.forget_oldest()
                if _is_replaced(store, series):
                    self.replaced.note(series.series[0][0], now_ms)
        self._count(epoch, count, columns, held)

    def _count(self, epoch: EpochIn, count: int, columns: Columns, held: Mapping[str, int]) -> None:
        """Count what a segment brought. The header's count is the account's: one made again may carry more than that."""
        held_count = min(sum(held.values()), count)
        epoch.held += held_count
        epoch.applied += count - held_count
        if count != len(columns):  # which of them are meant, nobody can tell
            epoch.apart.hold(UNKNOWN_RESOURCE, held_count)
            self._count_applied(UNKNOWN_RESOURCE, count - held_count)
            return
        for resource, readings in columns.counts().items():
            waiting = held.get(resource, 0)
            epoch.apart.hold(resource, waiting)
            self._count_applied(resource, readings - waiting)

    def _on_replayed(
        self, store: PairStore, header: Header, plain: bytes, sealed: tuple[bytes, bytes], now_ms: int
    ) -> Arrival:
        """Take a replay's segment, which counts nothing in the account (N9)."""
        try:
            return self.replays.take(store, header, plain, now_ms)
        except Undecodable as error:
            if not self.room.takes(store, SEGMENT_KIND, sum(map(len, sealed))):
                self.replays.give_back(store, header, now_ms)
                return Arrival.NO_ROOM
            store.quarantine(header.epoch, header.number, 0, str(error), *sealed, now_ms)
            return Arrival.QUARANTINED

    # --- quarantine (G7) ------------------------------------------------------------------------------------------------

    def opened(self, item: Quarantined) -> bytes:
        """Return the plain bytes of a segment in quarantine; raises SealBroken."""
        return self._keys.open(Kind.SEGMENT, item.header, item.body)[1]

    def retry(self, store: PairStore, item: Quarantined, now_ms: int) -> None:
        """Apply a segment that was in quarantine; raises Undecodable or SealBroken where it still cannot be."""
        header, plain = self._keys.open(Kind.SEGMENT, item.header, item.body)
        if is_replay(plain):
            self.replays.apply(store, header, plain, now_ms)
            return
        epoch = self._epoch(store, item.epoch)
        moved = min(item.count, epoch.quarantined)
        self._apply(store, epoch, moved, plain, now_ms, sealed_ms=header.accepted_ms)
        epoch.quarantined -= moved
        epoch.apart.take_out(item.number)
        store.save_epoch_in(epoch, now_ms)
        self._changed[item.epoch] = None

    def discard(self, store: PairStore, item: Quarantined, tally: GapTally, now_ms: int) -> None:
        """Count a segment in quarantine as given up by a person; what is lost goes into `tally`."""
        epoch = self._epoch(store, item.epoch)
        moved = min(item.count, epoch.quarantined)
        if not moved:
            return
        epoch.quarantined -= moved
        epoch.dropped[tally.cause] = epoch.dropped.get(tally.cause, 0) + moved
        epoch.apart.discard(item.number)
        store.save_epoch_in(epoch, now_ms)
        self._changed[item.epoch] = None
        self._tally(item, moved, tally)

    def _tally(self, item: Quarantined, count: int, tally: GapTally) -> None:
        """Name what is inside where it can be read, else the time at which it was accepted."""
        header = Header.unpack(item.header)
        try:
            columns = self._codec.decode_columns(self.opened(item))
        except (SealBroken, Undecodable):
            tally.bare(count, header.accepted_ms)
            return
        if len(columns) == count:
            tally.batch(columns.listed())
        else:
            tally.bare(count, header.accepted_ms)

    # --- held -------------------------------------------------------------------------------------------------------------

    def release_held(
        self,
        store: InboxStore,
        device: str | None,
        resource: str | None,
        after_row: int,
        now_ms: int,
        replaced: GapTally,
    ) -> tuple[int, int | None]:
        """Apply what waited for a device or a resource (None: any) that is here now.

        What waited for a device that another has replaced since is given up, and goes into `replaced` (G13). Return how
        many readings could be applied, and the row after which to go on in the next unit of work (None: all seen).
        """
        released = 0
        chunks = store.held_for(device, resource, after_row, _HELD_RELEASED_MAX)
        for chunk in chunks:
            if (columns := self._opened_held(chunk)) is None:
                store.note_unreadable_held(chunk)  # it is given up once it was held for too long
                continue
            if _is_replaced(store, columns):
                self._give_up(store, chunk, replaced, now_ms)
                continue
            if not all(store.apply(columns, chunk.body, now_ms)):
                continue
            store.remove_held(chunk)
            self.forget_oldest()
            epoch = self._epoch(store, chunk.epoch)
            moved = min(chunk.count, epoch.held, epoch.apart.waiting(chunk.resource, epoch.held))
            epoch.held -= moved
            epoch.applied += moved
            known = epoch.apart.release(chunk.resource, moved)
            self._count_applied(chunk.resource, known)
            self._count_applied(UNKNOWN_RESOURCE, moved - known)
            store.save_epoch_in(epoch, now_ms)
            self._changed[chunk.epoch] = None
            released += chunk.count
        return released, chunks[-1].row if len(chunks) == _HELD_RELEASED_MAX else None

    def _opened_held(self, chunk: HeldChunk) -> Columns | None:
        """Open what is held; None where it cannot be read, for the disk damaged it."""
        try:
            columns = self._codec.decode_columns(chunk.body)
        except Undecodable:
            return None
        return columns if len(columns) == chunk.count else None

    def expire_held(self, store: InboxStore, now_ms: int, tally: GapTally) -> None:
        """Give up what was held for 30 days (G14)."""
        for chunk in store.expired_held(now_ms - RETENTION_MS, _HELD_RELEASED_MAX):
            self._give_up(store, chunk, tally, now_ms)

    def _give_up(self, store: InboxStore, chunk: HeldChunk, tally: GapTally, now_ms: int) -> None:
        """Count what was held as dropped, for the tally's cause, and name it there."""
        store.remove_held(chunk)
        self.forget_oldest()
        epoch = self._epoch(store, chunk.epoch)
        moved = min(chunk.count, epoch.held, epoch.apart.waiting(chunk.resource, epoch.held))
        if (columns := self._opened_held(chunk)) is None:
            tally.bare(moved, chunk.arrived_ms)
        else:
            tally.batch(columns.listed(), count=moved)
        epoch.held -= moved
        epoch.dropped[tally.cause] = epoch.dropped.get(tally.cause, 0) + moved
        known = epoch.apart.release(chunk.resource, moved)
        epoch.apart.drop(tally.cause, chunk.resource, known)
        epoch.apart.drop(tally.cause, UNKNOWN_RESOURCE, moved - known)
        store.save_epoch_in(epoch, now_ms)
        self._changed[chunk.epoch] = None

    def oldest_held_ms(self, store: InboxStore) -> int | None:
        """When the oldest of what is held arrived, None where nothing is."""
        return self._oldest_held_ms.get(store)

    def next_deadline_ms(self, store: InboxStore) -> int | None:
        """When `expire_held` has something to do next."""
        oldest_ms = self.oldest_held_ms(store)
        return None if oldest_ms is None else oldest_ms + RETENTION_MS

    def on_gap(self, store: InboxStore, notice: GapNotice, now_ms: int) -> None:
        """Close the numbers the origin gave up, unless they are recorded already: then our word corrects it (G1)."""
        if why := notice.why_wrong():
            raise ValueError(why)
        closing = []
        for number, flat in notice.epochs:
            epoch = self._epoch(store, number)
            closed = IntervalSet(epoch.closed.flat())
            closed.update(IntervalSet(flat).minus(epoch.recorded))
            if closed.intervals_count > _CLOSED_INTERVALS_MAX:
                raise ValueError("a gap of more numbers apart than a statement has room for")
            closing.append((epoch, closed))
        store.add_gap(notice, ours=False)
        for epoch, closed in closing:
            epoch.closed = closed
            store.save_epoch_in(epoch, now_ms)
            self._changed[epoch.epoch] = None

    # --- acknowledging ----------------------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        """Whether there is something to state."""
        return bool(self._changed) or self.replays.changed

    def state(self, store: InboxStore, *, whole: bool) -> tuple[list[RecordedEpoch], list[StatedEpoch]]:
        """Return the public and private parts about all epochs (`whole`), or those that changed since the last call.

        What has no room in it is still `changed`.
        """
        if whole:
            parts = self._stating.whole(store.epochs_in(), self._changed)
            self._changed.clear()
            return parts
        return self._stating.some(self._changed, lambda number: self._epoch(store, number))

    @property
    def named_all(self) -> tuple[int, int] | None:
        """From which to which epoch the last statement names all that are here; None where it does not tell."""
        return self._stating.named_all


def _is_replaced(store: InboxStore, series: Columns) -> bool:
    """Whether the readings of one series are of a device that was deleted, and another is here under its name (G13)."""
    device = series.series[0][0]
    return 0 < series.generation(device) < store.generation(device)
