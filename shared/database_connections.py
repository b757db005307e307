"""Connections to a database file: how each is set up, and the thread that each of them runs on (shared.database)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import aiosqlite

from shared.errors import StorageFailed
from shared.limits import LOG_FRAMES_BESIDE_MAX, READER_CACHE_KIB, WRITER_CACHE_KIB

T = TypeVar("T")
Unit = Callable[[sqlite3.Connection], T]


class DamageMet(StorageFailed):
    """A reader met something damaged that its file does not know of; `set_aside` is what the writer is to do about it."""

    def __init__(self, what: str, set_aside: Unit[None]) -> None:
        """`set_aside` takes it out of the way, so that nobody meets it again."""
        super().__init__(what)
        self.set_aside = set_aside


_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    # The checkpoints are made beside the writer (shared.checkpoints); this is for where they do not keep up.
    f"PRAGMA wal_autocheckpoint={LOG_FRAMES_BESIDE_MAX}",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA journal_size_limit=67108864",
)
_OF_WRITERS: Final = 2  # the first of them


class Threaded(aiosqlite.Connection):
    """aiosqlite's connection with a way to run a whole unit of work in one hop to its thread."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a unit of work on the thread; raises what it raises, ValueError where the connection is closed."""
        return await self._execute(work, self._conn)  # type: ignore[no-any-return, no-untyped-call]


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open a connection as all of ours are; raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS[_OF_WRITERS:] if read_only else _PRAGMAS:
        connection.execute(pragma)
    connection.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB if read_only else WRITER_CACHE_KIB}")
    return connection


async def open_all(
    path: Path, readers: int, first: Unit[object] = lambda _: None
) -> tuple[Threaded, Threaded, list[Threaded]]:
    """Open a writer, one that makes checkpoints, and readers; raises what they raise.

    `first` runs on the writer before there are others.
    """
    opened: list[Threaded] = []
    try:
        for at in range(2 + readers):
            connection = Threaded(lambda read_only=at > 1: connect(path, read_only=read_only), iter_chunk_size=64)  # type: ignore[misc]
            await connection
            opened.append(connection)
            if at == 0:
                await connection.run(first)
    except BaseException:
        for connection in opened:  # their threads would keep the process alive
            await connection.close()
        raise
    return opened[0], opened[1], opened[2:]


async def close_all(opened: tuple[Threaded, Threaded, list[Threaded]]) -> None:
    """Close what `open_all` returned."""
    writer, checkpointer, readers = opened
    for connection in (*readers, checkpointer, writer):
        await connection.close()
