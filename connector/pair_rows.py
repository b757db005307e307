"""What all verbs of a pair's storage share: the connection, the connector, and how columns are written."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from connector.catalogue import Catalogue
from shared.core.account import Apart
from shared.core.intervals import IntervalSet
from shared.foreign import read_packed
from shared.limits import CLOCK_JUMP_MS_MAX

T = TypeVar("T")
_log = logging.getLogger(__name__)
pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class PairRows:
    """The tables of one connector on one open connection."""

    def __init__(self, connection: sqlite3.Connection, connector_id: str, catalogue: Catalogue) -> None:
        self.connection = self._connection = connection
        self._run = connection.execute
        self._id = connector_id
        self._catalogue = catalogue

    def _last_stamp(self, table: str, now_ms: int) -> int:
        """Return a stamp behind all others of a table that keeps its newest rows: now, unless the clock was set back.

        By the clock alone the row just written would be the oldest then, and go at once.
        """
        sql = f"SELECT MAX(?, COALESCE(MAX(updated_ms) + 1, 0)) FROM {table} WHERE connector_id = ?"  # noqa: S608  # names of ours
        return int(self._run(sql, (now_ms, self._id)).fetchone()[0])

    def _move_stamps(self, table: str, column: str, by_ms: int, now_ms: int) -> None:
        """Move the times of what waits along with a wall clock that was set by `by_ms` and now says `now_ms`.

        Forward, what would come to lie ahead was not written by the clock as it was before; backward, what is not
        ahead was not.
        """
        ahead_ms = now_ms + CLOCK_JUMP_MS_MAX
        ours = f"{column} + ?1 <= ?2" if by_ms > 0 else f"{column} > ?2"
        sql = f"UPDATE {table} SET {column} = {column} + ?1 WHERE connector_id = ?3 AND {ours}"  # noqa: S608  # names of ours
        self._run(sql, (by_ms, ahead_ms, self._id))


def readable(packed: bytes, kind: type[T], what: str) -> T | None:
    """Return what a column holds; None, and a line in the log, where the disk damaged it: one row must not stop all others."""
    try:
        return read_packed(msgspec.msgpack.Decoder(kind), packed)
    except msgspec.DecodeError as error:
        _log.error("%s cannot be read and is passed over: %s", what, error)
        return None


UNREADABLE = (msgspec.DecodeError, ValueError, TypeError)
"""What `epoch_rest` raises where the disk damaged a row."""


def epoch_rest(row: Sequence[Any]) -> tuple[IntervalSet, IntervalSet, int, int, int, dict[str, int], Apart]:
    """Return (recorded, closed, applied, held, quarantined, dropped by cause, apart) from a row's columns."""
    recorded, closed, applied, held, quarantined, dropped, apart = row
    return (
        IntervalSet(unpack(recorded)),
        IntervalSet(unpack(closed)),
        applied,
        held,
        quarantined,
        msgspec.json.decode(dropped, type=dict[str, int]),
        unpack(apart, type=Apart) if apart else Apart(),
    )


def read_counts(text: str) -> dict[str, int]:
    """Return readings by alias as they were written down; none where the disk damaged that: they are of no resource then."""
    try:
        return msgspec.json.decode(text, type=dict[str, int])
    except msgspec.DecodeError:
        return {}
