"""One device (page 6, first form): who it is, its tags with how far each edit has come, and its values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import devices
from connector.devices import DeviceRow, ValueRow
from connector.lookups import DeviceAnswer
from connector.pages.devices import sync_state
from connector.pages.frame import Desk, PartsOf, Visit, done, frame_parts
from connector.pages.peers import ask_device
from connector.pages.situation import Situation
from shared.core.fields import tag_field
from shared.errors import Refused
from shared.limits import SECOND_MS
from web import contexts as c
from web import paths

_ASK_AGAIN_MS: Final = 5 * SECOND_MS
_KNOWN_TAGS_MAX: Final = 100
_FIELD_OF_WHAT: Final = {"Tag name": "name", "Tag value": "value"}


@dataclass(frozen=True, slots=True)
class _Local:
    """What this side has of a device. `row` is None where only the other side knows it."""

    row: DeviceRow | None
    created_ms: int | None
    values: list[ValueRow]
    pending: set[str]
    conflicting: set[str]
    removed: list[tuple[str, str]]
    known_tags: tuple[str, ...]


def _read(connection: sqlite3.Connection, connector_id: str, identity: str, now_ms: int) -> _Local:
    key = (connector_id, identity)
    created = connection.execute(
        "SELECT created_ms FROM device WHERE connector_id = ? AND identity = ?", key
    ).fetchone()
    known = connection.execute(
        "SELECT DISTINCT tag.name FROM tag JOIN device USING (device_id) WHERE connector_id = ? ORDER BY 1 LIMIT ?",
        (connector_id, _KNOWN_TAGS_MAX),
    )
    return _Local(
        row=devices.get_device(connection, connector_id, identity, now_ms) if created else None,
        created_ms=created[0] if created else None,
        values=devices.list_values(connection, connector_id, identity) if created else [],
        pending=devices.pending_fields(connection, connector_id, identity),
        conflicting=devices.conflicting_fields(connection, connector_id, identity),
        removed=devices.removed_pending_tags(connection, connector_id, identity),
        known_tags=tuple(row[0] for row in known),
    )


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return visit.respond(await _page(visit))


async def _page(visit: Visit, tag_name: str = "", tag_value: str = "", errors: c.Errors | None = None) -> c.DevicePage:
    seen, identity = await visit.look(), visit.named("device")
    theirs, origin = await ask_device(visit.site, seen, identity)
    facts, tags, values, known = await _cards(visit, seen, identity, theirs, origin)
    stream = urlencode({"page": "device", "device": identity})
    return c.DevicePage(
        shell=await visit.shell(c.Section.DEVICES, seen, stream=stream),
        facts=facts,
        tags=tags,
        values=values,
        tag_name=tag_name,
        tag_value=tag_value,
        tag_errors=errors or {},
        known_tag_names=known,
    )


class _Live:
    """The update stream of one open page: it remembers the other side's last answer for a few seconds."""

    def __init__(self) -> None:
        self._asked_ms = 0
        self._theirs: DeviceAnswer | None = None
        self._origin: c.AnswerOrigin | None = None

    async def parts(self, visit: Visit) -> tuple[object, ...]:
        seen, identity = await visit.look(), visit.asked("device")
        if self._origin is None or not 0 <= visit.now_ms - self._asked_ms < _ASK_AGAIN_MS:
            self._asked_ms = visit.now_ms
            self._theirs, self._origin = await ask_device(visit.site, seen, identity)
        facts, tags, values, _ = await _cards(visit, seen, identity, self._theirs, self._origin)
        shell = await visit.shell(c.Section.DEVICES, seen)
        return (*frame_parts(shell), facts, tags, values)


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _Live().parts


Cards = tuple[c.DeviceFacts, c.TagsCard, c.ValuesCard, tuple[str, ...]]


async def _cards(
    visit: Visit, seen: Situation, identity: str, theirs: DeviceAnswer | None, origin: c.AnswerOrigin
) -> Cards:
    now_ms = visit.now_ms
    local = await visit.site.database.read(lambda connection: _read(connection, seen.connector_id, identity, now_ms))
    row = local.row or (theirs.device if theirs else None)
    if row is None:
        raise Refused("not_found", what="device")
    facts = _facts(seen, local, row, theirs, origin)
    return facts, _tags(visit, seen, local, row), _values(seen, local, theirs), local.known_tags


