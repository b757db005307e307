"""Runs a site: opens what it needs, serves its pages and API until told to stop, ends its streams, closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from connector.access import Access
from connector.app import make_app
from connector.settings import SiteSettings
from connector.site import Site
from shared.address_file import leave_address
from shared.clock import Clock
from shared.core.link_state import LinkState
from shared.data_directory import Residence
from shared.listening import front_of
from shared.served_certificate import served_certificate
from shared.service_manager import ServiceManager
from shared.serving import QuietServer, Server, configure, listen, url_of
from shared.supervision import supervised


@dataclass(frozen=True, slots=True)
class RunningSite:
    """A site that is being served."""

    site: Site
    access: Access
    url: str


async def serve(
    settings: SiteSettings,
    ready: Callable[[RunningSite], None],
    stop: asyncio.Event | None = None,
    clock: Clock | None = None,
    manager: ServiceManager | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set where it is given (signals are then left alone).

    `ready` is called once the site takes connections; `manager` is told then,
    too. Raises StorageFailed or SettingWrong where it cannot start.
    """
    front_of(settings)  # refuses, before anything is made
    with Residence(settings.data_dir) as residence:
        await _serve(settings, ready, stop, clock, manager or ServiceManager(), residence)


async def _serve(
    settings: SiteSettings,
    ready: Callable[[RunningSite], None],
    stop: asyncio.Event | None,
    clock: Clock | None,
    manager: ServiceManager,
    residence: Residence,
) -> None:
    listening = listen(settings.host, settings.port)
    async with manager.starting():
        site = await Site.open(settings, clock)
    try:
        site.certificate = tls = served_certificate(settings, settings.data_dir, site.clock)
        url = url_of(listening, is_tls=tls is not None)
        access = await Access.open(site, settings.data_dir)
        app = make_app(site, access)
        config = configure(app, None if tls is None else tls.context)
        config.lifespan = "on"  # the pages sample rates while the app lives

        async def end_streams() -> None:
            manager.stopping()
            app.state.stopping.set()

        def leave() -> None:
            leave_address(settings.data_dir, url, None if tls is None else tls.facts.pem)

        def put_back() -> None:
            """Leave everything in the directory again, where it was deleted with the database in it."""
            residence.renew()
            access.leave_files()
            leave()

        site.database.on_put_back = put_back

        def started() -> None:
            leave()
            manager.ready(_status(site, url))
            ready(RunningSite(site, access, url))

        server = (Server if stop is None else QuietServer)(config, end_streams, started)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(site.run())
            waiting = tasks.create_task(_ask_to_stop(server, stop))
            watching = tasks.create_task(manager.watch(site.database.beat, lambda: _status(site, url)))
            renewing = (
                None
                if tls is None
                else tasks.create_task(supervised("watching the certificate", lambda: tls.watch(server, leave)))
            )
            try:
                await server.serve(sockets=[listening])
            finally:
                if renewing is not None:
                    renewing.cancel()
                running.cancel()
                waiting.cancel()
                watching.cancel()
    finally:
        listening.close()
        await site.close()


def _status(site: Site, url: str) -> str:
    """Say in one line how the site stands, for `systemctl status`."""
    wanted = [runtime for runtime in site.runtimes.values() if runtime.pair is not None]
    linked = sum(runtime.view.state is LinkState.LINKED for runtime in wanted)
    counts = f"{len(site.runtimes)} connectors, {linked} of {len(wanted)} paired ones linked"
    problems = ["THE DISK REFUSES TO STORE"] if site.storage_problem else []
    problems += ["the clock is in doubt, nothing expires"] if site.guard.in_doubt else []
    return "; ".join([f"Site '{site.identity.site_name}' at {url}", counts, *problems])


async def _ask_to_stop(server: Server, stop: asyncio.Event | None) -> None:
    if stop is not None:
        await stop.wait()
        server.should_exit = True


@asynccontextmanager
async def running_site(settings: SiteSettings, clock: Clock | None = None) -> AsyncIterator[RunningSite]:
    """Serve a site for the time of a block, on a port of its own where `settings.port` is 0."""
    stop = asyncio.Event()
    started: asyncio.Future[RunningSite] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(serve(settings, started.set_result, stop, clock))
    await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
    if task.done():
        await task
    try:
        yield await started
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):
            await task
