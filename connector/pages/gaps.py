"""Gaps (page 11, first form): readings that will never arrive, from either side's notices (N4)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from connector.cursors import decode_cursor, encode_cursor
from connector.gaps import (
    EXPORT_NOTICES,
    FIRST,
    GapFilter,
    GapKey,
    GapRow,
    GapTotals,
    as_csv,
    as_json,
    causes,
    list_gaps,
    pages,
    totals,
)
from connector.pages.frame import Desk, Parts, Visit, frame_parts
from connector.pages.overview import cause_words
from connector.pages.resource import read_moment
from connector.pages.situation import Situation
from shared.core.entries import GapEntry, GapNotice, decode_entry
from shared.core.intervals import IntervalSet
from shared.errors import Refused
from web import contexts as c
from web import formats, paths

_ROWS: Final = 50
_FIELDS: Final = {"cause": 40, "resource": 128, "device": 256, "from": 40, "to": 40}
# Of a notice's rows, so many are named; the rest are counted.
_NAMED_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for: a filter as it was typed and as it was read, and where the page begins."""

    fields: dict[str, str]
    wanted: GapFilter
    after: GapKey
    errors: c.Errors

    @classmethod
    def of(cls, visit: Visit) -> Asked:
        """Read the query; a time that makes no sense is named in `errors` and left out. Raises Refused('invalid')."""
        fields = {name: visit.asked(name, most).strip() for name, most in _FIELDS.items()}
        errors: dict[str, str] = {}
        times: dict[str, int | None] = {}
        for name, what in (("from", "From"), ("to", "To")):
            times[name] = None
            if fields[name]:
                try:
                    times[name] = read_moment(what, fields[name], visit.desk.viewer(visit.request).zone)
                except Refused as refused:
                    errors[name] = str(refused)
        wanted = GapFilter(fields["cause"], fields["resource"], fields["device"], times["from"], times["to"])
        after = visit.asked("after")
        return cls(fields, wanted, decode_cursor(after, tuple[int, str]) if after else FIRST, errors)

    def url(self, connector_id: str, path: str = paths.GAPS, **more: str) -> str:
        """Return the address of this list, or of what belongs to it."""
        query = urlencode({name: value for name, value in (self.fields | more).items() if value})
        return paths.fill(path, connector_id=connector_id) + (f"?{query}" if query else "")


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen, asked = await visit.look(), Asked.of(visit)
    more = {"after": visit.asked("after")} | asked.fields
    stream = urlencode({"page": "gaps"} | {name: value for name, value in more.items() if value})
    shell = await visit.shell(c.Section.GAPS, seen, stream=stream)
    return visit.respond(c.GapsPage(shell, await _list(visit, seen, asked), await _search(visit, asked)))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries."""
    seen = await visit.look()
    shell = await visit.shell(c.Section.GAPS, seen)
    return (*frame_parts(shell), await _list(visit, seen, Asked.of(visit)))


async def _list(visit: Visit, seen: Situation, asked: Asked) -> c.GapList:
    def unit(connection: sqlite3.Connection) -> tuple[list[GapRow], GapTotals, frozenset[str]]:
        return (
            list_gaps(connection, seen.connector_id, _ROWS + 1, asked.after, asked.wanted),
            totals(connection, seen.connector_id, asked.wanted),
            _on_the_way(connection, seen.connector_id),
        )

    rows, found, on_the_way = await visit.site.database.read(unit)
    shown = rows[:_ROWS]
    older = {"after": encode_cursor(shown[-1].key)} if len(rows) > _ROWS else {}
    export = {form: asked.url(seen.connector_id, paths.GAPS_EXPORT, format=form) for form in ("csv", "json")}
    return c.GapList(
        gaps=tuple(_gap(visit, seen, row, on_the_way) for row in shown),
        total_reading_count=found.readings,
        retention_days=round(visit.site.settings.retention_days),
        total_count=found.notices,
        uncounted_count=found.uncounted,
        is_filtered=any(asked.fields.values()),
        csv_url=export["csv"],
        json_url=export["json"],
        newest_url=asked.url(seen.connector_id) if asked.after != FIRST else "",
        older_url=asked.url(seen.connector_id, **older) if older else "",
    )


async def _search(visit: Visit, asked: Asked) -> c.GapSearch:
    known = await visit.site.database.read(lambda connection: causes(connection, visit.connector_id))
    days, chosen = visit.site.settings.retention_days, asked.fields["cause"]
    return c.GapSearch(
        connector_id=visit.connector_id,
        causes=tuple(c.GapCause(each, cause_words(each, days), each == chosen) for each in known),
        resource=asked.fields["resource"],
        device=asked.fields["device"],
        from_text=_shown(asked, "from"),
        to_text=_shown(asked, "to"),
        zone_name=formats.zone_label(formats.moment(visit.now_ms, visit.desk.viewer(visit.request).zone)),
        errors=asked.errors,
    )


def _shown(asked: Asked, name: str) -> str:
    """Return a time for its field; browsers show none that is not one, and complain."""
    return "" if name in asked.errors else asked.fields[name]


async def export(visit: Visit) -> Response:
    """Answer all gaps that the filter finds as CSV or JSON, times in ISO 8601 UTC."""
    asked, connector_id = Asked.of(visit), visit.connector_id
    visit.site.runtime(connector_id)
    if asked.errors:
        raise Refused("invalid", what="Time", why=next(iter(asked.errors.values())))

    async def read(after: GapKey) -> list[GapRow]:
        return await visit.site.database.read(
            lambda connection: list_gaps(connection, connector_id, EXPORT_NOTICES, after, asked.wanted)
        )

    form = "json" if visit.asked("format") == "json" else "csv"
    headers = {
        "Content-Disposition": f'attachment; filename="gaps-{connector_id}.{form}"',
        "Cache-Control": "no-store",
    }
    if form == "json":
        return StreamingResponse(as_json(pages(read), formats.iso), headers=headers, media_type="application/json")
    return StreamingResponse(as_csv(pages(read), formats.iso), headers=headers, media_type="text/csv; charset=utf-8")


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
        taken_back_count=notice.taken_back,
        named_by_site_name=visit.site.identity.site_name if row.ours else peer,
        named_by_role=seen.role if row.ours else other_role,
        is_own=row.ours,
        noticed_ms=notice.noticed_ms,
        is_known_to_peer=not row.ours or notice.gap_id not in on_the_way,
        segment_count=sum(len(IntervalSet(flat)) for _, flat in notice.epochs) or None,
        detail=_detail(notice),
    )


def _detail(notice: GapNotice) -> str:
    rows = sorted(notice.named, key=lambda row: -row.count)[:_NAMED_MAX]
    named = [f"{row.device or 'several devices'}: {row.resource} ({formats.count(row.count)})" for row in rows]
    more = len(notice.named) - len(named)
    return "; ".join(named) + (f"; {more} more series" if more else "")


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["gaps"] = lambda: parts
    return [desk.show(paths.GAPS, show), desk.show(paths.GAPS_EXPORT, export)]
