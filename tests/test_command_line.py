"""The command line as people type it: real processes, exit codes, words, and what `--json` prints."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.exit_codes import ExitCode
from shared.rig.client import until
from shared.rig.daemons import Daemon
from tests.e2e.stage import free_port, until_up

pytestmark = pytest.mark.e2e


@dataclass
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, decoded."""
        return json.loads(self.out)


async def pairhub(*words: str | Path, environ: Mapping[str, str] | None = None, timeout_s: float = 60) -> Ended:
    """Run `pairhub WORDS` to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PAIRHUB_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pairhub",
        *map(str, words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**clean, **(environ or {})},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def daemon(kind: str, folder: Path, name: str, **flags: object) -> AsyncIterator[Daemon]:
    """Run a hub or a site for the time of a block."""
    port = free_port()
    made = Daemon(kind, name, {"port": port, **flags}, folder / name, f"http://127.0.0.1:{port}")
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_version_is_said_as_text_and_as_json() -> None:
    text, told = await asyncio.gather(pairhub("version"), pairhub("version", "--json"))
    assert (text.code, told.code) == (0, 0)
    assert text.out.startswith("pairhub ")
    assert told.json == {"version": text.out.split()[1]}


@pytest.mark.parametrize("source", ["flag", "environment", "file", "unknown in file", "not TOML", "no file"])
async def test_a_wrong_setting_is_named_with_its_source_and_ends_with_78(tmp_path: Path, source: str) -> None:
    config = tmp_path / "pairhub.toml"
    words: list[str | Path] = ["site", "serve", "--data-dir", tmp_path / "site"]
    environ = {}
    wanted = ["port", "70000", "0 to 65535"]
    match source:
        case "flag":
            words += ["--port", "70000"]
            wanted.append("flag --port")
        case "environment":
            environ = {"PAIRHUB_SITE_PORT": "70000"}
            wanted.append("environment variable PAIRHUB_SITE_PORT")
        case "file":
            config.write_text("[site]\nport = 70000\n")
            wanted.append(f"[site] in {config}")
        case "unknown in file":
            config.write_text("[site]\nprot = 1\n")
            wanted = ["prot", "there is no such setting", str(config)]
        case "not TOML":
            config.write_text("port: 1\n")
            wanted = ["config", str(config), "not TOML"]
        case _:
            config = tmp_path / "missing.toml"
            wanted = ["config", str(config), "cannot be read"]
    if source not in ("flag", "environment"):
        words += ["--config", config]
    ended = await pairhub(*words, environ=environ)
    assert ended.code == ExitCode.CONFIGURATION
    assert all(part in ended.err for part in wanted), ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "site").exists()


async def test_a_port_that_is_taken_is_said_in_words(tmp_path: Path) -> None:
    async with daemon("hub", tmp_path, "hub") as hub:
        port = hub.url.rpartition(":")[2]
        ended = await pairhub("hub", "serve", "--port", port, "--data-dir", tmp_path / "other")
        assert ended.code == ExitCode.ADDRESS_TAKEN
        assert "port" in ended.err
        assert "Traceback" not in ended.err


@pytest.mark.parametrize("kind", ["hub", "site"])
@pytest.mark.parametrize("broken", ["garbage", "a newer schema", "a file in the place of the directory"])
async def test_a_data_directory_that_cannot_be_used_is_said_in_words(tmp_path: Path, kind: str, broken: str) -> None:
    folder = tmp_path / kind
    database = folder / f"{kind}.db"
    if broken == "a file in the place of the directory":
        folder.write_text("not a directory")
    else:
        folder.mkdir()
        if broken == "garbage":
            database.write_bytes(b"garbage " * 1_000)
        else:
            with sqlite3.connect(database) as connection:
                connection.execute("PRAGMA user_version = 999")
            connection.close()
    ended = await pairhub(kind, "serve", "--port", "0", "--data-dir", folder)
    assert ended.code == (ExitCode.DATABASE_NEWER if broken == "a newer schema" else ExitCode.DATA_DIRECTORY)
    assert str(folder) in ended.err, ended.err
    assert "Traceback" not in ended.err


async def test_a_data_directory_without_permission_is_said_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    command = [sys.executable, "-m", "pairhub", "site", "serve", "--port", "0", "--data-dir", str(folder)]
    if os.geteuid() == 0:
        # Root passes every door. It stays root, so that it can read its own Python wherever that lies, but without the key.
        os.chown(folder, 65534, 65534)
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == ExitCode.DATA_DIRECTORY, err
    assert str(folder).encode() in err
    assert b"Traceback" not in err


async def test_enrolment_with_a_token_and_every_way_it_is_refused(tmp_path: Path) -> None:
    async with daemon("hub", tmp_path, "hub") as hub:
        made = await pairhub("enrol", "--new", "plant", "--data-dir", hub.data_dir)
        assert made.code == 0
        token = made.out.strip()
        told = await pairhub("enrol", "--new", "office", "--data-dir", hub.data_dir, "--json")
        assert told.json["token"] != token
        async with daemon("site", tmp_path, "plant", site_name="plant", hub_url=hub.url) as plant:
            for given, words in (
                ("", "asks for an enrolment token"),
                ("nonsense", "not known"),
                (told.json["token"], "site name 'office'"),
            ):
                refused = await pairhub("enrol", given, "--data-dir", plant.data_dir)
                assert refused.code == 1
                assert words in refused.err, refused.err
            enrolled = await pairhub("enrol", token, "--data-dir", plant.data_dir)
            assert (enrolled.code, enrolled.out.strip()) == (0, "The site 'plant' is enrolled.")
            again = await pairhub("enrol", token, "--data-dir", plant.data_dir)
            assert again.code == 0, "a site that is enrolled is let in again"
            status = await pairhub("status", "--json", "--data-dir", plant.data_dir)
            assert (status.json["site_name"], status.json["enrolled"]) == ("plant", True)
            text = await pairhub("status", "--data-dir", plant.data_dir)
            assert "site 'plant'" in text.out
            assert "enrolled" in text.out
        flags = {"site_name": "plant", "hub_url": hub.url}
        async with daemon("site", tmp_path, "impostor", **flags) as impostor:
            taken = await pairhub("enrol", token, "--data-dir", impostor.data_dir)
            assert taken.code == 1
            assert "Another site at this hub has the name 'plant'" in taken.err
        async with daemon("site", tmp_path, "office", site_name="office", hub_url=hub.url) as office:
            enrolled = await pairhub("enrol", told.json["token"], "--data-dir", office.data_dir, "--json")
            assert enrolled.json == {"enrolled": True, "site_name": "office"}
        shown = await pairhub("status", "--json", "--data-dir", hub.data_dir)
        assert {site["site_name"] for site in shown.json["sites"]} == {"plant", "office"}
        told_of_hub = (await pairhub("status", "--data-dir", hub.data_dir)).out
        assert re.search(
            r"^hub 'hub', version \S+, up since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", told_of_hub, re.MULTILINE
        ), told_of_hub
        assert "  site plant  no link" in told_of_hub
        assert "_ms" not in told_of_hub


async def test_a_site_started_with_a_token_enrols_by_itself_when_it_needs_the_hub(tmp_path: Path) -> None:
    async with daemon("hub", tmp_path, "hub") as hub:
        token = (await pairhub("enrol", "--new", "plant", "--data-dir", hub.data_dir)).out.strip()
        flags = {"site_name": "plant", "hub_url": hub.url, "enrolment_token": token}
        async with daemon("site", tmp_path, "plant", **flags) as plant:
            made = await ask(plant, "POST", "/connectors", {"name": "m"})
            await ask(plant, "POST", f"/connectors/{made['connector_id']}/remote-sync")

            async def filed() -> Any:
                return (await ask(plant, "GET", f"/connectors/{made['connector_id']}/remote-sync"))["filed"]

            await until(filed, what="the hub to file the window")


async def ask(site: Daemon, method: str, path: str, body: Any = None) -> Any:
    """Ask a daemon's API with its operator token."""
    headers = {"Authorization": f"Bearer {(site.data_dir / 'operator.token').read_text().strip()}"}
    async with httpx2.AsyncClient(base_url=site.url + "/api/v1", headers=headers, trust_env=False) as http:
        return (await http.request(method, path, json=body)).json()


