"""Sites' databases in memory, for tests that need thousands of them.

To open one is cheap, but each connection prepares its couple of hundred statements anew, which takes longer than the work
of a short test. So they are lent: all of a loan is one transaction, which is rolled back when it ends, and the units of
work inside it are savepoints, as in the shell itself (shared/group_commit.py).
"""

from __future__ import annotations

import sqlite3
from typing import Final

# Words that begin a unit of work, make it last, and undo it.
BEGIN: Final = "SAVEPOINT unit"
COMMIT: Final = "RELEASE unit"
_STATEMENTS_KEPT: Final = 512
_KEPT_MAX: Final = 8


class Databases:
    """Databases that all begin with the same contents."""

    def __init__(self, contents: bytes) -> None:
        self._contents = contents
        self._kept: list[sqlite3.Connection] = []

    def lend(self) -> sqlite3.Connection:
        """Return a database with those contents, in a transaction; `take_back` it."""
        if not self._kept:
            return opened(self._contents, _Lent)
        connection = self._kept.pop()
        connection.execute("BEGIN")
        return connection

    def take_back(self, connection: sqlite3.Connection) -> None:
        """Undo all that was done to a database; one that was opened apart is closed."""
        if not isinstance(connection, _Lent) or len(self._kept) == _KEPT_MAX:
            connection.close()
            return
        connection.execute("ROLLBACK")
        self._kept.append(connection)


class _Lent(sqlite3.Connection):
    """A connection that is used again."""


def opened(contents: bytes, kind: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    """Return a database with these contents, in a transaction.

    They are copied in page by page: SQLite serializes a database that it deserialized as it was before the transaction.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=_STATEMENTS_KEPT, factory=kind)
    template = sqlite3.connect(":memory:")
    template.deserialize(contents)
    template.backup(connection)
    template.close()
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("BEGIN")
    return connection


def undo(connection: sqlite3.Connection) -> None:
    """Undo the unit of work that is open."""
    connection.execute("ROLLBACK TO unit")
    connection.execute("RELEASE unit")
