"""A backup of a hub or a site: one checked file with the database, the keys beside it, and a manifest of all parts.

The file is a zip, or a zip sealed with a passphrase (shared.passphrase_seal). It may be taken while the daemon runs: the
database is copied from one state of it (a read transaction), in small steps, by SQLite's own online copy. What the
daemon writes meanwhile is not in it and waits in the write-ahead log, which grows until the copy is done.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sqlite3
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

import msgspec

from shared.clock import SystemClock
from shared.errors import BackupUnusable, InTheWay, StorageFailed
from shared.limits import BACKUP_PAUSE_S, BACKUP_STEP_PAGES, PASSPHRASE_CHARS_MIN
from shared.passphrase_seal import OpeningReader, SealingWriter, is_sealed
from shared.settings import SettingWrong

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_BLOCK_BYTES: Final = 1024 * 1024
_MANIFEST_BYTES_MAX: Final = 1024 * 1024
# A schema copy or token of somebody else's making never gets a name of its own choosing on the disk.
_NAME: Final = re.compile(r"[a-z]+(/[a-z]+)?\.[a-z]+")

# (what is being done, bytes done, bytes in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Belongings:
    """What makes up a hub or a site, and where it lies.

    `files` maps names in a backup to the files of keys and certificates; those in `needed` have to be there, others
    may. `facts` says whose database it is; `settle` prepares a restored one, given (connection, time of the backup ms,
    now ms).
    """

    kind: str
    data_dir: Path
    database: str
    scripts: Traversable
    files: Mapping[str, Path]
    needed: frozenset[str]
    facts: Callable[[sqlite3.Connection], dict[str, str]]
    settle: Callable[[sqlite3.Connection, int, int], None]

    @property
    def database_path(self) -> Path:
        """Where the database lies."""
        return self.data_dir / self.database

    @property
    def newest_schema(self) -> int:
        """The schema that this release writes."""
        return sum(each.name.endswith(".sql") for each in self.scripts.iterdir())


class Part(msgspec.Struct, frozen=True):
    """One file in a backup."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says about itself. `made_ms` is the moment of the state in it, by the clock of its machine."""

    format: int
    kind: str
    version: str
    schema: int
    made_ms: int
    facts: dict[str, str]
    parts: list[Part]

    @property
    def made_at(self) -> str:
        """The moment of the state in it, ISO 8601, UTC."""
        return datetime.fromtimestamp(self.made_ms / 1000, UTC).isoformat(timespec="seconds")

    @property
    def total_bytes(self) -> int:
        """What its parts take on the disk."""
        return sum(part.bytes for part in self.parts)


def quiet(_what: str, _done: int, _all: int) -> None:
    """Tell nobody how far it is."""


# --- taking one ---------------------------------------------------------------------------------------------------------


