"""Parting on purpose (G16): both sides of a pair give their signed word, and nobody else can end it.

A side asks with its signature of a `Parting` statement; the other agrees by signing the same. The two signatures are the
parting certificate, and whoever sees it is parted. Until then either may take its ask back, or decline the other's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from shared.core.tables import Table

PART_ID_BYTES: Final = 16


class PartState(Enum):
    """How far a pair is from parting, at one of its sides."""

    TOGETHER = "together"
    ASKED_HERE = "asked_here"
    ASKED_THERE = "asked_there"
    ASKED_BOTH = "asked_both"
    AGREED = "agreed"  # both signed, and parted here; the hub and the other side may not know it yet
    PARTED = "parted"  # known at both sides and at the hub


class PartEvent(Enum):
    """What moves it. *Peer* is the other side, heard through the sealed control log."""

    ASK = "ask"
    WITHDRAW = "withdraw"
    AGREE = "agree"
    DECLINE = "decline"
    PEER_ASKED = "peer_asked"
    PEER_WITHDREW = "peer_withdrew"
    PEER_DECLINED = "peer_declined"
    BOTH_SIGNATURES_SEEN = "both_signatures_seen"
    KNOWN_EVERYWHERE = "known_everywhere"


_S, _E = PartState, PartEvent
PARTING_TABLE: Final = Table(
    "parting",
    PartState.TOGETHER,
    {
        (_S.TOGETHER, _E.ASK): _S.ASKED_HERE,
        (_S.TOGETHER, _E.PEER_ASKED): _S.ASKED_THERE,
        (_S.ASKED_HERE, _E.WITHDRAW): _S.TOGETHER,
        (_S.ASKED_HERE, _E.PEER_DECLINED): _S.TOGETHER,
        (_S.ASKED_HERE, _E.PEER_ASKED): _S.ASKED_BOTH,
        (_S.ASKED_THERE, _E.AGREE): _S.AGREED,
        (_S.ASKED_THERE, _E.DECLINE): _S.TOGETHER,
        (_S.ASKED_THERE, _E.PEER_WITHDREW): _S.TOGETHER,
        (_S.ASKED_THERE, _E.PEER_ASKED): _S.ASKED_THERE,
        (_S.ASKED_BOTH, _E.AGREE): _S.AGREED,
        (_S.ASKED_BOTH, _E.WITHDRAW): _S.ASKED_THERE,
        (_S.ASKED_BOTH, _E.DECLINE): _S.ASKED_HERE,
        (_S.ASKED_BOTH, _E.PEER_WITHDREW): _S.ASKED_HERE,
        (_S.ASKED_BOTH, _E.PEER_DECLINED): _S.ASKED_THERE,
        (_S.ASKED_BOTH, _E.PEER_ASKED): _S.ASKED_BOTH,
        (_S.TOGETHER, _E.BOTH_SIGNATURES_SEEN): _S.AGREED,
        (_S.ASKED_HERE, _E.BOTH_SIGNATURES_SEEN): _S.AGREED,
        (_S.ASKED_THERE, _E.BOTH_SIGNATURES_SEEN): _S.AGREED,
        (_S.ASKED_BOTH, _E.BOTH_SIGNATURES_SEEN): _S.AGREED,
        (_S.AGREED, _E.BOTH_SIGNATURES_SEEN): _S.AGREED,
        (_S.AGREED, _E.KNOWN_EVERYWHERE): _S.PARTED,
        (_S.PARTED, _E.BOTH_SIGNATURES_SEEN): _S.PARTED,
        (_S.PARTED, _E.KNOWN_EVERYWHERE): _S.PARTED,
    },
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One side's ask: a random ID, its signature, who pressed the button, and when (that site's wall clock, ms)."""

    part_id: bytes
    signature: bytes
    who: str
    asked_ms: int


@dataclass(frozen=True, slots=True)
class PartingTalk:
    """What was said about parting, as one side has it. `flush`: what this side does with what was replicated, once parted."""

    state: PartState = PartState.TOGETHER
    mine: Ask | None = None
    theirs: Ask | None = None
    flush: bool = False
    declined_ms: int | None = None
    """When the other side declined last, by this side's clock; a new ask clears it."""

    def allows(self, event: PartEvent) -> bool:
        """Tell whether an event is legal now."""
        return PARTING_TABLE.allows(self.state, event)

    def _after(self, event: PartEvent, **changed: object) -> PartingTalk:
        return replace(self, state=PARTING_TABLE.after(self.state, event), **changed)  # type: ignore[arg-type]

    def on_ask(self, ask: Ask, *, flush: bool) -> PartingTalk:
        """This side asks."""
        return self._after(PartEvent.ASK, mine=ask, flush=flush, declined_ms=None)

    def on_withdraw(self) -> PartingTalk:
        """This side takes its ask back."""
        return self._after(PartEvent.WITHDRAW, mine=None, flush=False)

    def on_agree(self) -> PartingTalk:
        """This side signs what the other asked."""
        return self._after(PartEvent.AGREE)

    def on_decline(self) -> PartingTalk:
        """This side says no; its own ask, if there is one, stands."""
        return self._after(PartEvent.DECLINE, theirs=None)

    def on_peer_asked(self, ask: Ask) -> PartingTalk:
        """The other side asks; a later ask of it takes the place of an earlier one."""
        if not self.allows(PartEvent.PEER_ASKED):
            return self
        return self._after(PartEvent.PEER_ASKED, theirs=ask)

    def on_peer_withdrew(self, part_id: bytes) -> PartingTalk:
        """The other side takes an ask back; what is not the present one does not matter."""
        if self.theirs is None or self.theirs.part_id != part_id or not self.allows(PartEvent.PEER_WITHDREW):
            return self
        return self._after(PartEvent.PEER_WITHDREW, theirs=None)

    def on_peer_declined(self, part_id: bytes, now_ms: int) -> PartingTalk:
        """The other side says no to an ask of ours; what is not the present one does not matter."""
        if self.mine is None or self.mine.part_id != part_id or not self.allows(PartEvent.PEER_DECLINED):
            return self
        return self._after(PartEvent.PEER_DECLINED, mine=None, flush=False, declined_ms=now_ms)

    def chosen_for(self, part_id: bytes) -> bool:
        """Whether to flush, when both signatures of this parting turn up: as was chosen with that very ask, else keep."""
        return self.flush and self.mine is not None and self.mine.part_id == part_id
