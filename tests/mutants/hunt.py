"""Hunting one bug: a copy of the sources with the bug in it, and what is to catch it run there, the cheapest first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.bugs import TREE, Bug

_COPIED: Final = ("shared", "connector", "hub", "web", "tests", "pairhub.py", "pyproject.toml")
_STORIES: Final = ("tests/simulation/test_scenarios.py",)
_CORE: Final = ("tests/core", "--ignore=tests/core/test_two_way_edits.py")
# A bug that makes a run go on for ever is caught too: this is many times what an honest run takes.
_TIMEOUT_S: Final = 900


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of one bug. `caught_by`: seeds, stories, core or tests; empty where nothing caught it."""

    name: str
    caught_by: str
    seconds: float
    word: str


def hunt(bug: Bug | None, seeds: int) -> Hunt:
    """Put the bug into a copy (None: no bug) and run its own tests, seeds, stories, and tests of the core until one fails."""
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder) / "tree"
        _copy(tree)
        if bug is not None:
            bug.put_into(tree)
        steps = [
            ("seeds", ["-m", "tests.mutants.first_failure", str(seeds)]),
            ("stories", ["-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *_STORIES]),
            ("core", ["-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *_CORE]),
        ]
        if bug is not None and bug.tests:
            steps.insert(0, ("tests", ["-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *bug.tests]))
        for caught_by, arguments in steps:
            if word := _failure(tree, arguments):
                return Hunt(bug.name if bug else "", caught_by, round(time.perf_counter() - began_s, 1), word)
    return Hunt(bug.name if bug else "", "", round(time.perf_counter() - began_s, 1), "")


def _copy(tree: Path) -> None:
    tree.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in _COPIED:
        source = TREE / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=skipped)
        else:
            shutil.copy(source, tree / name)


def _failure(tree: Path, arguments: list[str]) -> str:
    """Run one step in the copy; return the word of its failure, or nothing where it passed."""
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {_TIMEOUT_S} s"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("E  ", "FAILED", "ERROR")) or "Error" in line]
    return (telling or lines or [f"exit code {done.returncode}"])[0][:300]
