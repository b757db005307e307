"""One transaction of many units of work: each under a savepoint of its own, closings at its end (shared.database)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import Misuse, StorageFailed


class Closing(Protocol):
    """What units of work that share a transaction want done once, after the last of them and before the commit."""

    def close(self, connection: sqlite3.Connection) -> Any:
        """Do it, on the writer's thread.

        What it raises undoes the transaction with all its units, and from then on those that name it share none with others.
        """

    def on_closed(self, outcome: Any) -> None:
        """Hear on the event loop what `close` returned, once that is durable, or the exception that undid it all.

        Comes before the units' own `after`. Must not raise.
        """


@dataclass(frozen=True, slots=True)
class Waiting:
    """A unit of work that waits for the writer."""

    unit: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any] | None
    """Of whoever waits for it; None where `after` is all that is wanted."""
    after: Callable[[Any], None] | None
    closing: Closing | None = None
    is_harmless: bool = False
    """Whether nothing that it has stored has to go where it fails: then it needs no savepoint."""


class ClosingFailed(Exception):
    """A closing raised: everything of its transaction is undone. Whose it is hears why; the others, that they can try again."""

    def __init__(self, closing: Closing, error: Exception) -> None:
        super().__init__(str(error))
        self.closing = closing
        self.error = error

    def outcome(self, closing: Closing | None) -> Exception:
        """What to tell a closing, or a unit that names it."""
        if closing is self.closing:
            return self.error
        return StorageFailed("what something else wanted stored at the same time was refused; try again")


def _close(connection: sqlite3.Connection, closing: Closing) -> Any:
    try:
        return closing.close(connection)
    except sqlite3.IntegrityError as error:
        raise ClosingFailed(closing, Misuse(f"a unit of work broke a constraint: {error}")) from error
    except sqlite3.Error:
        raise
    except Exception as error:
        raise ClosingFailed(closing, error) from error


def _run(connection: sqlite3.Connection, waiting: Waiting, *, is_first: bool) -> Any:
    """Run a unit; return its result, or the exception that undid it, whatever that is: the others are not to blame.

    Only what SQLite says of the disk or the file is about all of them, and raised.

    The first one of a transaction needs no savepoint, which would keep every page it changes a second time: nothing else
    is in there yet, so that the transaction can begin anew without it.
    """
    if is_saved := not (is_first or waiting.is_harmless):
        connection.execute("SAVEPOINT unit")
    outcome: Any
    try:
        outcome = waiting.unit(connection)
    except sqlite3.IntegrityError as error:
        outcome = Misuse(f"a unit of work broke a constraint: {error}")
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001  # as above
        outcome = error
    else:
        if is_saved:
            connection.execute("RELEASE unit")
        return outcome
    if is_saved:
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
    elif not waiting.is_harmless:
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
    return outcome


def commit(
    connection: sqlite3.Connection, units: list[Waiting], closings: list[Closing]
) -> tuple[list[Any], list[Any]]:
    """Run units and closings in one transaction; return their results, or per unit the exception that undid it."""
    if connection.in_transaction:  # a COMMIT that failed (disk full) can leave one open
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_run(connection, waiting, is_first=at == 0) for at, waiting in enumerate(units)]
        closed = [_close(connection, closing) for closing in closings]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes, closed
