"""One SQLite file: a single writer with group commit, and readers apart (DESIGN section 7).

A *unit of work* is a plain function of the connection. The writer runs all waiting units in one `BEGIN IMMEDIATE` ..
`COMMIT`, each under a savepoint of its own, so that one that fails takes nothing of the others with it; a caller hears
back only after the commit. Units run on one thread, one after another: state that only units touch needs no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiosqlite

from shared.errors import Misuse, PairhubError, StorageFailed
from shared.limits import COMMIT_UNITS_MAX, LOG_KEPT_BYTES, LOG_TRUNCATED_AFTER_S
from shared.migration import migrate

T = TypeVar("T")
Unit = Callable[[sqlite3.Connection], T]

# What undoes one unit of work and leaves the others of its transaction alone.
_UNIT_FAILURES = (PairhubError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA cache_size=-16384",
    "PRAGMA journal_size_limit=67108864",
)


class _Condition:
    """What the next unit of work of a block has to begin with."""

    def __init__(self, check: Unit[None]) -> None:
        self.check: Unit[None] | None = check


_condition: ContextVar[_Condition | None] = ContextVar("condition", default=None)


@contextlib.contextmanager
def provided(check: Unit[None] | None) -> Iterator[None]:
    """Let the first unit of work that is written inside this block begin with `check`, in the same transaction.

    What `check` raises undoes the unit, so that nothing can change between looking and writing. None checks nothing.
    """
    token = _condition.set(_Condition(check) if check is not None else None)
    try:
        yield
    finally:
        _condition.reset(token)


def _conditional(unit: Unit[T]) -> Unit[T]:
    condition = _condition.get()
    if condition is None or condition.check is None:
        return unit
    check, condition.check = condition.check, None

    def checked(connection: sqlite3.Connection) -> T:
        check(connection)
        return unit(connection)

    return checked


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """How a store fares: commits since the start, units of work that wait for the writer, whether the last one failed."""

    commits: int = 0
    waiting: int = 0
    failing: bool = False


class Closing(Protocol):
    """What units of work that share a transaction want done once, after the last of them and before the commit."""

    def close(self, connection: sqlite3.Connection) -> Any:
        """Do it, on the writer's thread. What it raises undoes the transaction with all its units."""

    def on_closed(self, outcome: Any) -> None:
        """Hear on the event loop what `close` returned, once that is durable, or the exception that undid it all.

        Comes before the units' own `after`. Must not raise.
        """


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A unit of work that waits for the writer."""

    unit: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    after: Callable[[Any], None] | None
    closing: Closing | None = None


class _Threaded(aiosqlite.Connection):
    """aiosqlite's connection with a way to run a whole unit of work in one hop to its thread."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._execute(work, self._conn)  # type: ignore[no-any-return, no-untyped-call]


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS[2:] if read_only else _PRAGMAS:
        connection.execute(pragma)
    return connection


