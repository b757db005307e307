"""The hub's pages: set-up, log-in, and the operator's page with its forms and its update stream."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hub.access import Access, Visitor, address_of
from hub.hub import Hub
from hub.links import refusal_response
from hub.listing import Wanted
from hub.requests import read_form
from hub.tokens import make_site_token
from hub.views import Views
from shared.errors import PairhubError, Refused, StorageFailed
from shared.notices.desk import TrialOutcome
from web import contexts as c
from web import paths
from web.flash import add_toasts, clear_toasts, take_toasts
from web.front_door import public_url
from web.preferences import local_path, preference_routes
from web.rendering import Pages
from web.static_files import static_mount
from web.updates import ChangeBell, update_response
from web.viewer import Viewer

_log = logging.getLogger(__name__)
Handler = Callable[[Request, Visitor], Awaitable[Response]]
_NOT_WRITTEN = (
    "This is not written down yet, for the disk refuses: it is tried again every second. A hub that is started afresh "
    "before that would let the site in again."
)
_PROGRAM_PREFIXES = ("/api/", "/connector/", "/healthz", "/readyz")


class HubPages:
    """Everything a person sees of a hub. Every page but set-up and log-in is for those who are logged in."""

    def __init__(self, hub: Hub, access: Access, bell: ChangeBell, stopping: anyio.Event) -> None:
        """`bell` rings at changes; `stopping` ends the update streams."""
        self._hub = hub
        self._access = access
        self._bell = bell
        self._stopping = stopping
        self._pages = Pages()
        self._views = Views(hub)

    def routes(self) -> list[BaseRoute]:
        """The routes to serve."""
        inside = self._for_operators
        return [
            Route(paths.HOME, self.home),
            Route(paths.SETUP, self.set_up, methods=["GET", "POST"]),
            Route(paths.LOGIN, self.log_in, methods=["GET", "POST"]),
            Route(paths.LOGOUT, self.log_out, methods=["POST"]),
            Route(paths.OPERATOR, inside(self.operator)),
            Route(paths.OPERATOR_UPDATES, inside(self.updates)),
            Route(paths.OPERATOR_AUDIT, inside(self.audit)),
            Route(paths.OPERATOR_TEST_NOTICE, inside(self.test_notice), methods=["POST"]),
            Route(paths.OPERATOR_TOKENS, self.home, methods=["GET"]),  # reloading the page that a form brought
            Route(paths.OPERATOR_TOKENS, inside(self.make_token), methods=["POST"]),
            Route(paths.OPERATOR_TOKEN_REVOKE, inside(self.revoke_token), methods=["POST"]),
            Route(paths.OPERATOR_SITE_REVOKE, inside(self.revoke_site), methods=["GET", "POST"]),
            *preference_routes(),
            static_mount(),
        ]

    def _viewer(self, request: Request) -> Viewer:
        return Viewer.of(request, self._hub.wall_ms())

    def _for_operators(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            visitor = await self._access.visitor(request)
            if visitor is None:
                return RedirectResponse(paths.LOGIN if self._access.is_set_up else paths.SETUP, 303)
            return await handler(request, visitor)

        return guarded

    # --- getting in --------------------------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        """Lead on to the only page there is."""
        del request
        return RedirectResponse(paths.OPERATOR, 303)

    async def set_up(self, request: Request) -> Response:
        """First run: the token from the console, then the first user."""
        if self._access.is_set_up:
            return RedirectResponse(paths.LOGIN, 303)
        form = await read_form(request) if request.method == "POST" else {}
        token = form.get("token", request.query_params.get("token", "")).strip()
        user_name = form.get("user_name", "admin").strip()
        errors: dict[str, str] = {}
        if request.method == "POST":
            response = RedirectResponse(paths.OPERATOR, 303)
            errors = await self._access.set_up(
                request,
                response,
                token=token,
                user_name=user_name,
                password=form.get("password", ""),
                again=form.get("password_again", ""),
            )
            if not errors:
                return response
        shell = self._views.shell("", updates_url=None, toasts=c.Toasts())
        page = c.SetupPage(c.Place.HUB, shell.place_name, shell.version, token, user_name, errors)
        return self._pages.respond(page, self._viewer(request), 422 if errors else 200)

    async def log_in(self, request: Request) -> Response:
        """Name and password."""
        if not self._access.is_set_up:
            return RedirectResponse(paths.SETUP, 303)
        form = await read_form(request) if request.method == "POST" else {}
        next_path = local_path(form.get("next", request.query_params.get("next", paths.OPERATOR)))
        user_name = form.get("user_name", "").strip()
        status, wrong = 200, ""
        if request.method == "POST":
            response = RedirectResponse(next_path, 303)
            status, wrong = await self._access.log_in(request, response, user_name, form.get("password", ""))
            if not wrong:
                return response
        shell = self._views.shell("", updates_url=None, toasts=c.Toasts())
        errors = {"": wrong} if wrong else {}
        page = c.LoginPage(c.Place.HUB, shell.place_name, shell.version, user_name, next_path, errors)
        return self._pages.respond(page, self._viewer(request), status)

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        response = RedirectResponse(paths.LOGIN, 303)
        await self._access.sessions.close(request, response)
        return response

    # --- the operator's page -----------------------------------------------------------------------------------------

    async def operator(self, request: Request, visitor: Visitor) -> Response:
        """Who may join, who is here, what waits."""
        wanted = Wanted.of(request.query_params)
        updates_url = paths.OPERATOR_UPDATES + wanted.query()
        shell = self._views.shell(visitor.user_name, updates_url=updates_url, toasts=take_toasts(request))
        response = self._pages.respond(await self._views.operator_page(shell, wanted), self._viewer(request))
        clear_toasts(request, response)
        return response

    async def updates(self, request: Request, visitor: Visitor) -> Response:
        """The page's live part."""
        viewer_of = self._viewer
        with_tokens = request.query_params.get("tokens") != "0"
        wanted = Wanted.of(request.query_params)

        async def render() -> dict[str, str]:
            parts = await self._views.fragments(wanted, with_tokens=with_tokens)
            return self._pages.fragments(parts, viewer_of(request))

        async def is_open() -> bool:
            return await self._access.is_open(visitor.session)

        return update_response(self._bell.ticks(), render, is_open, stopping=self._stopping)

    async def audit(self, request: Request, visitor: Visitor) -> Response:
        """Who did what, newest first."""
        text = request.query_params.get("before", "")
        before = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
        shell = self._views.shell(visitor.user_name, updates_url=None, toasts=c.Toasts(), section=c.Section.AUDIT)
        return self._pages.respond(await self._views.audit_page(shell, before), self._viewer(request))

    async def test_notice(self, request: Request, visitor: Visitor) -> Response:
        """Send a test notice by each channel, and say what became of it."""
        outcomes = await self._hub.repairs.test_notice()
        said = ", ".join(f"{each.channel}: {each.problem or 'delivered'}" for each in outcomes)
        await self._access.audit(request, visitor.user_name, "notice.test", said)
        self._hub.on_change()
        response = RedirectResponse(paths.OPERATOR, 303)
        add_toasts(response, *map(_told, outcomes))
        return response

    async def make_token(self, request: Request, visitor: Visitor) -> Response:
        """Make an enrolment token and show it, the only time."""
        site_name = (await read_form(request)).get("site_name", "").strip()
        # The stream of this page must not put the plain list in the place of the secret.
        updates_url = paths.OPERATOR_UPDATES + "?tokens=0"
        shell = self._views.shell(visitor.user_name, updates_url=updates_url, toasts=c.Toasts())
        try:
            made = await make_site_token(
                self._hub, site_name, who=visitor.user_name, where=request.client.host if request.client else ""
            )
        except Refused as refused:
            errors = {"site_name": str(refused)}
            page = await self._views.operator_page(shell, Wanted(), site_name=site_name, errors=errors)
            return self._pages.respond(page, self._viewer(request), refused.status)
        new = self._views.new_token(made.token, made.site_name, made.expires_ms, public_url(request))
        page = await self._views.operator_page(shell, Wanted(), new=new)
        return self._pages.respond(page, self._viewer(request), 201)

    async def revoke_token(self, request: Request, visitor: Visitor) -> Response:
        """Delete a token that nobody has used."""
        token_id = request.path_params["token_id"]
        await self._hub.store.revoke_token(token_id)
        await self._access.audit(request, visitor.user_name, "token.revoke", token_id)
        self._hub.on_change()
        return _done("The enrolment token was revoked.")

    async def revoke_site(self, request: Request, visitor: Visitor) -> Response:
        """Ask, then close the hub to a site."""
        site = self._hub.sites.get(request.path_params["site_id"])
        if site is None:
            raise Refused("not_found", what="site")
        if request.method == "POST":
            written = await self._hub.revoke(site.site_id, who=visitor.user_name, where=address_of(request))
            told = f"'{site.site_name}' was revoked; its links are closed."
            return _done(told if written else f"{told} {_NOT_WRITTEN}")
        page = c.ConfirmPage(
            self._views.shell(visitor.user_name, updates_url=None, toasts=c.Toasts()),
            f"Revoke '{site.site_name}'?",
            "The hub takes no link of this site any more, and closes those that are open within a second.",
            "Revoke",
            paths.fill(paths.OPERATOR_SITE_REVOKE, site_id=site.site_id),
            paths.OPERATOR,
            (
                "Its pairs stand still: what its sources hold stays on their disks, for as long as they keep it.",
                "It cannot be undone here; the site would have to be set up anew.",
            ),
        )
        return self._pages.respond(page, self._viewer(request))

    # --- when it does not work ---------------------------------------------------------------------------------------

    async def on_error(self, request: Request, error: Exception) -> Response:
        """Say what happened: as JSON to programs, as a page to people."""
        if request.url.path.startswith(_PROGRAM_PREFIXES):
            return refusal_response(_as_refusal(error))
        status, what = _words(error)
        if status >= 500 and not isinstance(error, HTTPException | PairhubError):
            _log.error("An error in a page: %s %s", request.method, request.url.path, exc_info=error)
        page = c.ErrorPage(
            status,
            "This page does not exist" if status == 404 else HTTPStatus(status).phrase,
            what,
            "The address may be mistyped, or what it named is gone." if status == 404 else "See the hub's log.",
            "Go back to the operator's page.",
            place=c.Place.HUB,
            place_name=self._hub.settings.hub_name,
        )
        return self._pages.respond(page, self._viewer(request), status)


def _told(outcome: TrialOutcome) -> c.Toast:
    if outcome.problem:
        text = f"The test notice by {outcome.channel} was not delivered: {outcome.problem}."
        return c.Toast(c.ToastKind.PROBLEM, text)
    return c.Toast(c.ToastKind.DONE, f"The test notice by {outcome.channel} was delivered.")


def _done(text: str) -> Response:
    response = RedirectResponse(paths.OPERATOR, 303)
    add_toasts(response, c.Toast(c.ToastKind.DONE, text))
    return response


def _words(error: Exception) -> tuple[int, str]:
    match error:
        case HTTPException(status_code=404):
            return 404, "There is nothing at this address."
        case HTTPException():
            return error.status_code, error.detail
        case Refused():
            return error.status, str(error)
        case StorageFailed():
            return 507, f"The hub's disk refused: {error}."
        case _:
            return 500, "Something went wrong inside the hub."


def _as_refusal(error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case StorageFailed():
            return Refused("storage_failed", why=str(error))
        case HTTPException(status_code=404):
            return Refused("not_found", what="address")
        case _:
            return Refused("invalid", what="The request", why=_words(error)[1])
