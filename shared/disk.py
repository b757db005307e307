"""How much of a disk a database takes, and how much is free."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Sizes in bytes."""

    database_bytes: int
    free_bytes: int


def disk_use(database: Path) -> DiskUse:
    """Look at a database file and its disk. Files that cannot be seen count nothing."""
    parts = (database, database.with_name(database.name + "-wal"))
    size = sum(part.stat().st_size for part in parts if is_there(part))
    return DiskUse(size, shutil.disk_usage(nearest(database)).free)


def nearest(path: Path) -> Path:
    """Return the path itself, or the nearest directory above that is there."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if is_there(each))


def is_there(path: Path) -> bool:
    """Tell whether a path can be seen; one behind a closed door cannot."""
    try:
        path.stat()
    except OSError:
        return False
    return True
