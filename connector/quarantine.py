"""What arrived and could not be applied (G7), as people and programs look at it, try it again, or discard it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from connector.runtime import ConnectorRuntime
from connector.streams import Streams
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.core.ports import ENTRY_KIND
from shared.database import Database
from shared.errors import Refused, SealBroken
from shared.limits import QUARANTINE_ROW_BYTES

# Tried by one press of *Retry all*: one unit of work each, so that nothing else waits.
_RETRIED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """Something kept aside: a segment with `count` readings, or an entry of the other side's log."""

    quarantine_id: int
    kind: Literal["segment", "entry"]
    count: int
    reason: str
    arrived_ms: int
    tried_ms: int | None
    body_bytes: int
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class QuarantineTotal:
    """How much is kept aside in all; `segment_bytes` are those that `quarantine_bytes_max` is for."""

    rows: int
    entries: int
    readings: int
    segment_bytes: int


def list_quarantine(
    connection: sqlite3.Connection, connector_id: str, *, after: int = 0, limit: int = 50
) -> list[QuarantineRow]:
    """Return what is kept aside, oldest first, from behind one."""
    rows = connection.execute(
        "SELECT quarantine_id, kind, count, reason, arrived_ms, tried_ms, LENGTH(body), epoch, number FROM quarantine"
        " WHERE connector_id = ? AND quarantine_id > ? ORDER BY quarantine_id LIMIT ?",
        (connector_id, after, limit),
    )
    return [QuarantineRow(row[0], "entry" if row[1] == ENTRY_KIND else "segment", *row[2:]) for row in rows]


def total_quarantine(connection: sqlite3.Connection, connector_id: str) -> QuarantineTotal:
    """Return how much is kept aside."""
    row = connection.execute(
        "SELECT COUNT(*), COUNT(*) FILTER (WHERE kind = :entry), IFNULL(SUM(count), 0),"
        " IFNULL(SUM(LENGTH(header) + LENGTH(body) + :row) FILTER (WHERE kind <> :entry), 0)"
        " FROM quarantine WHERE connector_id = :id",
        {"entry": ENTRY_KIND, "row": QUARANTINE_ROW_BYTES, "id": connector_id},
    ).fetchone()
    return QuarantineTotal(*row)


def last_quarantined(connection: sqlite3.Connection, connector_id: str) -> int:
    """Return the number of what was kept aside last; 0 where nothing is."""
    row = connection.execute(
        "SELECT MAX(quarantine_id) FROM quarantine WHERE connector_id = ?", (connector_id,)
    ).fetchone()
    return row[0] or 0


class QuarantineDesk:
    """The quarantine of all connectors of a site. All raise Refused('not_found', 'not_paired')."""

    def __init__(self, *, database: Database, runtime: Callable[[str], ConnectorRuntime]) -> None:
        self._database = database
        self._runtime = runtime

    async def rows(self, connector_id: str, *, after: int = 0, limit: int = 50) -> list[QuarantineRow]:
        """Return what is kept aside, oldest first, from behind one; of a connector without a peer nothing."""
        self._runtime(connector_id)
        return await self._database.read(lambda c: list_quarantine(c, connector_id, after=after, limit=limit))

    async def total(self, connector_id: str) -> QuarantineTotal:
        """Return how much is kept aside."""
        self._runtime(connector_id)
        return await self._database.read(lambda c: total_quarantine(c, connector_id))

    async def retry(self, connector_id: str, quarantine_id: int) -> str:
        """Try one again; return why it still cannot be applied, empty where it is applied now."""

        def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[str, list[Effect]]:
            return engine.quarantine.retry(store, quarantine_id, now_ms)

        runner = self._runtime(connector_id).runner
        if runner is None:
            raise Refused("not_paired")
        return await runner.run(work)

    async def retry_all(self, connector_id: str) -> int:
        """Try all of it again, up to a bound; return how many were applied."""
        applied = 0
        for row in await self.rows(connector_id, limit=_RETRIED_MAX):
            try:
                applied += not await self.retry(connector_id, row.quarantine_id)
            except Refused as refused:
                if refused.code != "not_found":  # somebody was faster
                    raise
        return applied

    async def discard(self, connector_id: str, quarantine_id: int) -> None:
        """Give one up for good: a gap, of which the other side is told."""

        def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
            return None, engine.quarantine.discard(store, quarantine_id, now_ms)

        runner = self._runtime(connector_id).runner
        if runner is None:
            raise Refused("not_paired")
        await runner.run(work)

    async def discard_all(self, connector_id: str) -> int:
        """Give up all that is there now, a few in each unit of work; return how much it was."""
        runner = self._runtime(connector_id).runner
        if runner is None:
            raise Refused("not_paired")
        last = await self._database.read(lambda c: last_quarantined(c, connector_id))
        discarded = 0
        while found := await runner.run(
            lambda engine, store, now_ms: engine.quarantine.discard_up_to(store, last, now_ms)
        ):
            discarded += found
        return discarded

    async def content(self, connector_id: str, quarantine_id: int) -> bytes:
        """Return what the other side wrote, its seal opened, as it is."""

        def work(engine: PairEngine, store: Streams, _now_ms: int) -> tuple[bytes, list[Effect]]:
            item = store.quarantined(quarantine_id)
            if item is None:
                raise Refused("not_found", what="thing in quarantine")
            try:
                return engine.quarantine.opened(item), []
            except SealBroken as error:
                raise Refused("invalid", what="Seal", why=str(error)) from error

        runner = self._runtime(connector_id).runner
        if runner is None:
            raise Refused("not_paired")
        return await runner.run(work)
