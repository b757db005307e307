"""One device (page 6): who it is, what may be done with it, its values, and how far each of its edits has come."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import device_queries, devices, edit_queries
from connector.device_queries import DeviceRow
from connector.devices import ValueRow
from connector.lookups import DeviceAnswer
from connector.pages import edit_words
from connector.pages.devices import sync_state
from connector.pages.frame import Desk, PartsOf, Visit, frame_parts
from connector.pages.peers import ask_device
from connector.pages.situation import Situation
from shared.core.fields import (
    CONFIGURATION,
    Grant,
    Subject,
    grant_field,
    publish_as_field,
    set_alias,
    set_field,
    tag_field,
    tag_pair,
)
from shared.errors import Refused
from shared.limits import SECOND_MS
from web import contexts as c
from web import paths

_ASK_AGAIN_MS: Final = 5 * SECOND_MS
_CHANGES_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class _Local:
    """What this side has of a device. `row` is None where only the other side knows it."""

    row: DeviceRow | None
    created_ms: int | None
    configuration: str
    values: list[ValueRow]
    states: dict[str, str]
    grants: list[tuple[Subject, Grant, bool]]
    publish_as: list[str]
    changes: list[edit_queries.ChangeRow]
    conflicts: list[edit_queries.ConflictRow]
    known_tags: tuple[str, ...]


def _read(connection: sqlite3.Connection, connector_id: str, identity: str, now_ms: int) -> _Local:
    key = (connector_id, identity)
    facts = connection.execute(
        "SELECT created_ms, configuration FROM device WHERE connector_id = ? AND identity = ?", key
    ).fetchone()
    ask = edit_queries
    return _Local(
        row=device_queries.get_device(connection, connector_id, identity, now_ms) if facts else None,
        created_ms=facts[0] if facts else None,
        configuration=facts[1] if facts else "{}",
        values=devices.list_values(connection, connector_id, identity) if facts else [],
        states=ask.field_states(connection, connector_id, identity),
        grants=[(*each, False) for each in ask.list_grants(connection, connector_id, identity)]
        + [(*each, True) for each in ask.list_grants(connection, connector_id, None)],
        publish_as=ask.list_publish_as(connection, connector_id, identity),
        changes=ask.list_changes(connection, connector_id, identity=identity, limit=_CHANGES_SHOWN),
        conflicts=ask.list_conflicts(connection, connector_id, identity=identity),
        known_tags=tuple(device_queries.tag_names(connection, connector_id)),
    )


@dataclass(frozen=True, slots=True)
class _Cards:
    facts: c.DeviceFacts
    tags: c.TagsCard
    values: c.ValuesCard
    grants: c.GrantsCard
    publish_as: c.PublishAsCard
    configuration: c.ConfigurationCard
    conflicts: c.ConflictsCard
    changes: c.ChangesCard
    known_tags: tuple[str, ...]

    @property
    def parts(self) -> tuple[object, ...]:
        """What the update stream carries."""
        return (
            self.facts,
            self.tags,
            self.values,
            self.grants,
            self.publish_as,
            self.configuration,
            self.conflicts,
            self.changes,
        )


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return visit.respond(await page_of(visit))


async def page_of(
    visit: Visit, refused_form: str = "", typed: Mapping[str, str] | None = None, errors: c.Errors | None = None
) -> c.DevicePage:
    """Return the page; `refused_form` names a form that was refused, with what was typed and what is wrong."""
    seen, identity = await visit.look(), visit.named("device")
    theirs, origin = await ask_device(visit.site, seen, identity)
    cards = await _cards(visit, seen, identity, theirs, origin)
    stream = urlencode({"page": "device", "device": identity})
    return c.DevicePage(
        shell=await visit.shell(c.Section.DEVICES, seen, stream=stream),
        facts=cards.facts,
        tags=cards.tags,
        values=cards.values,
        grants=cards.grants,
        publish_as=cards.publish_as,
        configuration=cards.configuration,
        conflicts=cards.conflicts,
        changes=cards.changes,
        sites=_sites(visit, seen),
        known_tag_names=cards.known_tags,
        refused_form=refused_form,
        typed=typed or {},
        errors=errors or {},
    )


def _sites(visit: Visit, seen: Situation) -> tuple[tuple[str, str], ...]:
    own = visit.site.identity
    found = [(own.site_id, own.site_name)]
    if seen.pair is not None and seen.pair.peer_site_id != own.site_id:
        found.append((seen.pair.peer_site_id, seen.pair.peer_site_name))
    return tuple(found)


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
        cards = await _cards(visit, seen, identity, self._theirs, self._origin)
        shell = await visit.shell(c.Section.DEVICES, seen)
        return (*frame_parts(shell), *cards.parts)


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _Live().parts


async def _cards(
    visit: Visit, seen: Situation, identity: str, theirs: DeviceAnswer | None, origin: c.AnswerOrigin
) -> _Cards:
    now_ms = visit.now_ms
    local = await visit.site.database.read(lambda connection: _read(connection, seen.connector_id, identity, now_ms))
    row = local.row or (theirs.device if theirs else None)
    if row is None:
        raise Refused("not_found", what="device")
    can_edit = local.row is not None and visit.may("edit")
    own, id_ = visit.site.identity, seen.connector_id
    here = paths.fill(paths.DEVICE, connector_id=id_, device=identity)
    return _Cards(
        facts=_facts(seen, local, row, theirs, origin, can_edit=can_edit),
        tags=_tags(visit, seen, local, row),
        values=_values(seen, local, theirs, identity, can_set=can_edit),
        grants=_grants(visit, seen, local, row, can_edit=can_edit),
        publish_as=c.PublishAsCard(
            id_,
            identity,
            tuple((each, _state(seen, local, publish_as_field(each))) for each in local.publish_as),
            can_edit,
        ),
        configuration=c.ConfigurationCard(_indented(local.configuration), _state(seen, local, CONFIGURATION)),
        conflicts=c.ConflictsCard(
            id_, tuple(edit_words.conflict(each, own, seen.pair) for each in local.conflicts), can_edit, here
        ),
        changes=c.ChangesCard(
            id_,
            tuple(edit_words.change(each, own, seen.pair, is_paired=seen.is_paired) for each in local.changes),
        ),
        known_tags=local.known_tags,
    )


def _state(seen: Situation, local: _Local, field: str) -> c.SyncState:
    return edit_words.state_of(local.states.get(field), is_paired=seen.is_paired)


def _indented(configuration: str) -> str:
    return msgspec.json.format(configuration, indent=2)


def _facts(
    seen: Situation,
    local: _Local,
    row: DeviceRow,
    theirs: DeviceAnswer | None,
    origin: c.AnswerOrigin,
    *,
    can_edit: bool,
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
        sync=sync_state(seen, row) if local.row else c.SyncState.PENDING,
        is_locked=row.locked,
        origin=origin if seen.is_paired else None,
        can_edit=can_edit,
        has_refusals="refused" in local.states.values(),
    )


def _tags(visit: Visit, seen: Situation, local: _Local, row: DeviceRow) -> c.TagsCard:
    chips = [
        c.TagChip(c.Tag(name, value), _state(seen, local, tag_field(name, value))) for name, value in sorted(row.tags)
    ]
    removed = sorted(
        pair
        for field, state in local.states.items()
        if state == "pending" and (pair := tag_pair(field)) is not None and pair not in row.tags
    )
    chips += [c.TagChip(c.Tag(name, value), c.SyncState.PENDING, is_removed=True) for name, value in removed]
    refusal = ""
    if local.row is None:
        refusal = "This device is on its way here; it can be edited once it has arrived."
    elif not visit.may("edit"):
        refusal = f"Your role, {visit.person.role}, may look only."
    return c.TagsCard(seen.connector_id, row.identity, tuple(chips), not refusal, refusal)


def _grants(visit: Visit, seen: Situation, local: _Local, row: DeviceRow, *, can_edit: bool) -> c.GrantsCard:
    own, now_ms = visit.site.identity, visit.now_ms
    rows = tuple(
        c.GrantRow(
            kind=subject.kind,
            name=subject.name,
            site_id=subject.site_id,
            site_name=edit_words.site_words(subject.site_id, own, seen.pair),
            level=grant.level,
            expires_ms=grant.expires_ms,
            is_expired=grant.expires_ms is not None and grant.expires_ms <= now_ms,
            is_for_all=is_for_all,
            sync=_state(seen, local, grant_field(subject)) if not is_for_all else _all_state(seen),
        )
        for subject, grant, is_for_all in local.grants
    )
    return c.GrantsCard(seen.connector_id, row.identity, rows, can_edit)


def _all_state(seen: Situation) -> c.SyncState:
    # What concerns all devices is followed on the page of changes.
    return c.SyncState.APPLIED if seen.is_paired else c.SyncState.LOCAL


def _values(
    seen: Situation, local: _Local, theirs: DeviceAnswer | None, identity: str, *, can_set: bool
) -> c.ValuesCard:
    known = {row.alias: row for row in seen.resources}
    rows = {row.alias: row for row in theirs.values} if theirs else {}
    rows |= {row.alias: row for row in local.values}
    for resource in seen.resources:
        if resource.settable and resource.alias not in rows:
            rows[resource.alias] = ValueRow(resource.alias, resource.format, resource.unit, None, None, None, [])
    reasons = {
        alias: edit_words.reason_words(change.state, change.reason, change.field)
        for change in reversed(local.changes)
        if change.ours and (alias := set_alias(change.field)) is not None
    }
    shown = tuple(
        c.ValueRow(
            alias=row.alias,
            unit=row.unit,
            reported=row.reported,
            set_value=row.set_value,
            timestamp_ms=row.at_ms,
            history=_history(row),
            is_settable=row.alias in known and known[row.alias].settable,
            is_synced=row.alias in known and known[row.alias].remote_sync,
            format=row.format,
            sync=_state(seen, local, set_field(row.alias)),
            refusal=reasons.get(row.alias, ""),
        )
        for row in sorted(rows.values(), key=lambda each: each.alias)
    )
    return c.ValuesCard(seen.connector_id, shown, _span_s(rows.values()), identity, can_set)


def _history(row: ValueRow) -> tuple[float, ...]:
    return tuple(float(value) for _, value in row.recent) if row.format == "number" else ()


def _span_s(rows: Iterable[ValueRow]) -> int:
    """Return the time that the sparklines span, as the longest of them does."""
    spans = [row.recent[-1][0] - row.recent[0][0] for row in rows if row.recent]
    return max(1, round(max(spans, default=0) / SECOND_MS))


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the route of this page; its forms are in device_forms."""
    desk.streams["device"] = live
    return [desk.show(paths.DEVICE, show)]
