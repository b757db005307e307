"""Putting a backup back into a data directory: checked as it is written, the database last, or nothing at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shared.backup import Belongings, Manifest, Opened, Part, Progress, new_file, opened, quiet, sync
from shared.clock import SystemClock
from shared.data_directory import vacant
from shared.disk import nearest
from shared.errors import BackupUnusable, DatabaseNewer, InTheWay, StorageFailed
from shared.limits import RESTORE_BYTES_SPARE

_RESTORING: Final = ".restoring"
# What a file system puts into its own root, which may be a data directory.
_NOT_OURS: Final = frozenset({"lost+found"})


def restore(
    belongings: Belongings, file: Path, *, passphrase: str = "", replace: bool = False, progress: Progress = quiet
) -> Manifest:
    """Restore a backup; with `replace`, what is there is moved aside, not deleted. Returns the backup's manifest.

    Raises BackupUnusable; DatabaseNewer; InTheWay where a daemon runs there, or something is there already; and
    StorageFailed where it cannot be written.
    """
    with opened(file, passphrase) as backup:
        manifest = backup.manifest
        _refuse_unfit(belongings, file, manifest)
        try:
            with vacant(belongings.data_dir):
                _restore(belongings, backup, replace=replace, progress=progress)
        except (OSError, sqlite3.Error) as error:
            raise StorageFailed(f"{belongings.data_dir} was not restored: {error}") from error
        return manifest


def _refuse_unfit(belongings: Belongings, file: Path, manifest: Manifest) -> None:
    if manifest.kind != belongings.kind:
        raise BackupUnusable(f"{file} is the backup of a {manifest.kind}, not of a {belongings.kind}")
    known = {belongings.database, *belongings.files}
    strange = [part.name for part in manifest.parts if part.name not in known]
    if strange:
        raise BackupUnusable(f"{file} holds {', '.join(strange)}, which this release does not know: use a newer one")
    missing = {belongings.database, *belongings.needed} - {part.name for part in manifest.parts}
    if missing:
        raise BackupUnusable(f"{file} lacks {', '.join(sorted(missing))}")
    if manifest.schema > belongings.newest_schema:
        raise DatabaseNewer(
            f"{file} has schema {manifest.schema}, this release knows {belongings.newest_schema}: use a newer release"
        )


def _restore(belongings: Belongings, backup: Opened, *, replace: bool, progress: Progress) -> None:
    data_dir = belongings.data_dir
    there = _in_the_way(belongings)
    if there and not replace:
        raise InTheWay(f"there is {there[0]} already; restore elsewhere, or with --replace, which moves it aside")
    free = shutil.disk_usage(nearest(data_dir)).free
    if free < backup.manifest.total_bytes + RESTORE_BYTES_SPARE:
        raise StorageFailed(
            f"{backup.manifest.total_bytes / 2**20:.0f} MiB and some more have to be free in {data_dir}"
        )
    owner = nearest(data_dir).stat()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    written: list[tuple[Path, Path]] = []
    try:
        for part in sorted(backup.manifest.parts, key=lambda part: part.name == belongings.database):
            final = belongings.files.get(part.name, belongings.database_path)
            written.append((final.with_name(final.name + _RESTORING), final))
            _extract(backup, part, written[-1][0], progress)
        _settle(belongings, written[-1][0], backup.manifest.made_ms)
        _move_aside(belongings, there)
        for new, final in written:  # the database last: until it has its name, nothing is restored
            if os.geteuid() == 0:
                os.chown(new, owner.st_uid, owner.st_gid)
                os.chown(final.parent, owner.st_uid, owner.st_gid)
            new.rename(final)
            sync(final.parent)
    finally:
        for new, _ in written:
            new.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it is not empty where all went well
                new.parent.rmdir()


def _in_the_way(belongings: Belongings) -> list[Path]:
    """Return what a restore would meet: everything in the directory, and keys that lie elsewhere."""
    data_dir = belongings.data_dir
    inside = sorted(data_dir.iterdir()) if data_dir.exists() else []
    elsewhere = [path for path in belongings.files.values() if data_dir not in path.parents and path.exists()]
    return [path for path in inside if path.name not in _NOT_OURS] + elsewhere


def _move_aside(belongings: Belongings, there: list[Path]) -> None:
    name = f"before-restore.{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%fZ')}"
    for path in there:
        if path.name.startswith("before-restore.") or path.name.endswith(_RESTORING):
            continue
        if path.parent == belongings.data_dir:
            aside = belongings.data_dir / name
            aside.mkdir(exist_ok=True, mode=0o700)
            path.rename(aside / path.name)
        else:
            path.rename(path.with_name(f"{path.name}.{name}"))


def _extract(backup: Opened, part: Part, path: Path, progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    done = 0
    with new_file(path) as target:
        for block in backup.blocks(part):
            target.write(block)
            done += len(block)
            progress(f"restoring {part.name}", done, part.bytes)
        target.flush()
        os.fsync(target.fileno())


def _settle(belongings: Belongings, database: Path, made_ms: int) -> None:
    """Look at the restored database once more, and prepare it for its new life."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise BackupUnusable(f"the database in it is damaged ({found})")
        connection.execute("PRAGMA journal_mode=DELETE")  # one file, until a daemon opens it
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        belongings.settle(connection, made_ms, SystemClock().wall_ms())
        connection.execute("COMMIT")
