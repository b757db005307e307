"""A tiny application that shows every sample page with the real middleware, and streams updates to one of them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import uvicorn
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tests.web import samples
from tests.web.samples.frame import CONNECTOR_ID, NOW_MS
from tests.web.samples.messages import CONFIRM
from tests.web.samples.overview import OVERVIEW
from tests.web.samples.resources import RESOURCES
from web import contexts as c
from web.csrf import CrossSiteGuard
from web.headers import SecurityHeaders
from web.preferences import preference_routes
from web.rendering import Pages
from web.static_files import static_mount
from web.updates import ChangeBell, update_response
from web.viewer import Viewer


@dataclass(slots=True)
class World:
    """What the pages show and tests change."""

    bell: ChangeBell = field(default_factory=ChangeBell)
    queued_count: int = 5
    is_session_open: bool = True
    is_synced: bool = False
    streams_refused: bool = False
    stopping: anyio.Event = field(default_factory=anyio.Event)

    def drop_streams(self) -> None:
        """End the streams that are open now; new ones may come."""
        self.stopping.set()
        self.stopping = anyio.Event()


def sample_app(world: World) -> Starlette:
    """Return the application over one world."""
    pages = Pages()

    def viewer(request: Request) -> Viewer:
        return Viewer.of(request, NOW_MS)

    async def show(request: Request) -> Response:
        page = samples.PAGES.get(request.path_params["name"])
        if page is None:
            raise HTTPException(404)
        return pages.respond(page, viewer(request))

    def live_parts() -> tuple[c.BacklogCard, c.RepairsCard]:
        assert OVERVIEW.backlog
        backlog = replace(OVERVIEW.backlog, tail_count=world.queued_count, outbox_count=0, held_count=0)
        return (backlog, OVERVIEW.repairs)

    async def live(request: Request) -> Response:
        backlog, _ = live_parts()
        frame = replace(OVERVIEW.shell, updates_url="/live/updates")
        page = replace(OVERVIEW, shell=frame, backlog=backlog)
        return pages.respond(page, viewer(request))

    async def updates(request: Request) -> Response:
        if world.streams_refused:
            raise HTTPException(503)
        seen_by = viewer(request)

        async def render() -> dict[str, str]:
            return pages.fragments(live_parts(), seen_by)

        async def is_open() -> bool:
            return world.is_session_open

        return update_response(world.bell.ticks(), render, is_open, stopping=world.stopping, refresh_s=0.2, beat_s=0.5)

    async def resources(request: Request) -> Response:
        rows = tuple(replace(row, is_synced=world.is_synced) for row in RESOURCES.table.rows[:1])
        page = replace(RESOURCES, table=replace(RESOURCES.table, rows=rows))
        return pages.respond(page, viewer(request))

    async def switch(request: Request) -> Response:
        async with request.form() as form:
            world.is_synced = form["is_synced"] == "on"
        return RedirectResponse(f"/connectors/{CONNECTOR_ID}/resources", 303)

    async def confirm(request: Request) -> Response:
        return pages.respond(CONFIRM, viewer(request))

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        page = c.ErrorPage(error.status_code, "Refused", "No.", "Because.", "Go on.", place_name="hillside")
        return pages.respond(page, viewer(request), error.status_code)

    return Starlette(
        routes=[
            Route("/samples/{name}", show),
            Route("/live", live),
            Route("/live/updates", updates),
            Route(f"/connectors/{CONNECTOR_ID}/resources", resources),
            Route(f"/connectors/{CONNECTOR_ID}/resources/cpu_percent/remote-sync", switch, methods=["POST"]),
            Route("/api-key/{key_id}/revoke", confirm),
            *preference_routes(),
            static_mount(),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(CrossSiteGuard)],
        exception_handlers={HTTPException: on_error},
    )


@contextlib.asynccontextmanager
async def running_app(world: World, port: int = 0) -> AsyncIterator[str]:
    """Serve the application on a free port; yield its address."""
    config = uvicorn.Config(
        sample_app(world), port=port, log_level="warning", timeout_graceful_shutdown=2, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        with anyio.fail_after(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await anyio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            world.stopping.set()
            server.should_exit = True
