"""The resources of a connector (page 7): searched, sorted, switched one by one or together, created here and there (W9)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import edit_queries, gaps
from connector.edit_queries import RequestRow
from connector.pages.frame import Desk, Parts, PartsOf, Visit, done, frame_parts, problem
from connector.pages.resource_forms import field_error, read_allowed, read_retention
from connector.pages.resource_rows import shown_row
from connector.pages.situation import Situation
from connector.resources import NewResource, ResourceRow, peer_definitions
from shared.core.entries import Definition
from shared.errors import Refused, refused_there
from web import contexts as c
from web import formats, paths

# While a page stays open, looking at every series and notice again waits this many times as long as it took: a
# twentieth of one reader, however many there are; but no longer than this: one look that took long, for the machine had
# much else to do, must not keep the page as it was for minutes.
_LOOK_AGAIN_TIMES: Final = 20
LOOK_AGAIN_MS_MAX: Final = 10_000
ROWS_MAX: Final = 100
SEARCH_CHARS_MAX: Final = 100
# Names of resources in one form.
_SWITCHED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Found:
    """What the list shows beside the situation: rows with their last values, the other side's word, gaps, requests."""

    rows: list[ResourceRow]
    theirs: Mapping[str, Definition]
    gaps: Mapping[str, int]
    requests: Mapping[str, RequestRow]


async def show(visit: Visit) -> Response:
    """Answer the list."""
    return visit.respond(await _page(visit))


class _Live:
    """The update stream of one open page: what costs a look at every series is looked at every few seconds."""

    def __init__(self) -> None:
        self._due_ms = 0.0
        self._found: _Found | None = None

    async def parts(self, visit: Visit) -> Parts:
        seen = await visit.look()
        clock = visit.site.clock
        if self._found is None or clock.monotonic_ms() >= self._due_ms or _differs(self._found, seen):
            started_ms = clock.monotonic_ms()
            self._found = await _find(visit, seen)
            ended_ms = clock.monotonic_ms()
            self._due_ms = ended_ms + min(_LOOK_AGAIN_TIMES * (ended_ms - started_ms), LOOK_AGAIN_MS_MAX)
        shell = await visit.shell(c.Section.RESOURCES, seen)
        return (*frame_parts(shell), _table(visit, seen, self._found))


def _differs(found: _Found, seen: Situation) -> bool:
    """Whether definitions changed since: such a change is shown at once."""
    shown = {row.alias: (row.remote_sync, row.match, row.different) for row in found.rows}
    return shown != {row.alias: (row.remote_sync, row.match, row.different) for row in seen.resources}


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _Live().parts


async def _page(visit: Visit, form: c.ResourceForm | None = None, *, toast: str = "") -> c.ResourcesPage:
    seen = await visit.look()
    toasts = (problem(toast),) if toast else ()
    asked = _Asked.of(visit)
    stream = urlencode({"page": "resources", **asked.fields()})
    return c.ResourcesPage(
        shell=await visit.shell(c.Section.RESOURCES, seen, stream=stream, toasts=toasts),
        table=_table(visit, seen, await _find(visit, seen)),
        form=form or c.ResourceForm(seen.connector_id, seen.role),
        search=asked.search,
        sort=asked.sort if asked.sort != _DEFAULT_SORT else "",
        can_edit=visit.may("edit"),
    )


async def _find(visit: Visit, seen: Situation) -> _Found:
    connector_id = seen.connector_id
    rows = await visit.site.resources(connector_id)

    def unit(connection: sqlite3.Connection) -> _Found:
        return _Found(
            rows,
            peer_definitions(connection, connector_id),
            {alias: named.notices for alias, named in gaps.by_resource(connection, connector_id).items()},
            _requests(connection, connector_id),
        )

    return await visit.site.database.read(unit)


def _requests(connection: sqlite3.Connection, connector_id: str) -> dict[str, RequestRow]:
    """Return the latest *create the same there* about each resource."""
    return {row.alias: row for row in edit_queries.list_requests(connection, connector_id)}


# --- search, sort, pages ----------------------------------------------------------------------------------------------

