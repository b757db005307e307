"""Every refusal and failure, in the form that whoever asked can read: a page for browsers, JSON for programs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector.api import answer, refusal
from connector.pages.entrance import login_redirect
from connector.pages.frame import Desk, Visit
from shared.errors import LinkLost, PairhubError, Refused, StorageFailed
from web import contexts as c
from web import paths

_log = logging.getLogger(__name__)
_TITLES = {
    400: "The request could not be read",
    403: "You may not do this",
    404: "This page does not exist",
    405: "This address does not take that",
    409: "This cannot be done now",
    413: "That was too much at once",
    503: "This cannot be done at the moment",
    507: "The disk refused to store this",
}
_CODES = {400: "invalid", 404: "not_found", 405: "invalid", 413: "body_too_large"}

Handler = Callable[[Request, Exception], Awaitable[Response]]


def handlers(desk: Desk, make_id: Callable[[], str]) -> dict[Any, Handler]:
    """Return the exception handlers of the application; `make_id` makes what to look for in the log."""
    failures = _Failures(desk, make_id)
    return {
        HTTPException: failures.on_http,
        PairhubError: failures.on_refused,
    }


class LastResort:
    """ASGI middleware: answer our own mistakes. Inside of the security headers, which Starlette's own one is not."""

    def __init__(self, app: ASGIApp, *, desk: Desk, make_id: Callable[[], str]) -> None:
        self.app = app
        self._failures = _Failures(desk, make_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; where that fails before the answer began, answer 500."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = False

        async def noting(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            if began:
                raise
            response = await self._failures.on_bug(Request(scope, receive), error)
            await response(scope, receive, send)


class _Failures:
    def __init__(self, desk: Desk, make_id: Callable[[], str]) -> None:
        self._desk = desk
        self._make_id = make_id

    async def on_http(self, request: Request, error: Exception) -> Response:
        """What the router or a form parser refuses."""
        assert isinstance(error, HTTPException)
        if _is_for_program(request):
            words = _TITLES.get(error.status_code, error.detail)
            body = {"code": _CODES.get(error.status_code, "invalid"), "message": f"{words}.", "facts": {}}
            return answer(body, error.status_code)
        if error.status_code == 404:
            return await self._page(
                request,
                404,
                what=f"There is nothing at {request.url.path[:200]}.",
                why="The address may be mistyped, or what was there was deleted.",
                next_step="Choose a connector from the list.",
            )
        return await self._page(
            request,
            error.status_code,
            what=str(error.detail),
            why="The browser sent something that this page does not take.",
            next_step="Go back, load the page again and repeat what you did.",
        )

    async def on_refused(self, request: Request, error: Exception) -> Response:
        """A normal no that no page has put beside a field, a disk that refuses, a hub that is away."""
        refused = _as_refused(error)
        if refused is None:
            return await self.on_bug(request, error)
        if _is_for_program(request):
            return refusal(refused)
        if refused.code == "not_signed_in":
            if _is_background(request):
                return Response("Log in again.", 401, {"Cache-Control": "no-store"})
            return login_redirect(request, is_set_up=self._desk.access.is_set_up)
        return await self._page(
            request,
            refused.status,
            what=str(refused),
            why=_why(refused),
            next_step="Try again in a moment." if refused.retryable else "Go back and choose something else.",
        )

    async def on_bug(self, request: Request, error: Exception) -> Response:
        """Our own mistake: written to the log in full, and to the visitor as something to look for there."""
        request_id = self._make_id()
        _log.error("request %s failed: %s %s", request_id, request.method, request.url.path, exc_info=error)
        if _is_for_program(request):
            message = f"Something went wrong here; it is in the log as {request_id}."
            return answer({"code": "internal", "message": message, "facts": {"request_id": request_id}}, 500)
        page = c.ErrorPage(
            status=500,
            title="Something went wrong here",
            what="The page could not be made.",
            why="An error in Pairhub itself; it is written to the log.",
            next_step="Try again. If it stays, send the log line to whoever looks after this site.",
            place_name=self._desk.site.identity.site_name,
            request_id=request_id,
        )
        return self._desk.pages.respond(page, self._desk.viewer(request), 500)

    async def _page(self, request: Request, status: int, *, what: str, why: str, next_step: str) -> Response:
        shell = await self._shell(request)
        page = c.ErrorPage(
            status=status,
            title=_TITLES.get(status, "This was refused"),
            what=what,
            why=why,
            next_step=next_step,
            shell=shell,
            place_name=self._desk.site.identity.site_name,
            next_url=paths.CONNECTORS if shell else paths.HOME,
            next_label="Show all connectors" if shell else "Go to the start page",
        )
        return self._desk.pages.respond(page, self._desk.viewer(request), status)

    async def _shell(self, request: Request) -> c.Shell | None:
        """Return the frame for somebody who is logged in; strangers, and a database that cannot be read, get none."""
        try:
            person, session = await self._desk.access.visitor(request)
            if person is None or session is None:
                return None
            return await Visit(self._desk, request, person, session).shell(c.Section.NONE)
        except PairhubError:
            return None


def _as_refused(error: Exception) -> Refused | None:
    match error:
        case Refused():
            return error
        case StorageFailed():
            return Refused("storage_failed", why=str(error))
        case LinkLost():
            return Refused("hub_not_reachable")
        case _:
            return None


def _why(refused: Refused) -> str:
    match refused.code:
        case "forbidden":
            return "What a person may do depends on his role at this site."
        case "not_found":
            return "It may have been deleted meanwhile, here or at the other site."
        case "storage_failed":
            return "The disk may be full or broken."
        case _:
            return "The site checked the request and said no; nothing was changed."


def _is_for_program(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _is_background(request: Request) -> bool:
    """Whether a script asked: it must be told, not led to a page that it would put into another."""
    return "hx-request" in request.headers or "text/event-stream" in request.headers.get("accept", "")
