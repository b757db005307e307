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
    """Look at a database file and its disk. Files that are not there count nothing."""
    parts = (database, database.with_name(database.name + "-wal"))
    size = sum(part.stat().st_size for part in parts if part.exists())
    return DiskUse(size, shutil.disk_usage(nearest(database)).free)


def nearest(path: Path) -> Path:
    """Return the path itself, or the nearest directory above that is there."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.exists())
