"""One SQLite file: a single writer with group commit, and readers apart (DESIGN section 7).

A *unit of work* is a plain function of the connection. The writer runs all waiting units in one `BEGIN IMMEDIATE` ..
`COMMIT`, each under a savepoint of its own, so that one that fails takes nothing of the others with it; a caller hears
back only after the commit. Units run on one thread, one after another: state that only units touch needs no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from shared.checkpoints import Checkpoints
from shared.database_connections import DamageMet, Threaded, Unit, close_all, connect, open_all
from shared.database_rescue import (
    adopt_rescued,
    check_at_start,
    copy_out,
    forget_rescued,
    put_in_place,
    set_old_rescued_aside,
    truncate_log,
    try_to_write,
)
from shared.errors import StorageFailed
from shared.group_commit import Closing, ClosingFailed, Waiting, commit
from shared.limits import (
    COMMIT_UNITS_MAX,
    LOG_KEPT_BYTES,
    LOG_TRUNCATED_AFTER_S,
    STORE_TRIED_EVERY_S,
    WRITER_PATIENCE_S,
)
from shared.migration import migrate
from shared.storage_trouble import Trouble, TroubleKind, file_id, trouble, trouble_of

T = TypeVar("T")
_log = logging.getLogger(__name__)


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
    """How a store fares: commits since the start, units of work that wait for the writer, whether the last one failed.

    `problem` says why, empty where it did not.
    """

    commits: int = 0
    waiting: int = 0
    failing: bool = False
    problem: str = ""


class Database:
    """An open database. Make it with `Database.open`, end it with `close`."""

    def __init__(
        self, path: Path, writer: Threaded, checkpointer: Threaded, readers: list[Threaded], *, puts_back: bool = False
    ) -> None:
        self.path = path
        self._puts_back = puts_back
        self._file_id = file_id(path)
        self._trial: asyncio.TimerHandle | None = None
        self._storing = asyncio.Event()
        self._storing.set()
        self._writer = writer
        self._checkpoints = Checkpoints(checkpointer, path, self._on_checkpoint_failed)
        self._readers = readers
        self._readers_count = len(readers)
        self._glancing: sqlite3.Connection | None = None
        self._free: asyncio.LifoQueue[Threaded] = asyncio.LifoQueue()
        for reader in readers:
            self._free.put_nowait(reader)
        self._waiting: deque[Waiting] = deque()
        self._patient: deque[tuple[float, Waiting]] = deque()  # with when their patience ends
        self._was_patient = False  # the last transaction was one of those
        self._alone: WeakSet[Closing] = WeakSet()  # closings that failed: nobody else is to be undone with them again
        self._pump: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._closing = False
        self._is_away = False  # the connections are closed, for the file is put back, and opened again after that
        self._is_put_back = False  # and whoever keeps more beside it has not heard so yet
        self.commits = 0
        self.undone: deque[int] = deque(maxlen=64)
        """Which of the last transactions, counted as `commits` counts them, were undone as a whole."""
        self.trouble: Trouble | None = None
        """Why nothing can be stored; None while that works. It is tried again every STORE_TRIED_EVERY_S."""
        self.on_trouble: Callable[[], None] = lambda: None
        """Called when `trouble` begins, changes or ends."""
        self.on_put_back: Callable[[], None] = lambda: None
        """Called when a deleted file was put back: what lay beside it may be gone too.

        Where it raises StorageFailed or OSError, it is called again with the next trial.
        """
        self._error = ""

    @property
    def problem(self) -> str:
        """Why the last commit failed; empty while storing works."""
        return self.trouble.why if self.trouble is not None else self._error

    @classmethod
    async def open(cls, path: Path, scripts: Traversable, *, readers: int = 2, puts_back: bool = False) -> Database:
        """Open (or create, mode 0600) a database and bring it up to date, after a checked copy.

        With `puts_back`, a file that is deleted while it is open is put back, for this process still holds all of it.
        Raises DatabaseNewer, or StorageFailed where that is impossible.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            await asyncio.to_thread(adopt_rescued, path)
            if not path.exists():
                path.touch(mode=0o600)
            # What cannot be opened says so here, before there are threads to be ended.
            await asyncio.to_thread(lambda: check_at_start(connect(path, read_only=False), path))
            opened = await open_all(path, readers, lambda writer: migrate(writer, scripts, path))
            try:
                database = cls(path, *opened, puts_back=puts_back)
            except OSError:
                await close_all(opened)
                raise
            forget_rescued(path)
            set_old_rescued_aside(path)
        except sqlite3.Error as error:
            found = trouble_of(error, path)
            raise StorageFailed(f"cannot open {path}: {error}" if found is None else found.why) from error
        except OSError as error:
            raise StorageFailed(f"cannot open {path}: {error}") from error
        return database

    async def write(
        self,
        unit: Unit[T],
        after: Callable[[T | BaseException], None] | None = None,
        closing: Closing | None = None,
        *,
        patient: bool = False,
    ) -> T:
        """Run a unit of work and return its result once it is durable.

        Raises what the unit raised (nothing of it is kept), or StorageFailed where the disk refused, or a closing of
        others failed that shared the transaction. Cancelling the
        caller does not cancel the unit: it is committed or not, as a whole, and its result is dropped. `after` is
        called on the event loop with the result or the exception, in the order of the units, whether or not the caller
        still waits: effects that must follow a commit belong there. It must not raise. `closing` runs once for all units
        of the transaction that name it. While there is `trouble`, nothing is begun and `after` is not called.

        What is `patient` gives way to all that waits, for WRITER_PATIENCE_S at most, and has a transaction of its own, so
        that nobody waits for more than one such unit: for work in the background, which takes milliseconds.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._offer(Waiting(_conditional(unit), future, after, closing), patient=patient)
        return await asyncio.shield(future)

    def begin(
        self,
        unit: Unit[T],
        after: Callable[[T | BaseException], None],
        closing: Closing | None = None,
        *,
        is_harmless: bool = False,
    ) -> None:
        """Run a unit of work as `write` does, for whom `after` is enough: nothing waits for it.

        `is_harmless`: nothing that it stores has to go where it fails. Raises StorageFailed where nothing can be stored;
        then `after` is not called.
        """
        self._offer(Waiting(_conditional(unit), None, after, closing, is_harmless))

    def _offer(self, waiting: Waiting, *, patient: bool = False) -> None:
        if self._closing:
            raise StorageFailed("the database is closing")
        if self.trouble is not None:
            raise StorageFailed(self.trouble.why)
        if patient:
            self._patient.append((asyncio.get_running_loop().time() + WRITER_PATIENCE_S, waiting))
        else:
            self._waiting.append(waiting)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._commit_waiting(), name=f"writer {self.path.name}")

    async def read(self, unit: Unit[T]) -> T:
        """Run a read-only unit on one consistent snapshot, beside the writer; raises StorageFailed.

        What it finds damaged is set aside first, and the unit run again (DamageMet).
        """
        while True:
            try:
                return await self._read(unit)
            except DamageMet as met:
                await self.write(met.set_aside)

    async def _read(self, unit: Unit[T]) -> T:
        reader = await self._free.get()
        try:
            if self._is_away:
                raise StorageFailed(self.problem)
            return await asyncio.shield(reader.run(lambda connection: _snapshot(connection, unit)))
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        finally:
            if reader in self._readers:  # else there are others now
                self._free.put_nowait(reader)

    def glance(self, unit: Unit[T]) -> T:
        """Run a read-only unit here and now, on one consistent snapshot; raises StorageFailed.

        For questions by key that take microseconds and are waited for: a hop to a reader's thread and back costs as much
        as they do. It never waits for the writer, but everything else waits for it. What it finds damaged fails this once
        (DamageMet): it is set aside behind its back.
        """
        if self._closing:
            raise StorageFailed("the database is closing")
        if self._is_away:
            raise StorageFailed(self.problem)
        try:
            if self._glancing is None:
                self._glancing = connect(self.path, read_only=True)
            return _snapshot(self._glancing, unit)
        except DamageMet as met:
            with contextlib.suppress(StorageFailed):  # where nothing can be stored, the next glance meets it again
                self.begin(met.set_aside, lambda _: None)
            raise
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> StorageFailed:
        """Note damage that a reader met: nothing more is stored into a file that is not whole."""
        found = trouble_of(error, self.path)
        if found is not None and found.kind is TroubleKind.DAMAGED and not self._closing:
            self._begin_trouble(found)
        return StorageFailed(str(error))

    def unused_bytes(self) -> int:
        """Return how much room within the file nothing uses any more; 0 where that cannot be read."""
        try:
            return self.glance(_unused_bytes)
        except StorageFailed:
            return 0

    async def until_storing(self) -> None:
        """Return once there is no `trouble`."""
        await self._storing.wait()

    def figures(self) -> StoreFigures:
        """Return how the writer fares."""
        return StoreFigures(self.commits, len(self._waiting) + len(self._patient), bool(self.problem), self.problem)

    async def beat(self) -> None:
        """Come back once the writer's thread has done what it was at: proof that it moves, whatever the disk says.

        It commits nothing, because an empty commit works on a full disk and would hide `problem`.
        """
        with contextlib.suppress(sqlite3.Error, ValueError):  # a closed connection does not hang either
            await self._writer.run(lambda connection: connection.execute("SELECT 1").fetchone())

    async def close(self) -> None:
        """Finish the waiting units, then close. Units offered afterwards are refused."""
        self._closing = True
        for timer in (self._resting, self._trial):
            if timer is not None:
                timer.cancel()
        if self._pump is not None:
            await asyncio.shield(self._pump)
        if self._glancing is not None:
            self._glancing.close()
        await self._checkpoints.close()
        for connection in (*self._readers, self._writer):
            with contextlib.suppress(sqlite3.Error, ValueError):
                await connection.close()
        self._checkpoints.release()

    async def _commit_waiting(self) -> None:
        while units := self._next_units():
            closings = list(dict.fromkeys(waiting.closing for waiting in units if waiting.closing is not None))
            if self.trouble is not None:
                closings = []  # nothing was begun that would have to be ended
            outcomes, closed = await self._outcomes(units, closings)
            self.commits += 1
            for closing, outcome in zip(closings, closed, strict=True):
                _call(closing.on_closed, outcome)
            for waiting, outcome in zip(units, outcomes, strict=True):
                _tell(waiting, outcome)
            if self.trouble is None:
                self._checkpoints.after_commit()
            if self._checkpoints.is_log_long:
                await self._shorten_log()
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(LOG_TRUNCATED_AFTER_S, self._truncate_log)

    async def _shorten_log(self) -> None:
        self._checkpoints.is_log_long = False
        try:
            await self._writer.run(self._checkpoints.copy_rest)
        except sqlite3.Error as error:
            self._on_checkpoint_failed(error)
        except ValueError:  # the connection is closed, to be opened again
            pass

    def _next_units(self) -> list[Waiting]:
        """Return what goes into the next transaction; empty where nothing waits.

        No two patient ones go one after the other before what waits: on a slow machine all of them have waited for long.
        """
        if self._patient:
            tired_s, waiting = self._patient[0]
            is_tired = not self._was_patient and tired_s <= asyncio.get_running_loop().time()
            if not self._waiting or is_tired:
                self._was_patient = True
                self._patient.popleft()
                return [waiting]
        self._was_patient = False
        return [self._waiting.popleft() for _ in range(self._together())]

    def _together(self) -> int:
        """Return how many of the first that wait may share a transaction: nobody does with a closing that failed before."""
        if not self._alone or not self._waiting:
            return min(len(self._waiting), COMMIT_UNITS_MAX)

        def alone(waiting: Waiting) -> Closing | None:
            return waiting.closing if waiting.closing in self._alone else None

        first = alone(self._waiting[0])
        return sum(
            1 for _ in takewhile(lambda waiting: alone(waiting) is first, islice(self._waiting, COMMIT_UNITS_MAX))
        )

    async def _outcomes(self, units: list[Waiting], closings: list[Closing]) -> tuple[list[Any], list[Any]]:
        """Run one transaction; return what to tell units and closings: results, or why all of it is undone."""
        failure: Exception
        try:
            if self.trouble is not None:
                raise StorageFailed(self.trouble.why)
            self._refuse_moved()
            done = await self._writer.run(lambda connection: commit(connection, units, closings))
            self._refuse_moved()  # what went into a file without a name is not stored
            self._error = ""
            return done
        except ClosingFailed as failed:
            self._alone.add(failed.closing)
            self.undone.append(self.commits)
            return [failed.outcome(each.closing) for each in units], [failed.outcome(closing) for closing in closings]
        except StorageFailed as failed:
            failure = failed
        except (sqlite3.Error, ValueError) as error:
            self._error = str(error)
            if (found := trouble_of(error, self.path)) is not None:
                self._begin_trouble(found)
            failure = StorageFailed(self.problem)
        except Exception as error:  # noqa: BLE001  # a mistake of ours: who waits hears of it, and the next transaction begins
            _log.exception("A transaction of %s is undone", self.path)
            failure = error
        self.undone.append(self.commits)
        return [failure for _ in units], [failure for _ in closings]

    # --- trouble ------------------------------------------------------------------------------------------------------

    def _refuse_moved(self) -> None:
        """Raise StorageFailed where the name leads to another file than ours, or to none."""
        found = file_id(self.path)
        if found != self._file_id:
            self._begin_trouble(trouble(TroubleKind.GONE if found is None else TroubleKind.REPLACED, self.path))
            raise StorageFailed(self.problem)

    def _on_checkpoint_failed(self, error: sqlite3.Error | OSError) -> None:
        """A disk that does not take what is committed will soon take nothing; one that is busy, the next time."""
        failing = trouble(TroubleKind.FAILING, self.path, error) if isinstance(error, OSError) else None
        found = failing or trouble_of(error, self.path)
        if found is None or found.kind is TroubleKind.LOCKED or self._closing:
            _log.warning("no checkpoint of %s: %s", self.path, error)
        else:
            self._begin_trouble(found)

    def _begin_trouble(self, found: Trouble) -> None:
        changed = self.trouble is None or self.trouble.kind is not found.kind
        self.trouble = found
        self._storing.clear()
        if self._trial is not None:
            self._trial.cancel()
        self._trial = asyncio.get_running_loop().call_later(STORE_TRIED_EVERY_S, self._try_soon)
        if changed:
            _log.error("Nothing can be stored: %s", found.why)
            self.on_trouble()

    def _try_soon(self) -> None:
        """Try again beside nothing else: after what the writer is at."""
        self._trial = None
        if self._closing:
            return
        before = self._pump
        self._pump = asyncio.get_running_loop().create_task(self._try_again(before), name=f"trial {self.path.name}")

    async def _try_again(self, before: asyncio.Task[None] | None) -> None:
        """Go on where the cause of the trouble is gone."""
        if before is not None:
            await asyncio.wait([before])
        if self.trouble is not None:
            await self._try(self.trouble.kind)
        await self._commit_waiting()

    async def _try(self, kind: TroubleKind) -> None:
        try:
            found = file_id(self.path)
            if found is None and self._puts_back:
                await self._put_back()
            else:
                self._refuse_moved()
            if self._is_away:
                await self._come_back()
            if self._is_put_back:
                self.on_put_back()
                self._is_put_back = False
            await self._writer.run(lambda connection: try_to_write(connection, self.path, kind))
            await self._checkpoints.until_done()
            await self._checkpoints.make()
        except StorageFailed as error:
            if self._trial is None:
                self._begin_trouble(Trouble(kind, str(error)))
        except (sqlite3.Error, OSError, ValueError) as error:
            self._begin_trouble(trouble_of(error, self.path) or Trouble(kind, str(error)))
        else:
            self._end_trouble(kind)

    def _end_trouble(self, kind: TroubleKind) -> None:
        """Store again, unless a reader met another trouble during the trial: that has a trial of its own."""
        if self.trouble is not None and self.trouble.kind is not kind:
            return
        if self._trial is not None:  # a reader met the same, which was looked at
            self._trial.cancel()
            self._trial = None
        self.trouble, self._error = None, ""
        self._storing.set()
        _log.warning("%s is stored into again", self.path)
        self.on_trouble()

    async def _put_back(self) -> None:
        """Give a deleted file its name again, by a copy of what the open one holds. What has come so far is not done again."""
        if not self._is_away:
            await self._checkpoints.until_done()  # while one is under way the log cannot be emptied
            copied = await self._writer.run(lambda connection: copy_out(connection, self.path))
            await self._go_away()
            self._file_id = copied  # ours from here on, at whatever of the rest the disk refuses
        await asyncio.to_thread(put_in_place, self.path)

    async def _go_away(self) -> None:
        """Close the connections: whoever reads is told so, until there are new ones."""
        for _ in self._readers:
            await self._free.get()  # once nobody reads
        self._is_away = True
        for reader in self._readers:
            self._free.put_nowait(reader)
        await self._checkpoints.close()
        for connection in (*self._readers, self._writer):
            with contextlib.suppress(sqlite3.Error, ValueError):
                await connection.close()
        if self._glancing is not None:
            self._glancing.close()
            self._glancing = None
        self._checkpoints.release()

    async def _come_back(self) -> None:
        """Open the file that was put back; to be tried again where that is refused."""
        opened = await open_all(self.path, self._readers_count)
        try:
            self._checkpoints = Checkpoints(opened[1], self.path, self._on_checkpoint_failed)
        except OSError:
            await close_all(opened)
            raise
        self._writer, _, self._readers = opened
        while not self._free.empty():
            self._free.get_nowait()  # those that are closed
        for reader in self._readers:
            self._free.put_nowait(reader)
        self._is_away = False
        self._is_put_back = True
        forget_rescued(self.path)

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
        await self._checkpoints.until_done()
        with contextlib.suppress(sqlite3.Error, ValueError):  # a log that stays is no harm
            await self._writer.run(truncate_log)
        await self._commit_waiting()


def _tell(waiting: Waiting, outcome: Any) -> None:
    """Tell whoever waits for a unit of work what became of it."""
    future = waiting.future
    if waiting.after is not None:
        _call(waiting.after, outcome)
    if future is None or future.cancelled():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
        future.exception()  # a caller that was cancelled never looks
    else:
        future.set_result(outcome)


def _call(told: Callable[[Any], None], outcome: Any) -> None:
    """Tell one who must not raise: were it to, all who are told after it would wait for ever."""
    try:
        told(outcome)
    except Exception:  # noqa: BLE001  # as above
        _log.exception("What follows a transaction failed")


def _unused_bytes(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages * page_bytes)


def _snapshot(connection: sqlite3.Connection, unit: Unit[T]) -> T:
    connection.execute("BEGIN")
    try:
        return unit(connection)
    finally:
        connection.execute("ROLLBACK")
