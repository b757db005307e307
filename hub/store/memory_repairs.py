"""Repairs and waiting notices in memory. See `RepairStore` for what the methods promise."""

from __future__ import annotations

from collections.abc import Sequence

from shared.core.repair_kinds import REPAIRS
from shared.core.repairs import Key, Repair
from shared.limits import REPAIRS_KEPT_MAX, REPAIRS_KEPT_MS
from shared.notices.notice import Notice
from shared.notices.store import Addressed


class MemoryRepairs:
    """The part of `MemoryStore` that keeps them."""

    def __init__(self) -> None:
        self._repairs: dict[tuple[Key, int], Repair] = {}
        self._notices: dict[tuple[str, str], Notice] = {}

    async def open_repairs(self) -> list[Repair]:
        found = [each for each in self._repairs.values() if each.cleared_ms is None and each.finding.code in REPAIRS]
        return sorted(found, key=lambda repair: repair.since_ms)

    async def cleared_repairs(self, limit: int) -> list[Repair]:
        return [each for each in self._cleared() if each.finding.code in REPAIRS][:limit]

    def _cleared(self) -> list[Repair]:
        found = [each for each in self._repairs.values() if each.cleared_ms is not None]
        return sorted(found, key=lambda repair: repair.cleared_ms or 0, reverse=True)

    async def save_repairs(self, repairs: Sequence[Repair], notices: Sequence[Addressed]) -> None:
        for repair in repairs:
            self._repairs[repair.key, repair.since_ms] = repair
        for channel, notice in notices:
            self._notices.setdefault((channel, notice.id), notice)

    async def forget_repairs(self, now_ms: int) -> None:
        for at, repair in enumerate(self._cleared()):
            if at >= REPAIRS_KEPT_MAX or (repair.cleared_ms or 0) < now_ms - REPAIRS_KEPT_MS:
                del self._repairs[repair.key, repair.since_ms]

    async def waiting_notices(self, channel: str) -> list[Notice]:
        found = [notice for (name, _), notice in self._notices.items() if name == channel]
        return sorted(found, key=lambda notice: (notice.at_ms, notice.id))

    async def forget_notices(self, gone: Sequence[tuple[str, str]]) -> None:
        for key in gone:
            self._notices.pop(key, None)
