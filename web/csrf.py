"""Refuse requests that another web site made a browser send.

An unsafe method passes where the browser says `Sec-Fetch-Site: same-origin` or `none`, or, where it does not say (plain
http on a LAN), where `Origin` matches `Host`. A request with neither header is refused too; handlers that serve
programs and never look at cookies are named by their path prefixes. A WebSocket upgrade by a browser always carries
`Origin`, and obeys the same rule; one without it comes from a program, which brings no cookies.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN_SITES = frozenset({"same-origin", "none"})
REFUSAL = (
    "This request was refused because it did not come from a page of this server.\n"
    "Open the page again and repeat what you did. Behind a proxy, check that it passes the Host header unchanged, "
    "port included.\n"
)


def is_own_request(method: str, scheme: str, headers: Mapping[str, str]) -> bool:
    """Tell whether an HTTP request may be acted upon. `scheme` is `http` or `https`, as the server sees it."""
    if method in SAFE_METHODS:
        return True
    site = headers.get("sec-fetch-site")
    return site in _OWN_SITES if site is not None else is_own_origin(scheme, headers)


def is_own_upgrade(scheme: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a WebSocket upgrade may go on. `scheme` is `ws` or `wss`."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITES:
        return False
    if headers.get("origin") is None:
        return True
    return is_own_origin("https" if scheme == "wss" else "http", headers)


def is_own_origin(scheme: str, headers: Mapping[str, str]) -> bool:
    """Tell whether `Origin` is present and names this very server.

    An https origin is taken also where the server sees http, because a proxy may have ended TLS; never the other way.
    """
    origin, host = headers.get("origin"), headers.get("host")
    if not origin or not host:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {scheme, "https"} and bool(parts.netloc) and parts.netloc.lower() == host.lower()


class CrossSiteGuard:
    """ASGI middleware for the rule above. `program_prefixes` are paths whose handlers never look at cookies."""

    def __init__(self, app: ASGIApp, program_prefixes: tuple[str, ...] = ()) -> None:
        self.app = app
        self.program_prefixes = program_prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 where the rule is broken, otherwise pass on."""
        if scope["type"] == "http":
            is_for_programs = bool(self.program_prefixes) and scope["path"].startswith(self.program_prefixes)
            if not is_for_programs and not is_own_request(scope["method"], scope["scheme"], Headers(scope=scope)):
                await PlainTextResponse(REFUSAL, 403)(scope, receive, send)
                return
        elif scope["type"] == "websocket" and not is_own_upgrade(scope["scheme"], Headers(scope=scope)):
            # Closing before accepting makes the server answer 403.
            await send({"type": "websocket.close", "code": 1008, "reason": "cross-site"})
            return
        await self.app(scope, receive, send)
