"""What is wrong with this hub and needs a person: disk, certificate, room for copies (N2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shared.core.health import HubFacts, judge_hub
from shared.core.repairs import Repair, RepairBook

if TYPE_CHECKING:
    from hub.hub import Hub


class RepairReport(msgspec.Struct, frozen=True):
    """An open repair in words. `since_ms` is ms since 1970, not before the hub's start."""

    code: str
    urgent: bool
    since_ms: int
    title: str
    cause: str
    means: str
    fix: str


class HubRepairs:
    """The book of repairs of one hub, kept in memory: whatever looks at the hub feeds it."""

    def __init__(self) -> None:
        self._book = RepairBook()

    def observe(
        self, hub: Hub, *, free_bytes: int | None = None, copy_bytes: int | None = None, storage_problem: str = ""
    ) -> bool:
        """Look at the hub; figures that were not looked at change nothing. Return whether a repair came or went."""
        now_ms = hub.wall_ms()
        certificate = hub.certificate
        facts = HubFacts(
            storage_problem=storage_problem or hub.store.figures().problem,
            free_bytes=free_bytes,
            warn_bytes=hub.settings.disk_warn_bytes,
            certificate_warning="" if certificate is None else certificate.status(now_ms).warning,
            copy_bytes=copy_bytes or 0,
            copy_bytes_max=hub.settings.copy_bytes_max,
        )
        judgement = judge_hub(facts, self._book.is_open, is_copies_known=copy_bytes is not None)
        self._book.observe("", judgement, wall_ms=now_ms, now_ms=hub.now_ms())
        return bool(self._book.take_changes())

    def open(self) -> tuple[Repair, ...]:
        """Return the open repairs, the urgent first."""
        return self._book.open()

    def report(self) -> list[RepairReport]:
        """Return the open repairs in words."""
        return [
            RepairReport(
                repair.finding.code,
                repair.is_urgent,
                repair.since_ms,
                repair.title,
                repair.cause,
                repair.means,
                repair.fix,
            )
            for repair in self.open()
        ]
