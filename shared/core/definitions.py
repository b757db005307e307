"""How much a connector may define: all of its resources are told to the other side in one control entry (G12, G14)."""

from __future__ import annotations

from collections.abc import Sequence

from shared.core.entries import Definition
from shared.limits import DEFINITION_BYTES_EXTRA, DEFINITIONS_BYTES_MAX


def definition_bytes(alias: str, format_: str, unit: str, allowed: str | None) -> int:
    """Return the bytes that a definition counts for; what it takes in an entry is never more."""
    return DEFINITION_BYTES_EXTRA + sum(len(text.encode()) for text in (alias, format_, unit, allowed or ""))


def fitting(definitions: Sequence[Definition]) -> list[Definition]:
    """Return what of these can be told: all, unless an earlier release let too many be made.

    Then those that stream go first. What is left out is as if it were missing here to the other side, and waits.
    """
    sizes = [definition_bytes(each.alias, each.format, each.unit, each.allowed) for each in definitions]
    room = DEFINITIONS_BYTES_MAX
    if sum(sizes) <= room:
        return list(definitions)
    chosen = []
    for size, each in sorted(zip(sizes, definitions, strict=True), key=lambda pair: not pair[1].remote_sync):
        if size <= room:
            room -= size
            chosen.append(each)
    return chosen
