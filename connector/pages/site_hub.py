"""The page *Hub* of a site: where the hub is, whether this site is enrolled there, and the form for the token."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.pages.frame import Desk, Parts, Visit, done
from connector.site import Site
from shared.core.health import sentence
from shared.core.link_state import LinkState
from shared.errors import PairhubError, Refused, StorageFailed
from web import contexts as c
from web import paths

_TOKEN_MAX = 200


def has_to_enrol(site: Site) -> bool:
    """Tell whether a person has to give this site a token before anything can be paired."""
    return bool(site.hub_url) and (not site.identity.enrolment or site.enrolment.is_refused)


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return visit.respond(await _page(visit))


async def updates(visit: Visit) -> Response:
    """Answer the update stream."""
    return visit.stream("", parts)


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries. A form that somebody types into is left alone."""
    page = await _page(visit)
    return (page.shell.counts,) if page.hub.asks_for_token else (page.shell.counts, page.hub)


async def enrol(visit: Visit) -> Response:
    """Enrol with the token of the form; what the hub says stands beside the field."""
    token = (await visit.form()).get("token", "").strip()[:_TOKEN_MAX]
    try:
        await visit.site.enrol(token)
    except StorageFailed:
        raise
    except PairhubError as error:
        refused = error if isinstance(error, Refused) else Refused("hub_not_reachable")
        field = "token" if refused.code.startswith("token_") else ""
        return visit.respond(await _page(visit, {field: str(refused)}), refused.status)
    return visit.redirect(paths.SITE_HUB, done("This site is enrolled at its hub. Its connectors can be paired now."))


async def _page(visit: Visit, errors: Mapping[str, str] | None = None) -> c.SiteHubPage:
    site = visit.site
    views = [runtime.view for runtime in site.runtimes.values()]
    states = [view.state for view in views]
    of_links = "" if LinkState.LINKED in states else next((view.problem for view in views if view.problem), "")
    problem = site.enrolment.problem or of_links
    shell = await visit.shell(c.Section.HUB)
    hub = c.SiteHubCard(
        site_name=site.identity.site_name,
        hub_url=site.hub_url,
        is_enrolled=bool(site.identity.enrolment),
        problem="" if errors or not problem else sentence(problem),
        linked_count=states.count(LinkState.LINKED),
        wanted_count=len(states) - states.count(LinkState.IDLE),
        can_enrol=visit.may("manage"),
        asks_for_token=has_to_enrol(site),
        errors=errors or {},
    )
    return c.SiteHubPage(replace(shell, updates_url=paths.SITE_HUB_UPDATES), hub)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    return [
        desk.show(paths.SITE_HUB, show),
        desk.show(paths.SITE_HUB_UPDATES, updates),
        desk.act(paths.SITE_HUB_ENROL, enrol, "manage"),
    ]
