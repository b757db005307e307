"""Servers of others as child processes: found, started, waited for, ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.errors import PairhubError

_READY_S: Final = 20.0
_STOP_S: Final = 8.0
# Debian keeps daemons where only root's PATH leads.
_MORE_PATH: Final = "/usr/sbin:/usr/local/sbin"


def find_program(name: str, package: str) -> str:
    """Return the path of a program; raises PairhubError naming the package where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path=_MORE_PATH)
    if found is None:
        raise PairhubError(
            f"{name} is not installed. Install it (Debian: apt-get install {package}), or start ./run bench peers, which does."
        )
    return found


async def version_of(*words: str) -> str:
    """Return the first line that a program prints when it is asked who it is."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return out.decode(errors="replace").strip().partition("\n")[0]


def free_ports(count: int) -> list[int]:
    """Return so many TCP ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Server:
    """A program that listens on a port of this machine."""

    def __init__(self, words: Sequence[str], port: int, log_path: Path) -> None:
        self.port = port
        self._words = words
        self._log_path = log_path
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens; raises PairhubError with the end of its log."""
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
            )
        try:
            async with asyncio.timeout(_READY_S):
                while not await self._listens():
                    if self._process.returncode is not None:
                        raise PairhubError(f"{self._words[0]} ended at its start. Its log:\n{self._log_end()}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise PairhubError(f"{self._words[0]} did not listen in time. Its log:\n{self._log_end()}") from None

    async def stop(self) -> None:
        """End it; killed where it takes too long."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _listens(self) -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False

    def _log_end(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")[-2_000:]
