"""Runs a hub: opens what it needs, serves until told to stop, drains, closes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any

import anyio

from hub.access import SETUP_TOKEN_FILE, Access
from hub.app import create_app
from hub.housekeeping import keep_house
from hub.hub import Hub
from hub.keys import load_or_make_key
from hub.settings import HubSettings
from hub.store.interface import HubStore
from hub.store.sqlite import DATABASE_NAME, SqliteStore
from shared.address_file import leave_address
from shared.clock import Clock, SystemClock
from shared.data_directory import Residence
from shared.disk_reserve import DiskReserve
from shared.limits import SECOND_MS
from shared.listening import front_of
from shared.notices.settings import notice_channels
from shared.served_certificate import served_certificate
from shared.service_manager import ServiceManager
from shared.serving import QuietServer, Server, configure, listen, url_of
from shared.supervision import supervised
from web.updates import ChangeBell

_log = logging.getLogger(__name__)


async def serve(
    settings: HubSettings,
    *,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    manager: ServiceManager | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set where it is given (signals are then left alone).

    `ready` is called with the hub's address once it takes connections; `manager` is told then,
    too. Raises StorageFailed or SettingWrong where the hub cannot start.
    """
    told = manager or ServiceManager()
    await _serve(settings, ready=lambda _, url: ready(url) if ready is not None else None, stop=stop, manager=told)


async def _serve(
    settings: HubSettings,
    *,
    ready: Callable[[Hub, str], None],
    stop: asyncio.Event | None,
    manager: ServiceManager,
    clock: Clock | None = None,
) -> None:
    key = load_or_make_key(settings.key_path)
    bell = ChangeBell()
    clock = clock or SystemClock()
    front_of(settings)  # refuses, before anything is made; so does the next
    channels = notice_channels(settings, lambda: clock.wall_ms() / SECOND_MS)
    with Residence(settings.data_dir) as residence, closing(listen(settings.host, settings.port)) as listening:
        async with manager.starting():
            reserve = _reserve(settings, clock)
            store = await SqliteStore.open(settings.data_dir, reserve)
        async with asyncio.TaskGroup() as tasks, _closed_at_the_end(store) as current:
            hub = Hub(settings, key, store, clock=clock, tasks=tasks, on_change=bell.ring, channels=channels)
            current.append(hub)
            await hub.load()
            hub.certificate = served_certificate(settings, settings.data_dir, SystemClock())
            url = url_of(listening, is_tls=hub.certificate is not None)
            service = _Service(hub, await Access.open(hub), url, bell, manager, residence, reserve)
            await service.run(tasks, listening, ready, stop)


def _reserve(settings: HubSettings, clock: Clock) -> DiskReserve:
    return DiskReserve(settings.data_dir / DATABASE_NAME, settings.disk_reserve_bytes, clock, "no copies are kept")


@asynccontextmanager
async def _closed_at_the_end(store: HubStore) -> AsyncIterator[list[Hub]]:
    """Close the store at the end: that of the hub in the list, which may have got another one, where there is one."""
    current: list[Hub] = []
    try:
        yield current
    finally:
        await (current[0].store if current else store).close()


@dataclass(slots=True)
class _Service:
    """A hub with its doors, while it is being served."""

    hub: Hub
    access: Access
    url: str
    bell: ChangeBell
    manager: ServiceManager
    residence: Residence
    reserve: DiskReserve
    stopping: anyio.Event = field(default_factory=anyio.Event)

    async def run(
        self,
        tasks: asyncio.TaskGroup,
        listening: socket.socket,
        ready: Callable[[Hub, str], None],
        stop: asyncio.Event | None,
    ) -> None:
        """Serve to the end."""

        def started() -> None:
            self._leave_address()
            self.manager.ready(self._status())
            ready(self.hub, self.url)

        app = create_app(self.hub, self.access, self.bell, self.stopping)
        tls = self.hub.certificate
        config = configure(app, None if tls is None else tls.context)
        server = (Server if stop is None else QuietServer)(config, self._drain, started)
        beside = [
            tasks.create_task(keep_house(self.hub, self._open_store, self._leave_files)),
            tasks.create_task(supervised("looking for repairs", self.hub.repairs.run)),
            tasks.create_task(_stop(server, stop)),
            *(
                []
                if tls is None
                else [
                    tasks.create_task(
                        supervised("watching the certificate", lambda: tls.watch(server, self._leave_address))
                    )
                ]
            ),
            tasks.create_task(self.manager.watch(lambda: self.hub.store.beat(), self._status)),
        ]
        try:
            await server.serve(sockets=[listening])
        finally:
            for task in beside:
                task.cancel()

    async def _open_store(self) -> HubStore:
        self.residence.renew()
        return await SqliteStore.open(self.hub.settings.data_dir, self.reserve)

    async def _leave_files(self) -> None:
        await self.access.refresh()
        if not self.access.is_set_up:
            path = self.hub.settings.data_dir / SETUP_TOKEN_FILE
            _log.warning("Set the hub up again, with the token in %s", path)
        self._leave_address()

    def _leave_address(self) -> None:
        """Tell the local command line where this hub listens."""
        tls = self.hub.certificate
        leave_address(self.hub.settings.data_dir, self.url, None if tls is None else tls.facts.pem)

    def _status(self) -> str:
        """Say in one line how the hub stands, for `systemctl status`."""
        hub, failing = self.hub, self.hub.store.figures().failing
        counts = f"{len(hub.links)} links, {hub.registry.pairs_count} pairs, {len(hub.sites)} sites"
        return f"Listening at {self.url}; {counts}" + ("; THE DISK REFUSES TO STORE" if failing else "")

    async def _drain(self) -> None:
        self.manager.stopping()
        self.stopping.set()
        await self.hub.drain()


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
        _serve(
            settings,
            ready=lambda hub, url: started.set_result((hub, url)),
            stop=stop,
            clock=clock,
            manager=ServiceManager(),
        )
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
