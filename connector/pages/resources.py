"""The resources of a connector and their Remote-Sync switches (page 7, plain form; W9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import history
from connector.pages.frame import Desk, Parts, PartsOf, Visit, done, frame_parts, problem
from connector.pages.situation import Situation
from connector.resources import NewResource, ResourceRow, peer_definitions
from shared.core.entries import Definition
from shared.errors import Refused
from shared.limits import MINUTE_MS, SECOND_MS
from web import contexts as c
from web import paths

STREAM: Final = "page=resources"
# While a page stays open, its readings are counted no sooner than this: a busy resource has many.
_COUNT_AGAIN_MS: Final = 5 * SECOND_MS
_FIELD_OF_WHAT: Final = {"Alias": "alias", "Format": "format", "Unit": "unit", "Allowed": "allowed"}


async def show(visit: Visit) -> Response:
    """Answer the list."""
    return visit.respond(await _page(visit))


class _Live:
    """The update stream of one open page: readings are counted again only every few seconds."""

    def __init__(self) -> None:
        self._counted_ms = 0
        self._counts: dict[str, int] | None = None

    async def parts(self, visit: Visit) -> Parts:
        seen = await visit.look()
        if self._counts is None or not 0 <= visit.now_ms - self._counted_ms < _COUNT_AGAIN_MS:
            self._counted_ms, self._counts = visit.now_ms, await _counts(visit, seen)
        shell = await visit.shell(c.Section.RESOURCES, seen)
        return (*frame_parts(shell), await _table(visit, seen, self._counts))


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _Live().parts


async def _page(visit: Visit, form: c.ResourceForm | None = None, *, toast: str = "") -> c.ResourcesPage:
    seen = await visit.look()
    toasts = (problem(toast),) if toast else ()
    return c.ResourcesPage(
        shell=await visit.shell(c.Section.RESOURCES, seen, stream=STREAM, toasts=toasts),
        table=await _table(visit, seen, await _counts(visit, seen)),
        form=form or c.ResourceForm(seen.connector_id, seen.role),
    )


# --- the table --------------------------------------------------------------------------------------------------------


async def _table(visit: Visit, seen: Situation, counts: Mapping[str, int]) -> c.ResourceTable:
    theirs = await visit.site.database.read(lambda connection: peer_definitions(connection, seen.connector_id))
    is_target = seen.role is c.Role.TARGET
    # What only the other side has concerns a target that is to receive it, and nobody else.
    rows = [row for row in seen.resources if row.match != "missing_here" or (is_target and row.remote_sync)]
    return c.ResourceTable(
        connector_id=seen.connector_id,
        role=seen.role,
        rows=tuple(_row(seen, row, theirs.get(row.alias), counts) for row in rows),
        can_sync=not is_target and visit.may("edit"),
        sync_note=_note(seen),
    )


async def _counts(visit: Visit, seen: Situation) -> dict[str, int]:
    """Return how many readings each resource has of the last minute, by the readings' own timestamps."""
    now_ms = visit.now_ms

    return await visit.site.database.read(
        lambda c: history.counts(c, seen.connector_id, now_ms - MINUTE_MS + 1, now_ms + 1)
    )


def _note(seen: Situation) -> str:
    peer = seen.pair.peer_site_name if seen.pair else ""
    match seen.role:
        case c.Role.TARGET:
            return f"{peer or 'The source'} decides what is sent."
        case c.Role.SOURCE:
            return f"Readings are sent to {peer} while the switch is on."
        case c.Role.STANDALONE:
            return "What is switched on is sent once this connector is paired."


def _row(seen: Situation, row: ResourceRow, theirs: Definition | None, counts: Mapping[str, int]) -> c.ResourceRow:
    is_target = seen.role is c.Role.TARGET
    return c.ResourceRow(
        alias=row.alias,
        format=row.format,
        unit=row.unit,
        allowed_text=allowed_text(row.allowed),
        is_settable=row.settable,
        # At a target, the switch that counts is the source's.
        is_synced=bool(theirs and theirs.remote_sync) if is_target else row.remote_sync,
        last_value=row.last_value,
        last_value_ms=row.last_ms,
        per_minute=float(counts.get(row.alias, 0)) if row.last_ms is not None else None,
        queued_count=row.waiting + row.held,
        mismatch=_mismatch(seen, row, theirs),
        exists_here=row.match != "missing_here",
    )


def _mismatch(seen: Situation, row: ResourceRow, theirs: Definition | None) -> c.Mismatch | None:
    if seen.pair is None or not seen.is_paired:
        return None
    here, peer = seen.role, seen.pair.peer_site_name
    if row.match == "missing_here":
        return c.Mismatch(f"{peer} sends it, and it does not exist here", c.MismatchFix.CREATE_HERE)
    if row.match == "missing_there" and row.remote_sync and here is c.Role.SOURCE:
        return c.Mismatch(f"missing at {peer}: create the same there, its readings wait until then")
    if row.match == "different" and theirs is not None:
        return c.Mismatch("; ".join(_difference(name, row, theirs, peer) for name in row.different))
    return None


