"""Which code a figure was measured with, and when: figures are quoted, and have to be found again."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parents[1]
_GIT_S: Final = 10.0


def version() -> str:
    """Return the release that runs, in words where it is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as package_version

    try:
        return package_version("pairhub")
    except PackageNotFoundError:
        return "0 (not installed)"


def commit(folder: Path = _FOLDER) -> str:
    """Return the commit of a checkout as git describes it, with `-dirty` where files differ from it; empty where it is none."""
    if not (folder / ".git").exists():
        return ""
    try:
        described = subprocess.run(  # noqa: S603  # words of ours
            ("git", "-C", str(folder), "describe", "--always", "--dirty"),  # noqa: S607  # of whoever measures
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},  # somebody may be committing
            capture_output=True,
            check=True,
            text=True,
            timeout=_GIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()


def provenance() -> dict[str, str]:
    """Return `commit`, or `version` where no checkout runs, and `date` (UTC), for all that prints figures.

    To be asked before the measurement: files may change meanwhile.
    """
    described = commit()
    code = {"commit": described} if described else {"version": version()}
    return code | {"date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
