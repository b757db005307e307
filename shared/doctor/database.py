"""The check of a database file: read-only, beside the daemon that may be running on it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, TypeVar

from shared.doctor.findings import Finding, failed, ok, warning

T = TypeVar("T")
CHECK_S_MAX: Final = 60.0
_STEPS: Final = 100_000  # of SQLite's machine, between looks at the clock
_RESTORE: Final = "stop the daemon, keep the file, and restore a backup or the newest copy from before an upgrade"


def read_only(path: Path, unit: Callable[[sqlite3.Connection], T]) -> T:
    """Run a unit on a database without changing it; raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        connection.row_factory = sqlite3.Row
        return unit(connection)


def check_database(path: Path, scripts: Traversable, *, within_s: float = CHECK_S_MAX) -> list[Finding]:
    """Check the file's structure (`PRAGMA quick_check`), for a bounded time, and its schema's number."""
    check = "database"
    try:
        path.stat()
    except FileNotFoundError:
        return [ok(check, f"{path} is not there yet; the first start makes it")]
    except OSError as error:
        return [failed(check, f"{path} cannot be read: {error.strerror}", "run this as the daemon's user")]
    try:
        problem, version = read_only(path, lambda connection: _look(connection, time.monotonic() + within_s))
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return [
                warning(
                    check,
                    f"the check of {path} did not end within {within_s:.0f} s",
                    "large as it is, it may be well: sqlite3 FILE 'PRAGMA quick_check'",
                )
            ]
        return [
            failed(
                check,
                f"{path} cannot be opened: {error}",
                "see that its owner is the daemon's user, and that the disk works",
            )
        ]
    except sqlite3.Error as error:
        return [failed(check, f"{path} is damaged: {error}", _RESTORE)]
    if problem != "ok":
        return [failed(check, f"{path} is damaged: {problem}", _RESTORE)]
    newest = sum(each.name.endswith(".sql") for each in scripts.iterdir())
    if version > newest:
        return [
            failed(
                check, f"it has schema {version}, this release knows {newest}", "use the newer release that wrote it"
            )
        ]
    if version < newest:
        return [ok(check, f"whole; schema {version} becomes {newest} at the next start, after a checked copy")]
    return [ok(check, f"whole; schema {version}")]


def _look(connection: sqlite3.Connection, end_s: float) -> tuple[str, int]:
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS)
    rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return "; ".join(row[0] for row in rows), int(version)