def take(
    belongings: Belongings, file: Path, *, version: str, passphrase: str = "", progress: Progress = quiet
) -> Manifest:
    """Write a backup into a new file (mode 0600), check it, and return its manifest; it is whole, or not there.

    Raises InTheWay where the file is there already, SettingWrong where the passphrase is too short, and StorageFailed
    where something cannot be read or written.
    """
    if file.exists():
        raise InTheWay(f"{file} is there already; name another file")
    if passphrase and len(passphrase) < PASSPHRASE_CHARS_MIN:
        why = f"it has less than {PASSPHRASE_CHARS_MIN} characters, and whoever gets the file could guess it"
        raise SettingWrong("passphrase", "of the backup", why)
    partial, copy = (file.with_name(file.name + suffix) for suffix in (".partial", ".database"))
    try:
        if not belongings.database_path.exists():
            raise StorageFailed(f"there is no {belongings.database_path}: nothing has run there")
        with new_file(copy) as made:
            made.close()
            manifest = _copy_database(belongings, copy, version, progress)
            with new_file(partial) as whole:
                manifest = _write(belongings, copy, manifest, whole, passphrase, progress)
        check(partial, passphrase, progress=progress)
        partial.rename(file)
        sync(file.parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageFailed(f"no backup was made of {belongings.data_dir}: {error}") from error
    finally:
        for left in (partial, copy, copy.with_name(copy.name + "-wal"), copy.with_name(copy.name + "-shm")):
            left.unlink(missing_ok=True)
    return manifest


def _copy_database(belongings: Belongings, copy: Path, version: str, progress: Progress) -> Manifest:
    """Copy one state of the database in steps, check the copy, and return the beginning of a manifest."""

    def step(_status: int, remaining: int, pages: int) -> None:
        progress("copying the database", pages - remaining, pages)
        time.sleep(BACKUP_PAUSE_S)

    with _reading(belongings.database_path) as source, closing(sqlite3.connect(copy)) as target:
        target.execute("PRAGMA synchronous=OFF")
        made_ms = SystemClock().wall_ms()
        source.backup(target, pages=BACKUP_STEP_PAGES, progress=step)
    with closing(_frozen(copy)) as copied:
        progress("checking the copy", 0, 1)
        (found,) = copied.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StorageFailed(f"{belongings.database_path} is damaged ({found}): restore an earlier backup")
        (schema,) = copied.execute("PRAGMA user_version").fetchone()
        return Manifest(
            format=FORMAT,
            kind=belongings.kind,
            version=version,
            schema=schema,
            made_ms=made_ms,
            facts=belongings.facts(copied),
            parts=[],
        )


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold one state of a database. On a disk that cannot be written to, nothing changes it: it is read as it lies."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=5)) as connection:
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            log = path.with_name(path.name + "-wal")
            if os.access(path.parent, os.W_OK) or (log.exists() and log.stat().st_size):
                raise
        else:
            yield connection
            return
    with closing(_frozen(path)) as connection:
        yield connection


def _frozen(path: Path) -> sqlite3.Connection:
    """Open a database that nobody writes to."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _write(
    belongings: Belongings, copy: Path, manifest: Manifest, whole: BinaryIO, passphrase: str, progress: Progress
) -> Manifest:
    sources = {belongings.database: copy}
    for name, path in belongings.files.items():
        if path.exists():
            sources[name] = path
        elif name in belongings.needed:
            raise StorageFailed(f"{path} is missing, without which a restored {belongings.kind} is another one")
    outlet = SealingWriter(whole, passphrase) if passphrase else whole
    with zipfile.ZipFile(cast("IO[bytes]", outlet), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        parts = [_add(archive, name, path, progress) for name, path in sources.items()]
        manifest = msgspec.structs.replace(manifest, parts=parts)
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    if isinstance(outlet, SealingWriter):
        outlet.close()
    whole.flush()
    os.fsync(whole.fileno())
    return manifest


def _add(archive: zipfile.ZipFile, name: str, path: Path, progress: Progress) -> Part:
    size, digest, done = path.stat().st_size, hashlib.sha256(), 0
    about = zipfile.ZipInfo(name, time.gmtime()[:6])
    about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
    with path.open("rb") as source, archive.open(about, "w", force_zip64=True) as target:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            target.write(block)
            done += len(block)
            progress(f"writing {name}", done, size)
    return Part(name, done, digest.hexdigest())


# --- reading one --------------------------------------------------------------------------------------------------------


class Opened:
    """A backup that is open for reading."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Read the manifest; raises BackupUnusable."""
        self._archive = archive
        try:
            about = archive.getinfo(MANIFEST)
            if about.file_size > _MANIFEST_BYTES_MAX:
                raise BackupUnusable("its manifest is too large to be one of ours")
            self.manifest = msgspec.json.decode(archive.read(about), type=Manifest)
        except (KeyError, msgspec.DecodeError) as error:
            raise BackupUnusable(f"it has no manifest that can be read ({error}): it is no backup of ours") from error
        if self.manifest.format > FORMAT:
            raise BackupUnusable("a newer release wrote it; use that release")
        named = {part.name for part in self.manifest.parts}
        if {each.filename for each in archive.infolist()} != {*named, MANIFEST} or not all(map(_NAME.fullmatch, named)):
            raise BackupUnusable("it does not hold what its manifest says")

    def blocks(self, part: Part) -> Iterator[bytes]:
        """Yield the content of a part; raises BackupUnusable at its end where that is not what was put in."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(part.name) as source:
            while block := source.read(_BLOCK_BYTES):
                size += len(block)
                if size > part.bytes:
                    break
                digest.update(block)
                yield block
        if size != part.bytes or digest.hexdigest() != part.sha256:
            raise BackupUnusable(f"its part {part.name} is damaged")


@contextmanager
def opened(file: Path, passphrase: str = "") -> Iterator[Opened]:
    """Open a backup for the time of a block; raises BackupUnusable."""
    try:
        with file.open("rb") as whole:
            plain: IO[bytes] = whole
            if is_sealed(whole):
                if not passphrase:
                    raise BackupUnusable(f"{file} is sealed: give its passphrase")
                plain = io.BufferedReader(OpeningReader(whole, passphrase), _BLOCK_BYTES)
            with zipfile.ZipFile(plain) as archive:
                yield Opened(archive)
    except BackupUnusable as error:
        raise BackupUnusable(str(error) if str(file) in str(error) else f"{file}: {error}") from error
    except FileNotFoundError:
        raise BackupUnusable(f"there is no {file}") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise BackupUnusable(f"{file} is damaged, or no backup: {error}") from error
    except zlib.error as error:
        raise BackupUnusable(f"{file} is damaged: {error}") from error


def read_manifest(file: Path, passphrase: str = "") -> Manifest:
    """Return what a backup says about itself, unchecked; raises BackupUnusable."""
    with opened(file, passphrase) as backup:
        return backup.manifest


def check(file: Path, passphrase: str = "", *, progress: Progress = quiet) -> Manifest:
    """Read every part of a backup and compare it with the manifest; raises BackupUnusable.

    The database in it was checked when the backup was taken, so that the same bytes are the same whole database.
    """
    with opened(file, passphrase) as backup:
        done, total = 0, backup.manifest.total_bytes
        for part in backup.manifest.parts:
            for block in backup.blocks(part):
                done += len(block)
                progress("checking the backup", done, total)
        return backup.manifest


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that only its owner may read; one that a backup left that was cut short is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        yield file


def sync(path: Path) -> None:
    """See the names in a directory safe on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