def _difference(name: str, row: ResourceRow, theirs: Definition, peer: str) -> str:
    mine = "none" if (here := getattr(row, name)) in ("", None) else here
    other = getattr(theirs, name) or "none"
    if name == "allowed":
        return f"allowed values differ from {peer}'s"
    return f"{name} differs: {mine} here, {other} at {peer}"


def allowed_text(allowed: Mapping[str, Any] | None) -> str:
    """Say in words what a resource allows; empty where anything goes."""
    if not allowed:
        return ""
    if "any" in allowed:
        return "one of " + ", ".join(_plain(value) for value in allowed["any"])
    low, high = allowed.get("low"), allowed.get("high")
    if low is None:
        return f"at most {_plain(high)}"
    return f"at least {_plain(low)}" if high is None else f"{_plain(low)} to {_plain(high)}"


def _plain(value: object) -> str:
    return (
        f"{value:.10g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    )


# --- forms ------------------------------------------------------------------------------------------------------------


def read_allowed(text: str, format_: str) -> dict[str, Any] | None:
    """Read `0..100`, `..100`, `0..` or `idle, running, fault`; empty is None. Raises Refused('invalid')."""
    text = text.strip()
    if not text:
        return None
    if format_ == "number" and ".." in text:
        low, _, high = text.partition("..")
        return {"low": _bound(low), "high": _bound(high)}
    values = [value.strip() for value in text.split(",") if value.strip()]
    if format_ == "number":
        return {"any": [_bound(value) for value in values]}
    if format_ == "boolean":
        return {"any": [_boolean(value) for value in values]}
    return {"any": values}


def _bound(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise Refused("invalid", what="Allowed", why=f"“{text.strip()[:40]}” is not a number") from None


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Refused("invalid", what="Allowed", why="a boolean is true or false")
    return text.lower() == "true"


async def create(visit: Visit) -> Response:
    """Make a resource."""
    form = await visit.form()
    seen = await visit.look()
    alias, format_, unit, allowed = (form.get(field, "") for field in ("alias", "format", "unit", "allowed"))
    is_settable, is_synced = form.get("is_settable") == "on", form.get("is_synced") == "on"
    try:
        new = NewResource(
            alias=alias,
            format=format_,
            unit=unit,
            allowed=read_allowed(allowed, format_),
            settable=is_settable,
            remote_sync=is_synced and seen.role is not c.Role.TARGET,
        )
        await visit.site.create_resource(visit.connector_id, new)
    except Refused as refused:
        if refused.code not in ("invalid", "exists"):
            raise
        field = "alias" if refused.code == "exists" else _FIELD_OF_WHAT.get(str(refused.facts["what"]), "")
        typed = c.ResourceForm(
            connector_id=visit.connector_id,
            role=seen.role,
            alias=alias[:200],
            format=format_[:20],
            unit=unit[:100],
            allowed=allowed[:500],
            is_settable=is_settable,
            is_synced=is_synced,
            errors={field: str(refused)},
            is_open=True,
        )
        return visit.respond(await _page(visit, typed, toast="No resource was created."), refused.status)
    return visit.redirect(_url(visit), done(f"Resource “{alias.strip()}” created."))


async def switch(visit: Visit) -> Response:
    """Switch Remote-Sync of a resource (W9)."""
    on = (await visit.form()).get("is_synced") == "on"
    alias = visit.named("alias")
    if (await visit.site.connector(visit.connector_id)).role == "target":
        return visit.redirect(_url(visit), problem("The source decides what is sent: switch it there."))
    await visit.site.set_remote_sync(visit.connector_id, alias, on=on)
    words = "on: its new readings are sent" if on else "off: what waits is still delivered"
    return visit.redirect(_url(visit), done(f"Remote-Sync of “{alias}” is {words}."))


async def create_here(visit: Visit) -> Response:
    """Make the same resource that the other side has (W9)."""
    alias = visit.named("alias")
    try:
        await visit.site.create_resource_like_peer(visit.connector_id, alias)
    except Refused as refused:
        return visit.redirect(_url(visit), problem(str(refused)))
    return visit.redirect(_url(visit), done(f"Resource “{alias}” created; what waits for it comes now."))


def _url(visit: Visit) -> str:
    return paths.fill(paths.RESOURCES, connector_id=visit.connector_id)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["resources"] = live
    return [
        desk.show(paths.RESOURCES, show),
        desk.act(paths.RESOURCES, create, "edit"),
        desk.act(paths.RESOURCE_REMOTE_SYNC, switch, "edit"),
        desk.act(paths.RESOURCE_CREATE_HERE, create_here, "edit"),
    ]
