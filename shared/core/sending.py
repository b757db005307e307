"""What an origin sends on its present link, and in which lane: live before backfill, as far as credit reaches (G6).

All of it is about one link, and is rebuilt when the next one opens; nothing here has to survive.

*Live* is what is accepted from now on, newest first. What was accepted shortly before the link opened is live too, but in
small portions, each sent when the one before has a word: it must not keep what is accepted now waiting. Everything else is
backfill, oldest first, of which only little is on its way at a time, for it fills queues and sockets up to the other side.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from shared.core.drain import DrainBudget
from shared.core.intervals import IntervalSet
from shared.core.ports import OutboxStore, Segment
from shared.limits import (
    BACKFILL_AFTER_LIVE_BYTES,
    BACKFILL_IN_FLIGHT_BYTES,
    BACKFILL_IN_FLIGHT_MAX,
    FRESH_SEGMENTS_MAX,
    LIVE_AGE_MS,
    LIVE_IN_FLIGHT_CROWD_MAX,
    LIVE_IN_FLIGHT_MAX,
    LIVE_RESERVE_BYTES,
    SEGMENT_READINGS_MAX,
)
from shared.messages import LANE_BACKFILL, LANE_LIVE

# Segments looked at in one unit of work, and read in one go: what is beyond comes with the next.
_LOOKED_AT_MAX: Final = 1_024
_READ_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A segment to send now in a lane."""

    lane: int
    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    """A segment of a backlog without a word from the hub or the destination. `live`: sent before its turn."""

    live: bool
    epoch: int
    number: int
    readings: int
    body_bytes: int


