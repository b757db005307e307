"""One side of one pair: outbox, inbox and control log behind one link (DESIGN sections 3 to 5).

The engine is fed events and returns effects; each event runs inside one unit of work of the store it is given, and its
effects are carried out only after that is committed (persist, commit, then send). `flush` ends every unit of work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec

from shared.batches import BatchCodec, Packed
from shared.columns import Batch
from shared.core.ages import Ages
from shared.core.arrivals import Arrival
from shared.core.cells import Cell
from shared.core.control_lane import ControlLane
from shared.core.edits import Edit
from shared.core.engine_effects import Changed, Effect, Fault, PeerTime, Relink, Send
from shared.core.engine_link import EngineLink, held_segments
from shared.core.entries import (
    CAUSE_BYTE_CAP,
    CAUSE_DESTINATION_RESTORED,
    CAUSE_DEVICE_REPLACED,
    CAUSE_HELD_TOO_LONG,
    CAUSE_ORIGIN_RESTORED,
    CAUSE_RETENTION,
    Definition,
    Private,
    definitions_digest,
    encode_entry,
)
from shared.core.gaps import GapTally
from shared.core.inbox import Inbox
from shared.core.intervals import IntervalSet
from shared.core.ledger import Ledger
from shared.core.ledger_news import LedgerNews
from shared.core.outbox import Outbox, OutboxLimits
from shared.core.parting_lane import PartingLane
from shared.core.ports import PairStore
from shared.core.public_parts import check_held, read_stated
from shared.core.quarantine import Quarantine
from shared.core.quarantine_room import QuarantineRoom
from shared.core.remembered import Remembered
from shared.core.replay_lane import Replays
from shared.core.statements import (
    ALL_EPOCHS,
    compared_epochs,
    lacking_epochs,
    read_private,
    stated_epochs,
)
from shared.errors import ProtocolError, SealBroken
from shared.limits import (
    CREDIT_GRANT_BYTES,
    HLC_AHEAD_MS_MAX,
    INSISTED_MAX,
    RESYNC_AFTER_MS,
    SECOND_MS,
    STATED_AT_ONCE_SEGMENTS,
    WORD_WAITS_MS_MAX,
)
from shared.messages import (
    LANE_CONTROL,
    AskHeld,
    AskStatement,
    Credit,
    Held,
    Recorded,
    Sealed,
    Statement,
    encode_recorded,
)
from shared.sealing import NONCE_BYTES, Kind, PairKeys, Side

Chance = Callable[[int], bytes]
# While a backlog of readings that are expired, or over the cap, is worked off, the next unit of work comes after this pause.
_EXPIRE_AGAIN_MS = 20
# While the clock is in doubt nothing expires (G5); then it is looked at again after this.
_EXPIRE_DOUBTED_MS = 60 * SECOND_MS
# So often in a row a peer that names its epochs by turns may name none that it did not name before: it was asked twice.
_TOLD_NOTHING_NEW_MAX = 16
_LEDGER_EVERY_MS = 5 * SECOND_MS
# A peer that answers with a start we did not know is asked at most this often.
_ASK_AGAIN_MS = SECOND_MS


class PairEngine:
    """One side of one pair. Not safe for two threads: all calls come from the store's one writer."""

    def __init__(
        self,
        *,
        keys: PairKeys,
        site_id: str,
        chance: Chance,
        limits: OutboxLimits | None = None,
        codec: BatchCodec | None = None,
    ) -> None:
        """`chance(n)` returns n random bytes; `site_id` signs our edits (G11)."""
        self.side = keys.side
        self._keys = keys
        self._chance = chance
        codec = codec or BatchCodec()
        limits = limits or OutboxLimits()
        self.outbox = Outbox(keys, codec, chance, limits)
        self.inbox = Inbox(keys, codec, QuarantineRoom(limits.quarantine_bytes_max))
        self._control = ControlLane(keys, site_id, chance, codec=codec, outbox=self.outbox, inbox=self.inbox)
        self._link: EngineLink | None = None
        self._statements = 0
        self._start = int.from_bytes(chance(8), "big") >> 1 or 1
        self._news = LedgerNews()
        self.is_full_there = False
        """Whether the other side said that its quarantine is full, so that what it cannot read waits here."""
        self._told_full = False
        self._expire_after_ms = 0
        self._cap_again_ms: int | None = None  # when more of what is over the byte cap goes
        self._ages = Ages()
        self._peer_oldest_ms: Remembered[PairStore, int | None] = Remembered(lambda store: store.peer_oldest_ms())
        self._appeared: list[tuple[str | None, str | None, int]] = []

    # --- life -------------------------------------------------------------------------------------------------------

    def load(self, store: PairStore, now_ms: int) -> None:
        """Take up what is stored: at the start, and after a unit of work of ours was undone (then the link is over)."""
        self._link = None
        self._ages.on_undone()
        self._peer_oldest_ms.forget()
        self.outbox.on_link_closed()
        self.inbox.forget()
        self._control.load(store, now_ms)
        self.outbox.load(store, self._control.accepted_by_peer(store))
        self._appeared = [(None, None, 0)]  # whatever was about to be released
        self._control.peer_log.undone = self.quarantine.undone = False

    @property
    def _is_undone(self) -> bool:
        """Whether something foreign could not be taken, and what had been done of it is undone in the store."""
        return self._control.peer_log.undone or self.quarantine.undone

    @property
    def control_epoch(self) -> int:
        """The epoch of our control log since this start."""
        return self._control.log.epoch

    def on_link_opened(self, store: PairStore, *, peer_linked: bool, credit_bytes: int, now_ms: int) -> list[Effect]:
        """A link to a hub that knows the pair is up; the hub tells next what it holds."""
        self.outbox.on_link_closed()
        self._control.log.on_link_closed()
        self._link = EngineLink(opened_ms=now_ms, ledger_ms=now_ms)
        self.outbox.add_credit(credit_bytes)
        return self.on_presence(store, linked=peer_linked, now_ms=now_ms)

    def on_link_closed(self) -> list[Effect]:
        """The link is gone. What was sent and not acknowledged is sent again on the next one."""
        self._link = None
        self.outbox.on_link_closed()
        self._control.log.on_link_closed()
        return [Changed("link")]

    def on_presence(self, store: PairStore, *, linked: bool, now_ms: int) -> list[Effect]:
        """The other side got or lost its link to the hub."""
        link = self._link
        if link is None:
            return []
        link.peer_linked = linked
        link.stated = False
        self.outbox.set_reachable(False)
        effects: list[Effect] = [Changed("link")]
        if linked:
            effects.append(self._ask(link, now_ms))
        else:
            self._begin(store, now_ms)
        return effects

    def _ask(self, link: EngineLink, now_ms: int) -> Send:
        link.nonce = self._chance(16)
        link.asked_ms = now_ms
        return Send(AskStatement(self._keys.pair_id, link.nonce))

    def _begin(self, store: PairStore, now_ms: int) -> None:
        """Start sending, once the hub said what it holds and the peer, if there, what it has."""
        link = self._link
        if link is None or link.held is None or (link.peer_linked and not link.stated):
            return
        self._insist(store, link, link.held)
        self.outbox.on_link_opened(store, held_segments(link.held), now_ms)
        self.outbox.set_reachable(link.peer_linked)
        self._control.log.on_link_opened(link.held.get((Kind.CONTROL, self._control.log.epoch), IntervalSet()))

    def _insist(self, store: PairStore, link: EngineLink, held: dict[tuple[int, int], IntervalSet]) -> None:
        """Send what is stuck, and some behind it, although the hub holds it: its copies may be damaged (G7).

        New copies take their places. Where one is damaged others often are, and each would wait for a silence of its own.
        """
        if link.insist_segment:
            for _, epoch, number in store.undropped_after(link.insist_segment - 1, INSISTED_MAX):
                held.get((Kind.SEGMENT, epoch), IntervalSet()).discard(number)
        if link.insist_entry:
            for entry in store.control_rows(link.insist_entry - 1, INSISTED_MAX):
                held.get((Kind.CONTROL, entry.epoch), IntervalSet()).discard(entry.number)
        link.insist_segment = link.insist_entry = 0

    # --- what a site does -------------------------------------------------------------------------------------------

    def accept(self, store: PairStore, batch: Batch | Sequence[Packed], now_ms: int) -> None:
        """Take new readings into the stream (Outbox.accept); raises Refused('outbox_full')."""
        self.outbox.accept(store, batch, now_ms)

    def edit(self, store: PairStore, edits: Sequence[Edit], now_ms: int, *, who: str = "") -> list[Cell]:
        """Apply (object, field, JSON value or None) edits here and queue them for the other side, in one transaction."""
        return self._control.edit(store, edits, who, now_ms)

    def on_definitions_changed(self, store: PairStore, resource: str | None, now_ms: int) -> None:
        """Our resources changed: tell the other side; `resource` names one that may be new here and release what is held."""
        self.outbox.load_overflow(store)
        self._control.on_definitions_changed(store, resource, now_ms)

    def ask_for_resource(self, store: PairStore, definition: Definition, now_ms: int, *, who: str) -> str:
        """Ask the other side to make a resource like this (W9); return the ID that its answer will carry."""
        return self._control.ask_for_resource(store, definition, who, now_ms)

    def on_restored(self, store: PairStore, *, backup_ms: int, restored_ms: int, now_ms: int) -> list[Effect]:
        """This side goes on from a backup of `backup_ms`: name what may be lost (G2), and let the peer bring back edits."""
        # Clocks may differ a little: rather an edit too early than one that was never judged.
        store.save_lost_edits((backup_ms - HLC_AHEAD_MS_MAX, restored_ms))
        if self.side is not Side.SOURCE:
            return []  # its source finds out by itself, and sends again what is lacking
        return self._control.note_restore(store, backup_ms, restored_ms, now_ms)

    @property
    def parting(self) -> PartingLane:
        """Asks to part, withdrawals and refusals (G16)."""
        return self._control.parting

    @property
    def quarantine(self) -> Quarantine:
        """What arrived and could not be applied (G7)."""
        return self._control.quarantine

    @property
    def replays(self) -> Replays:
        """Past ranges that are sent again (N9)."""
        return self._control.replays

    # --- what arrives -----------------------------------------------------------------------------------------------

    def on_frame(
        self, store: PairStore, frame: Sealed | Statement | AskStatement | Held | Credit, now_ms: int
    ) -> list[Effect]:
        """Take one frame of the pair. Raises ProtocolError where the hub broke the protocol."""
        link = self._link
        if link is None or self._is_undone:
            return []
        match frame:
            case Sealed():
                return self._on_sealed(store, link, frame, now_ms)
            case Statement():
                return self._heard(store, link, now_ms) + self._on_statement(store, link, frame, now_ms)
            case AskStatement():
                effects = self._heard(store, link, now_ms)
                effects.append(self._statement(store, nonce=frame.nonce, whole=True, now_ms=now_ms))
                if not link.stated and link.asked_again != link.nonce and not effects[:-1]:
                    # A peer whose engine has only just begun missed our question: ask it again, with the same nonce. Once:
                    # two sides that both wait for a word would ask each other for ever.
                    link.asked_again = link.nonce
                    effects.append(Send(AskStatement(self._keys.pair_id, link.nonce)))
                return effects
            case Held():
                self._on_held(store, link, frame, now_ms)
            case Credit():
                self.outbox.add_credit(frame.body_bytes)
            case _:
                assert_never(frame)
        return []

    def _heard(self, store: PairStore, link: EngineLink, now_ms: int) -> list[Effect]:
        """Statements and questions are relayed only while the other side is linked, whatever we were told before."""
        return [] if link.peer_linked else self.on_presence(store, linked=True, now_ms=now_ms)

    def _on_sealed(self, store: PairStore, link: EngineLink, frame: Sealed, now_ms: int) -> list[Effect]:
        kind = frame.header[1] if len(frame.header) > 1 else -1
        effects: list[Effect] = []
        if kind == Kind.SEGMENT:
            link.consumed_bytes += len(frame.body)
            link.unstated += 1
            arrival = self.inbox.on_segment(store, frame.header, frame.body, now_ms)
            if arrival is Arrival.QUARANTINED:
                self.quarantine.on_quarantined(now_ms)
            if arrival is Arrival.NO_ROOM:
                link.consumed_bytes -= len(frame.body)  # no credit for what is not taken
                effects.append(Changed("account"))
            elif arrival is Arrival.SEAL_BROKEN:
                effects.append(Fault("a segment's seal does not fit"))
            else:
                effects.append(Changed("readings"))
        elif kind == Kind.CONTROL:
            effects += self._control.on_sealed(store, frame, now_ms)
        else:
            raise ProtocolError(f"sealed frame of kind {kind} does not belong here")
        return effects

    def _on_held(self, store: PairStore, link: EngineLink, frame: Held, now_ms: int) -> None:
        check_held(frame)
        if frame.whole:
            link.held = {}
        if link.held is None:
            return
        for part in frame.epochs:
            numbers = IntervalSet(part.numbers)
            link.held.setdefault((part.kind, part.epoch), IntervalSet()).update(numbers)
            if not frame.whole and part.kind == Kind.SEGMENT:
                self.outbox.on_hub_holds(part.epoch, numbers)
            elif not frame.whole and part.kind == Kind.CONTROL and part.epoch == self._control.log.epoch:
                self._control.log.on_hub_holds(numbers)
        self._control.end_epochs(store, link.held, now_ms)
        if frame.whole and link.asked_held:
            link.asked_held = False
            self._begin(store, now_ms)
        elif frame.whole:
            # The hub let copies go. They are sent again when the peer is there, not at once, only to be let go again.
            self.outbox.on_hub_holds_all(held_segments(link.held))

    # --- statements (G4) ----------------------------------------------------------------------------------------------

    def _on_statement(self, store: PairStore, link: EngineLink, frame: Statement, now_ms: int) -> list[Effect]:
        try:
            header, plain = self._keys.open(Kind.STATEMENT, frame.header, frame.body, associated=frame.public)
            public, private = read_stated(frame.public), read_private(plain)
        except (SealBroken, ProtocolError, msgspec.DecodeError) as error:
            return [Fault(f"a statement that cannot be believed: {error}")]
        fresh = public.whole and bool(link.nonce) and public.nonce == link.nonce
        known_start = header.epoch == link.peer_start
        if known_start and header.number <= link.peer_counter:
            # Repeated, or overtaken by a later word. Only what is newest may tell that something is lacking.
            return [self._ask(link, now_ms)] if fresh else []
        if not fresh and not known_start:
            # A start that we have not asked: it may lack what an earlier one had.
            late = link.stated and now_ms - link.asked_ms >= _ASK_AGAIN_MS
            return [self._ask(link, now_ms)] if late else []
        if not known_start:
            link.exchanged = link.defined = b""  # told to another start, of a database that may have been another
            link.compared = IntervalSet()
        link.peer_start, link.peer_counter = header.epoch, header.number
        effects: list[Effect] = []
        self.is_full_there = private.is_full
        epochs = stated_epochs(public, private)
        if epochs is None:
            return [Fault("a statement whose parts do not fit together")]
        compared = compared_epochs(private, epochs) if fresh else None
        if fresh:
            link.nonce = b""
            if compared is not None:
                link.told_nothing_new = 0 if IntervalSet(compared).minus(link.compared) else link.told_nothing_new + 1
                link.compared.add_range(*compared)
                epochs += lacking_epochs(store.epochs_out(), epochs, compared)
        tally, closed = GapTally(CAUSE_DESTINATION_RESTORED), GapTally(CAUSE_ORIGIN_RESTORED)
        moved = False
        for stated in epochs:
            if link.held is not None and (held := link.held.get((Kind.SEGMENT, stated.epoch))) is not None:
                # The hub read the same word and trimmed its copies.
                link.held[Kind.SEGMENT, stated.epoch] = held.minus(stated.recorded).minus(stated.closed)
            moved |= self.outbox.on_stated(store, stated, fresh=fresh, now_ms=now_ms, tally=tally, closed=closed)
        if self._control.log.is_over(dict(public.control)):
            self._control.renew(store, now_ms)
        if self.replays.on_stated(store, link, public, private, fresh=fresh, now_ms=now_ms):
            effects.append(Changed("replays"))
        acknowledged, restored = self._control.log.on_stated(store, dict(public.control), fresh=fresh)
        if acknowledged:
            effects.append(Changed("devices"))
        effects += self._control.give_notice(store, tally, now_ms)
        effects += self._control.give_notice(store, closed, now_ms)
        if tally.origin_restored:
            effects += self._control.note_found(store, private.time_ms, now_ms)
        moved |= self._take_oldest(store, private, now_ms)
        if private.ledger is not None:
            self._take_ledger(store, private.ledger, private, anew=public.whole)
        if moved or private.ledger is not None:
            effects.append(Changed("account"))
        if fresh:
            effects.append(PeerTime(private.time_ms))
            if restored or tally.destination_restored:
                self._control.renew(store, now_ms)
                self._control.end_epochs(store, link.held or {}, now_ms)
                self._control.tell_all(store, now_ms)
            self._control.tell_definitions(store, link, private.definitions, now_ms)
            self._control.exchange_cells(store, link, private.cells, now_ms)
            if not (link.stated and known_start):
                link.stated = True
                self._begin(store, now_ms)
            if compared is not None and IntervalSet(ALL_EPOCHS).minus(link.compared):
                # They are too many for one statement; what is never named is too long for any (shared.core.stating).
                effects += [self._ask(link, now_ms)] if link.told_nothing_new < _TOLD_NOTHING_NEW_MAX else []
            elif compared is not None and not IntervalSet(ALL_EPOCHS).minus(link.compared):
                self._control.note_compared(store, link)
        return effects

    def _take_oldest(self, store: PairStore, private: Private, now_ms: int) -> bool:
        """Keep since when, by our clock, the oldest waits that the other side has; return whether that changed."""
        before_ms = self._peer_oldest_ms.get(store)
        oldest_ms = None if private.oldest_ms is None else now_ms - max(0, private.time_ms - private.oldest_ms)
        if oldest_ms is None or before_ms is None:
            changed = oldest_ms != before_ms
        else:
            changed = abs(oldest_ms - before_ms) >= SECOND_MS  # less is the way of the statement
        if changed:
            store.save_peer_oldest_ms(oldest_ms)
            self._peer_oldest_ms.forget()
        return changed

    def _take_ledger(self, store: PairStore, ledger: Ledger, private: Private, *, anew: bool) -> None:
        """Keep what the source states of its account, and what was applied here at the cut it speaks of."""
        start, number = private.heard
        since = self.inbox.cuts.since(number) if start == self._start else None
        self.inbox.flush(store)
        store.save_peer_ledger(ledger, private.time_ms)
        store.save_cut(since)
        if anew:
            store.forget_peer_resources()
        store.save_peer_resources(private.resources, private.time_ms, since)

    def _statement(
        self, store: PairStore, *, nonce: bytes, whole: bool, now_ms: int, with_resources: bool = False
    ) -> Send:
        public, private = self.inbox.state(store, whole=whole)
        replay_epochs, replays = self.inbox.replays.state(store, whole=whole)
        named = {part.epoch for part in public}  # an honest source has other epochs for what it replays
        replay_epochs = [part for part in replay_epochs if part.epoch not in named]
        recorded = encode_recorded(Recorded(nonce, whole, public + replay_epochs, self._control.peer_log.state(store)))
        ledger = store.ledger() if self.side is Side.SOURCE else None
        if whole:
            self._news.forget()
        if (link := self._link) is not None:
            link.unstated, link.word_due_ms = 0, None
        resources = self._news.next(store, ledger) if ledger is not None and (whole or with_resources) else {}
        resources = {name: found.stated() for name, found in resources.items()}
        cells = store.cells_digest() if whole else b""
        definitions = definitions_digest(store.peer_definitions() or ()) if whole else b""
        self._statements += 1
        self._told_full = self.quarantine.is_full
        self.inbox.cuts.on_statement(self._statements)
        heard = (link.peer_start, link.peer_counter) if link is not None else (0, 0)
        header, body = self._keys.seal(
            Kind.STATEMENT,
            encode_entry(
                Private(
                    private,
                    None if ledger is None else ledger.stated(),
                    now_ms,
                    cells,
                    definitions,
                    resources,
                    heard,
                    replays=replays,
                    replay_epochs=[r.epoch for r in replay_epochs],
                    is_full=self.quarantine.is_full,
                    named_all=self.inbox.named_all,
                    oldest_ms=self._oldest_ms(store),
                )
            ),
            epoch=self._start,
            number=self._statements,
            accepted_ms=now_ms,
            count=0,
            nonce=self._chance(NONCE_BYTES),
            associated=recorded,
        )
        return Send(Statement(header, recorded, body))

    def _oldest_ms(self, store: PairStore) -> int | None:
        """Since when the oldest waits that this side has and that is not applied (G9)."""
        return self.outbox.oldest_ms(store) if self.side is Side.SOURCE else self.inbox.oldest_held_ms(store)

    # --- the end of every unit of work --------------------------------------------------------------------------------

    def flush(self, store: PairStore, now_ms: int, *, patient: bool = False) -> list[Effect]:
        """Return what follows from all events of this unit of work: releases, one acknowledgement, and what to send.

        `patient`: many pairs are at work, so a segment's acknowledgement waits a moment for those of the next ones.
        """
        effects: list[Effect] = []
        if self._is_undone:
            self.inbox.flush(store)
            self.load(store, now_ms)
            return [Relink("something foreign was undone, and its state loaded again")]
        self.outbox.set_crowded(patient)
        self._release(store, effects, now_ms)
        self.inbox.flush(store)
        link = self._link
        if self.inbox.room.goes_on(store) and link is not None:
            effects.append(Relink("there is room in quarantine again"))
        if link is None:
            self._control.takes_reason_to_compare()  # the next link's opening compares all the same
            return effects
        effects += self._compare_again(store, link, now_ms)
        changed = self.inbox.changed or self._control.peer_log.changed or self.quarantine.is_full is not self._told_full
        if changed and not (patient and self._may_wait(link, now_ms)):
            effects.append(self._statement(store, nonce=b"", whole=False, now_ms=now_ms))
            while self.inbox.changed:  # it had no room for all
                effects.append(self._statement(store, nonce=b"", whole=False, now_ms=now_ms))
        if link.consumed_bytes >= CREDIT_GRANT_BYTES:
            effects.append(Send(Credit(link.consumed_bytes)))
            link.consumed_bytes = 0
        segments = self.outbox.pump(store, now_ms)
        replayed, moved = self.replays.pump(store, link, now_ms)
        segments += replayed
        if moved:
            effects.append(Changed("replays"))
        entries = self._control.log.pump(store)
        effects += [Send(Sealed(LANE_CONTROL, entry.header, entry.body)) for entry in entries]
        effects += [Send(Sealed(segment.lane, segment.header, segment.body)) for segment in segments]
        link.segments.on_head(self.outbox.first_row(store), now_ms)
        link.entries.on_head(self._control.log.first_row(store), now_ms)
        return effects

    def _may_wait(self, link: EngineLink, now_ms: int) -> bool:
        """Whether what there is to state are a few segments that came just now, which may have company soon."""
        if self._control.peer_log.changed or self.inbox.replays.changed:
            return False
        if not 0 < link.unstated < STATED_AT_ONCE_SEGMENTS:
            return False
        if link.word_due_ms is None:
            link.word_due_ms = now_ms + WORD_WAITS_MS_MAX
        return now_ms < link.word_due_ms <= now_ms + WORD_WAITS_MS_MAX

    def _compare_again(self, store: PairStore, link: EngineLink, now_ms: int) -> list[Effect]:
        """Ask for the other side's digest once more when all of ours has arrived, if there is reason to."""
        link.compare_later |= self._control.takes_reason_to_compare()
        if not link.compare_later or not link.stated or link.nonce or self._control.log.first_row(store):
            return []
        link.compare_later = False
        return [self._ask(link, now_ms)]

    def _release(self, store: PairStore, effects: list[Effect], now_ms: int) -> None:
        """Apply what was held for what is here now, a bounded part of it; the rest follows with the next unit of work."""
        later: list[tuple[str | None, str | None, int]] = []
        self._appeared += [(device, resource, 0) for device, resource in self._control.appeared]
        self._control.appeared.clear()
        self._appeared += [(device, None, 0) for device in self.inbox.replaced.take(now_ms)]
        if not self._appeared:
            return
        replaced = GapTally(CAUSE_DEVICE_REPLACED)
        for device, resource, after_row in dict.fromkeys(self._appeared):
            released, more_after = self.inbox.release_held(store, device, resource, after_row, now_ms, replaced)
            if released:
                effects.append(Changed("readings"))
            if more_after is not None:
                later.append((device, resource, more_after))
        self._appeared = later
        if not replaced.is_empty:
            effects += self._control.give_notice(store, replaced, now_ms)

    # --- time -----------------------------------------------------------------------------------------------------------

    def next_deadline_ms(self, store: PairStore) -> int | None:
        """When `on_deadline` is due next (wall clock ms), None for never. A time that is past means at once."""
        due: list[int] = []
        expiry = [self.outbox.next_deadline_ms(store), self.inbox.next_deadline_ms(store)]
        due += [max(time_ms, self._expire_after_ms) for time_ms in expiry if time_ms is not None]
        if self._cap_again_ms is not None:
            due.append(self._cap_again_ms)
        if (try_ms := self.quarantine.next_deadline_ms()) is not None:
            due.append(try_ms)
        if (replaced_ms := self.inbox.replaced.due_ms) is not None:
            due.append(replaced_ms)
        if self._appeared or (self._link is not None and self.outbox.has_work):
            due.append(0)
        if (link := self._link) is not None:
            if (send_next_ms := self.outbox.send_next_ms) is not None:
                due.append(send_next_ms)
            if link.word_due_ms is not None:
                due.append(link.word_due_ms)
            due += self._resync_due(link)
            if (replays_ms := self.replays.next_deadline_ms(link)) is not None:
                due.append(replays_ms)
            if self.side is Side.SOURCE and link.peer_linked:
                due.append(link.ledger_ms + _LEDGER_EVERY_MS)
        return min(due, default=None)

    def _resync_due(self, link: EngineLink) -> list[int]:
        due: list[int] = []
        # A question without an answer is asked again, also one that only compares what both sides hold.
        if link.held is None or (link.peer_linked and (link.nonce or not link.stated)):
            due.append(max(link.opened_ms, link.asked_ms) + RESYNC_AFTER_MS)
        if link.peer_linked:
            due += [watch.due_ms for watch in (link.segments, link.entries) if watch.due_ms is not None]
        return due

    def on_clock(self, store: PairStore, now_ms: int, monotonic_ms: int) -> None:
        """Look at both clocks; to be called before `on_deadline`. What waits keeps its age where the wall clock was set."""
        if moved_ms := self._ages.on_tick(now_ms, monotonic_ms):
            store.move_accepted(moved_ms, now_ms)
            store.move_held(moved_ms, now_ms)
            if (oldest_ms := self._peer_oldest_ms.get(store)) is not None:
                store.save_peer_oldest_ms(min(oldest_ms + moved_ms, now_ms))
                self._peer_oldest_ms.forget()
            self.inbox.forget_oldest()
            self.outbox.load(store, self._control.accepted_by_peer(store))

    def on_deadline(self, store: PairStore, now_ms: int, *, expire: bool = True) -> list[Effect]:
        """Do what is due: expiry (unless the clock is in doubt, G5), sealing by age, asking again after silence."""
        effects: list[Effect] = []
        if self._expire_after_ms > now_ms + _EXPIRE_DOUBTED_MS:  # the clock was set back
            self._expire_after_ms = 0
        if expire:
            self.outbox.forget_sent(store, now_ms)
        if expire and self._expires(store, now_ms):
            self._expire(store, effects, now_ms)
        elif expire:
            self._expire_after_ms = 0
        else:
            self._expire_after_ms = now_ms + _EXPIRE_DOUBTED_MS
        self.outbox.on_deadline(store, now_ms)
        effects += self.quarantine.on_deadline(store, now_ms)
        if (link := self._link) is not None:
            link.on_time(now_ms)
            if any(due_ms <= now_ms for due_ms in self._resync_due(link)):
                effects += self._resync(link, now_ms)
            if self.side is Side.SOURCE and link.peer_linked and now_ms - link.ledger_ms >= _LEDGER_EVERY_MS:
                link.ledger_ms = now_ms
                if self._news.is_due(store.ledger()):
                    effects.append(self._statement(store, nonce=b"", whole=False, now_ms=now_ms, with_resources=True))
        return effects

    def _resync(self, link: EngineLink, now_ms: int) -> list[Effect]:
        """Nothing moved although something is under way: start over on this link."""
        link.insist_segment = link.segments.on_resync(now_ms)
        link.insist_entry = link.entries.on_resync(now_ms)
        link.asked_held = True
        link.asked_ms = now_ms
        effects: list[Effect] = [Send(AskHeld())]
        if link.peer_linked:
            link.stated = False
            effects.append(self._ask(link, now_ms))
        return effects

    def _expires(self, store: PairStore, now_ms: int) -> bool:
        """Whether something has waited for too long: deadlines of other kinds come by far more often."""
        held_ms = self.inbox.next_deadline_ms(store)
        return self.outbox.expires(store, now_ms) or (held_ms is not None and held_ms <= now_ms)

    def _expire(self, store: PairStore, effects: list[Effect], now_ms: int) -> None:
        tally = GapTally(CAUSE_RETENTION)
        more = self.outbox.expire(store, now_ms, tally)
        self._expire_after_ms = now_ms + _EXPIRE_AGAIN_MS if more else 0
        effects += self._control.give_notice(store, tally, now_ms)
        held = GapTally(CAUSE_HELD_TOO_LONG)
        self.inbox.expire_held(store, now_ms, held)
        effects += self._control.give_notice(store, held, now_ms)

    def enforce_cap(self, store: PairStore, now_ms: int) -> list[Effect]:
        """Drop the oldest of what may be dropped where the outbox is over its byte cap.

        To be called after `on_deadline`, and where readings came: what is left to be dropped is due soon.
        """
        tally = GapTally(CAUSE_BYTE_CAP)
        more = self.outbox.drop_over_cap(store, tally)
        self._cap_again_ms = now_ms + _EXPIRE_AGAIN_MS if more else None
        return self._control.give_notice(store, tally, now_ms)
