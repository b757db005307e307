"""The systemd units, and what daemons tell the service manager: systemd's own tools, real processes, a socket of ours."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from shared.database import Database
from shared.errors import PairhubError
from shared.exit_codes import ExitCode
from shared.service_manager import ServiceManager
from shared.units import UNIT_NAMES, unit_texts, write_units

# What `systemd-analyze security` gives, out of 10: "OK"; what is left is network access, which is the job.
EXPOSURE_MOST = 1.1
TIMEOUT_S = 20


@contextmanager
def notify_socket(folder: Path) -> Iterator[socket.socket]:
    """A service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(folder / "notify"))
        made.setblocking(False)
        yield made


async def told(manager: socket.socket) -> dict[str, str]:
    """The next message."""
    message = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(manager, 65_536), TIMEOUT_S)
    return dict(row.split("=", 1) for row in message.decode().splitlines())


async def told_with(manager: socket.socket, name: str) -> dict[str, str]:
    """The next message that assigns a name."""
    while name not in (found := await told(manager)):
        pass
    return found


def units(folder: Path) -> dict[str, Path]:
    """The units as `pairhub units` writes them, with a program that is there."""
    written = write_units(unit_texts(Path("/bin/true")), folder)
    return {path.name: path for path in written}


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_systemd_finds_nothing_wrong_with_a_unit_and_little_exposed(name: str, tmp_path: Path) -> None:
    unit = units(tmp_path)[name]
    verified = analyze("verify", "--man=no", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MOST * 10:.0f}", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert exposure is not None, judged.stderr
    assert float(exposure[1]) <= EXPOSURE_MOST, judged.stdout
    assert judged.returncode == 0


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_a_unit_says_how_its_daemon_is_watched_and_where_its_state_lies(name: str) -> None:
    text = unit_texts(Path("/opt/pairhub/bin/pairhub"))[name]
    lines = text.splitlines()
    assert "Type=notify" in lines
    assert any(line.startswith("WatchdogSec=") for line in lines)
    assert f"StateDirectory={name.removesuffix('.service')}" in lines
    assert "StateDirectoryMode=0700" in lines
    final = {ExitCode.WRONG_USE, ExitCode.DATABASE_NEWER, ExitCode.CONFIGURATION}
    assert f"RestartPreventExitStatus={' '.join(str(int(code)) for code in sorted(final))}" in lines


def test_units_name_the_program_that_wrote_them_unless_they_would_hide_it() -> None:
    text = unit_texts(Path("/srv/venv/bin/pairhub"))["pairhub-site.service"]
    assert "ExecStart=/srv/venv/bin/pairhub site serve" in text
    assert "/opt/pairhub" not in text
    with pytest.raises(PairhubError, match="lies under /home"):
        unit_texts(Path("/home/ann/venv/bin/pairhub"))
    with pytest.raises(PairhubError, match="cannot name"):
        unit_texts(Path("/srv/my venv/bin/pairhub"))


def test_units_that_cannot_be_written_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(PairhubError, match="cannot be written: No such file"):
        write_units(unit_texts(Path("/bin/true")), tmp_path / "missing")


@asynccontextmanager
async def started_as_unit(
    name: str, folder: Path, config: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, socket.socket]]:
    """Start what a unit's ExecStart says, as its manager would: config file, state directory, notify socket, watchdog."""
    (exec_start,) = re.findall("^ExecStart=(.*)$", unit_texts(Path("/opt/pairhub/bin/pairhub"))[name], re.MULTILINE)
    kind = name.removeprefix("pairhub-").removesuffix(".service")
    (folder / "etc.toml").write_text(f"[{kind}]\nport = 0\n{config}")
    words = shlex.split(
        exec_start.replace("%S", str(folder)).replace(f"/etc/pairhub/{kind}.toml", str(folder / "etc.toml"))
    )
    assert words[0] == "/opt/pairhub/bin/pairhub"
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PAIRHUB_")}
    with notify_socket(folder) as manager:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pairhub", *words[1:]),
            env={**environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "600000"},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield process, manager
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.e2e
@pytest.mark.parametrize("name", UNIT_NAMES)
async def test_a_daemon_says_ready_when_it_listens_feeds_the_watchdog_and_says_that_it_stops(
    name: str, tmp_path: Path
) -> None:
    async with started_as_unit(name, tmp_path, "") as (process, manager):
        assert "Starting" in (await told_with(manager, "STATUS"))["STATUS"]
        assert int((await told_with(manager, "EXTEND_TIMEOUT_USEC"))["EXTEND_TIMEOUT_USEC"]) > 15_000_000
        ready = await told_with(manager, "READY")
        address = re.search(r"http://([\d.]+):(\d+)", ready["STATUS"])
        assert address is not None, ready
        _, writer = await asyncio.open_connection(address[1], int(address[2]))
        writer.close()
        for _ in range(3):
            fed = await told_with(manager, "WATCHDOG")
            assert fed["WATCHDOG"] == "1"
            assert address[0] in fed["STATUS"]
        os.kill(process.pid, signal.SIGTERM)
        assert (await told_with(manager, "STOPPING"))["STOPPING"] == "1"
        said, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
        assert process.returncode == ExitCode.OK
        assert b"setup.token" in said
        assert b"phs_" not in said, "the journal is no place for the token"
        assert (tmp_path / name.removesuffix(".service") / "data").stat().st_mode & 0o777 == 0o700


async def test_the_watchdog_is_not_fed_while_the_writers_thread_hangs(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "site.db", files("connector") / "sql")
    with notify_socket(tmp_path) as manager:
        told_to = ServiceManager(str(tmp_path / "notify"), 0.15)
        watching = asyncio.ensure_future(told_to.watch(database.beat, lambda: "fine"))
        try:
            assert await told(manager) == {"WATCHDOG": "1", "STATUS": "fine"}
            hangs, goes_on = threading.Event(), threading.Event()

            def hang(_: object) -> None:
                hangs.set()
                goes_on.wait(TIMEOUT_S)

            stuck = asyncio.ensure_future(database.write(hang))
            await asyncio.to_thread(hangs.wait, TIMEOUT_S)
            while True:  # one that was under way may still come
                try:
                    await asyncio.wait_for(asyncio.get_running_loop().sock_recv(manager, 65_536), 0.4)
                except TimeoutError:
                    break
            goes_on.set()
            await stuck
            assert (await told(manager))["WATCHDOG"] == "1"
        finally:
            watching.cancel()
            await database.close()


def test_wishes_of_the_manager_are_read_and_those_for_another_process_are_not_ours() -> None:
    asked = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "3000000"}
    assert ServiceManager.of(asked, 7).watchdog_s == 3.0
    assert ServiceManager.of({**asked, "WATCHDOG_PID": "7"}, 7).watchdog_s == 3.0
    assert ServiceManager.of({**asked, "WATCHDOG_PID": "8"}, 7).watchdog_s is None
    assert ServiceManager.of({**asked, "WATCHDOG_USEC": "x"}, 7).watchdog_s is None
    assert not ServiceManager.of({"NOTIFY_SOCKET": "tcp:1"}, 7).listens
    assert not ServiceManager.of({}, 7).listens
    ServiceManager("/nobody/is/here").tell("READY=1")


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"pairhub-test-{os.getpid()}"
        manager.bind("\0" + name)
        ServiceManager("@" + name).ready("two\nlines")
        assert manager.recv(1_000) == b"READY=1\nSTATUS=two lines"
