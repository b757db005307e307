"""A repair as programs are told of it, by the status and API of site and hub, and without names by `/readyz`."""

from __future__ import annotations

from collections.abc import Iterable

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


class PublicRepair(msgspec.Struct, frozen=True):
    """What anybody may know of repairs of one kind that say the same: how many, since when (ms), what is wrong, what to do.

    Without names, addresses and error texts: see `Repair.unnamed`.
    """

    code: str
    count: int
    urgent: bool
    since_ms: int
    title: str
    cause: str
    fix: str


def public_repairs(repairs: Iterable[Repair]) -> list[PublicRepair]:
    """Return repairs without names, those that then say the same as one; in their order."""
    found: dict[tuple[str, str], PublicRepair] = {}
    for repair in (each.unnamed for each in repairs):
        key = repair.finding.code, repair.cause
        before = found.get(key)
        found[key] = PublicRepair(
            code=repair.finding.code,
            count=1 if before is None else before.count + 1,
            urgent=repair.is_urgent,
            since_ms=repair.since_ms if before is None else min(before.since_ms, repair.since_ms),
            title=_begun(repair.title),
            cause=_begun(repair.cause),
            fix=_begun(repair.fix),
        )
    return list(found.values())


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]
