"""A copy of the sources in which bugs are put one after another, and what is run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.mutants.bugs import TREE, Bug

_COPIED: Final = (
    *("shared", "connector", "hub", "web", "tests", "docs", "deploy"),
    *("pairhub.py", "pyproject.toml", "constraints.txt", "README.md"),
)
# The file of a bug is this much younger than the one it replaces: what Python compiled of that is never taken for it.
_YOUNGER_NS: Final = 10_000_000_000


class Tree:
    """A copy of the sources. What Python compiles of honest files stays beside them; of a bug nothing stays."""

    def __init__(self, folder: Path, original: Path = TREE) -> None:
        self.folder = folder
        folder.mkdir()
        for name in _COPIED:
            source = original / name
            if source.is_dir():
                shutil.copytree(source, folder / name)
            else:
                shutil.copy2(source, folder / name)

    @contextmanager
    def having(self, bug: Bug) -> Iterator[None]:
        """Have the bug in for the time of a block. Raises Stale."""
        source = bug.source(self.folder)
        honest, times = source.read_bytes(), source.stat()
        try:
            source.write_text(bug.mutated(self.folder))
            os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns + _YOUNGER_NS))
            yield
        finally:
            source.write_bytes(honest)
            os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))

    def failure(self, arguments: Sequence[str], *, timeout_s: float, compiles: bool = False) -> str:
        """Run Python in the copy; return the word of its failure, or nothing where it passed.

        What does not end in time has failed: a bug that makes a run go on for ever is caught too. `compiles`: the sources
        are honest, so what is compiled may be kept.
        """
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "" if compiles else "1"}
        command = [sys.executable, *arguments]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=timeout_s
            )
        except subprocess.TimeoutExpired:
            return f"did not end within {timeout_s:.0f} s"
        if done.returncode == 0:
            return ""
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("E  ", "FAILED", "ERROR")) or "Error" in line]
        return (telling or lines or [f"exit code {done.returncode}"])[0][:300]
