"""Gaps (page 11, first form): readings that will never arrive, from either side's notices (N4)."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.accounts import GapRow
from connector.pages.frame import Desk, Parts, Visit, frame_parts
from connector.pages.overview import cause_words
from connector.pages.situation import Situation
from shared.core.entries import GapEntry, GapNotice, decode_entry
from shared.core.intervals import IntervalSet
from web import contexts as c
from web import formats, paths

STREAM: Final = "page=gaps"
# Of a notice's rows, so many are named; the rest are counted.
_NAMED_MAX: Final = 3


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen = await visit.look()
    shell = await visit.shell(c.Section.GAPS, seen, stream=STREAM)
    return visit.respond(c.GapsPage(shell, await _list(visit, seen)))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries."""
    seen = await visit.look()
    shell = await visit.shell(c.Section.GAPS, seen)
    return (*frame_parts(shell), await _list(visit, seen))


async def _list(visit: Visit, seen: Situation) -> c.GapList:
    rows = await visit.site.gaps(seen.connector_id)
    on_the_way = await visit.site.database.read(lambda connection: _on_the_way(connection, seen.connector_id))
    return c.GapList(
        gaps=tuple(_gap(visit, seen, row, on_the_way) for row in rows),
        total_reading_count=sum(row.notice.count or 0 for row in rows),
        retention_days=round(visit.site.settings.retention_days),
    )


def _on_the_way(connection: sqlite3.Connection, connector_id: str) -> frozenset[str]:
    """Return the IDs of our notices that the other side has not acknowledged."""
    found = set()
    for (entry,) in connection.execute("SELECT entry FROM control_out WHERE connector_id = ?", (connector_id,)):
        try:
            decoded = decode_entry(entry)
        except msgspec.DecodeError:
            continue
        if isinstance(decoded, GapEntry):
            found.add(decoded.notice.gap_id)
    return frozenset(found)


def _gap(visit: Visit, seen: Situation, row: GapRow, on_the_way: frozenset[str]) -> c.Gap:
    notice = row.notice
    peer = seen.pair.peer_site_name if seen.pair else "the other site"
    other_role = c.Role.SOURCE if seen.role is c.Role.TARGET else c.Role.TARGET
    return c.Gap(
        gap_id=notice.gap_id,
        cause=cause_words(notice.cause, visit.site.settings.retention_days),
        first_ms=notice.first_ms,
        last_ms=notice.last_ms,
        reading_count=notice.count,
        named_by_site_name=visit.site.identity.site_name if row.ours else peer,
        named_by_role=seen.role if row.ours else other_role,
        is_own=row.ours,
        noticed_ms=notice.noticed_ms,
        is_known_to_peer=not row.ours or notice.gap_id not in on_the_way,
        segment_count=sum(len(IntervalSet(flat)) for _, flat in notice.epochs) or None,
        detail=_detail(notice),
    )


def _detail(notice: GapNotice) -> str:
    named = [f"{row.device}: {row.resource} ({formats.count(row.count)})" for row in notice.rows[:_NAMED_MAX]]
    more = len(notice.rows) - len(named)
    return "; ".join(named) + (f"; {more} more series" if more else "")


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["gaps"] = lambda: parts
    return [desk.show(paths.GAPS, show)]
