"""The list of devices (page 5): both sides' as one, filtered, sorted and paged, with where the answer comes from."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import device_queries
from connector.device_queries import DevicePage, DeviceRow, Key
from connector.pages.device_filters import Asked, address, read_filters, shown, sorts
from connector.pages.frame import Desk, PartsOf, Visit, done, frame_parts, problem
from connector.pages.peers import ask_devices
from connector.pages.situation import Situation
from shared.errors import Refused
from shared.limits import SECOND_MS
from web import contexts as c
from web import paths

# While a list stays open, the other side is asked again no sooner than this.
_ASK_AGAIN_MS: Final = 5 * SECOND_MS
_SYNC: Final = {
    "synced": c.SyncState.APPLIED,
    "pending": c.SyncState.PENDING,
    "refused": c.SyncState.REFUSED,
    "conflict": c.SyncState.CONFLICT,
}
_FIELD_OF_WHAT: Final = {"Identity": "identity", "Name": "name", "Description": "description"}


@dataclass(frozen=True, slots=True)
class _Local:
    page: DevicePage
    known_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Peer:
    """The other side's answer, None where there is none, and where it comes from."""

    page: DevicePage | None
    origin: c.AnswerOrigin


async def show(visit: Visit) -> Response:
    """Answer the list."""
    return visit.respond(await page_of(visit))


async def page_of(visit: Visit, form: c.DeviceForm | None = None, *, toast: str = "") -> c.DevicesPage:
    """Return the page as the address asks for it, with the form to add a device as it was typed."""
    seen = await visit.look()
    asked = read_filters(visit.request.query_params)
    peer = await _ask(visit, seen, asked)
    stream = urlencode({"page": "devices", **visit.request.query_params})
    return c.DevicesPage(
        shell=await visit.shell(c.Section.DEVICES, seen, stream=stream, toasts=(problem(toast),) if toast else ()),
        table=await _table(visit, seen, asked, peer),
        form=form or c.DeviceForm(seen.connector_id),
    )


class _Live:
    """The update stream of one open list: it remembers the other side's last answer for a few seconds."""

    def __init__(self) -> None:
        self._asked_ms = 0
        self._peer: _Peer | None = None

    async def parts(self, visit: Visit) -> tuple[object, ...]:
        seen = await visit.look()
        asked = read_filters(visit.request.query_params)
        if self._peer is None or not 0 <= visit.now_ms - self._asked_ms < _ASK_AGAIN_MS:
            self._asked_ms = visit.now_ms
            self._peer = await _ask(visit, seen, asked)
        shell = await visit.shell(c.Section.DEVICES, seen)
        return (*frame_parts(shell), await _table(visit, seen, asked, self._peer))


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _Live().parts


async def _ask(visit: Visit, seen: Situation, asked: Asked) -> _Peer:
    """Ask the other side the same; what is *only here* for it is *only there* for us."""
    query = asked.query
    if query.where == "here" or query.sync:  # this side alone knows
        query = msgspec.structs.replace(query, where="", sync="", limit=1)
    where = "here" if asked.only_there else "" if query.where == "both" else query.where
    page, origin = await ask_devices(visit.site, seen, msgspec.structs.replace(query, where=where))
    return _Peer(page, origin)


async def _table(visit: Visit, seen: Situation, asked: Asked, peer: _Peer) -> c.DeviceTable:
    now_ms, query = visit.now_ms, asked.query

    def read(connection: sqlite3.Connection) -> _Local:
        if _peer_decides(seen, asked, peer.page):
            assert peer.page is not None
            names = [row.identity for row in peer.page.rows]
            page = DevicePage(device_queries.named_devices(connection, seen.connector_id, names, now_ms), 0)
        else:
            page = device_queries.list_devices(connection, seen.connector_id, query, now_ms)
        return _Local(page, tuple(device_queries.tag_names(connection, seen.connector_id)))

    local = await visit.site.database.read(read)
    rows, total, more = _join(seen, asked, local.page, peer.page)
    path = paths.fill(paths.DEVICES, connector_id=seen.connector_id)
    export = paths.fill(paths.DEVICES_EXPORT, connector_id=seen.connector_id)
    return c.DeviceTable(
        connector_id=seen.connector_id,
        rows=tuple(rows),
        total_count=total,
        filters=shown(path, asked, local.known_tags),
        sorts=sorts(path, asked),
        origin=peer.origin if seen.is_paired else None,
        first_url=address(path, asked.fields) if query.after is not None else None,
        next_url=address(path, asked.fields, more) if more is not None else None,
        can_edit=visit.may("edit"),
        is_paired=seen.is_paired,
        is_target=seen.role is c.Role.TARGET,
        csv_url=address(export, asked.fields | {"format": "csv"}),
        json_url=address(export, asked.fields | {"format": "json"}),
    )


