"""What documents show as a command works: blocks marked `sh run` alone, blocks marked `sh walk` in order, as one story."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, documents, fences

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
_TIMEOUT_S = 120
_SERVES = re.compile(r"^\./run (hub|site) serve .*--data-dir (?P<data_dir>\S+).*$", re.MULTILINE)


def _blocks(mark: str) -> list[tuple[str, str]]:
    pages = [(path.name, fence) for path in documents() for fence in fences(path.read_text(encoding="utf-8"))]
    return [(name, fence.text) for name, fence in pages if fence.info == f"sh {mark}"]


def _executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a checkout to a shell: `./run` and `.venv/bin/python` lead to the program under test."""
    _executable(tmp_path / "run", f'#!/bin/sh\nexec "{sys.executable}" -m pairhub "$@"\n')
    _executable(tmp_path / ".venv" / "bin" / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    if shutil.which("curl") is None:
        _executable(tmp_path / "bin" / "curl", f'#!/bin/sh\nexec "{sys.executable}" -m tests.docs.like_curl "$@"\n')
    return tmp_path


def _environment(folder: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PAIRHUB_")}
    python = Path(sys.executable).parent
    return {
        **environment,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{folder / 'bin'}:{environment.get('PATH', os.defpath)}:{python}",
        "NO_COLOR": "1",
    }


def _shell(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(("page", "script"), _blocks("run"))
def test_a_command_that_is_shown_works(page: str, script: str, folder: Path) -> None:
    said = _shell(script, folder)
    assert said.strip(), f"{page}: no word on standard output"
    if "demo --headless" in script:
        _check_report(json.loads(said[said.rindex("\n{") :]))


def _check_report(report: dict) -> None:
    assert report["paired"] is True
    assert report["lookup_ms"] > 0
    for side in ("source", "target"):
        assert report[side].keys() == {"accepted", "applied", "queued", "quarantined", "dropped"}
    assert report["target"]["applied"] > 0


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _walk() -> str:
    script = "\n".join(text for page, text in _blocks("walk") if page == "README.md")
    for shown, port in zip((8470, 8471, 8472), _free_ports(3), strict=True):
        script = script.replace(str(shown), str(port))

    def in_background(match: re.Match[str]) -> str:
        data_dir = match["data_dir"]
        return (
            f"{match[0]} >>{data_dir}.log 2>&1 &\necho $! >>pids\n"
            f"until test -s {data_dir}/address; do kill -0 $! || {{ cat {data_dir}.log; exit 1; }}; sleep 0.1; done"
        )

    return _SERVES.sub(in_background, script)


@contextmanager
def _ended(folder: Path) -> Iterator[None]:
    """End the daemons that the script started, whatever came of it."""
    try:
        yield
    finally:
        pids = folder / "pids"
        for pid in pids.read_text(encoding="utf-8").split() if pids.exists() else []:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


def test_pairing_two_sites_by_hand_works_as_the_readme_shows_it(folder: Path) -> None:
    with _ended(folder):
        said = _shell(_walk(), folder)
    assert '"accepted":2,"repeated":0,"refused":1' in said
    assert '"code":"wrong_format"' in said
    assert '"readings":[[1795161600000,71.5],[1795161601000,71.6]]' in said
    assert "paired with 'office' (linked)" in said
    assert "paired with 'plant' (linked)" in said
    assert said.count("accepted 2  applied 2  queued 0  quarantined 0  dropped 0") == 2
