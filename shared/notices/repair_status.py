"""A repair as programs are told of it, by the status and API of site and hub."""

from __future__ import annotations

import msgspec

from shared.core.repairs import Repair


class RepairStatus(msgspec.Struct, frozen=True):
    """What needs a person, or needed one: `scope` is the connector's ID, empty for the site or hub as a whole.

    `told`: people were told of it by webhook or e-mail, or the notice waits. Times are ms since 1970.
    """

    code: str
    scope: str
    subject: str
    urgent: bool
    since_ms: int
    title: str
    cause: str
    means: str
    fix: str
    told: bool
    cleared_ms: int | None = None


def repair_status(repair: Repair) -> RepairStatus:
    """Return a repair in words."""
    finding = repair.finding
    return RepairStatus(
        code=finding.code,
        scope=finding.scope,
        subject=finding.subject,
        urgent=repair.is_urgent,
        since_ms=repair.since_ms,
        title=repair.title,
        cause=repair.cause,
        means=repair.means,
        fix=repair.fix,
        told=repair.told,
        cleared_ms=repair.cleared_ms,
    )
