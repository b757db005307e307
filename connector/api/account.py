"""Where the readings of a connector are: its account, in all and by resource, its room, and its gaps (N4)."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from starlette.responses import Response, StreamingResponse

from connector import gaps
from connector.accounts import Account
from connector.api.operations import JSON, ONE, Call, Operation, Query
from connector.api.paging import Page, after_of, cursor, limit_of, paged
from connector.gaps import GapFilter, GapKey, GapRow
from connector.resource_accounts import ResourceAccount, Room
from shared.core.entries import GapRow as NamedRow
from web import formats

_CSV: Final = "text/csv"


class BothAccounts(msgspec.Struct, frozen=True):
    """This side's account, and at a target the source's last word; null where there is no pair. `room` at a source."""

    own: Account | None
    stated_by_source: Account | None
    room: Room | None = None


class Gap(msgspec.Struct, frozen=True):
    """Readings that will never arrive, `ours` where this side gave them up.

    `count` is null where nobody can count. A row is device, resource, count, first and last time; an empty device stands
    for several. `taken_back` readings of the notice arrived after all, and are in no count any more.
    """

    ours: bool
    gap_id: str
    cause: str
    count: int | None
    first_ms: int
    last_ms: int
    rows: list[NamedRow]
    noticed_ms: int
    taken_back: int = 0


async def get_account(call: Call) -> BothAccounts:
    """Return this side's account and, at a target, the source's last word."""
    found = await call.site.books(call.connector_id)
    return BothAccounts(found.own, found.stated, found.room)


async def list_resource_accounts(call: Call) -> Page[ResourceAccount]:
    """Return the accounts of resources by alias; what is of no known resource comes last."""
    limit, after = limit_of(call), after_of(call, tuple[bool, str])
    rows = (await call.site.books(call.connector_id)).resources
    rest = [row for row in rows if after is None or _key(row) > after]
    return Page(list(rest[:limit]), cursor(call, _key(rest[limit - 1])) if len(rest) > limit else None)


def _key(row: ResourceAccount) -> tuple[bool, str]:
    return row.resource == "", row.resource


async def list_gaps(call: Call) -> Page[Gap]:
    """Return gap notices, newest first."""
    connector_id, limit = call.connector_id, limit_of(call)
    after, wanted = after_of(call, tuple[int, str]) or gaps.FIRST, _filter(call)
    call.site.runtime(connector_id)
    found = await call.site.database.read(lambda c: gaps.list_gaps(c, connector_id, limit + 1, after, wanted))
    return Page(
        [_gap(row) for row in found[:limit]], cursor(call, found[limit - 1].key) if len(found) > limit else None
    )


def _filter(call: Call) -> GapFilter:
    names = ("cause", "resource", "device", "from_ms", "to_ms")
    return GapFilter(**{name: call.asked(name) for name in names})


def _gap(row: GapRow) -> Gap:
    it = row.notice
    return Gap(row.ours, it.gap_id, it.cause, it.count, it.first_ms, it.last_ms, it.named, it.noticed_ms, it.taken_back)


async def export_gaps(call: Call) -> Response:
    """Return all gap notices as a file, newest first, times in ISO 8601 UTC."""
    connector_id, wanted = call.connector_id, _filter(call)
    call.site.runtime(connector_id)

    async def read(after: GapKey) -> list[GapRow]:
        return await call.site.database.read(
            lambda c: gaps.list_gaps(c, connector_id, gaps.EXPORT_NOTICES, after, wanted)
        )

    form: str = call.asked("format")
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="gaps-{connector_id}.{form}"',
    }
    if form == "json":
        return StreamingResponse(gaps.as_json(gaps.pages(read), formats.iso), headers=headers, media_type=JSON)
    text = gaps.as_csv(gaps.pages(read), formats.iso)
    return StreamingResponse(text, headers=headers, media_type="text/csv; charset=utf-8")


_FILTERS: Final[tuple[Query, ...]] = (
    Query("cause", "only of this cause"),
    Query("resource", "only those that name this resource"),
    Query("device", "only those that name this device"),
    Query("from_ms", "only of readings from this time on, ms", int | None, None),
    Query("to_ms", "only of readings before this time, ms", int | None, None),
)
_EXPORTED: Any = list[dict[str, Any]]

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", ONE + "/account", "read", "Where the readings are", get_account, answer=BothAccounts),
    Operation(
        "GET",
        ONE + "/account/resources",
        "read",
        "Where the readings of each resource are",
        list_resource_accounts,
        query=paged(500),
        answer=Page[ResourceAccount],
    ),
    Operation(
        "GET",
        ONE + "/gaps",
        "read",
        "Readings that will never arrive, newest first",
        list_gaps,
        query=(*paged(), *_FILTERS),
        answer=Page[Gap],
    ),
    Operation(
        "GET",
        ONE + "/gaps/export",
        "read",
        "All gaps as a file",
        export_gaps,
        query=(Query("format", "which form", Literal["csv", "json"], "csv"), *_FILTERS),
        answer=_EXPORTED,
        answer_media=(_CSV, JSON),
    ),
)
