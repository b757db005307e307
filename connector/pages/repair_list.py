"""The repairs of the whole site (page 12): what is open and what is over, who is told, and the bundle of diagnostics."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.diagnostics import BUNDLE_MEDIA, make_bundle
from connector.pages.frame import Desk, Parts, Visit, done, problem
from connector.pages.repairs import shown
from connector.pages.situation import look
from shared.errors import Refused
from web import contexts as c
from web import paths

_CLEARED_SHOWN: Final = 20
FILE_NAME: Final = "pairhub-diagnostics.zip"


async def show(visit: Visit) -> Response:
    """Answer the page, after a look at every connector."""
    for connector in await visit.site.connectors():
        try:
            await look(visit.site, visit.desk.samples, connector.connector_id)
        except Refused:
            continue  # deleted meanwhile
    visit.site.repairs.observe_site()
    return visit.respond(await _page(visit))


async def updates(visit: Visit) -> Response:
    """Answer the update stream."""
    return visit.stream("", parts)


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries."""
    page = await _page(visit)
    return (page.shell.counts, page.repairs, page.notices, page.cleared)


async def _page(visit: Visit) -> c.RepairsPage:
    site = visit.site
    names = {each.connector_id: each.name for each in await site.connectors()}
    can_manage = visit.may("manage")
    shell = await visit.shell(c.Section.REPAIRS)
    return c.RepairsPage(
        shell=replace(shell, updates_url=paths.REPAIRS_UPDATES),
        repairs=c.RepairsCard(shown(site.repairs.open(), names), is_wide=True),
        cleared=c.ClearedRepairs(shown(await site.repairs.cleared(_CLEARED_SHOWN), names)),
        notices=_notices(visit, can_test=can_manage),
        can_download=can_manage,
    )


def _notices(visit: Visit, *, can_test: bool) -> c.NoticesCard:
    return c.NoticesCard(
        tuple(
            c.NoticeChannel(each.channel, each.waiting, each.lost, each.problem, each.delivered_ms, each.failed_ms)
            for each in visit.site.notices.status()
        ),
        visit.site.settings.notices_after_s,
        can_test,
    )


async def test_notice(visit: Visit) -> Response:
    """Send a test notice by each channel, and say what became of it."""
    toasts = [
        problem(f"The test notice by {each.channel} was not delivered: {each.problem}.")
        if each.problem
        else done(f"The test notice by {each.channel} was delivered.")
        for each in await visit.site.repairs.test_notice()
    ]
    return visit.redirect(paths.REPAIRS, *toasts)


async def diagnostics(visit: Visit) -> Response:
    """Answer the bundle."""
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}"', "Cache-Control": "no-store"}
    return Response(await make_bundle(visit.site), media_type=BUNDLE_MEDIA, headers=headers)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    return [
        desk.show(paths.REPAIRS, show),
        desk.show(paths.REPAIRS_UPDATES, updates),
        desk.act(paths.REPAIRS_TEST, test_notice, "manage"),
        desk.act(paths.REPAIRS_DIAGNOSTICS, diagnostics, "manage"),
    ]
