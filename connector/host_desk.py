"""Which connectors report this machine as the device `host`, how often, and the tasks that do it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from connector.host import HOST_DEVICE, HostDevice
from connector.resources import NewResource
from shared.database import Database
from shared.errors import Refused
from shared.supervision import supervised

EVERY_S_MIN: Final = 0.1
EVERY_S_MAX: Final = 3_600.0


class HostDesk:
    """The host devices of one site. `start` runs those that are on; they end with the task group of the site."""

    def __init__(
        self,
        *,
        database: Database,
        create_device: Callable[[str, str, str, str], Awaitable[object]],
        create_resource: Callable[[str, NewResource], Awaitable[object]],
        report: Callable[[str, float], Coroutine[Any, Any, None]],
    ) -> None:
        """`create_*` make what is reported, `report` takes readings until cancelled: all of the site's."""
        self._database = database
        self._create_device = create_device
        self._create_resource = create_resource
        self._report = report
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start what is on."""
        self._tasks = tasks
        for connector_id, every_s in await self._database.read(_stored):
            self._start(connector_id, every_s)

    async def every_s(self, connector_id: str) -> float:
        """Return every how many seconds a connector reports this machine; 0 for not at all. Raises Refused('not_found')."""
        return (await self._database.read(lambda c: _read(c, connector_id)))[0]

    async def set(self, connector_id: str, every_s: float) -> None:
        """Report every so many seconds from now on, 0 for not any more; what was reported stays.

        Raises Refused('invalid', 'target_not_writable', 'not_found').
        """
        check_every_s(every_s)
        await self._database.read(lambda c: _check_takes(c, connector_id))
        if every_s:
            await self._prepare(connector_id)
        await self._database.write(lambda c: _store(c, connector_id, every_s))
        self.stop(connector_id)
        if every_s:
            self._start(connector_id, every_s)

    def stop(self, connector_id: str) -> None:
        """End what reports for a connector."""
        running = self._running.pop(connector_id, None)
        if running is not None:
            running.cancel()

    def _start(self, connector_id: str, every_s: float) -> None:
        assert self._tasks is not None
        reporting = supervised(
            "reporting this machine", lambda: self._report(connector_id, every_s), {"connector": connector_id}
        )
        self._running[connector_id] = self._tasks.create_task(reporting)

    async def _prepare(self, connector_id: str) -> None:
        """Make the device and its resources where they are not there, or were deleted."""
        with _unless_there():
            await self._create_device(
                connector_id, HOST_DEVICE, "This machine", "CPU, memory, disk, network of this machine"
            )
        for resource in await asyncio.to_thread(lambda: HostDevice().resources()):
            with _unless_there():
                await self._create_resource(
                    connector_id, NewResource(alias=resource.alias, format="number", unit=resource.unit)
                )


@contextmanager
def _unless_there() -> Iterator[None]:
    """Go on where the thing is there already."""
    try:
        yield
    except Refused as refused:
        if refused.code != "exists":
            raise


def check_every_s(every_s: float) -> None:
    """Raise Refused('invalid') where this is no interval."""
    if every_s and not EVERY_S_MIN <= every_s <= EVERY_S_MAX:
        raise Refused("invalid", what="host_every_s", why="it takes 0 (none) or 0.1 to 3600 seconds")


def _stored(connection: sqlite3.Connection) -> list[tuple[str, float]]:
    rows = connection.execute("SELECT connector_id, host_every_s FROM connector WHERE host_every_s > 0")
    return [(row[0], row[1]) for row in rows]


def _read(connection: sqlite3.Connection, connector_id: str) -> tuple[float, str, str]:
    row = connection.execute(
        "SELECT host_every_s, role, peer_site_name FROM connector LEFT JOIN pair USING (connector_id)"
        " WHERE connector_id = ?",
        (connector_id,),
    ).fetchone()
    if row is None:
        raise Refused("not_found", what="connector")
    return row[0], row[1], row[2] or "its source"


def _check_takes(connection: sqlite3.Connection, connector_id: str) -> None:
    """A target takes readings from its source only (G19)."""
    _, role, source = _read(connection, connector_id)
    if role == "target":
        raise Refused("target_not_writable", source=source)


def _store(connection: sqlite3.Connection, connector_id: str, every_s: float) -> None:
    _check_takes(connection, connector_id)
    connection.execute("UPDATE connector SET host_every_s = ? WHERE connector_id = ?", (every_s, connector_id))
