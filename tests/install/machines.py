"""Machines on this one: each with a network, a /etc and a /var/lib of its own, and a manager that starts a unit there."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shlex
import signal
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from shared.rig.daemons import Daemon
from tests.e2e.stage import Site
from tests.install.installed import PLACE, PROGRAM, run

_CLONE_NEWNET: Final = 0x40000000
_READY_S: Final = 40
# Nothing of the environment that the tests run in; what a system service has.
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}
# What the machine's own files cover is read-only but for /var/lib, as the units want it (ProtectSystem=strict).
_ENTER: Final = f"""
    mount --bind "$0/var-lib" /var/lib && mount --bind "$0/etc" /etc && mount --bind "$1" {PLACE} &&
    mount -o remount,bind,ro /etc && mount -o remount,bind,ro {PLACE} && shift && cd / && umask 0077 && exec "$@"
"""


class Machine:
    """A network namespace, a directory that holds its /etc and /var/lib, and the one unit that runs there."""

    def __init__(self, name: str, folder: Path, opt: Path) -> None:
        self.name = name
        self.namespace = f"pairhub-{os.getpid()}-{name}"
        self.folder = folder
        self._opt = opt
        self._process: asyncio.subprocess.Process | None = None
        self._manager: socket.socket | None = None
        (folder / "var-lib").mkdir(parents=True)
        (folder / "etc" / "pairhub").mkdir(parents=True)

    def ip(self, *words: str) -> None:
        """Change something of this machine's network with `ip`."""
        run("ip", "-n", self.namespace, *words)

    def call(self, *words: str, program: Path = PROGRAM) -> str:
        """Run the installed program, or another, on this machine; return what it says."""
        return run(*self._entered(program, *words), env=_ENVIRONMENT)

    def _entered(self, *words: str | Path) -> list[str]:
        enter = ["ip", "netns", "exec", self.namespace, "sh", "-c", _ENTER, self.folder, self._opt, *words]
        return list(map(str, enter))

    # --- the unit -----------------------------------------------------------------------------------------------------

    async def start(self, kind: str) -> None:
        """Start the unit of a hub or site as systemd would; return once it has said that it is ready.

        State directory, umask, clean environment, notify socket and watchdog as the unit says. Its fence (DynamicUser
        and what follows) is systemd's own: tests/test_service_units.py lets systemd judge it.
        """
        unit = _settings((self._opt / "units" / f"pairhub-{kind}.service").read_text())
        state = self.folder / "var-lib" / unit["StateDirectory"]
        state.mkdir(mode=int(unit["StateDirectoryMode"], 8), exist_ok=True)
        words = shlex.split(unit["ExecStart"].replace("%S", "/var/lib"))
        assert (words[0], unit["Type"], unit["UMask"]) == (str(PROGRAM), "notify", "0077")
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify = self.folder / "notify"
        notify.unlink(missing_ok=True)
        self._manager.bind(str(notify))
        self._manager.setblocking(False)
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._entered(*words),
                env={
                    **_ENVIRONMENT,
                    "NOTIFY_SOCKET": str(notify),
                    "WATCHDOG_USEC": str(int(unit["WatchdogSec"]) * 1_000_000),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self._until_told("READY=1")

    async def _until_told(self, wanted: str) -> None:
        assert self._manager is not None
        assert self._process is not None
        told = asyncio.ensure_future(self._hear(self._manager, wanted))
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait({told, ended}, timeout=_READY_S, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await asyncio.wait({told}, timeout=1)  # what it said last may not have been read yet
        heard = told.done()
        told.cancel()
        ended.cancel()
        assert heard, f"{self.name} did not say {wanted}:\n{(self.folder / 'log').read_text()[-3_000:]}"

    @staticmethod
    async def _hear(manager: socket.socket, wanted: str) -> None:
        while wanted not in (await asyncio.get_running_loop().sock_recv(manager, 65_536)).decode().splitlines():
            pass

    async def stop(self) -> None:
        """Stop the unit as systemd would; the daemon says that it stops and ends well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        await self._until_told("STOPPING=1")
        assert await asyncio.wait_for(self._process.wait(), 15) == 0
        self._close_manager()

    async def remove(self) -> None:
        """End what runs and take the network away."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._close_manager()
        with contextlib.suppress(AssertionError):  # it was never added
            run("ip", "netns", "delete", self.namespace)

    def _close_manager(self) -> None:
        if self._manager is not None:
            self._manager.close()
            self._manager = None


def _settings(text: str) -> dict[str, str]:
    """Return what a unit says, by name; of a name that stands there twice, the last."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


class Door:
    """A port of this machine that leads to one of another machine's loopback, for those who ask its API."""

    def __init__(self, machine: Machine, port: int) -> None:
        self._machine = machine
        self._port = port
        # The thread stays in the other network for good, so it is nobody else's.
        self._thread = ThreadPoolExecutor(1, initializer=self._enter)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def _enter(self) -> None:
        with Path("/run/netns", self._machine.namespace).open() as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def _dial(self) -> socket.socket:
        dialled = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        dialled.setblocking(False)
        return dialled

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the door open for the time of a block."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._thread.shutdown()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            dialled = await asyncio.get_running_loop().run_in_executor(self._thread, self._dial)
            inside_reader, inside_writer = await asyncio.open_connection(sock=dialled)
            await asyncio.gather(_pump(reader, inside_writer), _pump(inside_reader, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()


class InstalledSite(Site):
    """A site that a machine runs, asked through a door; it has no proxy, as its machine's cable can be pulled."""

    def __init__(self, machine: Machine, door: Door) -> None:
        data_dir = machine.folder / "var-lib" / "pairhub-site" / "data"
        self.name = machine.name
        self.daemon = Daemon("site", machine.name, {}, data_dir, door.url)
        self._clients = {}