async def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    shift.write_bytes(bytes(8))
    port = free_port()
    program = (str(Path(__file__).parent / "e2e" / "shifted.py"), str(shift))
    hub = Daemon("hub", "hub", {"port": port}, tmp_path / "hub", f"http://127.0.0.1:{port}", program)
    await hub.start()
    try:
        token = (await pairhub("enrol", "--new", "plant", "--data-dir", hub.data_dir)).out.strip()
        shift.write_bytes((25 * 3_600_000).to_bytes(8, "little"))
        async with daemon("site", tmp_path, "plant", site_name="plant", hub_url=hub.url) as plant:
            refused = await pairhub("enrol", token, "--data-dir", plant.data_dir)
            assert refused.code == 1
            assert "has expired" in refused.err
    finally:
        await hub.stop()


async def test_status_of_a_directory_without_a_daemon_says_so(tmp_path: Path) -> None:
    ended = await pairhub("status", "--data-dir", tmp_path / "nothing")
    assert ended.code == 1
    assert "No daemon has run in" in ended.err
    async with daemon("site", tmp_path, "plant", site_name="plant") as plant:
        pass
    ended = await pairhub("status", "--data-dir", plant.data_dir)
    assert ended.code == 1
    assert "cannot be reached" in ended.err
    assert "Is it running?" in ended.err


