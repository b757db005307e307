"""One direction of a pair at the hub: what waits in memory, what is stored, what was forwarded (DESIGN G4, G5, G6, G8).

A sealed thing is at the hub in memory (not acknowledged, not stored), in the store, or not at all; the origin keeps it
in every case. Events change the state, `pump` then says what follows from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from shared.core.intervals import IntervalSet
from shared.core.number_sets import Key, NumberSets
from shared.core.relay_effects import Copy, Effect, LoadCopies, Send, StoreCopies, TrimCopies
from shared.core.relay_memory import RelayMemory
from shared.limits import (
    BACKFILL_AFTER_LIVE_BYTES,
    BACKFILL_IN_FLIGHT_BYTES,
    BACKFILL_IN_FLIGHT_MAX,
    CONTROL_IN_FLIGHT_MAX,
    CREDIT_BYTES,
    CREDIT_GRANT_BYTES,
    EPOCHS_STATED_MAX,
    HUB_COPY_DELAY_MS,
    HUB_COPY_DELAY_MS_MAX,
    HUB_HELD_INTERVALS_MAX,
    HUB_LOAD_BYTES,
    HUB_MEMORY_BYTES_PER_STREAM,
    HUB_MEMORY_BYTES_SHORT,
    HUB_MEMORY_COPIES_PER_STREAM,
    HUB_STORE_BYTES,
    HUB_STORE_RETRY_MS,
    LIVE_RESERVE_BYTES,
    REDELIVER_AFTER_MS_MAX,
    RESYNC_AFTER_MS,
)
from shared.messages import LANE_BACKFILL, LANE_CONTROL, LANE_LIVE, Credit, Held, HeldEpoch, Sealed
from shared.sealing import Kind, Side


@dataclass(slots=True)
class _Waiting:
    """A copy in memory. `link` counts the origin's links: credit goes back only on the link that spent it."""

    copy: Copy
    lane: int
    link: int
    forwarded: bool = False


@dataclass(slots=True)
class _Shelf:
    """Reading one kind of stored copies, in order of place, for the destination's present link."""

    after: int = 0
    behind: bool = False
    loading: bool = False
    stale: bool = False
    retry_ms: int = 0
    loaded: deque[Copy] = field(default_factory=deque)

    def restart(self, *, behind: bool) -> None:
        """Begin again with the first copy; what a load under way brings is not wanted any more."""
        self.after, self.behind, self.stale = 0, behind, self.loading
        self.loaded.clear()


