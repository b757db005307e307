"""Runs a hub: opens what it needs, serves until told to stop, drains, closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from hub.access import SETUP_TOKEN_FILE, Access
from hub.app import create_app
from hub.housekeeping import keep_house
from hub.hub import Hub
from hub.keys import load_or_make_key
from hub.settings import HubSettings
from hub.store.interface import HubStore
from hub.store.sqlite import SqliteStore
from shared.clock import Clock, SystemClock
from shared.serving import QuietServer, Server, configure, listen, url_of
from web.updates import ChangeBell

_log = logging.getLogger(__name__)
ADDRESS_FILE = "address"


async def serve(
    settings: HubSettings, *, ready: Callable[[str], None] | None = None, stop: asyncio.Event | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set where it is given (signals are then left alone).

    `ready` is called with the hub's address once it takes connections. Raises StorageFailed or SettingWrong where the
    hub cannot start.
    """
    await _serve(settings, ready=lambda _, url: ready(url) if ready is not None else None, stop=stop)


async def _serve(
    settings: HubSettings,
    *,
    ready: Callable[[Hub, str], None],
    stop: asyncio.Event | None,
    clock: Clock | None = None,
) -> None:
    key = load_or_make_key(settings.key_path)

    async def open_store() -> HubStore:
        return await SqliteStore.open(settings.data_dir)

    listening = listen(settings.host, settings.port)
    url = url_of(listening)
    bell, stopping = ChangeBell(), anyio.Event()
    store = await open_store()
    async with asyncio.TaskGroup() as tasks:
        hub = Hub(settings, key, store, clock=clock or SystemClock(), tasks=tasks, on_change=bell.ring)
        await hub.load()
        access = await Access.open(hub)

        async def leave_files() -> None:
            await access.refresh()
            if not access.is_set_up:
                _log.warning("Set the hub up again, with the token in %s", settings.data_dir / SETUP_TOKEN_FILE)
            (settings.data_dir / ADDRESS_FILE).write_text(url + "\n", encoding="utf-8")

        async def drain() -> None:
            stopping.set()
            await hub.drain()

        def started() -> None:
            (settings.data_dir / ADDRESS_FILE).write_text(url + "\n", encoding="utf-8")
            ready(hub, url)

        keeper = tasks.create_task(keep_house(hub, open_store, leave_files))
        config = configure(create_app(hub, access, bell, stopping))
        server = (Server if stop is None else QuietServer)(config, drain, started)
        waiter = tasks.create_task(_stop(server, stop))
        try:
            await server.serve(sockets=[listening])
        finally:
            keeper.cancel()
            waiter.cancel()
            listening.close()
    await hub.store.close()


async def _stop(server: Server, stop: asyncio.Event | None) -> None:
    if stop is not None:
        await stop.wait()
        server.should_exit = True


@dataclass(slots=True)
class RunningHub:
    """A hub that serves in this process."""

    hub: Hub
    url: str
    _stop: asyncio.Event
    _task: asyncio.Task[None]

    async def stop(self) -> None:
        """Drain and end; returns when all is closed."""
        self._stop.set()
        await self._task


@asynccontextmanager
async def running_hub(settings: HubSettings, *, clock: Clock | None = None) -> AsyncIterator[RunningHub]:
    """Run a hub for the time of a block, on a port of its own where `settings.port` is 0."""
    started: asyncio.Future[tuple[Hub, str]] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(
        _serve(settings, ready=lambda hub, url: started.set_result((hub, url)), stop=stop, clock=clock)
    )
    waited: list[asyncio.Future[Any]] = [task, started]
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    hub, url = await started
    running = RunningHub(hub, url, stop, task)
    try:
        yield running
    finally:
        await running.stop()