_DEFAULT_SORT: Final = "alias"
_SORTS: Final[Mapping[str, Callable[[c.ResourceRow], Any]]] = {
    "alias": lambda row: row.alias.casefold(),
    "format": lambda row: (row.format, row.unit, row.alias),
    "last": lambda row: row.last_value_ms or 0,
    "rate": lambda row: row.per_minute or 0.0,
    "lag": lambda row: row.lag_ms or 0,
    "waiting": lambda row: row.queued_count,
    "gaps": lambda row: row.gap_count,
}
_WAITING_WORD: Final = {c.Role.TARGET: "Held"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the address asks for. `sort` is a column, with a minus before it for descending."""

    search: str
    sort: str
    first: int

    @classmethod
    def of(cls, visit: Visit) -> _Asked:
        sort = visit.asked("sort", 20)
        first = visit.asked("from", 9)
        return cls(
            visit.asked("search", SEARCH_CHARS_MAX).strip(),
            sort if sort.removeprefix("-") in _SORTS else _DEFAULT_SORT,
            int(first) if first.isascii() and first.isdigit() else 0,
        )

    def fields(self, **changed: Any) -> dict[str, Any]:
        """Return what differs from the plain list, as fields of a query."""
        fields = {"search": self.search, "sort": self.sort, "from": self.first} | changed
        plain = {"search": "", "sort": _DEFAULT_SORT, "from": 0}
        return {name: value for name, value in fields.items() if value != plain[name]}


def _headings(asked: _Asked, path: str, role: c.Role) -> tuple[c.Heading, ...]:
    words = {
        "alias": "Resource",
        "format": "Format",
        "": "Remote-Sync",
        "last": "Last value",
        "rate": "Per minute",
        "lag": "Lag" if role is not c.Role.TARGET else "Age",
        "waiting": _WAITING_WORD.get(role, "Waiting"),
        "gaps": "Gaps",
    }
    numbers = {"last", "rate", "lag", "waiting", "gaps"}
    found = []
    for name, label in words.items():
        if not name:
            found.append(c.Heading(label))
            continue
        is_now = asked.sort.removeprefix("-") == name
        # Figures are looked at from the greatest, names from the first.
        turned = {name: "-" + name, "-" + name: name}.get(asked.sort) if is_now else None
        wanted = turned or ("-" + name if name in numbers else name)
        direction = ("descending" if asked.sort.startswith("-") else "ascending") if is_now else ""
        url = path + (f"?{query}" if (query := urlencode(asked.fields(sort=wanted, **{"from": 0}))) else "")
        found.append(c.Heading(label, url, direction, name in numbers))
    return tuple(found)


# --- the table --------------------------------------------------------------------------------------------------------


def _table(visit: Visit, seen: Situation, found: _Found) -> c.ResourceTable:
    asked = _Asked.of(visit)
    is_target = seen.role is c.Role.TARGET
    # What only the other side has concerns a target that is to receive it, and nobody else.
    rows = [row for row in found.rows if row.match != "missing_here" or (is_target and row.remote_sync)]
    every = [shown_row(seen, row, found.theirs.get(row.alias), visit.now_ms) for row in rows]
    every = [_followed(row, found) for row in every]
    matching = [row for row in every if asked.search.casefold() in f"{row.alias} {row.unit} {row.format}".casefold()]
    matching.sort(key=_SORTS["alias"])
    matching.sort(key=_SORTS[asked.sort.removeprefix("-")], reverse=asked.sort.startswith("-"))
    first = asked.first if asked.first < len(matching) else 0
    shown = matching[first : first + ROWS_MAX]
    path = paths.fill(paths.RESOURCES, connector_id=seen.connector_id)
    return c.ResourceTable(
        connector_id=seen.connector_id,
        role=seen.role,
        rows=tuple(shown),
        can_sync=not is_target and visit.may("edit"),
        sync_note=_note(seen),
        headings=_headings(asked, path, seen.role),
        search=asked.search,
        query=urlencode(asked.fields()),
        total_count=len(every),
        synced_count=sum(row.is_synced for row in every),
        earlier_url=_url_from(asked, path, max(0, first - ROWS_MAX)) if first else None,
        later_url=_url_from(asked, path, first + ROWS_MAX) if first + ROWS_MAX < len(matching) else None,
        page_text=f"{first + 1} to {first + len(shown)} of {formats.count(len(matching))}"
        if len(matching) > ROWS_MAX
        else "",
    )


def _url_from(asked: _Asked, path: str, first: int) -> str:
    query = urlencode(asked.fields(**{"from": first}))
    return f"{path}?{query}" if query else path


def _followed(row: c.ResourceRow, found: _Found) -> c.ResourceRow:
    """Add how far *create the same there* has come, and how many gaps name the resource."""
    mismatch = row.mismatch
    request = found.requests.get(row.alias)
    if mismatch is not None and mismatch.fix is c.MismatchFix.CREATE_THERE and request is not None:
        if request.state == "pending":
            text = "asked there; its answer comes as soon as the other side is reached"
            mismatch = replace(mismatch, fix=c.MismatchFix.NONE, answer=c.AnswerState.PENDING, answer_text=text)
        elif request.state == "refused":
            text = f"refused there: {refused_there(request.reason, {'what': 'resource'})}"
            mismatch = replace(mismatch, answer=c.AnswerState.REFUSED, answer_text=text)
    return replace(row, mismatch=mismatch, gap_count=found.gaps.get(row.alias, 0))


def _note(seen: Situation) -> str:
    peer = seen.pair.peer_site_name if seen.pair else ""
    match seen.role:
        case c.Role.TARGET:
            return f"{peer or 'The source'} decides what is sent."
        case c.Role.SOURCE:
            return f"Readings are sent to {peer} while the switch is on."
        case c.Role.STANDALONE:
            return "What is switched on is sent once this connector is paired."


# --- forms ------------------------------------------------------------------------------------------------------------


async def create(visit: Visit) -> Response:
    """Make a resource."""
    form = await visit.form()
    seen = await visit.look()
    try:
        await visit.site.create_resource(visit.connector_id, _new(form, seen))
    except Refused as refused:
        if refused.code not in ("invalid", "exists", "too_many_resources"):
            raise
        page = await _page(visit, _typed(visit, seen, form, field_error(refused)), toast="No resource was created.")
        return visit.respond(page, refused.status)
    return visit.redirect(_url(visit), done(f"Resource “{form.get('alias', '').strip()}” created."))


def _new(form: Mapping[str, str], seen: Situation) -> NewResource:
    format_ = form.get("format", "")
    return NewResource(
        alias=form.get("alias", ""),
        format=format_,
        unit=form.get("unit", ""),
        allowed=read_allowed(form.get("allowed", ""), format_),
        settable=form.get("is_settable") == "on",
        remote_sync=form.get("is_synced") == "on" and seen.role is not c.Role.TARGET,
        retention_ms=read_retention(form.get("retention_days", "")),
    )


def _typed(visit: Visit, seen: Situation, form: Mapping[str, str], errors: c.Errors) -> c.ResourceForm:
    """Return the form as it was sent, with what is wrong beside its fields."""
    return c.ResourceForm(
        connector_id=visit.connector_id,
        role=seen.role,
        alias=form.get("alias", "")[:200],
        format=form.get("format", "")[:20],
        unit=form.get("unit", "")[:100],
        allowed=form.get("allowed", "")[:500],
        is_settable=form.get("is_settable") == "on",
        is_synced=form.get("is_synced") == "on",
        errors=errors,
        is_open=True,
        retention_days=form.get("retention_days", "")[:20],
    )


async def switch(visit: Visit) -> Response:
    """Switch Remote-Sync of a resource (W9)."""
    form = await visit.form()
    on, alias = form.get("is_synced") == "on", visit.named("alias")
    back = _url(visit, form.get("query", ""))
    if await _is_target(visit):
        return visit.redirect(back, problem(_DECIDED_THERE))
    await visit.site.set_remote_sync(visit.connector_id, alias, on=on)
    words = "on: its new readings are sent" if on else "off: what waits is still delivered"
    return visit.redirect(back, done(f"Remote-Sync of “{alias}” is {words}."))


_DECIDED_THERE: Final = "The source decides what is sent: switch it there."


async def _is_target(visit: Visit) -> bool:
    return (await visit.site.connector(visit.connector_id)).role == "target"


async def switch_many(visit: Visit) -> Response:
    """Switch Remote-Sync of all resources that were selected (W9)."""
    async with visit.request.form(max_files=0, max_fields=_SWITCHED_MAX + 2) as form:
        aliases = [text for text in form.getlist("alias") if isinstance(text, str)]
        on, query = form.get("is_synced") == "on", str(form.get("query", ""))
    back = _url(visit, query)
    if not aliases:
        return visit.redirect(back, problem("Nothing was switched: select resources first."))
    if await _is_target(visit):
        return visit.redirect(back, problem(_DECIDED_THERE))
    count = await visit.site.resource_desk.switch(visit.connector_id, aliases, on=on)
    words = "on: their new readings are sent" if on else "off: what waits is still delivered"
    same = len(set(aliases)) - count
    already = f" ({same} were so already)" if same else ""
    return visit.redirect(back, done(f"Remote-Sync of {len(set(aliases))} resources is {words}{already}."))


async def create_here(visit: Visit) -> Response:
    """Make the same resource that the other side has (W9)."""
    alias = visit.named("alias")
    try:
        await visit.site.create_resource_like_peer(visit.connector_id, alias)
    except Refused as refused:
        return visit.redirect(_url(visit), problem(str(refused)))
    return visit.redirect(_url(visit), done(f"Resource “{alias}” created; what waits for it comes now."))


async def create_there(visit: Visit) -> Response:
    """Ask the other side to make the same resource (W9); the list follows its answer."""
    alias = visit.named("alias")
    try:
        await visit.site.editing.create_there(visit.connector_id, alias, who=visit.person.name)
    except Refused as refused:
        return visit.redirect(_url(visit), problem(str(refused)))
    pair = visit.site.pair(visit.connector_id)
    where = pair.peer_site_name if pair is not None else "the other side"
    return visit.redirect(_url(visit), done(f"{where} was asked to create “{alias}”; the list shows its answer."))


def _url(visit: Visit, query: str = "") -> str:
    """Return the address of the list, with the search and sort that a form brought along."""
    path = paths.fill(paths.RESOURCES, connector_id=visit.connector_id)
    kept = {name: value for name, value in parse_qsl(query[:400]) if name in ("search", "sort", "from")}
    return path + (f"?{urlencode(kept)}" if kept else "")


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["resources"] = live
    return [
        desk.show(paths.RESOURCES, show),
        desk.act(paths.RESOURCES, create, "edit"),
        desk.act(paths.RESOURCES_SWITCH, switch_many, "edit"),
        desk.act(paths.RESOURCE_REMOTE_SYNC, switch, "edit"),
        desk.act(paths.RESOURCE_CREATE_HERE, create_here, "edit"),
        desk.act(paths.RESOURCE_CREATE_THERE, create_there, "edit"),
    ]
