"""Figures say which code they were measured with, and when."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from shared.command_line import measured
from shared.provenance import commit, provenance, version

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def git(folder: Path, *words: str) -> None:
    named = ("-c", "user.name=t", "-c", "user.email=t@t.example")
    subprocess.run(("git", "-C", str(folder), *named, *words), check=True, capture_output=True)


def test_a_checkout_is_named_by_its_commit_and_says_where_files_differ_from_it(tmp_path: Path) -> None:
    assert commit(tmp_path) == ""
    git(tmp_path, "init")
    (tmp_path / "code").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    clean = commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{7,}", clean)
    (tmp_path / "code").write_text("2")
    assert commit(tmp_path) == f"{clean}-dirty"


def test_figures_carry_commit_or_version_and_date_and_no_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measure() -> dict[str, object]:
        return {"readings": 5}

    assert measured(measure(), json=True)["readings"] == 5
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() - {"commit", "version"} == {"readings", "date"}
    assert DATE.fullmatch(printed["date"])
    assert "/" not in "".join(provenance().values())
    monkeypatch.setattr("shared.provenance.commit", lambda: "")
    assert provenance().keys() == {"version", "date"}
    assert provenance()["version"] == version()
