"""The one preference with a form of its own: the theme. Works without scripts; the zone cookie is set by a script."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route

from web import paths
from web.viewer import THEME_COOKIE, theme_named

_YEAR_S = 365 * 24 * 3600


async def choose_theme(request: Request) -> RedirectResponse:
    """Remember the theme named in the form and go back to the page that sent it."""
    async with request.form(max_files=0, max_fields=4) as form:
        theme = theme_named(str(form.get("theme", "")))
    response = RedirectResponse(local_path(request.headers.get("referer", "")), 303)
    response.set_cookie(THEME_COOKIE, theme.value, max_age=_YEAR_S, samesite="lax", path="/")
    return response


def local_path(address: str) -> str:
    """Return the path and query of an address as a safe place to redirect to on this server; `/` where it is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return paths.HOME
    path = parts.path
    if not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(each) < 33 for each in path):
        return paths.HOME
    return f"{path}?{parts.query}" if parts.query else path


def preference_routes() -> list[Route]:
    """Return the routes that site and hub add to their own."""
    return [Route(paths.THEME, choose_theme, methods=["POST"])]