def _facts(
    seen: Situation, local: _Local, row: DeviceRow, theirs: DeviceAnswer | None, origin: c.AnswerOrigin
) -> c.DeviceFacts:
    # Devices speak to the source, so a target learns from there who is on line.
    heard = theirs.device if theirs is not None and seen.role is c.Role.TARGET else row
    return c.DeviceFacts(
        connector_id=seen.connector_id,
        identity=row.identity,
        name=row.name,
        description=row.description,
        is_online=heard.online,
        last_seen_ms=heard.last_seen_ms,
        created_ms=local.created_ms,
        sync=sync_state(seen, row, has_conflict=bool(local.conflicting)) if local.row else c.SyncState.PENDING,
        origin=origin if seen.is_paired else None,
    )


def _tags(visit: Visit, seen: Situation, local: _Local, row: DeviceRow) -> c.TagsCard:
    chips = [_chip(seen, local, name, value) for name, value in sorted(row.tags)]
    chips += [
        c.TagChip(c.Tag(name, value), c.SyncState.PENDING, is_removed=True) for name, value in sorted(local.removed)
    ]
    refusal = ""
    if local.row is None:
        refusal = "This device is on its way here; its tags can be edited once it has arrived."
    elif not visit.may("edit"):
        refusal = f"Your role, {visit.person.role}, may look only."
    return c.TagsCard(seen.connector_id, row.identity, tuple(chips), not refusal, refusal)


def _chip(seen: Situation, local: _Local, name: str, value: str) -> c.TagChip:
    field = tag_field(name, value)
    state = c.SyncState.APPLIED if seen.is_paired else c.SyncState.LOCAL
    if field in local.pending:
        state = c.SyncState.PENDING
    elif field in local.conflicting:
        state = c.SyncState.CONFLICT
    return c.TagChip(c.Tag(name, value), state)


def _values(seen: Situation, local: _Local, theirs: DeviceAnswer | None) -> c.ValuesCard:
    synced = {row.alias: row for row in seen.resources}
    rows = {row.alias: row for row in theirs.values} if theirs else {}
    rows |= {row.alias: row for row in local.values}
    shown = tuple(
        c.ValueRow(
            alias=row.alias,
            unit=row.unit,
            reported=row.reported,
            set_value=row.set_value,
            timestamp_ms=row.at_ms,
            history=_history(row),
            is_settable=row.alias in synced and synced[row.alias].settable,
            is_synced=row.alias in synced and synced[row.alias].remote_sync,
        )
        for row in sorted(rows.values(), key=lambda each: each.alias)
    )
    return c.ValuesCard(seen.connector_id, shown, _span_s(rows.values()))


def _history(row: ValueRow) -> tuple[float, ...]:
    return tuple(float(value) for _, value in row.recent) if row.format == "number" else ()


def _span_s(rows: Iterable[ValueRow]) -> int:
    """Return the time that the sparklines span, as the longest of them does."""
    spans = [row.recent[-1][0] - row.recent[0][0] for row in rows if row.recent]
    return max(1, round(max(spans, default=0) / SECOND_MS))


# --- forms ------------------------------------------------------------------------------------------------------------


async def add_tag(visit: Visit) -> Response:
    """Add a tag."""
    form = await visit.form()
    name, value = form.get("name", ""), form.get("value", "")
    try:
        await visit.site.add_tag(visit.connector_id, visit.named("device"), name, value)
    except Refused as refused:
        if refused.code != "invalid":
            raise
        field = _FIELD_OF_WHAT.get(str(refused.facts["what"]), "")
        return visit.respond(await _page(visit, name[:300], value[:300], {field: str(refused)}), refused.status)
    return await _edited(visit, f"Tag “{name.strip()}” added")


async def remove_tag(visit: Visit) -> Response:
    """Take a tag away."""
    form = await visit.form()
    await visit.site.remove_tag(visit.connector_id, visit.named("device"), form.get("name", ""), form.get("value", ""))
    return await _edited(visit, f"Tag “{form.get('name', '')}” removed")


async def _edited(visit: Visit, what: str) -> Response:
    pair = visit.site.pair(visit.connector_id)
    way = f" here, on its way to {pair.peer_site_name}." if pair is not None else "."
    url = paths.fill(paths.DEVICE, connector_id=visit.connector_id, device=visit.named("device"))
    return visit.redirect(url, done(what + way))


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["device"] = live
    return [
        desk.show(paths.DEVICE, show),
        desk.act(paths.DEVICE_TAGS, add_tag, "edit"),
        desk.act(paths.DEVICE_TAG_REMOVE, remove_tag, "edit"),
    ]
