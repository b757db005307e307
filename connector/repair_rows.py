"""Repairs and waiting notices in a site's database."""

from __future__ import annotations

from collections.abc import Sequence

from shared.core.repairs import Repair
from shared.database import Database
from shared.notices import rows
from shared.notices.notice import Notice
from shared.notices.store import Addressed


class RepairRows:
    """See `RepairStore` for what the methods promise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_repairs(self) -> list[Repair]:
        return await self._database.read(rows.open_repairs)

    async def cleared_repairs(self, limit: int) -> list[Repair]:
        return await self._database.read(lambda c: rows.cleared_repairs(c, limit))

    async def save_repairs(self, repairs: Sequence[Repair], notices: Sequence[Addressed]) -> None:
        await self._database.write(lambda c: rows.save_repairs(c, repairs, notices))

    async def forget_repairs(self, now_ms: int) -> None:
        await self._database.write(lambda c: rows.forget_repairs(c, now_ms))

    async def waiting_notices(self, channel: str) -> list[Notice]:
        return await self._database.read(lambda c: rows.waiting_notices(c, channel))

    async def forget_notices(self, gone: Sequence[tuple[str, str]]) -> None:
        await self._database.write(lambda c: rows.forget_notices(c, gone))