@pytest.mark.parametrize("kind", ["hub", "site"])
async def test_sigterm_ends_a_daemon_within_5_s_also_with_open_update_streams(tmp_path: Path, kind: str) -> None:
    flags: dict[str, object] = {"open_enrolment": "true"} if kind == "hub" else {"site_name": "plant"}
    async with daemon(kind, tmp_path, kind, **flags) as served:
        token = (served.data_dir / "setup.token").read_text().strip()
        form = {"token": token, "user_name": "ann", "password": "correct horse", "password_again": "correct horse"}
        async with httpx2.AsyncClient(base_url=served.url, trust_env=False, timeout=20) as http:
            answer = await http.post("/setup", data=form, headers={"Origin": served.url})
            assert answer.status_code == 303, answer.text
            page = await http.get("/")
            while page.is_redirect:
                page = await http.get(page.headers["location"])
            path = page.text.split('sse-connect="')[-1] if "sse-connect" in page.text else page.text
            stream = next(part for part in _quoted(path) if "updates" in part or "stream" in part)
            async with http.stream("GET", stream) as open_stream:
                assert open_stream.status_code == 200
                assert "text/event-stream" in open_stream.headers["content-type"]
                assert _heaps_of_threads(served.pid) == 0  # threads share one (shared.allocator)
                assert await served.stop() < 5
    assert not served.running


def _heaps_of_threads(pid: int) -> int:
    """How many heaps of its own glibc has made for threads: each reserves 64 MiB at a multiple of that."""
    size = 64 * 1024 * 1024
    rows = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    spans = [tuple(int(end, 16) for end in row[0].split("-")) for row in rows]
    return sum(
        first % size == 0 and last - first == size and (row[1], rest[1]) == ("rw-p", "---p")
        for (first, _), (_, last), row, rest in zip(spans, spans[1:], rows, rows[1:], strict=False)
    )


def _quoted(text: str) -> list[str]:
    return [part for part in text.split('"') if part.startswith("/")]


async def test_the_demo_reports_headless_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    words: list[str | Path] = ["demo", "--data-dir", tmp_path / "demo", "--headless", "--for", "3", "--json"]
    ports = ["--hub-port", str(free_port()), "--source-port", str(free_port()), "--target-port", str(free_port())]
    first = await pairhub(*words, *ports, timeout_s=120)
    assert first.code == 0, first.err
    report = first.json
    assert set(report) == {"paired", "lookup_ms", "source", "target"}
    assert report["paired"] is True
    assert 0 < report["lookup_ms"] < 5_000
    for side in ("source", "target"):
        assert set(report[side]) == {"accepted", "applied", "queued", "quarantined", "dropped"}
        account = report[side]
        assert account["applied"] > 0
        parts = ("applied", "queued", "quarantined", "dropped")
        assert account["accepted"] == sum(account[part] for part in parts)
    second = await pairhub(*words, *ports, timeout_s=120)
    assert second.code == 0, second.err
    assert "Paired already" in second.err
    assert second.json["source"]["accepted"] > report["source"]["accepted"]
    assert second.json["target"]["applied"] > report["target"]["applied"]


async def test_the_demo_ends_its_daemons_at_ctrl_c(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pairhub", "demo", "--data-dir", str(tmp_path / "demo")),
        *("--hub-port", str(ports[0]), "--source-port", str(ports[1]), "--target-port", str(ports[2])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = b""
    try:
        while b"Press Ctrl-C" not in said:
            row = await asyncio.wait_for(process.stdout.readline(), 60)
            assert row, said.decode()
            said += row
        assert b"Log in everywhere as 'demo'" in said
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (said + rest).decode()
    assert b"Traceback" not in rest
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_the_demo_names_a_port_that_another_program_holds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        ended = await pairhub("demo", "--data-dir", tmp_path / "demo", "--hub-port", port)
    assert ended.code == ExitCode.FAILED
    assert f"Port {port}, asked for hub, is taken by another program." in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "demo").exists()


async def test_a_daemon_that_dies_under_the_demo_is_named(tmp_path: Path) -> None:
    words = ["demo", "--data-dir", str(tmp_path / "demo"), "--headless", "--for", "60", "--json"]
    ports = [free_port() for _ in range(3)]
    running = asyncio.ensure_future(
        pairhub(*words, "--hub-port", str(ports[0]), "--source-port", str(ports[1]), "--target-port", str(ports[2]))
    )
    office = Daemon("site", "office", {}, tmp_path / "demo" / "office", f"http://127.0.0.1:{ports[2]}")
    await until_up(office)
    log = tmp_path / "demo" / "office.log"
    pid = next(
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and str(log.with_suffix("")) in _command_of(path)
    )
    os.kill(pid, signal.SIGKILL)
    ended = await running
    assert ended.code == 1
    assert "office" in ended.err


def _command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
