"""What two sides say about parting, through the control log (G12): in order, and it survives outages."""

from __future__ import annotations

from shared.core.control import ControlOrigin
from shared.core.entries import PartAskedEntry, PartDeclinedEntry, PartWithdrawnEntry
from shared.core.parting import PART_ID_BYTES, Ask, PartEvent
from shared.core.ports import ControlStore
from shared.errors import Refused
from shared.limits import NAME_CHARS_MAX

PartingEntry = PartAskedEntry | PartWithdrawnEntry | PartDeclinedEntry


class PartingLane:
    """Asks, withdrawals and refusals of one pair. Agreeing needs no entry: it ends the pair, and with it this log."""

    def __init__(self, log: ControlOrigin) -> None:
        self._log = log

    def ask(self, store: ControlStore, ask: Ask, *, flush: bool, now_ms: int) -> None:
        """Ask the other side to part; raises Refused('part_asked') where this side has, or the other was faster."""
        talk = store.parting_talk()
        if not talk.allows(PartEvent.ASK):
            raise Refused("part_asked")
        store.save_parting_talk(talk.on_ask(ask, flush=flush))
        self._tell(store, ask, now_ms)

    def withdraw(self, store: ControlStore, now_ms: int) -> None:
        """Take our ask back; raises Refused('not_found') where there is none."""
        talk = store.parting_talk()
        if talk.mine is None or not talk.allows(PartEvent.WITHDRAW):
            raise Refused("not_found", what="ask to part")
        store.save_parting_talk(talk.on_withdraw())
        self._log.append(store, PartWithdrawnEntry(talk.mine.part_id), now_ms)

    def decline(self, store: ControlStore, now_ms: int) -> None:
        """Say no to the other side's ask; raises Refused('not_found') where there is none."""
        talk = store.parting_talk()
        if talk.theirs is None or not talk.allows(PartEvent.DECLINE):
            raise Refused("not_found", what="ask to part")
        store.save_parting_talk(talk.on_decline())
        self._log.append(store, PartDeclinedEntry(talk.theirs.part_id), now_ms)

    def take(self, store: ControlStore, entry: PartingEntry, now_ms: int) -> None:
        """Take what the other side says; raises ValueError where it cannot be meant (the entry goes to quarantine)."""
        talk = store.parting_talk()
        match entry:
            case PartAskedEntry():
                if len(entry.part_id) != PART_ID_BYTES or len(entry.who) > NAME_CHARS_MAX:
                    raise ValueError("an ask to part that is malformed")
                if not store.peer_signed_parting(entry.part_id, entry.signature):
                    raise ValueError("an ask to part that the other side has not signed")
                talk = talk.on_peer_asked(Ask(entry.part_id, entry.signature, entry.who, entry.asked_ms))
            case PartWithdrawnEntry():
                talk = talk.on_peer_withdrew(entry.part_id)
            case PartDeclinedEntry():
                talk = talk.on_peer_declined(entry.part_id, now_ms)
        store.save_parting_talk(talk)

    def tell_again(self, store: ControlStore, now_ms: int) -> None:
        """Repeat our ask to a peer that may have lost it in a restore."""
        if (mine := store.parting_talk().mine) is not None:
            self._tell(store, mine, now_ms)

    def _tell(self, store: ControlStore, ask: Ask, now_ms: int) -> None:
        self._log.append(store, PartAskedEntry(ask.part_id, ask.signature, ask.who, ask.asked_ms), now_ms)
