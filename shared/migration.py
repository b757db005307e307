"""Bringing a database up to date: a checked copy first, then every step in one transaction, or nothing at all.

The copy is what an operator goes back to with the older release: that one refuses a database that is newer than itself.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from shared.errors import DatabaseNewer, StorageFailed

_log = logging.getLogger(__name__)
COPIES_KEPT: Final = 2
# Room for the log of the transaction beside the copy.
_SPACE_BYTES_SPARE: Final = 64 * 1024 * 1024
_PARTIAL: Final = ".partial"


def migrate(connection: sqlite3.Connection, scripts: Traversable, path: Path | None = None) -> Path | None:
    """Bring a database up to the newest of the numbered `.sql` files in a folder; return the copy made before, if any.

    `path` is where the database lies, and its copy will; None for one in memory.

    `PRAGMA user_version` is the number of the last script run. Raises DatabaseNewer where the database is newer than
    this release, and StorageFailed where the copy cannot be made or a script fails: the database is then as it was.
    """
    names = sorted(entry.name for entry in scripts.iterdir() if entry.name.endswith(".sql"))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(names):
        raise DatabaseNewer(
            f"{path or 'the database'} has schema {version}, this release knows {len(names)}: use a newer release"
        )
    if version == len(names):
        return None
    copy = copy_before_upgrade(connection, path, version) if version and path is not None else None
    steps = {name: (scripts / name).read_text(encoding="utf-8") for name in names[version:]}
    try:
        _run(connection, steps, len(names))
    except sqlite3.Error as error:
        raise StorageFailed(
            f"{path} cannot be upgraded from schema {version} to {len(names)}: {error}. "
            "It is as it was before; go back to the release that wrote it"
        ) from error
    if copy is not None:
        _log.info("Upgraded %s from schema %d to %d; the copy from before is %s", path, version, len(names), copy)
    return copy


def _run(connection: sqlite3.Connection, steps: dict[str, str], version: int) -> None:
    """Run scripts in one transaction. Foreign keys are checked at its end, for a table that is made anew breaks them."""
    (checked,) = connection.execute("PRAGMA foreign_keys").fetchone()
    connection.execute("PRAGMA foreign_keys=OFF")
    try:
        connection.executescript("BEGIN IMMEDIATE;\n" + "\n".join(steps.values()))
        if (broken := connection.execute("PRAGMA foreign_key_check").fetchone()) is not None:
            raise sqlite3.IntegrityError(f"a row of {broken[0]} would point at nothing in {broken[2]}")
        connection.execute(f"PRAGMA user_version={version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute(f"PRAGMA foreign_keys={checked}")


# --- the copy -----------------------------------------------------------------------------------------------------------


def copy_before_upgrade(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy a database beside itself, check the copy, and keep the last COPIES_KEPT; raises StorageFailed."""
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    copy = path.with_name(f"{path.stem}.schema-{version}.{at}{path.suffix}")
    partial = copy.with_name(copy.name + _PARTIAL)
    try:
        _require_space(path)
        for left in path.parent.glob(f"{path.stem}.schema-*{_PARTIAL}"):  # an upgrade that was cut short
            left.unlink()
        partial.touch(mode=0o600)
        connection.execute("VACUUM INTO ?", (str(partial),))
        _check(partial, version)
        _sync(partial)
        partial.rename(copy)
        _sync(path.parent)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise StorageFailed(f"{path} cannot be copied before its upgrade: {error}; nothing was changed") from error
    for old in copies_of(path)[:-COPIES_KEPT]:
        old.unlink(missing_ok=True)
    return copy


def copies_of(path: Path) -> list[Path]:
    """Return the copies from before upgrades, oldest first."""
    return sorted(path.parent.glob(f"{path.stem}.schema-*{path.suffix}"), key=lambda copy: copy.name.split(".")[-2])


def _require_space(path: Path) -> None:
    size = sum(each.stat().st_size for each in (path, path.with_name(path.name + "-wal")) if each.exists())
    free = shutil.disk_usage(path.parent).free
    if free < size + _SPACE_BYTES_SPARE:
        missing_mib = (size + _SPACE_BYTES_SPARE - free) / 2**20
        raise OSError(f"{missing_mib:.0f} MiB more have to be free in {path.parent}")


def _check(copy: Path, version: int) -> None:
    """Raise sqlite3.Error unless the copy is whole and of that schema."""
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        (found,) = opened.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged ({found}), and so may be the database")
        (written,) = opened.execute("PRAGMA user_version").fetchone()
        if written != version:
            raise sqlite3.DatabaseError(f"the copy has schema {written} in the place of {version}")


def _sync(path: Path) -> None:
    """See a file, or the names in a directory, safe on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
