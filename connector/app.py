"""The site's web application: static files, pages, the API, health, and the guards around them all."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from connector.access import Access
from connector.api import api_routes
from connector.api.readings_door import ReadingsDoor
from connector.api.readings_short_way import ReadingsShortWay
from connector.body_limit import BodyLimit
from connector.health import health_routes
from connector.metrics import fill, metrics_route
from connector.pages import failures
from connector.pages.frame import Desk
from connector.pages.routes import page_routes
from connector.pages.samples import ASKING, SAMPLING, Samples
from connector.pages.situation import look, take_sample
from connector.site import Site
from shared.errors import StorageFailed
from shared.limits import INGEST_BODY_BYTES_MAX
from shared.listening import front_of
from shared.metrics import CountedRequests, Metrics
from shared.short_way import SHORT_WAY_KEY
from shared.supervision import supervised
from web.csrf import CrossSiteGuard
from web.front_door import FrontDoor
from web.headers import SecurityHeaders
from web.preferences import preference_routes
from web.static_files import static_mount

API_PREFIX: Final = "/api/"
# The largest form is an import of devices: a megabyte of rows, and what a form wraps around them.
FORM_BODY_BYTES_MAX: Final = 2 * 1024 * 1024
_SWEEP_S: Final = 3_600.0


def make_app(site: Site, access: Access) -> Starlette:
    """Return the ASGI app of a site. Set `app.state.stopping` to end update streams before the server stops."""
    desk = Desk(site, access, Samples(site), anyio.Event())
    metrics = Metrics()
    site.repairs.look = lambda connector_id: look(site, desk.samples, connector_id)

    async def scrape() -> str:
        return metrics.text(await fill(site, desk.samples))

    site.repairs.scrape = scrape

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        tasks = [
            asyncio.create_task(supervised(what, work, told=site.on_stopped))
            for what, work in (
                (SAMPLING, lambda: desk.samples.run(lambda runtime: take_sample(site, desk.samples, runtime))),
                (ASKING, desk.samples.run_canaries),
                ("forgetting sessions", lambda: _forget_sessions(site, access)),
            )
        ]
        door = FrontDoor(app, front_of(site.settings), site.certificate)
        try:
            yield {SHORT_WAY_KEY: ReadingsShortWay(site=site, access=access, front_door=door, metrics=metrics)}
        finally:
            desk.stopping.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    routes: list[BaseRoute] = [
        *health_routes(site, desk.samples),
        metrics_route(site, access, desk.samples, metrics),
        *api_routes(site, access),
        *page_routes(desk),
        *preference_routes(),
        static_mount(),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(FrontDoor, front=front_of(site.settings), certificate=site.certificate),
            Middleware(CountedRequests, metrics=metrics),
            Middleware(SecurityHeaders),
            Middleware(failures.LastResort, desk=desk, make_id=_make_id),
            Middleware(ReadingsDoor, site=site, access=access),
            # Handlers of the API look at cookies through Access.require only, which obeys the same rule.
            Middleware(CrossSiteGuard, program_prefixes=(API_PREFIX,)),
            Middleware(BodyLimit, most=FORM_BODY_BYTES_MAX, api_prefix=API_PREFIX, api_most=INGEST_BODY_BYTES_MAX),
        ],
        exception_handlers=failures.handlers(desk, _make_id),
        lifespan=lifespan,
    )
    app.state.stopping = desk.stopping
    return app


async def _forget_sessions(site: Site, access: Access) -> None:
    """Take expired sessions out of the database now and then."""
    while True:
        await asyncio.sleep(_SWEEP_S)
        if site.guard.in_doubt:
            continue
        with contextlib.suppress(StorageFailed):
            await access.sessions.sweep(site.clock.wall_ms())


def _make_id() -> str:
    return secrets.token_hex(5)
