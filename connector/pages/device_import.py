"""Importing and exporting devices (W12): a file or pasted rows, what would happen to each, and then making it so."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import UploadFile
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.device_files import COLUMNS, FileForm, Row, read_devices, write_devices
from connector.device_import import ImportOutcome, RowOutcome, export_devices, import_devices
from connector.pages.device_filters import found_here, read_filters
from connector.pages.frame import Desk, Visit, done, problem
from shared.errors import Refused
from web import contexts as c
from web import paths

_FIELDS_MAX: Final = 10
# A preview shows this many rows, and as many refused ones beyond them; the counts are of all.
_SHOWN_MAX: Final = 200
# A hidden field carries what was previewed to the second step; larger files go through the API.
_TEXT_BYTES_MAX: Final = 1024 * 1024


async def show(visit: Visit) -> Response:
    """Answer the form."""
    return visit.respond(await _page(visit))


async def _page(
    visit: Visit, text: str = "", outcome: ImportOutcome | None = None, why: str = ""
) -> c.DeviceImportPage:
    seen = await visit.look()
    return c.DeviceImportPage(
        shell=await visit.shell(c.Section.DEVICES, seen),
        connector_id=seen.connector_id,
        text=text,
        rows=_shown(outcome) if outcome is not None else (),
        counts={}
        if outcome is None
        else {word: getattr(outcome, word) for word in ("create", "change", "same", "refused")},
        is_previewed=outcome is not None,
        problem=why,
    )


def _shown(outcome: ImportOutcome) -> tuple[c.ImportRow, ...]:
    refused = [row for row in outcome.rows if row.what == "refused"][:_SHOWN_MAX]
    others = [row for row in outcome.rows if row.what != "refused"][:_SHOWN_MAX]
    return tuple(
        c.ImportRow(row.row, row.identity, row.what, _words(row))
        for row in sorted(refused + others, key=lambda row: row.row)
    )


def _words(row: RowOutcome) -> str:
    return row.message or ", ".join(row.changes)


async def take(visit: Visit) -> Response:
    """Show what would happen, or do it where that was confirmed."""
    text, is_confirmed = await _sent(visit)
    try:
        rows = _read(text)
        outcome = await import_devices(
            visit.site, visit.connector_id, rows, who=visit.person.name, preview=not is_confirmed
        )
    except Refused as refused:
        return visit.respond(await _page(visit, text, why=str(refused)), refused.status)
    if not is_confirmed:
        return visit.respond(await _page(visit, text, outcome))
    toasts = [done(f"{outcome.create:,} added, {outcome.change:,} changed, {outcome.same:,} as they were.")]
    if outcome.refused:
        toasts.append(problem(f"{outcome.refused:,} rows were refused and left out."))
    return visit.redirect(paths.fill(paths.DEVICES, connector_id=visit.connector_id), *toasts)


async def _sent(visit: Visit) -> tuple[str, bool]:
    """Return the text that was sent as a file or pasted, and whether it is to be applied."""
    async with visit.request.form(max_files=1, max_fields=_FIELDS_MAX, max_part_size=_TEXT_BYTES_MAX) as form:
        is_confirmed = form.get("apply") == "yes"
        sent = form.get("file")
        if isinstance(sent, UploadFile) and sent.filename:
            body = await sent.read(_TEXT_BYTES_MAX + 1)
            if len(body) > _TEXT_BYTES_MAX:
                raise Refused("body_too_large", most=_TEXT_BYTES_MAX)
            return body.decode("utf-8-sig", "replace"), is_confirmed
        text = form.get("text", "")
        return text if isinstance(text, str) else "", is_confirmed


def _read(text: str) -> list[Row]:
    """Read rows; a list without a head is one of identities, names and so on, in the order of the columns."""
    text = text.strip()
    if not text:
        raise Refused("invalid", what="File", why="it is empty; choose a file or paste rows")
    if text.startswith("["):
        return read_devices(text.encode(), "json")
    first = [name.strip().lower() for name in text.partition("\n")[0].split(",")]
    if "identity" not in first:
        text = ",".join(COLUMNS[: max(1, min(len(first), len(COLUMNS)))]) + "\n" + text
    return read_devices(text.encode(), "csv")


async def export(visit: Visit) -> Response:
    """Answer a file of the devices that the filters let through."""
    asked, now_ms, connector_id = read_filters(visit.request.query_params), visit.now_ms, visit.connector_id
    visit.site.runtime(connector_id)
    form: FileForm = "json" if visit.asked("format") == "json" else "csv"
    records = await visit.site.database.read(lambda connection: export_devices(connection, connector_id))
    if asked.has_filters:
        named = await visit.site.database.read(
            lambda connection: frozenset(found_here(connection, connector_id, asked, now_ms))
        )
        records = [record for record in records if record.identity in named]
    media = "application/json" if form == "json" else "text/csv; charset=utf-8"
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="devices-{connector_id}.{form}"',
    }
    return Response(write_devices(records, form), headers=headers, media_type=media)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    return [
        desk.show(paths.DEVICES_IMPORT, show, "edit"),
        desk.act(paths.DEVICES_IMPORT, take, "edit"),
        desk.show(paths.DEVICES_EXPORT, export),
    ]
