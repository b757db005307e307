"""What all pages share: who visits, the frame around the page, forms in, pages, redirects and update streams out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import anyio
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from connector.access import Access
from connector.connectors import Connector
from connector.pages.samples import Samples
from connector.pages.situation import Situation, look, worst_link
from connector.site import Site
from shared.errors import PairhubError, Refused
from web import contexts as c
from web import flash, paths
from web.authorize import Principal
from web.csrf import SAFE_METHODS
from web.rendering import Pages
from web.sessions import SessionRow
from web.updates import Fragments, update_response
from web.viewer import Viewer

_log = logging.getLogger(__name__)
_FIELDS_MAX: Final = 20

Parts = tuple[object, ...]
Handler = Callable[["Visit"], Awaitable[Response]]
PartsOf = Callable[["Visit"], Awaitable[Parts]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages work with. `streams` makes, by the name of a page, what one open page's update stream carries."""

    site: Site
    access: Access
    samples: Samples
    stopping: anyio.Event
    pages: Pages = field(default_factory=Pages)
    streams: dict[str, Callable[[], PartsOf]] = field(default_factory=dict)

    def viewer(self, request: HTTPConnection) -> Viewer:
        """Return how this browser wants to see things, at this moment."""
        return Viewer.of(request, self.site.clock.wall_ms())

    def show(self, path: str, handler: Handler, action: str = "read") -> Route:
        """Return the route of a page: GET, for people who may do `action`."""
        return Route(path, self._guarded(handler, action), methods=["GET"])

    def act(self, path: str, handler: Handler, action: str) -> Route:
        """Return the route of a form: POST, for people who may do `action`; it is audited where the table says so."""
        return Route(path, self._guarded(handler, action), methods=["POST"])

    def _guarded(self, handler: Handler, action: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            person, session = await self.access.visitor(request)
            if person is None or session is None:
                raise Refused("not_signed_in")
            self.access.check(person, action)
            if request.method not in SAFE_METHODS:
                await self.access.audit(person, f"{request.method} {request.url.path}")
            return await handler(Visit(self, request, person, session))

        return endpoint


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is logged in."""

    desk: Desk
    request: Request
    person: Principal
    session: SessionRow

    @property
    def site(self) -> Site:
        """The site."""
        return self.desk.site

    @property
    def connector_id(self) -> str:
        """The connector that the path names."""
        return str(self.request.path_params["connector_id"])

    def named(self, part: str) -> str:
        """Return a part of the path that may hold any text, such as a device's identity."""
        return paths.unsegment(str(self.request.path_params[part]))

    def asked(self, name: str, length_max: int = 300) -> str:
        """Return a parameter of the query, empty where it is not there."""
        return self.request.query_params.get(name, "")[:length_max]

    @property
    def now_ms(self) -> int:
        """The wall clock of the site."""
        return self.site.clock.wall_ms()

    def may(self, action: str) -> bool:
        """Tell whether this person may do something, so that a page offers only that."""
        try:
            self.desk.access.check(self.person, action)
        except Refused:
            return False
        return True

    async def look(self) -> Situation:
        """Return how the connector of the path stands; raises Refused('not_found')."""
        return await look(self.site, self.desk.samples, self.connector_id)

    async def form(self) -> Mapping[str, str]:
        """Return the fields of the form that was posted; files are refused."""
        async with self.request.form(max_files=0, max_fields=_FIELDS_MAX) as form:
            return {name: value for name, value in form.items() if isinstance(value, str)}

    async def form_lists(self, fields_max: int) -> Mapping[str, Sequence[str]]:
        """Return the fields of a form that may name a field many times; files are refused."""
        async with self.request.form(max_files=0, max_fields=fields_max) as form:
            return {
                name: [value for value in form.getlist(name) if isinstance(value, str)] for name in dict.fromkeys(form)
            }

    # --- answers ------------------------------------------------------------------------------------------------------

    async def shell(
        self, section: c.Section, seen: Situation | None = None, *, stream: str = "", toasts: Sequence[c.Toast] = ()
    ) -> c.Shell:
        """Return the frame of a page. `stream` is the query of its update stream, empty where it has none."""
        choices = tuple(choice(connector) for connector in await self.site.connectors())
        updates_url = None
        if stream:
            path = paths.CONNECTORS_UPDATES
            if seen is not None:
                path = paths.fill(paths.UPDATES, connector_id=seen.connector_id)
            updates_url = f"{path}?{stream}"
        carried = flash.take_toasts(self.request).toasts
        return c.Shell(
            place=c.Place.SITE,
            place_name=self.site.identity.site_name,
            version=release(),
            section=section,
            user_name=self.person.name,
            user_role=self.person.role,
            connector=choice(seen.connector) if seen is not None else None,
            connectors=choices,
            link=c.LinkPill(seen.link) if seen is not None else self._worst(choices),
            counts=self._counts(seen),
            updates_url=updates_url,
            toasts=c.Toasts((*carried, *toasts)),
        )

    def _worst(self, choices: Sequence[c.ConnectorChoice]) -> c.LinkPill:
        """Return the pill of the pages of the whole site: of the connector that fares worst."""
        found = worst_link(self.site)
        chosen = next((each for each in choices if found is not None and each.connector_id == found[0]), None)
        if found is None or chosen is None:
            return c.LinkPill(None)
        return c.LinkPill(found[1], chosen.name or chosen.connector_id, chosen.connector_id)

    def _counts(self, seen: Situation | None) -> c.NavCounts:
        """Return the repairs of the chosen connector and of the site, or of all on the pages of the whole site."""
        found = self.site.repairs.open() if seen is None else seen.repairs
        urgent = found[0].title if found and found[0].is_urgent else ""
        return c.NavCounts(len(found), paths.REPAIRS if seen is None else _repairs_url(seen.connector_id), urgent)

    def respond(self, page: object, status: int = 200) -> Response:
        """Return a page; the toasts that it shows are taken from the browser's cookie."""
        response = self.desk.pages.respond(page, self.desk.viewer(self.request), status)
        flash.clear_toasts(self.request, response)
        return response

    def redirect(self, url: str, *toasts: c.Toast) -> Response:
        """Return the way on after a form was done, with what to say there."""
        response = RedirectResponse(url, 303)
        if toasts:
            flash.add_toasts(response, *toasts)
        return response

    def stream(self, connector_id: str, parts: PartsOf) -> Response:
        """Return the update stream of a page: its fragments whenever the connector's bell rings."""

        bell = self.site.bell(connector_id)
        is_over = False

        async def render() -> Fragments:
            nonlocal is_over
            try:
                return self.desk.pages.fragments(await parts(self), self.desk.viewer(self.request))
            except PairhubError as error:
                # Gone, or not to be read now: end the stream; asking again gets the answer in words.
                _log.info("update stream ended: %s", error, extra={"connector": connector_id})
                is_over = True
                bell.ring()
                return {}

        async def ticks() -> AsyncIterator[None]:
            async for _ in bell.ticks():
                if is_over:
                    return
                yield None

        async def is_session_open() -> bool:
            return await self.desk.access.is_open(self.session)

        return update_response(ticks(), render, is_session_open, stopping=self.desk.stopping)


def frame_parts(shell: c.Shell) -> Parts:
    """Return what the update stream of a connector's page carries of the frame around it."""
    return (shell.link, shell.counts, shell.switcher("side"), shell.switcher("drawer"))


def _repairs_url(connector_id: str) -> str:
    return paths.fill(paths.OVERVIEW, connector_id=connector_id) + "#repairs"


def done(text: str) -> c.Toast:
    """Return the toast of something that worked."""
    return c.Toast(c.ToastKind.DONE, text)


def problem(text: str) -> c.Toast:
    """Return the toast of something that did not."""
    return c.Toast(c.ToastKind.PROBLEM, text)


def choice(connector: Connector) -> c.ConnectorChoice:
    """Return a connector as an entry of the switcher."""
    return c.ConnectorChoice(connector.connector_id, connector.name, c.Role(connector.role))


@cache
def release() -> str:
    """Return the version of this release."""
    try:
        return version("pairhub")
    except PackageNotFoundError:
        return "unknown"
