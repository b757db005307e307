"""What a database in trouble needs: a look before it is served, a trial whether it stores again, a name it lost given back."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from shared.errors import StorageFailed
from shared.limits import DISK_ROOM_BYTES_MIN, STORE_CHECK_AT_START_S
from shared.storage_trouble import FileId, TroubleKind, file_id, trouble

_log = logging.getLogger(__name__)
_RESCUED: Final = ".rescued"
_COPYING: Final = ".rescuing"
_STEPS: Final = 10_000  # of SQLite's machine, between looks at the clock


def check_at_start(connection: sqlite3.Connection, path: Path) -> None:
    """Look at a database for a bounded time and close it; raises sqlite3.Error or StorageFailed where it is damaged."""
    with closing(connection):
        problem = problem_of(connection, STORE_CHECK_AT_START_S)
        if problem:
            raise StorageFailed(trouble(TroubleKind.DAMAGED, path, problem).why)


def problem_of(connection: sqlite3.Connection, within_s: float) -> str:
    """Return the first thing that is wrong with a database's structure; empty where nothing was found in that time."""
    end_s = time.monotonic() + within_s
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            return ""
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return "" if found == "ok" else str(found).splitlines()[-1]


def try_to_write(connection: sqlite3.Connection, path: Path, kind: TroubleKind) -> None:
    """Commit something that changes nothing; raises sqlite3.Error or StorageFailed where the trouble goes on."""
    if kind is TroubleKind.DAMAGED and (problem := problem_of(connection, STORE_CHECK_AT_START_S)):
        raise StorageFailed(trouble(kind, path, problem).why)
    if kind is TroubleKind.FULL and shutil.disk_usage(path.parent).free < DISK_ROOM_BYTES_MIN:
        raise StorageFailed(trouble(kind, path).why)
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version={version}")  # writes a page all the same
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def copy_out(connection: sqlite3.Connection, path: Path) -> FileId | None:
    """Copy an open database whose file has no name any more beside that name, durably; return what the copy is told by.

    What has the name `.rescued` is whole. What the deleted files take stays taken until they are closed: their log is
    emptied first, so that a disk need have room for two databases, not for two and a log.
    """
    copy = _beside(path, _COPYING)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _forget_half(path)
    copy.touch(mode=0o600)
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    with contextlib.suppress(sqlite3.Error):  # a log that stays full is copied from all the same
        truncate_log(connection)
    with closing(sqlite3.connect(copy)) as target:
        target.execute("PRAGMA synchronous=OFF")
        connection.backup(target)
    _sync(copy)
    rescued = copy.replace(_beside(path, _RESCUED))
    _sync(path.parent)
    return file_id(rescued)


def truncate_log(connection: sqlite3.Connection) -> None:
    """Bring the write-ahead log into the file and cut it to nothing, unless somebody reads an older state right now."""
    connection.execute("PRAGMA busy_timeout=0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.execute("PRAGMA busy_timeout=5000")


def put_in_place(path: Path) -> None:
    """Give the copy the name, unless that has been taken meanwhile; raises OSError.

    Nobody may have the old one open. Where the disk knows links the copy keeps its own name too, until `forget_rescued`:
    the file may be deleted once more before it is opened.
    """
    rescued = _beside(path, _RESCUED)
    for suffix in ("-wal", "-shm"):  # of the deleted file: what they held is in the copy
        path.with_name(path.name + suffix).unlink(missing_ok=True)
        rescued.with_name(rescued.name + suffix).unlink(missing_ok=True)
    try:
        os.link(rescued, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # there are disks that know none
        if path.exists():
            raise
        rescued.rename(path)
    _sync(path.parent)


def forget_rescued(path: Path) -> None:
    """Take its other name from a copy that was put in place and is open; what was copied by half goes as well."""
    rescued = _beside(path, _RESCUED)
    with contextlib.suppress(OSError):  # it does no harm
        _forget_half(path)
        if file_id(rescued) == file_id(path):
            rescued.unlink()


def _forget_half(path: Path) -> None:
    for suffix in ("", "-journal"):
        _beside(path, _COPYING + suffix).unlink(missing_ok=True)


def adopt_rescued(path: Path) -> None:
    """Before a start: give a copy the name that its process could not give it any more.

    Raises OSError, or StorageFailed where that process ended before the copy was whole: an empty database in its place, or
    the copy of an earlier time, would look as if nothing had been there since.
    """
    if path.exists():
        return
    if (copy := _beside(path, _COPYING)).exists():
        raise StorageFailed(
            f"{path} was deleted while the daemon ran, which ended before {copy.name} was whole. Restore the last good backup"
            f" (pairhub restore FILE --data-dir {path.parent}), or delete {copy.name} to begin with an empty database"
        )
    if _beside(path, _RESCUED).exists():
        put_in_place(path)
        _log.warning(
            "%s was deleted while the daemon ran; its copy %s%s is put in its place", path, path.name, _RESCUED
        )


def set_old_rescued_aside(path: Path) -> None:
    """Give a copy that is not the open database another name: it was whole, and somebody put another file in its place.

    It must never be adopted later, in the place of what is stored from now on.
    """
    rescued = _beside(path, _RESCUED)
    found = file_id(rescued)
    if found is None or found == file_id(path):
        return
    aside = _beside(path, f"{_RESCUED}-{rescued.stat().st_mtime_ns}")
    rescued.rename(aside)
    _log.warning("%s is not the database that is open, and is kept as %s; delete it if nobody needs it", rescued, aside)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
