"""Telling the service manager how a daemon fares: ready, a line of status, alive, stopping (sd_notify(3)).

The watchdog is fed only after a round through the event loop *and* the database's writer thread, so that a daemon in
which either hangs is started afresh. A disk that refuses is no hang: it is answered, shown and waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

_log = logging.getLogger(__name__)
# How often the line of status is renewed where no watchdog asks for more.
_STATUS_EVERY_S: Final = 10.0
# While a start goes on (an upgrade copies the database first), the manager is asked for this much more, this often.
_EXTEND_S: Final = 60
_EXTEND_EVERY_S: Final = 15.0


class ServiceManager:
    """The manager that started this process, or nobody: then every call does nothing."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        """`address` is what NOTIFY_SOCKET names; `watchdog_s` is the time after which silence means death."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._stopping = False

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> ServiceManager:
        """Read the manager's wishes; a WATCHDOG_PID of another process is not for us."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        return cls(address, int(usec) / 1e6 if ours and usec.isdigit() and int(usec) > 0 else None)

    @property
    def listens(self) -> bool:
        """Whether anybody is told."""
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send assignments such as `READY=1`. A manager that does not take them never stops the daemon."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.settimeout(1)
            out.sendto("\n".join(lines).encode(), self._address)

    def ready(self, status: str) -> None:
        """The daemon takes connections."""
        self.tell("READY=1", _status(status))

    def stopping(self) -> None:
        """The daemon ends; called once or more."""
        if not self._stopping:
            self._stopping = True
            self.tell("STOPPING=1", _status("Stopping: parting from everybody and storing what is in memory"))

    @contextlib.asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Ask for more time for as long as the block takes: the start of an upgraded daemon copies its database."""
        if not self._address:
            yield
            return
        self.tell(_status("Starting: opening the database"))
        asking = asyncio.create_task(self._ask_for_time())
        try:
            yield
        finally:
            asking.cancel()

    async def _ask_for_time(self) -> None:
        while True:
            self.tell(f"EXTEND_TIMEOUT_USEC={_EXTEND_S * 1_000_000}")
            await asyncio.sleep(_EXTEND_EVERY_S)

    async def watch(self, beat: Callable[[], Awaitable[None]], status: Callable[[], str]) -> None:
        """Feed the watchdog and renew the line of status until cancelled.

        `beat` comes back once the writer thread has done something; for as long as it does not, nothing is fed.
        """
        if not self._address:
            return
        every_s = _STATUS_EVERY_S if self.watchdog_s is None else min(_STATUS_EVERY_S, self.watchdog_s / 3)
        while True:
            beating = asyncio.ensure_future(beat())
            try:
                while not (await asyncio.wait({beating}, timeout=every_s))[0]:
                    _log.error("the database's writer does not answer; the watchdog is not fed")
            finally:
                beating.cancel()
            beating.result()
            if not self._stopping:
                self.tell(*(["WATCHDOG=1"] if self.watchdog_s is not None else []), _status(status()))
            await asyncio.sleep(every_s)


def this_process() -> ServiceManager:
    """Return the manager that started this process."""
    return ServiceManager.of(os.environ, os.getpid())


def _status(text: str) -> str:
    return "STATUS=" + text.replace("\n", " ")
