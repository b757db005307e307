"""What the two sides of a pair tell each other in order, and what each entry of the control log does (G11 to G13).

Everything that is not a reading: edits, definitions, gap notices, requests, and the comparison that makes up for what a
log alone cannot bring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

import msgspec

from shared.batches import BatchCodec
from shared.core.cells import Cell
from shared.core.control import ControlDestination, ControlOrigin, Taken
from shared.core.definitions import fitting
from shared.core.edits import Edit, Edits
from shared.core.engine_effects import Changed, Effect, Fault
from shared.core.engine_link import EngineLink
from shared.core.entries import (
    AnsweredEntry,
    CellsEntry,
    CreateResourceEntry,
    Definition,
    DefinitionsEntry,
    Entry,
    EpochsOverEntry,
    GapEntry,
    PartAskedEntry,
    PartDeclinedEntry,
    PartWithdrawnEntry,
    ReplayAskEntry,
    ReplayCancelEntry,
    ReplayStateEntry,
    cell_parts,
    decode_entry,
    definitions_digest,
)
from shared.core.gaps import GapTally
from shared.core.inbox import Inbox
from shared.core.intervals import IntervalSet
from shared.core.outbox import Outbox
from shared.core.parting_lane import PartingLane
from shared.core.ports import PairStore
from shared.core.quarantine import Quarantine
from shared.core.replay_lane import Replays
from shared.core.restores import Restores
from shared.limits import NAME_CHARS_MAX, SEALED_NUMBER_MAX
from shared.messages import Sealed
from shared.sealing import Kind, PairKeys

Chance = Callable[[int], bytes]
_EPOCHS_OVER_MAX = 64
_REQUEST_ID_CHARS_MAX = 64
_WRONG_DEFINITIONS = "definitions with names that are too long, an unknown format, or malformed bounds"


class ControlLane:
    """Both control logs of one side of a pair. `appeared` gets (device, resource) names that are new here."""

    def __init__(
        self, keys: PairKeys, site_id: str, chance: Chance, *, codec: BatchCodec, outbox: Outbox, inbox: Inbox
    ) -> None:
        self.log = ControlOrigin(keys, chance)
        self.peer_log = ControlDestination(keys, inbox.room)
        self.edits = Edits(keys.side, site_id)
        self.parting = PartingLane(self.log)
        self.replays = Replays(keys, codec, chance, log=self.log, outbox=outbox, inbox=inbox.replays)
        self.appeared: list[tuple[str | None, str | None]] = []
        self.quarantine = Quarantine(inbox, self._apply_again, self.give_notice)
        self._chance = chance
        self._outbox = outbox
        self._inbox = inbox
        self.restores = Restores()
        self._epochs_over: set[int] = set()  # earlier epochs of our log that the peer was told of
        self._came_late = False  # edits that the other side may have forgotten since it made them

    def load(self, store: PairStore, now_ms: int) -> None:
        """Take up what is stored, under a new epoch."""
        self.log.on_link_closed()
        self.peer_log.forget()
        self.renew(store, now_ms)
        self.replays.load(store)
        self.quarantine.load(store)
        self.restores.load(store)
        self.appeared.clear()
        self.edits.appeared.clear()

    def renew(self, store: PairStore, now_ms: int) -> None:
        """Carry the log over into a new epoch."""
        self.log.renew(store, now_ms)
        self._epochs_over.clear()

    # --- what a site says -----------------------------------------------------------------------------------------------

    def edit(self, store: PairStore, edits: Sequence[Edit], who: str, now_ms: int) -> list[Cell]:
        """Apply edits here and queue them for the other side, in one transaction."""
        made = self.edits.edit(
            store, edits, who=who, now_ms=now_ms, queue=lambda cells: self._queue(store, cells, now_ms)
        )
        self._note_appeared()
        return made

    def _queue(self, store: PairStore, cells: Sequence[Cell], now_ms: int) -> list[tuple[Sequence[Cell], int | None]]:
        return [(part, self.log.append(store, CellsEntry(part), now_ms)) for part in cell_parts(cells)]

    def on_definitions_changed(self, store: PairStore, resource: str | None, now_ms: int) -> None:
        """Our resources changed: tell the other side; `resource` names one that may be new here."""
        self.log.append(store, DefinitionsEntry(fitting(store.definitions())), now_ms)
        self._outbox.set_accepts(self.accepted_by_peer(store))
        if resource is not None:
            self.appeared.append((None, resource))

    def ask_for_resource(self, store: PairStore, definition: Definition, who: str, now_ms: int) -> str:
        """Ask the other side to make a resource like this; return the ID that its answer will carry."""
        request_id = self._chance(8).hex()
        self.log.append(store, CreateResourceEntry(request_id, definition, who), now_ms)
        return request_id

    def accepted_by_peer(self, store: PairStore) -> frozenset[str]:
        """Return the resources whose definition is the same there (G14)."""
        theirs = {definition.alias: definition.accepts for definition in store.peer_definitions() or ()}
        return frozenset(d.alias for d in store.definitions() if theirs.get(d.alias) == d.accepts)

    def give_notice(self, store: PairStore, tally: GapTally, now_ms: int) -> list[Effect]:
        """Write down what is given up, and what earlier notices have to take back, and tell the other side."""
        if tally.says_nothing:
            return []
        gap_id = self._chance(8).hex()
        made = tally.notices(gap_id, now_ms)
        for epoch, number, share in tally.shares(gap_id):
            store.save_gap_share(epoch, number, share)
        named = [store.own_gap(each) for each in tally.taken_back.gap_ids]
        made += [tally.taken_back.corrected(notice) for notice in named if notice is not None]
        for notice in made:
            store.add_gap(notice, ours=True)
            self.log.append(store, GapEntry(notice), now_ms)
        return [Changed("gaps")] * len(made)

    def note_restore(self, store: PairStore, backup_ms: int, restored_ms: int, now_ms: int) -> list[Effect]:
        """This side was restored: what was accepted since the backup and not delivered is lost, and nobody can count it."""
        notice = self.restores.on_backup(store, backup_ms=backup_ms, restored_ms=restored_ms, now_ms=now_ms)
        if notice is not None:
            store.set_unknown()
            self.log.append(store, GapEntry(notice), now_ms)
        return [Changed("gaps"), Changed("account")]

    def note_found(self, store: PairStore, peer_ms: int, now_ms: int) -> list[Effect]:
        """The other side, whose clock says `peer_ms`, has more of our readings than we ever gave: we were restored."""
        notice = self.restores.on_found(store, self._chance(8).hex(), peer_ms=peer_ms, now_ms=now_ms)
        if notice is None:
            return []
        self.log.append(store, GapEntry(notice), now_ms)
        return [Changed("gaps")]

    def note_compared(self, store: PairStore, link: EngineLink) -> None:
        """The other side named all that it has of our readings: what more a hub holds may still tell of a restore."""
        if self._outbox.knows_all(store, link.held):
            self.restores.on_compared(store)

    def end_epochs(self, store: PairStore, held: Iterable[tuple[int, int]], now_ms: int) -> None:
        """Let the peer refuse what the hub still has of our log's earlier epochs, so that it goes from there."""
        over = [
            epoch
            for kind, epoch in held
            if kind == Kind.CONTROL and epoch != self.log.epoch and epoch not in self._epochs_over
        ]
        for at in range(0, len(over), _EPOCHS_OVER_MAX):
            self.log.append(store, EpochsOverEntry(over[at : at + _EPOCHS_OVER_MAX]), now_ms)
        self._epochs_over.update(over)

    # --- what arrives -----------------------------------------------------------------------------------------------------

    def on_sealed(self, store: PairStore, frame: Sealed, now_ms: int) -> list[Effect]:
        """Take an entry of the other side's log."""
        effects: list[Effect] = []
        taken = self.peer_log.on_entry(
            store, frame.header, frame.body, now_ms, lambda entry: self._apply(store, entry, effects, now_ms)
        )
        if taken is Taken.QUARANTINED:
            self.quarantine.on_quarantined(now_ms)
        if taken is Taken.SEAL_BROKEN:
            effects.append(Fault("a control entry's seal does not fit"))
        return effects

    def _apply(self, store: PairStore, entry: Entry, effects: list[Effect], now_ms: int) -> None:
        match entry:
            case CellsEntry():
                effects.append(Changed("devices"))
                self._take_cells(store, entry.cells, now_ms)
            case GapEntry():
                self._inbox.on_gap(store, entry.notice, now_ms)
                effects.append(Changed("gaps"))
            case DefinitionsEntry():
                effects.append(Changed("resources"))
                self._take_definitions(store, entry.definitions)
            case EpochsOverEntry():
                for epoch in entry.epochs:
                    store.save_control_in(epoch, SEALED_NUMBER_MAX, now_ms)
                self.peer_log.forget()
                # The hub had entries of theirs from before; some may have come after both sides were compared.
                self._came_late = True
            case CreateResourceEntry():
                effects.append(Changed("resources"))
                self._take_request(store, entry, now_ms)
            case AnsweredEntry():
                effects.append(Changed("resources"))
                store.answer_request(entry.request_id, entry.code, now_ms)
            case PartAskedEntry() | PartWithdrawnEntry() | PartDeclinedEntry():
                effects.append(Changed("parting"))
                self.parting.take(store, entry, now_ms)
            case ReplayAskEntry() | ReplayCancelEntry() | ReplayStateEntry():
                effects.append(Changed("replays"))
                self.replays.take(store, entry, now_ms)
            case _:
                assert_never(entry)

    def _apply_again(self, store: PairStore, plain: bytes, effects: list[Effect], now_ms: int) -> None:
        """Apply an entry that was in quarantine; what later ones have overtaken changes nothing."""
        entry = decode_entry(plain)
        if not isinstance(entry, DefinitionsEntry):
            self._apply(store, entry, effects, now_ms)
            self._came_late |= isinstance(entry, CellsEntry)
        elif not all(definition.well_formed for definition in entry.definitions):
            raise ValueError(_WRONG_DEFINITIONS)
        # Else the next link's opening brings them: it compares. These may be older than what is known by now.

    def _take_cells(self, store: PairStore, cells: Sequence[Cell], now_ms: int) -> None:
        replies, wrong = self.edits.take(store, cells, now_ms)
        self._queue(store, replies, now_ms)
        self._note_appeared()
        if wrong:  # the good ones stay; the entry goes to quarantine for the others
            raise ValueError(f"{len(wrong)} of {len(cells)} edits cannot be taken: {wrong[0]}")

    def _take_definitions(self, store: PairStore, definitions: Sequence[Definition]) -> None:
        good = [definition for definition in definitions if definition.well_formed]
        store.save_peer_definitions(good)
        self._outbox.set_accepts(self.accepted_by_peer(store))
        if len(good) < len(definitions):
            raise ValueError(_WRONG_DEFINITIONS)

    def _take_request(self, store: PairStore, entry: CreateResourceEntry, now_ms: int) -> None:
        if len(entry.request_id) > _REQUEST_ID_CHARS_MAX or len(entry.who) > NAME_CHARS_MAX:
            raise ValueError("a request with names that are too long")
        code = "edit_not_allowed"
        if not entry.definition.well_formed:
            code = "invalid"
        elif store.peer_rights().edit_resources:
            # No switch is thrown over there: whether readings flow is decided where they are.
            wanted = msgspec.structs.replace(entry.definition, remote_sync=False)
            code = store.create_resource(wanted, now_ms)
            if not code:
                self.on_definitions_changed(store, wanted.alias, now_ms)
        self.log.append(store, AnsweredEntry(entry.request_id, code), now_ms)

    def _note_appeared(self) -> None:
        self.appeared += [(identity, None) for identity in self.edits.appeared]
        self.edits.appeared.clear()

    # --- what the log alone does not bring (G13) --------------------------------------------------------------------------

    def tell_all(self, store: PairStore, now_ms: int) -> None:
        """Repeat our gap notices to a peer that lost them; numbers it took after all stay open to be taken again."""
        for notice in store.own_gaps():
            numbers = [
                (epoch, self._outbox.still_closed(store, epoch, IntervalSet(flat))) for epoch, flat in notice.epochs
            ]
            still = [(epoch, closed.flat()) for epoch, closed in numbers if closed]
            self.log.append(store, GapEntry(msgspec.structs.replace(notice, epochs=still)), now_ms)
        self.parting.tell_again(store, now_ms)
        self.replays.tell_again(store, now_ms)

    def tell_definitions(self, store: PairStore, link: EngineLink, theirs: bytes, now_ms: int) -> None:
        """Say our definitions again where the peer knows others: the log alone may have been overtaken by a restore."""
        mine = fitting(store.definitions())
        digest = definitions_digest(mine)
        if digest not in (theirs, link.defined):
            link.defined = digest
            self.log.append(store, DefinitionsEntry(mine), now_ms)

    def exchange_cells(self, store: PairStore, link: EngineLink, theirs: bytes, now_ms: int) -> None:
        """Send our whole versioned state where the digests differ (G13); merging makes both equal."""
        digest = store.cells_digest()
        is_empty = not self.log.first_row(store)
        if digest == theirs and store.lost_edits() is not None:
            if is_empty:
                store.save_lost_edits(None)  # all that a restore lost is here again
            link.compare_later |= not is_empty  # some may still be at the hub, and what ends them under way
        if digest in (theirs, link.exchanged):
            return
        if not is_empty:
            # What is under way may be all the difference. On a flapping link whole states would heap up in the log.
            link.compare_later = True
            return
        link.exchanged = digest
        self._queue(store, store.cells(), now_ms)

    def takes_reason_to_compare(self) -> bool:
        """Tell, once, whether the sides may differ although they were compared on this link; to be asked at every flush."""
        found = self._came_late or self.edits.policy_changed
        self._came_late = self.edits.policy_changed = False
        return found
