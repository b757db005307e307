"""The control log (G12): everything that is not a reading, in order, once in effect, never expiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import msgspec

from shared.core.entries import Entry, decode_entry, encode_entry
from shared.core.intervals import IntervalSet
from shared.core.ports import ENTRY_KIND, ControlRow, ControlStore, PairStore, Undone
from shared.core.quarantine_room import QuarantineRoom
from shared.core.remembered import Remembered
from shared.errors import PairhubError, Refused, SealBroken
from shared.limits import CONTROL_ENTRY_BYTES_MAX, CONTROL_IN_FLIGHT_MAX
from shared.sealing import NONCE_BYTES, Kind, PairKeys

Chance = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class OutgoingEntry:
    """A sealed entry to send now."""

    header: bytes
    body: bytes


class ControlOrigin:
    """Our log. Numbers restart with every start of the daemon in a new epoch; what was not acknowledged moves into it."""

    def __init__(self, keys: PairKeys, chance: Chance) -> None:
        self._keys = keys
        self._chance = chance
        self._epoch = 0
        self._last = 0
        self._last_row = 0
        self._sealed_ms = 0  # when an entry was sealed last
        self._first_row: Remembered[ControlStore, int] = Remembered(_first_row)
        self._acknowledged_before: Remembered[ControlStore, tuple[int, int] | None] = Remembered(
            lambda store: store.control_acknowledged()
        )
        self.on_link_closed()

    def renew(self, store: ControlStore, now_ms: int) -> None:
        """Open a new epoch and carry over what is not acknowledged, in order.

        At the start; after a unit of work that was undone, of whose numbers nothing is known any more; and for a peer
        that was restored.
        """
        self._epoch = int.from_bytes(self._chance(8), "big") >> 1 or 1
        self._last = 0
        after_row = 0
        while rows := store.control_rows(after_row, CONTROL_IN_FLIGHT_MAX):
            for row in rows:
                self._last += 1
                store.renumber_control(row.row, self._epoch, self._last, *self._sealed(row.entry, now_ms, self._last))
                after_row = row.row
        self._last_row = after_row
        self._first_row.forget()
        self._acknowledged_before.forget()
        self._sent_row = 0
        self._acknowledged = 0
        self._hub_holds = IntervalSet()

    def append(self, store: ControlStore, entry: Entry, now_ms: int) -> int:
        """Put an entry at the end; return its row, which names it until it is acknowledged.

        Raises Refused('invalid') for an entry that no hub would take: it would end every link that carries it.
        """
        plain = encode_entry(entry)
        if len(plain) > CONTROL_ENTRY_BYTES_MAX:
            why = f"it takes {len(plain)} bytes, allowed are {CONTROL_ENTRY_BYTES_MAX}"
            raise Refused("invalid", what="What would have to be told to the other side is too much", why=why)
        self._last += 1
        header, body = self._sealed(plain, now_ms, self._last)
        self._last_row = store.append_control(self._epoch, self._last, plain, header, body, now_ms)
        self._first_row.forget()
        return self._last_row

    def first_row(self, store: ControlStore) -> int:
        """Return the row of the oldest entry that is not acknowledged, 0 where there is none."""
        return self._first_row.get(store)

    def _sealed(self, plain: bytes, now_ms: int, number: int) -> tuple[bytes, bytes]:
        self._sealed_ms = now_ms
        return self._keys.seal(
            Kind.CONTROL,
            plain,
            epoch=self._epoch,
            number=number,
            accepted_ms=now_ms,
            count=0,
            nonce=self._chance(NONCE_BYTES),
        )

    def on_link_closed(self) -> None:
        """Forget the present link."""
        self._open = False
        self._sent_row = 0
        self._acknowledged = 0
        self._hub_holds = IntervalSet()

    def on_link_opened(self, hub_holds: IntervalSet) -> None:
        """Send from the start of what is not acknowledged, but not what the hub holds."""
        self._open = True
        self._sent_row = 0
        self._hub_holds = hub_holds

    @property
    def epoch(self) -> int:
        """The epoch of this start."""
        return self._epoch

    def on_hub_holds(self, numbers: IntervalSet) -> None:
        """The hub holds these numbers of the present epoch."""
        self._hub_holds.update(numbers)

    def is_over(self, stated: dict[int, int]) -> bool:
        """Tell whether the peer takes nothing more of this epoch: a second copy of us, alive, told it so (G2).

        What it seems to have acknowledged may never have arrived; `renew` carries all of it over.
        """
        return stated.get(self._epoch, 0) > self._last

    def on_stated(self, store: ControlStore, stated: dict[int, int], *, fresh: bool) -> tuple[bool, bool]:
        """Take the peer's word on what it applied; return (entries were acknowledged, the peer was restored).

        The peer was restored where a fresh statement lacks what it had acknowledged: entries that are gone here.
        """
        known = self._acknowledged_before.get(store)
        restored = fresh and known is not None and stated.get(known[0], 0) < known[1]
        if restored:
            store.forget_control_acknowledged()
            self._acknowledged_before.forget()
        # Entries of older epochs were carried over into this one, so that only its own acknowledgements count.
        up_to = min(stated.get(self._epoch, 0), self._last)
        removed = store.remove_control(self._epoch, up_to) if self.first_row(store) else 0
        if removed:
            self._first_row.forget()
        if not restored and up_to > (known[1] if known is not None and known[0] == self._epoch else 0):
            store.save_control_acknowledged(self._epoch, up_to)
            self._acknowledged_before.forget()
        self._acknowledged = max(self._acknowledged, up_to)
        return removed > 0, restored

    def pump(self, store: ControlStore) -> list[OutgoingEntry]:
        """Return the entries to send now, in order."""
        outgoing: list[OutgoingEntry] = []
        while self._open and self._sent_row < self._last_row:
            rows = store.control_rows(self._sent_row, CONTROL_IN_FLIGHT_MAX)
            if not rows:
                break  # all of it is acknowledged
            if self._sent_row == 0:  # what came before the first was acknowledged, perhaps on another link
                self._acknowledged = max(self._acknowledged, rows[0].number - 1)
            for row in rows:
                held = row.number in self._hub_holds
                if row.number > self._acknowledged + CONTROL_IN_FLIGHT_MAX and not held:
                    return outgoing
                self._sent_row = row.row
                if not held:
                    outgoing.append(self._whole(store, row))
        return outgoing

    def _whole(self, store: ControlStore, row: ControlRow) -> OutgoingEntry:
        """Return an entry to send, sealed anew where the disk damaged what was sealed: all behind it would wait for ever.

        Where that is so of the entry itself, the other side sets aside what is left of it, and goes on.
        """
        try:
            self._keys.open(Kind.CONTROL, row.header, row.body, own=True)
        except SealBroken:
            header, body = self._sealed(row.entry, self._sealed_ms, row.number)
            store.renumber_control(row.row, row.epoch, row.number, header, body)
            return OutgoingEntry(header, body)
        return OutgoingEntry(row.header, row.body)


def _first_row(store: ControlStore) -> int:
    rows = store.control_rows(0, 1)
    return rows[0].row if rows else 0


class Taken(Enum):
    """What became of an entry that arrived."""

    APPLIED = "applied"
    REPEATED = "repeated"
    OUT_OF_ORDER = "out_of_order"
    QUARANTINED = "quarantined"
    SEAL_BROKEN = "seal_broken"
    NO_ROOM = "no_room"


class ControlDestination:
    """The other side's log as it arrives here."""

    def __init__(self, keys: PairKeys, room: QuarantineRoom | None = None) -> None:
        """`room` is what the quarantine may take."""
        self._keys = keys
        self._room = QuarantineRoom() if room is None else room
        self.changed = False
        self.undone = False
        """Whether the work of an entry was undone (Undone): what the engine believes has to be loaded again."""
        self._applied: Remembered[ControlStore, dict[int, int]] = Remembered(lambda store: store.control_in())

    def forget(self) -> None:
        """A unit of work was undone, or somebody else has changed what is applied."""
        self._applied.forget()

    def on_entry(
        self, store: PairStore, packed: bytes, body: bytes, now_ms: int, apply: Callable[[Entry], None]
    ) -> Taken:
        """Apply the next entry, in order; poison is quarantined and passed."""
        try:
            header, plain = self._keys.open(Kind.CONTROL, packed, body)
        except SealBroken:
            return Taken.SEAL_BROKEN
        self.changed = True
        up_to = self._applied.get(store).get(header.epoch, 0)
        if header.number <= up_to:
            return Taken.REPEATED
        if header.number > up_to + 1:
            return Taken.OUT_OF_ORDER  # the origin sends again from what we state
        taken = Taken.APPLIED
        try:
            entry = decode_entry(plain)
            store.attempt(lambda: apply(entry))
        except (msgspec.MsgspecError, PairhubError, ValueError) as error:
            self.undone |= isinstance(error, Undone)
            if not self._room.takes(store, ENTRY_KIND, len(plain)):
                return Taken.NO_ROOM  # it comes again, and with it all behind it
            store.quarantine_entry(header.epoch, header.number, str(error), plain, now_ms)
            taken = Taken.QUARANTINED
        store.save_control_in(header.epoch, header.number, now_ms)
        self.forget()
        return taken

    def state(self, store: ControlStore) -> list[tuple[int, int]]:
        """Return (epoch, applied up to) of the log as stored."""
        self.changed = False
        return list(self._applied.get(store).items())
