"""The check of an audit: whether each entry follows from the one before it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.disk import is_there
from shared.doctor.database import read_only
from shared.doctor.findings import Finding, failed, ok, warning

_CHECK_S_MAX: Final = 30.0
_STEPS: Final = 100_000  # of SQLite's machine, between looks at the clock


def check_audit(
    path: Path, broken: Callable[[sqlite3.Connection], int | None], *, within_s: float = _CHECK_S_MAX
) -> list[Finding]:
    """Look for an entry that was changed, put in or taken out; `broken` names the first. Nothing where no database is.

    The newest entries may be cut off unseen: nothing follows them yet.
    """
    if not is_there(path):
        return []
    try:
        number = read_only(path, lambda connection: _within(connection, broken, time.monotonic() + within_s))
    except sqlite3.Error as error:
        return [warning("audit", f"it was not read to its end: {error}", "see the check of the database")]
    if number is None:
        return [ok("audit", "each entry follows from the one before")]
    what = f"entry {number} does not follow from those before it: somebody changed the audit behind the daemon"
    return [failed("audit", what, "keep a copy of the database, and compare with a backup from before")]


def _within(
    connection: sqlite3.Connection, broken: Callable[[sqlite3.Connection], int | None], end_s: float
) -> int | None:
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS)
    return broken(connection)
