"""Parting on purpose (G16): one side asks, the other agrees or declines, and each keeps or flushes what was replicated."""

from __future__ import annotations

from typing import Final

import msgspec

from connector.accounts import Account
from connector.api.operations import ONE, Call, Operation
from connector.parting import PartingSeen
from connector.parting_rows import Parted
from shared.core.parting import PartState


class PartChoice(msgspec.Struct, forbid_unknown_fields=True):
    """What this side does with what was replicated, once parted: keep it, or erase it here (`flush`)."""

    flush: bool = False


class PartWaits(msgspec.Struct, frozen=True):
    """What would be given up if the pair parted now; see docs/operations.md."""

    queued: int
    held: int
    quarantined: int
    pending_edits: int


class PartedPair(msgspec.Struct, frozen=True):
    """A pair that is over. `known_everywhere`: the hub and the other side have it too. `account` is the pair's last."""

    pair_id: str
    side: str
    peer_site: str
    peer_connector: str
    parted_ms: int
    flushed: bool
    known_everywhere: bool
    pending_edits: int
    account: Account


class PartStatus(msgspec.Struct, frozen=True):
    """How parting stands: `state` is together, asked_here, asked_there, asked_both, agreed or parted.

    `asked_by` and `asked_ms` are of the other side's ask; `declined_ms` is when the other side declined this one's last.
    """

    state: str
    flush: bool
    asked_by: str
    asked_ms: int | None
    declined_ms: int | None
    waits: PartWaits
    parted: PartedPair | None


async def get_part(call: Call) -> PartStatus:
    """Return how parting stands."""
    runtime = call.site.runtime(call.connector_id)
    return _status(await runtime.parting.seen(), paired=runtime.pair is not None)


async def ask_to_part(call: Call) -> PartStatus:
    """Ask the other side to part."""
    body = await call.body(PartChoice)
    await call.site.runtime(call.connector_id).parting.ask(flush=body.flush, who=call.principal.name)
    return await get_part(call)


async def take_ask_back(call: Call) -> PartStatus:
    """Take the ask to part back."""
    await call.site.runtime(call.connector_id).parting.withdraw()
    return await get_part(call)


async def agree_to_part(call: Call) -> PartStatus:
    """Agree to part: the pair is over."""
    body = await call.body(PartChoice)
    await call.site.runtime(call.connector_id).parting.agree(flush=body.flush)
    return await get_part(call)


async def decline_to_part(call: Call) -> PartStatus:
    """Decline what the other side asked."""
    await call.site.runtime(call.connector_id).parting.decline()
    return await get_part(call)


def _status(seen: PartingSeen, *, paired: bool) -> PartStatus:
    talk, theirs = seen.talk, seen.talk.theirs
    alone = not paired and seen.parted is not None
    return PartStatus(
        state=seen.parted.state.value if alone and seen.parted is not None else talk.state.value,
        flush=talk.flush,
        asked_by=theirs.who if theirs else "",
        asked_ms=theirs.asked_ms if theirs else None,
        declined_ms=talk.declined_ms,
        waits=PartWaits(seen.waits.queued, seen.waits.held, seen.waits.quarantined, seen.waits.pending_edits),
        parted=_parted(seen.parted) if seen.parted is not None else None,
    )


def _parted(parted: Parted) -> PartedPair:
    return PartedPair(
        pair_id=parted.pair_id.hex(),
        side=parted.side.word,
        peer_site=parted.peer_site_name,
        peer_connector=parted.peer_connector_id,
        parted_ms=parted.parted_ms,
        flushed=parted.flush,
        known_everywhere=parted.state is PartState.PARTED,
        pending_edits=parted.pending_edits,
        account=Account.of(parted.ledger),
    )


_PART: Final = ONE + "/part"
OPERATIONS: Final = (
    Operation(
        "GET", _PART, "manage", "How parting stands, and the last pair that is over", get_part, answer=PartStatus
    ),
    Operation(
        "POST",
        _PART,
        "manage",
        "Ask the other side to part",
        ask_to_part,
        body=PartChoice,
        answer=PartStatus,
        errors=("not_paired", "part_asked"),
    ),
    Operation(
        "DELETE", _PART, "manage", "Take the ask to part back", take_ask_back, answer=PartStatus, errors=("not_paired",)
    ),
    Operation(
        "POST",
        _PART + "/agree",
        "manage",
        "Agree to part: the pair is over",
        agree_to_part,
        body=PartChoice,
        answer=PartStatus,
        errors=("not_paired",),
    ),
    Operation(
        "POST",
        _PART + "/decline",
        "manage",
        "Decline what the other side asked",
        decline_to_part,
        answer=PartStatus,
        errors=("not_paired",),
    ),
)