class StreamRelay:
    """Moves copies of `origin` to its peer. Call `pump` after each event, and obey what it returns."""

    def __init__(self, origin: Side, held: Iterable[HeldEpoch], all_memory: RelayMemory) -> None:
        """`held` is what the store has of this origin; `all_memory` counts what all streams keep."""
        self.origin = origin
        self.held = NumberSets()
        for epoch in held:
            self.held.add_flat(Kind(epoch.kind), epoch.epoch, epoch.numbers)
        self.relayed_bytes = 0
        self.relayed_segments = 0
        self.dropped_copies = 0
        self.origin_linked = False
        self.destination_linked = False
        self._memory: dict[Key, _Waiting] = {}
        self._memory_numbers = NumberSets()
        self._memory_bytes = 0
        self._all_memory = all_memory
        self._unstored: dict[Key, None] = {}  # in memory and not handed to the store; in order of arrival
        self._storing = False
        self._is_refused = False  # by the disk, when it was last asked
        self._may_try = False  # the disk again, with one copy, although the hub is short of memory
        self._store_retry_ms = 0
        self._control: deque[Key] = deque()
        self._live: deque[Key] = deque()
        self._backfill: deque[Key] = deque()
        self._live_run_bytes = 0
        # Segments forwarded on the destination's present link without a word, by lane: their bytes.
        self._on_their_way: dict[int, dict[Key, int]] = {LANE_LIVE: {}, LANE_BACKFILL: {}}
        self._backfill_bytes = 0
        self._forwarded = NumberSets()  # on the destination's present link, and not acknowledged
        self._credit = 0
        self._shelves = {Kind.CONTROL: _Shelf(), Kind.SEGMENT: _Shelf()}
        self._control_epoch = 0  # of the origin's present log, once an entry of it came by
        self._progress_ms = 0
        self._redeliver_after_ms = RESYNC_AFTER_MS
        self._link = 0
        self._freed_bytes = 0
        self._trims: list[TrimCopies] = []
        self._news = NumberSets()

    # --- events ------------------------------------------------------------------------------------------------------

    def on_origin_linked(self) -> None:
        """The origin's link opened, with fresh credit."""
        self.origin_linked = True
        self._link += 1
        self._freed_bytes = 0
        self._news = NumberSets()

    def on_destination_linked(self, now_ms: int) -> None:
        """The destination's link opened: all that is here has to be forwarded on it."""
        self.on_destination_unlinked()
        self.destination_linked = True
        self._credit = CREDIT_BYTES
        self._progress_ms = now_ms
        self._redeliver_after_ms = RESYNC_AFTER_MS
        for key, waiting in self._memory.items():
            self._line_up(key, waiting)
        for kind, shelf in self._shelves.items():
            shelf.restart(behind=self.held.has(kind))

    def on_destination_unlinked(self) -> None:
        """The destination's link ended: what was forwarded and not acknowledged counts as not forwarded."""
        self.destination_linked = False
        self._forget_forwarded()
        for waiting in self._memory.values():
            waiting.forwarded = False
        for line in (self._control, self._live, self._backfill):
            line.clear()
        for shelf in self._shelves.values():
            shelf.restart(behind=False)

    def on_arrived(self, copy: Copy, lane: int) -> None:
        """A copy came from the origin; one that is here already takes the other's place (it may be sealed again)."""
        key = (copy.kind, copy.epoch, copy.number)
        lane = LANE_CONTROL if copy.kind is Kind.CONTROL else LANE_LIVE if lane == LANE_LIVE else LANE_BACKFILL
        waiting = _Waiting(copy, lane, self._link)
        if copy.kind is Kind.CONTROL:
            self._control_epoch = copy.epoch
        before = self._memory.get(key)
        if self._is_full(copy, before) or (before is None and self._is_too_scattered(copy, key)):
            self.dropped_copies += 1  # the origin keeps it and asks about it again (RESYNC_AFTER_MS)
            self._free(waiting)
            if before is not None:  # sealed again since: nobody waits for this one
                self._memory_numbers.remove(key)
                self._forget(key)
            return
        if before is not None:
            self._free(before)
            self._memory_bytes -= len(before.copy.body)
            self._all_memory.remove(before.copy)
        self._memory[key] = waiting
        self._memory_numbers.add(key)
        self._memory_bytes += len(copy.body)
        self._all_memory.add(copy)
        self._unstored[key] = None
        if self.destination_linked and (before is None or before.forwarded):
            self._line_up(key, waiting)

    def on_credit(self, body_bytes: int) -> None:
        """The destination takes this many bytes of segments more."""
        self._credit = min(self._credit + body_bytes, CREDIT_BYTES)

    def on_recorded(self, kind: Kind, epoch: int, stated: IntervalSet, now_ms: int) -> None:
        """The destination has these numbers: nothing of them is kept."""
        self._forwarded.take(kind, epoch, stated)
        if kind is Kind.SEGMENT:
            self._on_word(epoch, stated)
        arrived = self._memory_numbers.take(kind, epoch, stated)
        for number in arrived:
            self._forget((kind, epoch, number))
        stored = self.held.take(kind, epoch, stated)
        if stored:
            self._trims.append(TrimCopies(self.origin, kind, epoch, tuple(stored.flat())))
        if arrived or stored:
            self._progress_ms = now_ms
            self._redeliver_after_ms = RESYNC_AFTER_MS

    def knows_of(self, kind: Kind, epoch: int) -> bool:
        """Whether anything of an epoch is here or on its way; most statements tell of the control log once more."""
        known = (self._memory_numbers, self._forwarded, self.held)
        return any(numbers.has_any(kind, epoch) for numbers in known)

    def on_stored(self, copies: Iterable[Copy]) -> None:
        """These copies are durable: they are announced as held, and need no memory any more."""
        self._storing = self._is_refused = False
        for copy in copies:
            key = (copy.kind, copy.epoch, copy.number)
            waiting = self._memory.get(key)
            if waiting is None:  # acknowledged while it was being stored
                self._trims.append(TrimCopies(self.origin, copy.kind, copy.epoch, (copy.number, copy.number)))
                continue
            self.held.add(key)
            self._news.add(key)
            if waiting.copy.header != copy.header:  # sealed again meanwhile: the newer one is still to be stored
                continue
            # Forwarded from memory, and taken for lost with what was stored before it (`_redeliver`): it goes again as well.
            if self.destination_linked and not (waiting.forwarded and key in self._forwarded):
                self._shelves[copy.kind].behind = True
            self._memory_numbers.remove(key)
            self._forget(key)

    def on_store_failed(self, copies: Iterable[Copy], now_ms: int) -> None:
        """The disk refused: the copies stay in memory, as far as there is some, unannounced, and are tried again later."""
        self._storing, self._is_refused, self._may_try = False, True, False
        self._store_retry_ms = now_ms + HUB_STORE_RETRY_MS
        again = [key for copy in copies if (key := (copy.kind, copy.epoch, copy.number)) in self._memory]
        self._unstored = dict.fromkeys(again) | self._unstored
        if self._all_memory.is_short:
            self._keep_little()

    def on_loaded(self, kind: Kind, copies: Iterable[Copy]) -> None:
        """The answer to `LoadCopies`; an empty one means that there are no more for now."""
        shelf = self._shelves[kind]
        shelf.loading = False
        if shelf.stale:
            shelf.stale = False
            return
        for copy in copies:
            shelf.behind = True
            shelf.after = max(shelf.after, copy.place)
            shelf.loaded.append(copy)

    def on_load_failed(self, kind: Kind, now_ms: int) -> None:
        """The disk could not be read; it is tried again later."""
        shelf = self._shelves[kind]
        shelf.loading = shelf.stale = False
        shelf.behind = True
        shelf.retry_ms = now_ms + HUB_STORE_RETRY_MS

    def on_dropped(self, kind: Kind, epoch: int, flat: Iterable[int]) -> bool:
        """The store let copies go (too old, too many); return whether they were held."""
        return bool(self.held.take(kind, epoch, IntervalSet(flat)))

    # --- what follows ------------------------------------------------------------------------------------------------

    def next_deadline(self) -> int | None:
        """When `pump` has to be called next, in ms, where nothing happens before."""
        times = []
        if self._unstored and not self._storing:
            times.append(max(self._due_ms(next(iter(self._unstored))), self._store_retry_ms))
        if self.destination_linked:
            times += [shelf.retry_ms for shelf in self._shelves.values() if shelf.behind and shelf.retry_ms]
            if self.held and self._forwarded:
                times.append(self._progress_ms + self._redeliver_after_ms)
        return min(times) if times else None

    def pump(self, now_ms: int) -> Iterator[Effect]:
        """Yield what has to be done now: forward, load, trim, store, announce, grant.

        Called for each frame, most of which need one of these steps only: the others are not begun.
        """
        if self.destination_linked:
            if self.held:
                self._redeliver(now_ms)
            entries, segments = self._shelves[Kind.CONTROL], self._shelves[Kind.SEGMENT]
            if self._control or entries.loaded:
                yield from self._forward_control()
            if self._live or self._backfill or segments.loaded:
                yield from self._forward_segments()
            if entries.behind or segments.behind:
                yield from self._load(now_ms)
        if self._trims:
            yield from self._trims
            self._trims.clear()
        if self._is_refused:
            self._may_try = now_ms >= self._store_retry_ms
        if self._unstored and not self._storing:
            yield from self._store(now_ms)
        if self.origin_linked:
            yield from self._tell_origin()

    def flush(self) -> StoreCopies | None:
        """Return all that is in memory only, for a hub that is about to end."""
        copies = tuple(self._memory[key].copy for key in self._unstored)
        self._unstored.clear()
        return StoreCopies(copies) if copies else None

    def leave_memory(self) -> None:
        """Count for others no more, whatever still comes of what is under way."""
        for waiting in self._memory.values():
            self._all_memory.remove(waiting.copy)
        self._all_memory = RelayMemory()
        for waiting in self._memory.values():
            self._all_memory.add(waiting.copy)

    def _keep_little(self) -> None:
        """No disk takes it, and the hub has no memory left for it: let the newest go, which their origin keeps."""
        room, least = self._room_bytes(), int(self.destination_linked)
        while self._memory_bytes > room and len(self._memory) > least:
            key = next(reversed(self._memory))
            self._memory_numbers.remove(key)
            self._forget(key)
            self.dropped_copies += 1

    def _room_bytes(self) -> int:
        """How much of this stream may be in memory."""
        if not (self._is_refused and self._all_memory.is_short):
            return HUB_MEMORY_BYTES_PER_STREAM
        return HUB_MEMORY_BYTES_SHORT if self.destination_linked else int(self._may_try)

    def _is_full(self, copy: Copy, before: _Waiting | None) -> bool:
        """Whether there is no room for a copy, in the place of one `before` it; alone it always has, where there is any."""
        room = self._room_bytes()
        if before is not None:
            more_bytes = len(copy.body) - len(before.copy.body)
            return more_bytes > 0 and len(self._memory) > 1 and self._memory_bytes + more_bytes > room
        too_many = len(self._memory) >= HUB_MEMORY_COPIES_PER_STREAM or not room
        return too_many or (bool(self._memory) and self._memory_bytes + len(copy.body) > room)

    def _is_too_scattered(self, copy: Copy, key: Key) -> bool:
        """Whether a copy begins an epoch or an interval too many: each takes memory, and time whenever it is listed."""
        if len(self._memory) < EPOCHS_STATED_MAX and not self.held.epochs_count():
            return False  # nearly always: nothing is held, and so few copies have fewer intervals than either bound
        known = (self._memory_numbers, self.held)
        if any(numbers.touches(key) for numbers in known):
            return False
        # What passes through to a linked destination, and the log of edits, find room beside all that a long outage left.
        has_more = self.destination_linked or copy.kind is Kind.CONTROL
        if sum(numbers.intervals_count() for numbers in known) >= HUB_HELD_INTERVALS_MAX * (2 if has_more else 1):
            return True
        if self._memory_numbers.has_any(copy.kind, copy.epoch) or self.held.has_any(copy.kind, copy.epoch):
            return False
        return self._memory_numbers.epochs_count() + self.held.epochs_count() >= 2 * EPOCHS_STATED_MAX

    def _line_up(self, key: Key, waiting: _Waiting) -> None:
        {LANE_CONTROL: self._control, LANE_LIVE: self._live, LANE_BACKFILL: self._backfill}[waiting.lane].append(key)

    def _on_word(self, epoch: int, stated: IntervalSet) -> None:
        for lane, sent in self._on_their_way.items():
            for key in [key for key in sent if key[1] == epoch and key[2] in stated]:
                body_bytes = sent.pop(key)
                self._backfill_bytes -= body_bytes if lane == LANE_BACKFILL else 0

    def _forget_forwarded(self) -> None:
        self._forwarded = NumberSets()
        for sent in self._on_their_way.values():
            sent.clear()
        self._backfill_bytes = 0

    def _forward(self, copy: Copy, lane: int) -> Send:
        self._forwarded.add((copy.kind, copy.epoch, copy.number))
        self.relayed_bytes += len(copy.body)
        self.relayed_segments += copy.kind is Kind.SEGMENT
        return Send(self.origin.other, Sealed(lane, copy.header, copy.body))

    def _forward_control(self) -> Iterator[Effect]:
        shelf = self._shelves[Kind.CONTROL]
        while shelf.loaded:
            if (copy := self._wanted(shelf.loaded.popleft())) is not None:
                yield self._forward(copy, LANE_CONTROL)
        later: list[Key] = []
        for key in self._control:
            waiting = self._memory.get(key)
            if waiting is None or waiting.forwarded:
                continue
            # In order behind what is stored; but a number below one already sent fills a hole the peer waits for.
            if (shelf.behind or shelf.loading) and key[2] > self._forwarded.highest(key[0], key[1]):
                later.append(key)
                continue
            waiting.forwarded = True
            yield self._forward(waiting.copy, LANE_CONTROL)
        self._control = deque(later)

    def _forward_segments(self) -> Iterator[Effect]:
        loaded = self._shelves[Kind.SEGMENT].loaded
        while True:
            backfill = bool(loaded or self._backfill) and self._may_forward_backfill
            live = bool(self._live) and self._may_forward_live
            if backfill and (not live or self._live_run_bytes >= BACKFILL_AFTER_LIVE_BYTES):
                lane = LANE_BACKFILL
                copy = self._wanted(loaded.popleft()) if loaded else self._take(self._backfill.popleft())
            elif live:
                copy, lane = self._take(self._live.popleft()), LANE_LIVE
            else:
                return
            if copy is not None:
                self._note_on_its_way(copy, lane)
                yield self._forward(copy, lane)

    @property
    def _may_forward_live(self) -> bool:
        """Whether the credit reaches; one segment of a lane may always go (G6)."""
        return self._credit > 0 or not self._on_their_way[LANE_LIVE]

    @property
    def _may_forward_backfill(self) -> bool:
        """Backfill leaves credit over for live, and lies before it in sockets only so far."""
        on_its_way = self._on_their_way[LANE_BACKFILL]
        if not on_its_way:
            return True
        full = self._backfill_bytes >= BACKFILL_IN_FLIGHT_BYTES or len(on_its_way) >= BACKFILL_IN_FLIGHT_MAX
        return self._credit > LIVE_RESERVE_BYTES and not full

    def _note_on_its_way(self, copy: Copy, lane: int) -> None:
        self._live_run_bytes = self._live_run_bytes + len(copy.body) if lane == LANE_LIVE else 0
        self._credit -= len(copy.body)
        self._on_their_way[lane][copy.kind, copy.epoch, copy.number] = len(copy.body)
        self._backfill_bytes += len(copy.body) if lane == LANE_BACKFILL else 0

    def _take(self, key: Key) -> Copy | None:
        waiting = self._memory.get(key)
        if waiting is None or waiting.forwarded:
            return None
        waiting.forwarded = True
        return waiting.copy

    def _wanted(self, copy: Copy) -> Copy | None:
        key = (copy.kind, copy.epoch, copy.number)
        return copy if key in self.held and key not in self._forwarded else None

    def _load(self, now_ms: int) -> Iterator[Effect]:
        for kind, shelf in self._shelves.items():
            if shelf.loading or shelf.loaded or not shelf.behind or now_ms < shelf.retry_ms:
                continue
            copies_max = 1_024
            if kind is Kind.CONTROL:  # bypasses credit, so its count is bounded instead
                # Entries of an earlier start may never find a word; they must not take the window for ever.
                epoch = self._control_epoch
                in_flight = self._forwarded.count_in(kind, epoch) if epoch else self._forwarded.count(kind)
                copies_max = CONTROL_IN_FLIGHT_MAX - in_flight
            elif self._credit <= 0:
                continue
            if copies_max > 0:
                shelf.loading, shelf.behind, shelf.retry_ms = True, False, 0
                yield LoadCopies(self.origin, kind, shelf.after, HUB_LOAD_BYTES, copies_max)

    def _redeliver(self, now_ms: int) -> None:
        """Forward again what is held, was forwarded, and found no acknowledgement for long (G7: it may be damaged)."""
        if not self._forwarded or now_ms < self._progress_ms + self._redeliver_after_ms:
            return
        self._progress_ms = now_ms
        self._redeliver_after_ms = min(2 * self._redeliver_after_ms, REDELIVER_AFTER_MS_MAX)
        self._forget_forwarded()
        for kind, shelf in self._shelves.items():
            shelf.restart(behind=self.held.has(kind))

    def _due_ms(self, key: Key) -> int:
        """When a copy is to be stored: after a short delay, longer while the destination keeps acknowledging (G5)."""
        if not self.destination_linked:
            return 0
        arrived_ms = self._memory[key].copy.arrived_ms
        return min(max(arrived_ms, self._progress_ms) + HUB_COPY_DELAY_MS, arrived_ms + HUB_COPY_DELAY_MS_MAX)

    def _store(self, now_ms: int) -> Iterator[Effect]:
        if now_ms < self._store_retry_ms:
            return
        copies: list[Copy] = []
        room = HUB_STORE_BYTES
        for key in self._unstored:
            if room <= 0 or self._due_ms(key) > now_ms:
                break
            copies.append(self._memory[key].copy)
            room -= len(copies[-1].body) + len(copies[-1].header)
        if copies:
            for copy in copies:
                del self._unstored[copy.kind, copy.epoch, copy.number]
            self._storing = True
            yield StoreCopies(tuple(copies))

    def _tell_origin(self) -> Iterator[Effect]:
        if self._news:
            yield Send(self.origin, Held(False, self._news.listed()))
            self._news = NumberSets()
        if self._freed_bytes >= CREDIT_GRANT_BYTES:
            yield Send(self.origin, Credit(self._freed_bytes))
            self._freed_bytes = 0

    def _forget(self, key: Key) -> None:
        waiting = self._memory.pop(key)
        self._unstored.pop(key, None)
        self._memory_bytes -= len(waiting.copy.body)
        self._all_memory.remove(waiting.copy)
        self._free(waiting)

    def _free(self, waiting: _Waiting) -> None:
        if waiting.link == self._link and waiting.copy.kind is Kind.SEGMENT:
            self._freed_bytes += len(waiting.copy.body)
