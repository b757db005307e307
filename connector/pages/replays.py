"""*Send this range again* (page 7): the form on a resource's page and on one of its own, and what became of each (N9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.pages import resource as resource_page
from connector.pages.frame import Desk, Parts, Visit, done, frame_parts, problem
from connector.pages.replay_list import replay_form, replay_list
from connector.pages.resource import read_span
from connector.replays import ReplayWish
from shared.errors import Refused
from shared.limits import DAY_MS, REPLAY_NAMES_MAX
from web import contexts as c
from web import paths

STREAM: Final = "page=replays"
_TEXT_CHARS_MAX: Final = 300


async def show(visit: Visit) -> Response:
    """Answer the page of all replays."""
    return visit.respond(await _page(visit))


async def _page(visit: Visit, form: c.ReplayForm | None = None) -> c.ReplaysPage:
    seen = await visit.look()
    span = visit.now_ms - DAY_MS, None
    url = paths.fill(paths.REPLAYS, connector_id=seen.connector_id)
    aliases = tuple(row.alias for row in seen.resources if row.remote_sync or row.match == "same")
    return c.ReplaysPage(
        shell=await visit.shell(c.Section.RESOURCES, seen, stream=STREAM),
        connector_id=seen.connector_id,
        list=await replay_list(visit, seen),
        form=form or replay_form(visit, seen, url, span, resources=aliases),
    )


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries: not the form, so that nobody's choice is undone."""
    seen = await visit.look()
    return (*frame_parts(await visit.shell(c.Section.RESOURCES, seen)), await replay_list(visit, seen))


# --- forms ------------------------------------------------------------------------------------------------------------


async def ask(visit: Visit) -> Response:
    """Ask for a range of some or all resources."""
    lists = await visit.form_lists(REPLAY_NAMES_MAX + 10)
    form = {name: values[0] for name, values in lists.items() if values}
    chosen = lists.get("resource", [])
    try:
        await _ask(visit, form, chosen)
    except Refused as refused:
        url = paths.fill(paths.REPLAYS, connector_id=visit.connector_id)
        page = await _page(visit)
        typed = _typed(page.form, form, refused, url, chosen)
        return visit.respond(await _page(visit, typed), refused.status)
    return visit.redirect(paths.fill(paths.REPLAYS, connector_id=visit.connector_id), done(_ASKED))


async def ask_one(visit: Visit) -> Response:
    """Ask for a range of one resource, on its page."""
    alias, form = visit.named("alias"), await visit.form()
    url = paths.fill(paths.RESOURCE, connector_id=visit.connector_id, alias=alias)
    try:
        await _ask(visit, form, [alias])
    except Refused as refused:
        page = await resource_page.page(visit, alias)
        here = paths.fill(paths.RESOURCE_REPLAY, connector_id=visit.connector_id, alias=alias)
        typed = _typed(page.replay_form, form, refused, here, [])
        return visit.respond(await resource_page.page(visit, alias, replay=typed), refused.status)
    return visit.redirect(url + "#replay-list", done(_ASKED))


_ASKED: Final = "Asked. What is missing at the target arrives behind the stream; follow it in the list."


async def _ask(visit: Visit, form: Mapping[str, str], aliases: Sequence[str]) -> None:
    zone = visit.desk.viewer(visit.request).zone
    from_ms, to_ms = read_span(form.get("from", "").strip(), form.get("to", "").strip(), zone, visit.now_ms)
    device = form.get("device", "").strip()
    wish = ReplayWish(from_ms=from_ms, to_ms=to_ms, resources=list(aliases), devices=[device] if device else [])
    await visit.site.replays.ask(visit.connector_id, wish, who=visit.person.name)


def _typed(
    form: c.ReplayForm | None, typed: Mapping[str, str], refused: Refused, url: str, chosen: Sequence[str]
) -> c.ReplayForm:
    """Return the form as it was filled in, with what is wrong beside its field. Raises what no form can mend."""
    if form is None:
        raise refused
    fields = {"From": "from", "To": "to"}
    name = fields.get(str(refused.facts.get("what", "")), "device" if refused.code == "unknown_device" else "")
    return c.ReplayForm(
        url=url,
        peer_site_name=form.peer_site_name,
        is_source=form.is_source,
        from_text=typed.get("from", "")[:_TEXT_CHARS_MAX],
        to_text=typed.get("to", "")[:_TEXT_CHARS_MAX],
        zone_name=form.zone_name,
        device=typed.get("device", "")[:_TEXT_CHARS_MAX],
        resources=form.resources,
        chosen=tuple(chosen),
        errors={name: str(refused)},
        is_open=True,
    )


async def cancel(visit: Visit) -> Response:
    """Stop a replay, and go back to the page that showed it."""
    alias = (await visit.form()).get("alias", "")
    url = paths.fill(paths.REPLAYS, connector_id=visit.connector_id)
    if alias:
        url = paths.fill(paths.RESOURCE, connector_id=visit.connector_id, alias=alias) + "#replay-list"
    try:
        await visit.site.replays.cancel(visit.connector_id, visit.named("replay_id"), who=visit.person.name)
    except Refused as refused:  # it has just ended
        return visit.redirect(url, problem(str(refused)))
    return visit.redirect(url, done("Cancelled. What arrived stays."))


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page, and of the form on a resource's page."""
    desk.streams["replays"] = lambda: parts
    return [
        desk.show(paths.REPLAYS, show),
        desk.act(paths.REPLAYS, ask, "edit"),
        desk.act(paths.REPLAY_CANCEL, cancel, "edit"),
        desk.act(paths.RESOURCE_REPLAY, ask_one, "edit"),
    ]
