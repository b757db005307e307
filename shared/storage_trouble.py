"""What is wrong with a database file, in words for people: told from SQLite's error, and from the file itself (N6, G5)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from shared.disk import nearest


class TroubleKind(StrEnum):
    """Why nothing can be stored."""

    FULL = "full"
    READ_ONLY = "read_only"
    DAMAGED = "damaged"
    GONE = "gone"
    """The file has no name any more; this process still holds all of it."""
    REPLACED = "replaced"
    """Another file has the name."""
    LOCKED = "locked"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what to do, in a sentence or two."""

    kind: TroubleKind
    why: str


# By the primary code of SQLite's error (the lower byte); what is not here is an error of ours, not of the disk.
_KINDS: Final = {
    sqlite3.SQLITE_FULL: TroubleKind.FULL,
    sqlite3.SQLITE_READONLY: TroubleKind.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: TroubleKind.DAMAGED,
    sqlite3.SQLITE_NOTADB: TroubleKind.DAMAGED,
    sqlite3.SQLITE_BUSY: TroubleKind.LOCKED,
    sqlite3.SQLITE_LOCKED: TroubleKind.LOCKED,
    sqlite3.SQLITE_IOERR: TroubleKind.FAILING,
    sqlite3.SQLITE_CANTOPEN: TroubleKind.FAILING,
    sqlite3.SQLITE_PERM: TroubleKind.FAILING,
    sqlite3.SQLITE_NOLFS: TroubleKind.FAILING,
}
_SAYS: Final = {
    TroubleKind.FULL: "the disk of {path} is full ({free_mib} MiB free). Make room; it goes on by itself",
    TroubleKind.READ_ONLY: "{path} cannot be written to ({error}). See to its disk and permissions; it goes on by itself",
    TroubleKind.DAMAGED: "{path} is damaged ({error}). Stop the daemon and restore the last good backup: "
    "pairhub restore FILE --data-dir {folder} --replace",
    TroubleKind.GONE: "{path} was deleted while the daemon runs. The daemon holds all of it and puts it back",
    TroubleKind.REPLACED: "another file has taken the place of {path}. Put the first one back, or restart the daemon "
    "to go on with the other",
    TroubleKind.LOCKED: "another program holds a lock on {path} ({error}). End that program; it goes on by itself",
    TroubleKind.FAILING: "the disk of {path} refuses to store ({error}). See to the disk; it goes on by itself",
}


def trouble_of(error: BaseException, path: Path) -> Trouble | None:
    """Return what a failed transaction tells of the disk; None where the error is another."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    kind = _KINDS.get(code)
    return None if kind is None else trouble(kind, path, error)


def trouble(kind: TroubleKind, path: Path, error: object = "") -> Trouble:
    """Return a trouble with its words."""
    try:
        free_mib = f"{shutil.disk_usage(nearest(path)).free / 2**20:.1f}"
    except OSError:
        free_mib = "?"
    return Trouble(kind, _SAYS[kind].format(path=path, folder=path.parent, error=error, free_mib=free_mib))


FileId = tuple[int, int]


def file_id(path: Path) -> FileId | None:
    """Return what tells a file from any other of its machine; None where none has that name."""
    try:
        status = os.stat(path)  # noqa: PTH116  # cheaper than Path.stat on the way of each commit
    except OSError:
        return None
    return status.st_dev, status.st_ino
