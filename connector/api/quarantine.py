"""Quarantine: what arrived, is genuine and could not be applied (G7)."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from connector.api.operations import ONE, Call, Operation
from connector.api.paging import Page, after_of, cursor, limit_of, paged
from connector.quarantine import QuarantineRow
from shared.errors import Refused

_BINARY: Final = "application/octet-stream"


class Retried(msgspec.Struct, frozen=True):
    """Whether it is applied now, and why not."""

    applied: bool
    reason: str


class RetriedAll(msgspec.Struct, frozen=True):
    """How many were applied."""

    applied: int


class DiscardedAll(msgspec.Struct, frozen=True):
    """How much was discarded."""

    discarded: int


def _id(call: Call) -> int:
    text = call.named("quarantine_id")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refused("not_found", what="thing in quarantine")
    return int(text)


async def list_quarantine(call: Call) -> Page[QuarantineRow]:
    """Return what is in quarantine, oldest first."""
    limit, after = limit_of(call), after_of(call, int) or 0
    rows = await call.site.quarantine.rows(call.connector_id, after=after, limit=limit + 1)
    return Page(rows[:limit], cursor(call, rows[limit - 1].quarantine_id) if len(rows) > limit else None)


async def retry_quarantined(call: Call) -> Retried:
    """Try one again."""
    reason = await call.site.quarantine.retry(call.connector_id, _id(call))
    return Retried(not reason, reason)


async def retry_quarantine(call: Call) -> RetriedAll:
    """Try all of it again."""
    return RetriedAll(await call.site.quarantine.retry_all(call.connector_id))


async def discard_quarantined(call: Call) -> None:
    """Give one up for good; its readings become a gap, of which the other side is told."""
    await call.site.quarantine.discard(call.connector_id, _id(call))


async def discard_quarantine(call: Call) -> DiscardedAll:
    """Give up all of it for good; its readings become gaps, of which the other side is told."""
    return DiscardedAll(await call.site.quarantine.discard_all(call.connector_id))


async def get_quarantined_content(call: Call) -> Response:
    """Return what the other side wrote, for support: a packed batch or an entry, its seal opened."""
    quarantine_id = _id(call)
    content = await call.site.quarantine.content(call.connector_id, quarantine_id)
    name = f'attachment; filename="quarantine-{call.connector_id}-{quarantine_id}.bin"'
    return Response(content, media_type=_BINARY, headers={"Content-Disposition": name, "Cache-Control": "no-store"})


_QUARANTINE: Final = ONE + "/quarantine"
_THING: Final = _QUARANTINE + "/{quarantine_id}"
OPERATIONS: Final = (
    Operation(
        "GET",
        _QUARANTINE,
        "read",
        "What arrived and could not be applied, oldest first",
        list_quarantine,
        query=paged(),
        answer=Page[QuarantineRow],
    ),
    Operation(
        "POST",
        _QUARANTINE + "/retry",
        "edit",
        "Try all of it again",
        retry_quarantine,
        answer=RetriedAll,
        errors=("not_paired",),
    ),
    Operation(
        "POST", _THING + "/retry", "edit", "Try one again", retry_quarantined, answer=Retried, errors=("not_paired",)
    ),
    Operation(
        "DELETE",
        _QUARANTINE,
        "manage",
        "Discard all of it for good",
        discard_quarantine,
        answer=DiscardedAll,
        errors=("not_paired",),
    ),
    Operation("DELETE", _THING, "manage", "Discard one for good", discard_quarantined, errors=("not_paired",)),
    Operation(
        "GET",
        _THING + "/content",
        "manage",
        "The bytes of one, for support",
        get_quarantined_content,
        answer=bytes,
        answer_media=(_BINARY,),
        errors=("not_paired", "invalid"),
    ),
)
