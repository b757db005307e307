"""Getting in and out: set-up at the first run, log-in, log-out."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from connector.pages.frame import Desk, release
from web import contexts as c
from web import flash, paths
from web.preferences import local_path


def routes(desk: Desk) -> Sequence[BaseRoute]:
    """Return the routes that strangers may use."""
    entrance = _Entrance(desk)
    return [
        Route(paths.SETUP, entrance.show_setup, methods=["GET"]),
        Route(paths.SETUP, entrance.set_up, methods=["POST"]),
        Route(paths.LOGIN, entrance.show_login, methods=["GET"]),
        Route(paths.LOGIN, entrance.log_in, methods=["POST"]),
        Route(paths.LOGOUT, entrance.log_out, methods=["POST"]),
    ]


def login_redirect(request: Request, *, is_set_up: bool) -> Response:
    """Send a stranger to where he can get in, and back to what he asked for afterwards."""
    if not is_set_up:
        return RedirectResponse(paths.SETUP, 303)
    wanted = local_path(str(request.url)) if request.method == "GET" else local_path(request.headers.get("referer", ""))
    query = "" if wanted == paths.HOME else f"?next={quote(wanted, safe='')}"
    return RedirectResponse(paths.LOGIN + query, 303)


class _Entrance:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._name = desk.site.identity.site_name

    # --- first run ----------------------------------------------------------------------------------------------------

    async def show_setup(self, request: Request) -> Response:
        if self._desk.access.is_set_up:
            return RedirectResponse(paths.LOGIN, 303)
        token = request.query_params.get("token", "")[:200]
        return self._respond(request, c.SetupPage(c.Place.SITE, self._name, release(), token))

    async def set_up(self, request: Request) -> Response:
        form = await _form(request)
        token, user_name, password = form.get("token", ""), form.get("user_name", ""), form.get("password", "")
        response = RedirectResponse(paths.HOME, 303)
        errors = {}
        if password != form.get("password_again", ""):
            errors["password_again"] = "The two passwords differ."  # noqa: S105  # words, not a password
        else:
            errors = await self._desk.access.set_up(
                request, response, token=token, user_name=user_name, password=password
            )
        if not errors:
            flash.add_toasts(response, c.Toast(c.ToastKind.DONE, f"Welcome, {user_name.strip()}. This site is set up."))
            return response
        page = c.SetupPage(c.Place.SITE, self._name, release(), token[:200], user_name[:64], errors)
        return self._respond(request, page, 403 if "token" in errors else 422)

    # --- log-in -------------------------------------------------------------------------------------------------------

    async def show_login(self, request: Request) -> Response:
        if not self._desk.access.is_set_up:
            return RedirectResponse(paths.SETUP, 303)
        wanted = local_path(request.query_params.get("next", ""))
        person, _ = await self._desk.access.visitor(request)
        if person is not None:
            return RedirectResponse(wanted, 303)
        page = c.LoginPage(c.Place.SITE, self._name, release(), next_path=wanted, toasts=flash.take_toasts(request))
        return self._respond(request, page)

    async def log_in(self, request: Request) -> Response:
        form = await _form(request)
        wanted, user_name = local_path(form.get("next", "")), form.get("user_name", "")
        response = RedirectResponse(wanted, 303)
        status, wrong = await self._desk.access.log_in(request, response, user_name, form.get("password", ""))
        if not wrong:
            return response
        page = c.LoginPage(c.Place.SITE, self._name, release(), user_name[:64], wanted, {"": wrong})
        return self._respond(request, page, status)

    async def log_out(self, request: Request) -> Response:
        response = RedirectResponse(paths.LOGIN, 303)
        await self._desk.access.log_out(request, response)
        flash.add_toasts(response, c.Toast(c.ToastKind.DONE, "You are logged out."))
        return response

    def _respond(self, request: Request, page: object, status: int = 200) -> Response:
        response = self._desk.pages.respond(page, self._desk.viewer(request), status)
        flash.clear_toasts(request, response)
        return response


async def _form(request: Request) -> dict[str, str]:
    async with request.form(max_files=0, max_fields=10) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}
