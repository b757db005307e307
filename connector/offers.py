"""Requests on their way into an intake: all that wait for the writer are offered in one unit of work.

A unit of work of its own for each request costs a savepoint and questions to the database; each of those lets go of the
interpreter, and has to wait for it again while the event loop is busy reading what comes next.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import TypeAlias

from connector.absorbing import Request
from connector.intake import Intake
from connector.pair_runner import PairRunner
from connector.streams import Streams
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.database import Database
from shared.limits import COMMIT_UNITS_MAX

Answer: TypeAlias = list[str] | BaseException
"""What Intake.offer says to a request: the devices that have to be made first, or why not."""
Done: TypeAlias = Callable[[Answer], None]


class Offers:
    """The way into the intake of one connector. `database` stores for it, or `runner` where it is paired."""

    def __init__(self, intake: Intake, database: Database, runner: PairRunner | None) -> None:
        self._intake = intake
        self._database = database
        self._runner = runner
        self._group: _Group | None = None

    def begin(self, request: Request, source: str, done: Done) -> None:
        """Offer a request; `done` is called on the event loop once it is stored, or is not. Raises StorageFailed.

        `source` is whom to name to somebody who posts to a target.
        """
        if self._group is not None and self._group.add(request, done):
            return
        group = _Group(request, done)
        # It only looks and gathers, but for series that may as well be there: most of a savepoint's cost is its own.
        if self._runner is None:
            self._database.begin(
                lambda connection: group.offer(self._intake, connection, source),
                group.after,
                self._intake,
                is_harmless=True,
            )
        else:

            def work(engine: PairEngine, store: Streams, _: int) -> tuple[None, list[Effect]]:
                def refuse_when_full(each: Request) -> None:
                    self._intake.refuse_when_full(engine, store, each)

                group.offer(self._intake, store.connection, source, refuse_when_full)
                return None, []

            self._runner.begin(work, group.after, self._intake, is_harmless=True)
        self._group = group


class _Group:
    """Requests that share a unit of work: those that come before it begins."""

    def __init__(self, request: Request, done: Done) -> None:
        self._requests = [request]
        self._done = [done]
        self._answers: list[Answer] = []
        self._lock = threading.Lock()
        self._is_under_way = False

    def add(self, request: Request, done: Done) -> bool:
        """Take a request in; False where it comes too late, or there are enough."""
        with self._lock:
            if self._is_under_way or len(self._requests) >= COMMIT_UNITS_MAX:
                return False
            self._requests.append(request)
            self._done.append(done)
            return True

    def offer(
        self,
        intake: Intake,
        connection: sqlite3.Connection,
        source: str,
        refuse_when_full: Callable[[Request], None] = lambda _: None,
    ) -> None:
        """Offer them all, on the writer's thread; what is wrong with one is no harm to the others."""
        with self._lock:
            self._is_under_way = True
        door = intake.door(connection)
        for request in self._requests:
            try:
                refuse_when_full(request)
                self._answers.append(intake.offer(connection, request, may_create=True, source=source, door=door))
            except sqlite3.Error:
                raise  # of the transaction, with all that is in it
            except Exception as error:  # noqa: BLE001  # the others are let in already
                self._answers.append(error)

    def after(self, outcome: BaseException | None) -> None:
        """Tell everybody soon: the writer comes first, which has nothing to do until it is asked again."""
        with self._lock:
            self._is_under_way = True  # also where it never began: nobody would tell those who came later
        answers: list[Answer] = self._answers if outcome is None else [outcome for _ in self._requests]
        asyncio.get_running_loop().call_soon(self._tell, answers)

    def _tell(self, answers: list[Answer]) -> None:
        for done, answer in zip(self._done, answers, strict=True):
            done(answer)
