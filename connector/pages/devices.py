"""The list of devices (page 5, plain form): this side's and the other side's as one, with where the answer comes from."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import devices
from connector.devices import DevicePage, DeviceRow
from connector.lookups import ListQuestion
from connector.pages.frame import Desk, PartsOf, Visit, done, frame_parts, problem
from connector.pages.peers import ask_devices
from connector.pages.situation import Situation
from shared.errors import Refused
from shared.limits import LOOKUP_PAGE_ROWS_MAX, SECOND_MS
from web import contexts as c
from web import paths

SEARCH_CHARS_MAX: Final = 100
# While a list stays open, the other side is asked again no sooner than this.
_ASK_AGAIN_MS: Final = 5 * SECOND_MS
_FIELD_OF_WHAT: Final = {"Identity": "identity", "Name": "name", "Description": "description"}


@dataclass(frozen=True, slots=True)
class _Local:
    page: DevicePage
    total: int
    conflicts: frozenset[str]


async def show(visit: Visit) -> Response:
    """Answer the list."""
    return visit.respond(await _page(visit))


async def _page(visit: Visit, form: c.DeviceForm | None = None, *, toast: str = "") -> c.DevicesPage:
    seen = await visit.look()
    search = visit.asked("search", SEARCH_CHARS_MAX).strip()
    peer, origin = await ask_devices(visit.site, seen, _question(search))
    stream = urlencode({"page": "devices", "search": search} if search else {"page": "devices"})
    toasts = (problem(toast),) if toast else ()
    return c.DevicesPage(
        shell=await visit.shell(c.Section.DEVICES, seen, stream=stream, toasts=toasts),
        table=await _table(visit, seen, search, peer, origin),
        form=form or c.DeviceForm(seen.connector_id),
    )


def _question(search: str) -> ListQuestion:
    return ListQuestion(search, LOOKUP_PAGE_ROWS_MAX, 0)


class _Live:
    """The update stream of one open list: it remembers the other side's last answer for a few seconds."""

    def __init__(self) -> None:
        self._asked_ms = 0
        self._peer: DevicePage | None = None
        self._origin: c.AnswerOrigin | None = None

    async def parts(self, visit: Visit) -> tuple[object, ...]:
        seen = await visit.look()
        search = visit.asked("search", SEARCH_CHARS_MAX).strip()
        if self._origin is None or not 0 <= visit.now_ms - self._asked_ms < _ASK_AGAIN_MS:
            self._asked_ms = visit.now_ms
            self._peer, self._origin = await ask_devices(visit.site, seen, _question(search))
        shell = await visit.shell(c.Section.DEVICES, seen)
        return (*frame_parts(shell), await _table(visit, seen, search, self._peer, self._origin))


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _Live().parts


async def _table(
    visit: Visit, seen: Situation, search: str, peer: DevicePage | None, origin: c.AnswerOrigin
) -> c.DeviceTable:
    now_ms = visit.now_ms
    local = await visit.site.database.read(lambda connection: _read(connection, seen.connector_id, search, now_ms))
    theirs = {row.identity: row for row in peer.rows} if peer else {}
    rows = [_row(seen, row, theirs.pop(row.identity, None), local) for row in local.page.rows]
    # What only the other side has is on its way here, or was never meant to come.
    rows += [_row(seen, row, row, local, only_there=True) for row in theirs.values()]
    rows.sort(key=lambda row: row.identity)
    found = max(local.page.total, peer.total if peer else 0, len(rows))
    return c.DeviceTable(
        connector_id=seen.connector_id,
        rows=tuple(rows),
        total_count=max(local.total, found),
        search=search,
        origin=origin if seen.is_paired else None,
    )


def _read(connection: sqlite3.Connection, connector_id: str, search: str, now_ms: int) -> _Local:
    page = devices.list_devices(connection, connector_id, now_ms, search=search, limit=LOOKUP_PAGE_ROWS_MAX)
    (total,) = connection.execute("SELECT COUNT(*) FROM device WHERE connector_id = ?", (connector_id,)).fetchone()
    conflicting = frozenset(
        row.identity for row in page.rows if devices.conflicting_fields(connection, connector_id, row.identity)
    )
    return _Local(page, total, conflicting)


def _row(
    seen: Situation, row: DeviceRow, theirs: DeviceRow | None, local: _Local, *, only_there: bool = False
) -> c.DeviceRow:
    # Devices speak to the source, so a target learns from there who is on line.
    heard = theirs if theirs is not None and seen.role is c.Role.TARGET else row
    return c.DeviceRow(
        identity=row.identity,
        name=row.name,
        tags=tuple(c.Tag(name, value) for name, value in row.tags),
        is_online=heard.online,
        last_seen_ms=heard.last_seen_ms,
        resource_count=max(row.resources, theirs.resources if theirs else 0),
        sync=c.SyncState.PENDING if only_there else sync_state(seen, row, has_conflict=row.identity in local.conflicts),
    )


def sync_state(seen: Situation, row: DeviceRow, *, has_conflict: bool) -> c.SyncState:
    """Return how far the edits of a device have come."""
    if not seen.is_paired:
        return c.SyncState.LOCAL
    if row.pending:
        return c.SyncState.PENDING
    return c.SyncState.CONFLICT if has_conflict else c.SyncState.APPLIED


async def create(visit: Visit) -> Response:
    """Add a device."""
    form = await visit.form()
    identity, name, description = (form.get(field, "") for field in ("identity", "name", "description"))
    try:
        await visit.site.create_device(visit.connector_id, identity, name, description)
    except Refused as refused:
        if refused.code not in ("invalid", "exists"):
            raise
        field = "identity" if refused.code == "exists" else _FIELD_OF_WHAT.get(str(refused.facts["what"]), "")
        typed = c.DeviceForm(
            visit.connector_id, identity[:300], name[:300], description[:1_100], {field: str(refused)}, is_open=True
        )
        return visit.respond(await _page(visit, typed, toast="No device was added."), refused.status)
    url = paths.fill(paths.DEVICE, connector_id=visit.connector_id, device=identity.strip())
    return visit.redirect(url, done(f"Device “{identity.strip()}” added."))


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["devices"] = live
    return [desk.show(paths.DEVICES, show), desk.act(paths.DEVICES, create, "edit")]
