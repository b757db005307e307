"""The hub's routes in one place, and the guards around them."""

from __future__ import annotations

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.access import Access
from hub.api import Api
from hub.enrolment import Joining
from hub.hub import Hub
from hub.links import serve_link
from hub.metrics import metrics_route
from hub.pages import HubPages
from shared.errors import PairhubError
from shared.joining import LINK_PATH
from shared.listening import front_of
from shared.metrics import CountedRequests, Metrics
from web.csrf import CrossSiteGuard
from web.front_door import FrontDoor
from web.headers import SecurityHeaders
from web.updates import ChangeBell

# Handlers below these never look at cookies.
_PROGRAM_PREFIXES = ("/connector/", "/api/")


class LinksFirst:
    """ASGI middleware: links are served before all that is about browsers; their admission refuses those itself."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a link, or pass on."""
        if scope["type"] == "websocket" and scope["path"] == LINK_PATH:
            await serve_link(WebSocket(scope, receive, send), self._hub)
        else:
            await self._app(scope, receive, send)


def create_app(hub: Hub, access: Access, bell: ChangeBell, stopping: anyio.Event) -> Starlette:
    """Return the ASGI app of a hub; whoever made the hub ends it. `stopping` ends the update streams of pages."""
    pages = HubPages(hub, access, bell, stopping)
    metrics = Metrics()

    app = Starlette(
        routes=[
            *Api(hub, access).routes(),
            *Joining(hub).routes(),
            metrics_route(hub, access, metrics),
            *pages.routes(),
        ],
        middleware=[
            Middleware(FrontDoor, front=front_of(hub.settings), certificate=hub.certificate),
            Middleware(LinksFirst, hub=hub),
            Middleware(CountedRequests, metrics=metrics),
            Middleware(SecurityHeaders),
            Middleware(CrossSiteGuard, program_prefixes=_PROGRAM_PREFIXES),
        ],
        exception_handlers={
            HTTPException: pages.on_error,
            PairhubError: pages.on_error,
            Exception: pages.on_error,
        },
    )
    app.state.hub = hub
    return app