class Database:
    """An open database. Make it with `Database.open`, end it with `close`."""

    def __init__(self, path: Path, writer: _Threaded, readers: list[_Threaded]) -> None:
        self.path = path
        self._writer = writer
        self._readers = readers
        self._glancing: sqlite3.Connection | None = None
        self._free: asyncio.LifoQueue[_Threaded] = asyncio.LifoQueue()
        for reader in readers:
            self._free.put_nowait(reader)
        self._waiting: deque[_Waiting] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._closing = False
        self.commits = 0
        self.undone: deque[int] = deque(maxlen=64)
        """Which of the last transactions, counted as `commits` counts them, were undone as a whole."""
        self.problem = ""
        """Why the last commit failed; empty while storing works."""

    @classmethod
    async def open(cls, path: Path, scripts: Traversable, *, readers: int = 2) -> Database:
        """Open (or create, mode 0600) a database and bring it up to date, after a checked copy.

        Raises DatabaseNewer, or StorageFailed where that is impossible.
        """
        opened: list[_Threaded] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                path.touch(mode=0o600)
            # What cannot be opened says so here, before there are threads to be ended.
            await asyncio.to_thread(lambda: _connect(path, read_only=False).close())
            for at in range(1 + readers):
                connection = _Threaded(lambda read_only=at > 0: _connect(path, read_only=read_only), iter_chunk_size=64)  # type: ignore[misc]
                await connection
                opened.append(connection)
                if at == 0:
                    await connection.run(lambda writer: migrate(writer, scripts, path))
        except (sqlite3.Error, OSError, StorageFailed) as error:
            for connection in opened:  # their threads would keep the process alive
                await connection.close()
            if isinstance(error, StorageFailed):
                raise
            raise StorageFailed(f"cannot open {path}: {error}") from error
        return cls(path, opened[0], opened[1:])

    async def write(
        self, unit: Unit[T], after: Callable[[T | BaseException], None] | None = None, closing: Closing | None = None
    ) -> T:
        """Run a unit of work and return its result once it is durable.

        Raises what the unit raised (nothing of it is kept), or StorageFailed where the disk refused. Cancelling the
        caller does not cancel the unit: it is committed or not, as a whole, and its result is dropped. `after` is
        called on the event loop with the result or the exception, in the order of the units, whether or not the caller
        still waits: effects that must follow a commit belong there. It must not raise. `closing` runs once for all units
        of the transaction that name it.
        """
        if self._closing:
            raise StorageFailed("the database is closing")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(_conditional(unit), future, after, closing))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._commit_waiting(), name=f"writer {self.path.name}")
        return await asyncio.shield(future)

    async def read(self, unit: Unit[T]) -> T:
        """Run a read-only unit on one consistent snapshot, beside the writer; raises StorageFailed."""
        reader = await self._free.get()
        try:
            return await asyncio.shield(reader.run(lambda connection: _snapshot(connection, unit)))
        except sqlite3.Error as error:
            raise StorageFailed(str(error)) from error
        finally:
            self._free.put_nowait(reader)

    def glance(self, unit: Unit[T]) -> T:
        """Run a read-only unit here and now, on one consistent snapshot; raises StorageFailed.

        For questions by key that take microseconds and are waited for: a hop to a reader's thread and back costs as much
        as they do. It never waits for the writer, but everything else waits for it.
        """
        if self._closing:
            raise StorageFailed("the database is closing")
        try:
            if self._glancing is None:
                self._glancing = _connect(self.path, read_only=True)
            return _snapshot(self._glancing, unit)
        except sqlite3.Error as error:
            raise StorageFailed(str(error)) from error

    def figures(self) -> StoreFigures:
        """Return how the writer fares."""
        return StoreFigures(self.commits, len(self._waiting), bool(self.problem))

    async def beat(self) -> None:
        """Come back once the writer's thread has done what it was at: proof that it moves, whatever the disk says.

        It commits nothing, because an empty commit works on a full disk and would hide `problem`.
        """
        with contextlib.suppress(sqlite3.Error, ValueError):  # a closed connection does not hang either
            await self._writer.run(lambda connection: connection.execute("SELECT 1").fetchone())

    async def close(self) -> None:
        """Finish the waiting units, then close. Units offered afterwards are refused."""
        self._closing = True
        if self._resting is not None:
            self._resting.cancel()
        if self._pump is not None:
            await asyncio.shield(self._pump)
        if self._glancing is not None:
            self._glancing.close()
        for connection in (*self._readers, self._writer):
            with contextlib.suppress(sqlite3.Error, ValueError):
                await connection.close()

    async def _commit_waiting(self) -> None:
        while self._waiting:
            units = [self._waiting.popleft() for _ in range(min(len(self._waiting), COMMIT_UNITS_MAX))]
            closings = list(dict.fromkeys(waiting.closing for waiting in units if waiting.closing is not None))
            try:
                outcomes, closed = await self._writer.run(
                    lambda connection, units=units, closings=closings: _commit(connection, units, closings)  # type: ignore[misc]
                )
                self.problem = ""
            except _ClosingFailed as failed:
                self.undone.append(self.commits)
                outcomes, closed = [failed.error for _ in units], [failed.error for _ in closings]
            except (sqlite3.Error, ValueError) as error:
                self.problem = str(error)
                self.undone.append(self.commits)
                outcomes = [StorageFailed(str(error)) for _ in units]
                closed = [StorageFailed(str(error)) for _ in closings]
            self.commits += 1
            for closing, outcome in zip(closings, closed, strict=True):
                closing.on_closed(outcome)
            for waiting, outcome in zip(units, outcomes, strict=True):
                future = waiting.future
                if waiting.after is not None:
                    waiting.after(outcome)
                if future.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                    future.exception()  # a caller that was cancelled never looks
                else:
                    future.set_result(outcome)
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(LOG_TRUNCATED_AFTER_S, self._truncate_log)

    def _truncate_log(self) -> None:
        """Bring the write-ahead log of a database at rest into its file, so that the log takes no room."""
        self._resting = None
        log = self.path.with_name(self.path.name + "-wal")
        try:
            large = log.stat().st_size > LOG_KEPT_BYTES
        except OSError:
            return
        if large and not self._closing and (self._pump is None or self._pump.done()):
            self._pump = asyncio.get_running_loop().create_task(self._checkpoint(), name=f"rest {self.path.name}")

    async def _checkpoint(self) -> None:
        with contextlib.suppress(sqlite3.Error, ValueError):  # a log that stays is no harm
            await self._writer.run(_truncate)
        await self._commit_waiting()


def _snapshot(connection: sqlite3.Connection, unit: Unit[T]) -> T:
    connection.execute("BEGIN")
    try:
        return unit(connection)
    finally:
        connection.execute("ROLLBACK")


def _truncate(connection: sqlite3.Connection) -> None:
    """Empty the write-ahead log, unless somebody reads an older state right now."""
    connection.execute("PRAGMA busy_timeout=0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.execute("PRAGMA busy_timeout=5000")


class _ClosingFailed(Exception):
    """A closing raised: everything of its transaction is undone, and everybody in it hears why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _close(connection: sqlite3.Connection, closings: list[Closing]) -> list[Any]:
    try:
        return [closing.close(connection) for closing in closings]
    except sqlite3.IntegrityError as error:
        raise _ClosingFailed(Misuse(f"a unit of work broke a constraint: {error}")) from error
    except _UNIT_FAILURES as error:
        raise _ClosingFailed(error) from error


def _commit(
    connection: sqlite3.Connection, units: list[_Waiting], closings: list[Closing]
) -> tuple[list[Any], list[Any]]:
    """Run units and closings in one transaction; return their results, or per unit the exception that undid it."""
    outcomes: list[Any] = []
    if connection.in_transaction:  # a COMMIT that failed (disk full) can leave one open
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for waiting in units:
            connection.execute("SAVEPOINT unit")
            try:
                outcomes.append(waiting.unit(connection))
            except sqlite3.IntegrityError as error:
                connection.execute("ROLLBACK TO unit")
                outcomes.append(Misuse(f"a unit of work broke a constraint: {error}"))
            except _UNIT_FAILURES as error:
                connection.execute("ROLLBACK TO unit")
                outcomes.append(error)
            connection.execute("RELEASE unit")
        closed = _close(connection, closings)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes, closed