class Sending:
    """The lanes of one origin on its present link."""

    def __init__(self, live_age_ms: int = LIVE_AGE_MS, drain_bytes_per_s: int = 0) -> None:
        """`live_age_ms`: what was accepted so long ago, or less, is live when a link opens; the budget is for the rest."""
        self.live_age_ms = live_age_ms
        self.budget = DrainBudget(drain_bytes_per_s)
        self.crowded = False
        """Whether many pairs are at work, so that words come late."""
        self.close()

    def close(self) -> None:
        """Forget the present link."""
        self.reachable = False
        """Whether the destination is linked too."""
        self.is_open = False
        self.behind = False
        """Whether the last `pump` left something to do although nothing further may happen."""
        self._credit_bytes = 0
        self._sent = IntervalSet()
        self._fresh: deque[int] = deque()
        self._at_hand: dict[int, Segment] = {}  # by row, of this unit of work: they need not be read again
        self._in_flight: set[int] = set()  # live segments without a word: while there are some, small accepts wait
        self._backlog: dict[int, _OnItsWay] = {}  # by row
        self._backfill_bytes = 0  # of those in it that were sent in their turn
        self._ahead_readings = 0  # of the others
        self._live_after_row = 0  # rows beyond it were sealed since the link opened
        self.next_ms: int | None = None
        """When `pump` can go on by itself, for there is room in the budget again; None where it waits for something else."""
        self._live_run_bytes = 0  # sent live since backfill had its turn
        self._cursor = 0
        self._seen_all = False  # nothing is behind the cursor
        self._opened_ms = self._pumped_ms = 0
        self._hub_holds: dict[int, IntervalSet] = {}

    def open(self, store: OutboxStore, hub_holds: dict[int, IntervalSet], now_ms: int) -> None:
        """Start sending what neither the destination nor the hub has. `hub_holds`: numbers by epoch, stated by the hub."""
        self.is_open = True
        self._opened_ms = now_ms
        self._hub_holds = hub_holds
        self._sent = IntervalSet()
        self._at_hand.clear()
        self._in_flight.clear()
        self._backlog.clear()
        self._backfill_bytes = self._ahead_readings = 0
        self._cursor = 0
        self._seen_all = False
        # Newest first: what is live is worth most while it is fresh; the rest follows as backfill.
        self._fresh = deque(store.fresh_rows(now_ms - self.live_age_ms, FRESH_SEGMENTS_MAX))
        self._live_after_row = max(self._fresh, default=0)

    def set_reachable(self, reachable: bool) -> None:
        """Whether the destination is linked."""
        self.reachable = reachable
        if not reachable:
            self._in_flight.clear()

    def add_credit(self, body_bytes: int) -> None:
        """The hub takes this many more bytes."""
        self._credit_bytes += body_bytes

    @property
    def credit_bytes(self) -> int:
        """What the hub takes now; 0 or less: nothing."""
        return self._credit_bytes

    @property
    def has_credit(self) -> bool:
        """Whether the hub takes anything now."""
        return self._credit_bytes > 0

    @property
    def takes_at_once(self) -> bool:
        """Whether what is accepted now would go out now, for little is on its way without a word."""
        if not self._in_flight:  # one segment of the lane may always go
            return self.reachable
        most = LIVE_IN_FLIGHT_CROWD_MAX if self.crowded else LIVE_IN_FLIGHT_MAX
        return self.reachable and self.has_credit and len(self._in_flight) < most

    @property
    def has_room_beside(self) -> bool:
        """Whether the stream leaves credit over for what goes behind it; live finds room the moment it comes."""
        if not (self.is_open and self.reachable) or self.behind or self._backfill_bytes:
            return False
        return self._credit_bytes > LIVE_RESERVE_BYTES and self._within_budget(self._pumped_ms)

    def send_beside(self, header: bytes, body: bytes) -> Outgoing:
        """Send a sealed segment that is not the stream's, as backfill, on the same credit and budget."""
        self._credit_bytes -= len(body)
        self.budget.spend(len(body))
        return Outgoing(LANE_BACKFILL, header, body)

    def on_hub_holds(self, epoch: int, numbers: IntervalSet) -> None:
        """The hub holds these numbers durably; they need not be sent again while this link lives."""
        self._hub_holds.setdefault(epoch, IntervalSet()).update(numbers)
        arrived = [row for row, sent in self._backlog.items() if sent.epoch == epoch and sent.number in numbers]
        for row in arrived:
            self._arrived(row)

    def on_hub_holds_all(self, hub_holds: dict[int, IntervalSet]) -> None:
        """The hub holds these numbers, by epoch, and no others."""
        self._hub_holds = hub_holds

    def on_stated(self, epoch: int, recorded: IntervalSet, closed: IntervalSet) -> None:
        """The destination has a word on these numbers; the hub read the same and trimmed its copies."""
        if (held := self._hub_holds.get(epoch)) is not None:
            self._hub_holds[epoch] = held.minus(recorded).minus(closed)

    def on_word(self, row: int) -> None:
        """A segment has its word, or was given up: it is not on its way any more."""
        self._at_hand.pop(row, None)
        self._in_flight.discard(row)
        self._arrived(row)

    def _arrived(self, row: int) -> None:
        if (sent := self._backlog.pop(row, None)) is None:
            return
        if sent.live:
            self._ahead_readings -= sent.readings
        else:
            self._backfill_bytes -= sent.body_bytes

    def on_sealed(self, segment: Segment) -> None:
        """A segment was sealed just now: it is live."""
        if not self.is_open:
            return
        self._fresh.appendleft(segment.row)
        if len(self._at_hand) < _READ_AT_ONCE:
            self._at_hand[segment.row] = segment
        if len(self._fresh) > FRESH_SEGMENTS_MAX:
            # The oldest becomes backfill: the cursor must still come by it.
            self._cursor = min(self._cursor, self._fresh.pop() - 1)
            self._seen_all = False

    def start_over(self) -> None:
        """Look at the backlog from its beginning: old numbers have been sealed again."""
        self._cursor = 0
        self._seen_all = False

    def pump(self, store: OutboxStore, now_ms: int) -> list[Outgoing]:
        """Return the segments to send now, live before backfill, as far as the credit reaches."""
        self.next_ms = None
        self._pumped_ms = now_ms
        if not self.is_open:
            return []
        live_since_ms = self._live_since_ms(now_ms)
        outgoing: list[Outgoing] = []
        while self._fresh and self._may_send_live(self._fresh[0]):
            if self._live_run_bytes >= BACKFILL_AFTER_LIVE_BYTES:  # backfill always gets a tenth of the credit (G6)
                self._live_run_bytes = 0
                self._send_backfill(store, outgoing, now_ms, segments_max=1)
                continue
            row = self._fresh.popleft()
            segment = (self._at_hand.get(row) or store.segment(row)) if row not in self._sent else None
            if segment is not None and self._wants(segment.row, segment.epoch, segment.number, segment.dropped):
                lane = LANE_LIVE if segment.accepted_ms >= live_since_ms else LANE_BACKFILL
                outgoing.append(self._send(segment, lane))
        self._send_backfill(store, outgoing, now_ms, segments_max=_LOOKED_AT_MAX)
        self._at_hand.clear()
        return outgoing

    def _live_since_ms(self, now_ms: int) -> int:
        """Since when what was accepted is live: from shortly before the link opened, as long as it is fresh."""
        opened_ms = min(self._opened_ms, now_ms)  # the clock may have been set back meanwhile
        return max(opened_ms - self.live_age_ms, now_ms - max(self.live_age_ms, LIVE_AGE_MS))

    def _may_send_live(self, row: int) -> bool:
        if self._credit_bytes <= 0 and (self._in_flight or self._ahead_readings or not self.reachable):
            return False  # one segment of the lane may always go
        return row > self._live_after_row or self._ahead_readings < SEGMENT_READINGS_MAX

    def _may_send_backfill(self, now_ms: int) -> bool:
        full = self._backfill_bytes >= BACKFILL_IN_FLIGHT_BYTES or len(self._backlog) >= BACKFILL_IN_FLIGHT_MAX
        # One segment of the lane may always go.
        may = not self._backfill_bytes or (self._credit_bytes > LIVE_RESERVE_BYTES and not full)
        return may and self._within_budget(now_ms)

    def _within_budget(self, now_ms: int) -> bool:
        if self.budget.has_room(now_ms):
            return True
        self.next_ms = self.budget.next_ms(now_ms)
        return False

    def _send_backfill(self, store: OutboxStore, outgoing: list[Outgoing], now_ms: int, *, segments_max: int) -> None:
        """Send what comes after the cursor, oldest first, as far as credit, budget and what is on its way allow."""
        looked_at = 0
        while (
            self._may_send_backfill(now_ms) and not self._seen_all and segments_max > 0 and looked_at < _LOOKED_AT_MAX
        ):
            rows = store.undropped_after(self._cursor, _READ_AT_ONCE)
            looked_at += len(rows)
            for row, epoch, number in rows:
                if segments_max == 0 or not self._may_send_backfill(now_ms):
                    return
                self._cursor = row
                if self._wants(row, epoch, number) and (segment := store.segment(row)) is not None:
                    outgoing.append(self._send(segment, LANE_BACKFILL))
                    segments_max -= 1
            if len(rows) < _READ_AT_ONCE:
                self._seen_all = True
                return
        self.behind |= looked_at >= _LOOKED_AT_MAX

    def _wants(self, row: int, epoch: int, number: int, dropped: str | None = None) -> bool:
        held = self._hub_holds.get(epoch)
        return dropped is None and row not in self._sent and not (held and number in held)

    def _send(self, segment: Segment, lane: int) -> Outgoing:
        self._sent.add(segment.row)
        self._credit_bytes -= len(segment.body)
        if segment.row > self._live_after_row and lane == LANE_LIVE:
            if self.reachable:
                self._in_flight.add(segment.row)
        else:
            self._note_on_its_way(segment, live=lane == LANE_LIVE)
        if lane == LANE_LIVE:
            self._live_run_bytes += len(segment.body)
        else:
            self.budget.spend(len(segment.body))
        return Outgoing(lane, segment.header, segment.body)

    def _note_on_its_way(self, segment: Segment, *, live: bool) -> None:
        self._arrived(segment.row)
        self._backlog[segment.row] = _OnItsWay(live, segment.epoch, segment.number, segment.count, len(segment.body))
        if live:
            self._ahead_readings += segment.count
        else:
            self._backfill_bytes += len(segment.body)
