"""Checkpoints: what the write-ahead log of a database holds is brought into its file beside the writer.

SQLite makes them inside a commit, where one takes as long as six to ten others. Here a connection of its own copies what is
committed (`wal_checkpoint(PASSIVE)` waits for nobody and keeps nobody waiting). A log begins anew once all of it is copied,
which under load it never is while the writer goes on: then the writer copies the last of it, which is little by then. So
the log stays short, and the same blocks of it are written again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.database_connections import Threaded
from shared.limits import CHECKPOINT_EVERY_S, CHECKPOINT_LOG_BYTES_MIN, LOG_FRAMES_MAX

_PASSIVE: Final = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpoints:
    """The checkpoints of one open database. End them with `close`."""

    def __init__(self, connection: Threaded, path: Path, on_failure: Callable[[sqlite3.Error | OSError], None]) -> None:
        """`on_failure` hears on the event loop what the disk refused."""
        self._connection = connection
        self._log = path.with_name(path.name + "-wal")
        self._on_failure = on_failure
        # Closing it takes the locks of all connections to this file away that the process has (fcntl): it goes last.
        self._file = os.open(path, os.O_RDONLY)
        self._due_s = 0.0
        self._making: asyncio.Task[None] | None = None
        self.is_log_long = False
        """Whether the writer is to copy the last of the log (`copy_rest`), so that it begins anew."""

    def after_commit(self) -> None:
        """Begin a checkpoint, where one is due."""
        loop = asyncio.get_running_loop()
        if self._making is None and loop.time() >= self._due_s:
            self._due_s = loop.time() + CHECKPOINT_EVERY_S
            if not self._is_worth_it():
                return
            self._making = loop.create_task(self._make(), name="checkpoint")

    def _is_worth_it(self) -> bool:
        try:
            return self._log.stat().st_size >= CHECKPOINT_LOG_BYTES_MIN
        except OSError:
            return False  # it was deleted with the file, which the writer finds

    async def _make(self) -> None:
        try:
            await self.make()
        except (sqlite3.Error, OSError) as error:
            self._on_failure(error)
        except ValueError:  # the connection was closed
            pass
        finally:
            self._making = None

    async def make(self) -> None:
        """Make a checkpoint now; raises sqlite3.Error or OSError where the disk refuses, ValueError once it is closed."""
        self.is_log_long = await self._connection.run(self._copy)

    def _copy(self, connection: sqlite3.Connection) -> bool:
        """Copy what is committed by now; return whether the log is long."""
        if _copied(connection) < LOG_FRAMES_MAX:
            return False
        # What was written meanwhile is little; so is what the writer waits for, if all else is on the disk.
        os.fsync(self._file)
        _copied(connection)
        os.fsync(self._file)
        return True

    def copy_rest(self, connection: sqlite3.Connection) -> None:
        """Copy the last of the log, on the writer's thread and between its transactions: the next one begins it anew."""
        _copied(connection)

    async def until_done(self) -> None:
        """Wait until none is under way."""
        if self._making is not None:
            await asyncio.shield(self._making)

    async def close(self) -> None:
        """Finish the one under way and close its connection."""
        await self.until_done()
        with contextlib.suppress(sqlite3.Error, ValueError):
            await self._connection.close()

    def release(self) -> None:
        """Let go of the file; once all connections to it are closed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _copied(connection: sqlite3.Connection) -> int:
    """Make a passive checkpoint; return how many frames the log holds, whether or not they could be copied."""
    _, frames, _ = connection.execute(_PASSIVE).fetchone()
    return int(frames)
