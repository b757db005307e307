"""What an origin sends on its present link, and in which lane: live before backfill, as far as credit reaches (G6).

All of it is about one link, and is rebuilt when the next one opens; nothing here has to survive.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from shared.core.intervals import IntervalSet
from shared.core.ports import OutboxStore, Segment
from shared.limits import BACKFILL_AFTER_LIVE_BYTES, FRESH_SEGMENTS_MAX, LIVE_AGE_MS, LIVE_IN_FLIGHT_MAX
from shared.messages import LANE_BACKFILL, LANE_LIVE

# Segments looked at in one unit of work: what is beyond comes with the next.
_LOOKED_AT_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A segment to send now in a lane."""

    lane: int
    header: bytes
    body: bytes


class Sending:
    """The lanes of one origin on its present link."""

    def __init__(self) -> None:
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
        self._in_flight: set[int] = set()  # live segments without a word: while there are some, small accepts wait
        self._live_run_bytes = 0  # sent live since backfill had its turn
        self._cursor = 0
        self._hub_holds: dict[int, IntervalSet] = {}

    def open(self, store: OutboxStore, hub_holds: dict[int, IntervalSet], now_ms: int) -> None:
        """Start sending what neither the destination nor the hub has. `hub_holds`: numbers by epoch, stated by the hub."""
        self.is_open = True
        self._hub_holds = hub_holds
        self._sent = IntervalSet()
        self._in_flight.clear()
        self._cursor = 0
        # Newest first: what is live is worth most while it is fresh; the rest follows as backfill.
        self._fresh = deque(store.fresh_rows(now_ms - LIVE_AGE_MS, FRESH_SEGMENTS_MAX))

    def set_reachable(self, reachable: bool) -> None:
        """Whether the destination is linked."""
        self.reachable = reachable
        if not reachable:
            self._in_flight.clear()

    def add_credit(self, body_bytes: int) -> None:
        """The hub takes this many more bytes."""
        self._credit_bytes += body_bytes

    @property
    def has_credit(self) -> bool:
        """Whether the hub takes anything now."""
        return self._credit_bytes > 0

    @property
    def takes_at_once(self) -> bool:
        """Whether what is accepted now would go out now, for little is on its way without a word."""
        return self.reachable and self.has_credit and len(self._in_flight) < LIVE_IN_FLIGHT_MAX

    def on_hub_holds(self, epoch: int, numbers: IntervalSet) -> None:
        """The hub holds these numbers durably; they need not be sent again while this link lives."""
        self._hub_holds.setdefault(epoch, IntervalSet()).update(numbers)

    def on_hub_holds_all(self, hub_holds: dict[int, IntervalSet]) -> None:
        """The hub holds these numbers, by epoch, and no others."""
        self._hub_holds = hub_holds

    def on_stated(self, epoch: int, recorded: IntervalSet, closed: IntervalSet) -> None:
        """The destination has a word on these numbers; the hub read the same and trimmed its copies."""
        if (held := self._hub_holds.get(epoch)) is not None:
            self._hub_holds[epoch] = held.minus(recorded).minus(closed)

    def on_word(self, row: int) -> None:
        """A segment has its word, or was given up: it is not on its way any more."""
        self._in_flight.discard(row)

    def on_sealed(self, row: int) -> None:
        """A segment was sealed just now: it is live."""
        if not self.is_open:
            return
        self._fresh.append(row)
        if len(self._fresh) > FRESH_SEGMENTS_MAX:
            # The oldest becomes backfill: the cursor must still come by it.
            self._cursor = min(self._cursor, self._fresh.popleft() - 1)

    def start_over(self) -> None:
        """Look at the backlog from its beginning: old numbers have been sealed again."""
        self._cursor = 0

    def pump(self, store: OutboxStore, now_ms: int) -> list[Outgoing]:
        """Return the segments to send now, live before backfill, as far as the credit reaches."""
        if not self.is_open:
            return []
        outgoing: list[Outgoing] = []
        while self._credit_bytes > 0 and self._fresh:
            if self._live_run_bytes >= BACKFILL_AFTER_LIVE_BYTES:  # backfill always gets a tenth of the credit (G6)
                self._live_run_bytes = 0
                self._send_backfill(store, outgoing, segments_max=1)
                continue
            segment = store.segment(self._fresh.popleft())
            if segment is not None and self._wants(segment.row, segment.epoch, segment.number, segment.dropped):
                lane = LANE_LIVE if segment.accepted_ms > now_ms - LIVE_AGE_MS else LANE_BACKFILL
                outgoing.append(self._send(segment, lane))
        self._send_backfill(store, outgoing, segments_max=_LOOKED_AT_MAX)
        return outgoing

    def _send_backfill(self, store: OutboxStore, outgoing: list[Outgoing], *, segments_max: int) -> None:
        """Send what comes after the cursor, oldest first, as far as the credit reaches."""
        if self._credit_bytes <= 0:
            return
        rows = store.undropped_after(self._cursor, _LOOKED_AT_MAX)
        self.behind |= len(rows) == _LOOKED_AT_MAX
        for row, epoch, number in rows:
            if self._credit_bytes <= 0 or segments_max == 0:
                break
            self._cursor = row
            if self._wants(row, epoch, number) and (segment := store.segment(row)) is not None:
                outgoing.append(self._send(segment, LANE_BACKFILL))
                segments_max -= 1

    def _wants(self, row: int, epoch: int, number: int, dropped: str | None = None) -> bool:
        held = self._hub_holds.get(epoch)
        return dropped is None and row not in self._sent and not (held and number in held)

    def _send(self, segment: Segment, lane: int) -> Outgoing:
        self._sent.add(segment.row)
        if self.reachable and lane == LANE_LIVE:
            self._in_flight.add(segment.row)
        self._credit_bytes -= len(segment.body)
        if lane == LANE_LIVE:
            self._live_run_bytes += len(segment.body)
        return Outgoing(lane, segment.header, segment.body)
