"""Repairs as pages show them (PAGES, 12): in words, with a link to the page where each is mended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from shared.core.repair_kinds import Mended
from shared.core.repairs import Repair
from web import contexts as c
from web import paths

_PLACES: Final[Mapping[Mended, tuple[str, str]]] = {
    Mended.OVERVIEW: ("Open the overview", paths.OVERVIEW),
    Mended.REMOTE_SYNC: ("Open Remote-Sync", paths.REMOTE_SYNC),
    Mended.RESOURCES: ("Open resources", paths.RESOURCES),
    Mended.PARTING: ("Answer", paths.PART),
    Mended.SETTINGS: ("Open settings", paths.SETTINGS),
    Mended.QUARANTINE: ("Look at the quarantine", paths.QUARANTINE),
}


def shown(repairs: Iterable[Repair], names: Mapping[str, str] | None = None) -> tuple[c.Repair, ...]:
    """Return repairs for a page; with `names`, each says to which connector it belongs."""
    return tuple(_shown(repair, names) for repair in repairs)


def _shown(repair: Repair, names: Mapping[str, str] | None) -> c.Repair:
    scope, mended = repair.finding.scope, repair.finding.kind.mended
    label, url = "", None
    if mended is Mended.REPAIRS:
        label, url = "Open repairs", paths.REPAIRS
    elif mended is Mended.HUB:
        label, url = "Open Hub", paths.SITE_HUB
    elif scope and mended in _PLACES:
        label, pattern = _PLACES[mended]
        url = paths.fill(pattern, connector_id=scope)
    return c.Repair(
        repair.title,
        repair.cause,
        label,
        url,
        repair.since_ms,
        repair.is_urgent,
        means=repair.means,
        fix=repair.fix,
        where="" if names is None or not scope else names.get(scope) or scope,
        cleared_ms=repair.cleared_ms,
    )
