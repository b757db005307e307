"""The last good copies of answers from the other side (G10): in memory at once, on disk a moment later."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import OrderedDict
from typing import Final

from shared.database import Database
from shared.errors import StorageFailed

_log = logging.getLogger(__name__)
# Copies of answers kept per connector: the newest questions, so that browsing cannot fill the disk.
_COPIES_MAX: Final = 200
# Answers that wait for the disk: many lookups in a row share one commit, and none waits for it.
_UNSAVED_MAX: Final = 500
_SAVE_EVERY_S: Final = 2.0

Key = tuple[str, bytes]


class LookupCopies:
    """Keeps the newest answer of each question. A crash loses those of the last two seconds at most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unsaved: OrderedDict[Key, tuple[bytes, int]] = OrderedDict()
        self._woken = asyncio.Event()

    def keep(self, connector_id: str, question: bytes, answer: bytes, now_ms: int) -> None:
        """Remember an answer; beyond the bound the oldest unsaved one is given up."""
        key = (connector_id, question)
        self._unsaved[key] = (answer, now_ms)
        self._unsaved.move_to_end(key)
        if len(self._unsaved) > _UNSAVED_MAX:
            self._unsaved.popitem(last=False)
        self._woken.set()

    async def find(self, connector_id: str, question: bytes) -> tuple[bytes, int] | None:
        """Return (answer, ms when it was given), None where there is none; raises StorageFailed."""
        unsaved = self._unsaved.get((connector_id, question))
        if unsaved is not None:
            return unsaved

        def unit(connection: sqlite3.Connection) -> tuple[bytes, int] | None:
            found: tuple[bytes, int] | None = connection.execute(
                "SELECT answer, answered_ms FROM lookup_copy WHERE connector_id = ? AND question = ?",
                (connector_id, question),
            ).fetchone()
            return found

        return await self._database.read(unit)

    async def run(self) -> None:
        """Save copies until cancelled."""
        while True:
            await self._woken.wait()
            await asyncio.sleep(_SAVE_EVERY_S)
            self._woken.clear()
            await self.save()

    async def save(self) -> None:
        """Write what is not saved yet; where the disk refuses, it is tried again later."""
        if not self._unsaved:
            return
        taken = dict(self._unsaved)
        try:
            await self._database.write(lambda connection: _save(connection, taken))
        except StorageFailed as error:
            _log.warning("copies of lookups not saved: %s", error)
            return
        for key, copy in taken.items():
            if self._unsaved.get(key) is copy:
                del self._unsaved[key]


def _save(connection: sqlite3.Connection, taken: dict[Key, tuple[bytes, int]]) -> None:
    known = {row[0] for row in connection.execute("SELECT connector_id FROM connector")}
    (last,) = connection.execute("SELECT COALESCE(MAX(place), 0) FROM lookup_copy").fetchone()
    rows = [(*key, *copy, last + 1 + at) for at, (key, copy) in enumerate(taken.items()) if key[0] in known]
    connection.executemany(
        "INSERT OR REPLACE INTO lookup_copy (connector_id, question, answer, answered_ms, place) VALUES (?, ?, ?, ?, ?)",
        rows,
    )
    for connector_id in dict.fromkeys(row[0] for row in rows):
        # By their place, not their time: once the clock was set back, the newest would be the first to go.
        connection.execute(
            "DELETE FROM lookup_copy WHERE connector_id = ?1 AND question NOT IN (SELECT question FROM lookup_copy"
            " WHERE connector_id = ?1 ORDER BY place DESC, answered_ms DESC LIMIT ?2)",
            (connector_id, _COPIES_MAX),
        )
