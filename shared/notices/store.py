"""What repairs and notices ask of a store; at a site its database, at a hub the hub's store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shared.core.repairs import Repair
from shared.notices.notice import Notice

Addressed = tuple[str, Notice]
"""A notice with the name of the channel that it waits for."""


class RepairStore(Protocol):
    """Every method is one transaction, and raises `StorageFailed` where the disk refuses."""

    async def open_repairs(self) -> list[Repair]:
        """Return the repairs that are open, the oldest first; those of kinds that this release does not know are left out."""

    async def cleared_repairs(self, limit: int) -> list[Repair]:
        """Return at most `limit` repairs that are over, the last one first."""

    async def save_repairs(self, repairs: Sequence[Repair], notices: Sequence[Addressed]) -> None:
        """Keep how repairs stand, each in the place of its former state, and the notices that tell of it."""

    async def forget_repairs(self, now_ms: int) -> None:
        """Let repairs go that were over long ago (REPAIRS_KEPT_MS), and all but the last ones (REPAIRS_KEPT_MAX)."""

    async def waiting_notices(self, channel: str) -> list[Notice]:
        """Return the notices that wait for a channel, oldest first."""

    async def forget_notices(self, gone: Sequence[tuple[str, str]]) -> None:
        """Let notices go, by (channel, notice ID), that were delivered or given up; those not there do not matter."""