def _peer_decides(seen: Situation, asked: Asked, theirs: DevicePage | None) -> bool:
    """Whether the other side's answer is the list: only it knows, or it is about who was heard, which the source knows."""
    about_heard = bool(asked.query.status) or asked.query.sort == "last_seen"
    mine_alone = asked.query.where == "here" or bool(asked.query.sync)
    return theirs is not None and (asked.only_there or (about_heard and seen.role is c.Role.TARGET and not mine_alone))


def _join(
    seen: Situation, asked: Asked, own: DevicePage, theirs: DevicePage | None
) -> tuple[list[c.DeviceRow], int, Key | None]:
    """Return the rows of one page, how many match in all, and the key to go on after."""
    query = asked.query
    if asked.only_there and theirs is None:
        return [], 0, None
    if theirs is not None and _peer_decides(seen, asked, theirs):
        mine = {row.identity: row for row in own.rows}
        return [_row(seen, mine.get(row.identity), row) for row in theirs.rows], theirs.total, theirs.next
    known = {row.identity: row for row in theirs.rows} if theirs else {}
    if query.where or query.sync or query.status or query.sort == "last_seen" or theirs is None:
        return [_row(seen, row, known.get(row.identity)) for row in own.rows], own.total, own.next
    pairs = device_queries.merged(own, theirs, query)
    last = (pairs[-1][0] or pairs[-1][1]) if pairs else None
    is_last = own.next is None and theirs.next is None and len(pairs) == _distinct(own, theirs)
    more = None if last is None or is_last else last.key(query.sort)
    return [_row(seen, *pair) for pair in pairs], max(own.total, theirs.total, len(pairs)), more


def _distinct(own: DevicePage, theirs: DevicePage) -> int:
    return len({row.identity for row in (*own.rows, *theirs.rows)})


def _row(seen: Situation, mine: DeviceRow | None, theirs: DeviceRow | None) -> c.DeviceRow:
    row = mine or theirs
    assert row is not None
    # Devices speak to the source, so a target learns from there who is on line.
    heard = theirs if theirs is not None and seen.role is c.Role.TARGET else row
    return c.DeviceRow(
        identity=row.identity,
        name=row.name,
        tags=tuple(c.Tag(name, value) for name, value in row.tags),
        is_online=heard.online,
        last_seen_ms=heard.last_seen_ms,
        resource_count=max(row.resources, theirs.resources if theirs else 0),
        sync=c.SyncState.PENDING if mine is None else sync_state(seen, row),
        is_locked=row.locked,
        is_here=mine is not None,
    )


def sync_state(seen: Situation, row: DeviceRow) -> c.SyncState:
    """Return how far the edits of a device have come: the worst of its fields."""
    if not seen.is_paired:
        return c.SyncState.LOCAL
    return _SYNC[row.sync]


# --- forms ------------------------------------------------------------------------------------------------------------


async def create(visit: Visit) -> Response:
    """Add a device."""
    form = await visit.form()
    identity, name, description = (form.get(field, "") for field in ("identity", "name", "description"))
    try:
        await visit.site.create_device(visit.connector_id, identity, name, description, who=visit.person.name)
    except Refused as refused:
        if refused.code not in ("invalid", "exists"):
            raise
        field = "identity" if refused.code == "exists" else _FIELD_OF_WHAT.get(str(refused.facts["what"]), "")
        typed = c.DeviceForm(
            visit.connector_id, identity[:300], name[:300], description[:1_100], {field: str(refused)}, is_open=True
        )
        return visit.respond(await page_of(visit, typed, toast="No device was added."), refused.status)
    url = paths.fill(paths.DEVICE, connector_id=visit.connector_id, device=identity.strip())
    return visit.redirect(url, done(f"Device “{identity.strip()}” added."))


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["devices"] = live
    return [desk.show(paths.DEVICES, show), desk.act(paths.DEVICES, create, "edit")]
