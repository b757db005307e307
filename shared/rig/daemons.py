"""Daemons as child processes: started by their command line, watched until ready, stopped or killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
import psutil

from shared.errors import PairhubError
from shared.trust import trust_for

_READY_S = 30.0
_STOP_S = 8.0


class DaemonFailed(PairhubError):
    """A daemon ended, or did not become ready; `log` holds the end of what it wrote."""

    def __init__(self, name: str, why: str, log: str) -> None:
        super().__init__(f"{name} {why}. The end of its log:\n{log}")


class Daemon:
    """One daemon: `start`, then `stop` or `kill`, and `start` again on the same data."""

    def __init__(
        self,
        kind: str,
        name: str,
        flags: Mapping[str, object],
        data_dir: Path,
        url: str,
        program: Sequence[str] = ("-m", "pairhub"),
    ) -> None:
        """`kind` is hub or site; `flags` are its settings; `url` where it will listen; `program` what Python runs."""
        self.kind = kind
        self.name = name
        self.flags = dict(flags)
        self.data_dir = data_dir
        self.url = url
        self.program = tuple(program)
        self.log_path = data_dir.with_name(data_dir.name + ".log")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it answers; raises DaemonFailed."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, *self.program, self.kind, "serve", "--data-dir", str(self.data_dir)]
        for name, value in self.flags.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        with self.log_path.open("ab") as log:
            # A group of its own: a Ctrl-C at the terminal reaches the rig, which then ends its daemons in order.
            self._process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_environment(),
            )
        await self._until_ready()

    async def _until_ready(self) -> None:
        async with httpx2.AsyncClient(trust_env=False, verify=trust_for(self.url)) as http:
            end = asyncio.get_running_loop().time() + _READY_S
            while asyncio.get_running_loop().time() < end:
                if self._process is None or self._process.returncode is not None:
                    raise DaemonFailed(self.name, "ended at its start", self._log_end())
                with contextlib.suppress(httpx2.HTTPError, OSError):
                    if (await http.get(self.url + "/healthz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise DaemonFailed(self.name, f"was not ready within {_READY_S:.0f} s", self._log_end())

    def _log_end(self) -> str:
        with contextlib.suppress(OSError):
            return self.log_path.read_text(encoding="utf-8", errors="replace")[-3_000:]
        return ""

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process ID; 0 where it does not run."""
        return self._process.pid if self.running and self._process is not None else 0

    @property
    def rss_mib(self) -> float:
        """Resident memory of the process, MiB; 0 where it does not run."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20 if self.pid else 0.0

    async def stop(self) -> float:
        """End it with SIGTERM; returns the seconds it took. Killed where it takes longer than 8 s."""
        process = self._process
        if process is None or process.returncode is not None:
            return 0.0
        began = asyncio.get_running_loop().time()
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        return asyncio.get_running_loop().time() - began

    async def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def _environment() -> dict[str, str]:
    """The environment without settings of ours, so that flags alone say how a daemon runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PAIRHUB_")}
