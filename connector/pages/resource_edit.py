"""Changing and deleting a resource, and its readings as a file (page 7)."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from connector import history, resource_figures
from connector.history import Reading
from connector.pages import resource as resource_page
from connector.pages.frame import Desk, Visit, done, problem
from connector.pages.resource_forms import field_error, overflow_words, pair_note, read_allowed, read_retention
from connector.resources import ResourceChange
from shared.errors import Refused
from web import contexts as c
from web import formats, paths

# Readings of an export that are read, and sent, in one go: memory does not grow with the history.
_EXPORT_ROWS: Final = 5_000


async def change(visit: Visit) -> Response:
    """Change the definition."""
    alias, form = visit.named("alias"), await visit.form()
    seen = await visit.look()
    row = next((each for each in seen.resources if each.alias == alias), None)
    if row is None:
        raise Refused("not_found", what="resource")
    format_ = form.get("format", row.format)
    try:
        wanted = ResourceChange(
            format=format_,
            unit=form.get("unit", ""),
            allowed=read_allowed(form.get("allowed", ""), format_),
            settable=form.get("is_settable") == "on",
            retention_ms=read_retention(form.get("retention_days", "")),
            overflow=form.get("overflow", row.overflow),
        )
        await visit.site.resource_desk.change(visit.connector_id, alias, wanted)
    except Refused as refused:
        if refused.code not in ("invalid", "has_readings", "too_many_resources"):
            raise
        typed = c.ResourceEdit(
            connector_id=visit.connector_id,
            alias=alias,
            format=format_[:20],
            unit=form.get("unit", "")[:100],
            allowed=form.get("allowed", "")[:500],
            is_settable=form.get("is_settable") == "on",
            retention_days=form.get("retention_days", "")[:20],
            can_change_format=True,
            overflow=form.get("overflow", row.overflow)[:20],
            site_overflow=overflow_words(visit.site.settings.outbox_full),
            note=pair_note(seen),
            errors=field_error(refused),
            is_open=True,
        )
        return visit.respond(await resource_page.page(visit, alias, typed), refused.status)
    return visit.redirect(_url(visit), done(f"“{alias}” changed."))


async def ask_delete(visit: Visit) -> Response:
    """Ask before a resource goes, and say what goes with it."""
    alias, seen = visit.named("alias"), await visit.look()
    row = next((each for each in await visit.site.resources(visit.connector_id) if each.alias == alias), None)
    if row is None or row.match == "missing_here":
        raise Refused("not_found", what="resource")
    lost = ["its definition at this site"]
    if row.last_ms is not None:
        devices = f"{formats.count(row.devices)} {'device' if row.devices == 1 else 'devices'}"
        lost.append(f"all of its readings of {devices} here, for good: export what you want to keep")
    if seen.is_paired and seen.pair is not None:
        lost.append(f"nothing at {seen.pair.peer_site_name}: what arrived there stays")
    page = c.ConfirmPage(
        await visit.shell(c.Section.RESOURCES, seen),
        f"Delete “{alias}”?",
        "Its alias is free again afterwards. This deletes:",
        "Delete resource",
        paths.fill(paths.RESOURCE_DELETE, connector_id=visit.connector_id, alias=alias),
        _url(visit),
        tuple(lost),
        {"confirmed": "yes"},
    )
    return visit.respond(page)


async def delete(visit: Visit) -> Response:
    """Delete a resource; what the pair still needs is refused with the reason."""
    alias = visit.named("alias")
    if (await visit.form()).get("confirmed") != "yes":
        return await ask_delete(visit)
    try:
        await visit.site.resource_desk.delete(visit.connector_id, alias)
    except Refused as refused:
        if refused.code == "not_found":
            raise
        return visit.redirect(_url(visit), problem(str(refused)))
    way = paths.fill(paths.RESOURCES, connector_id=visit.connector_id)
    return visit.redirect(way, done(f"Resource “{alias}” deleted."))


def _url(visit: Visit) -> str:
    return paths.fill(paths.RESOURCE, connector_id=visit.connector_id, alias=visit.named("alias"))


# --- export -----------------------------------------------------------------------------------------------------------


async def export(visit: Visit) -> Response:
    """Answer the readings of one device in the range as CSV or JSON, times in ISO 8601 UTC, oldest first."""
    alias = visit.named("alias")
    asked = resource_page.Asked.of(visit, alias)
    if asked.errors:
        raise Refused("invalid", what="Range", why=next(iter(asked.errors.values())))
    visit.site.runtime(visit.connector_id)
    series = await visit.site.database.read(
        lambda c: resource_figures.find_series(c, visit.connector_id, alias, asked.device)
    )
    if series is None:
        raise Refused("not_found", what="series of this device and resource")
    is_json = visit.asked("format") == "json"
    pages = _pages(visit, series.series_id, asked.from_ms, asked.to_ms)
    kind = "json" if is_json else "csv"
    name = "".join(letter if letter.isalnum() else "-" for letter in f"{asked.device}-{alias}")[:100].encode(
        "ascii", "replace"
    )
    headers = {
        "Content-Disposition": f'attachment; filename="{name.decode().replace("?", "-")}.{kind}"',
        "Cache-Control": "no-store",
    }
    if is_json:
        return StreamingResponse(_json(pages), headers=headers, media_type="application/json")
    return StreamingResponse(_csv(pages), headers=headers, media_type="text/csv; charset=utf-8")


async def _pages(visit: Visit, series_id: int, from_ms: int, to_ms: int) -> AsyncIterator[list[Reading]]:
    while True:
        rows = await visit.site.database.read(
            lambda c, first_ms=from_ms: history.between(c, series_id, first_ms, to_ms, _EXPORT_ROWS)  # type: ignore[misc]
        )
        if rows:
            yield rows
        if len(rows) < _EXPORT_ROWS:
            return
        from_ms = rows[-1][0] + 1


async def _csv(pages: AsyncIterator[list[Reading]]) -> AsyncIterator[str]:
    yield "timestamp,value\r\n"
    async for rows in pages:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows((formats.iso(at_ms), _plain(value)) for at_ms, value in rows)
        yield text.getvalue()


def _plain(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


async def _json(pages: AsyncIterator[list[Reading]]) -> AsyncIterator[bytes]:
    opening = b"["
    async for rows in pages:
        found = [{"timestamp": formats.iso(at_ms), "value": value} for at_ms, value in rows]
        yield opening + msgspec.json.encode(found)[1:-1]
        opening = b",\n"
    yield b"]\n" if opening != b"[" else b"[]\n"


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of these forms."""
    return [
        desk.act(paths.RESOURCE, change, "edit"),
        desk.show(paths.RESOURCE_DELETE, ask_delete, "edit"),
        desk.act(paths.RESOURCE_DELETE, delete, "edit"),
        desk.show(paths.RESOURCE_EXPORT, export),
    ]
