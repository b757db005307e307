"""Versioned fields, the unit of every two-way edit (G11).

A cell is one field of one object: a device's name, its existence, or one of its tags as a (name, value) pair. Merging is
commutative and idempotent, so that both sides end equal whatever the order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from shared.limits import HLC_AHEAD_MS_MAX
from shared.sealing import Side

EXISTS: Final = "exists"
NAME: Final = "name"
DESCRIPTION: Final = "description"
_DEVICE: Final = "device/"
_TAG: Final = "tag/"


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """One version of one field. `value` is JSON, None where the field is deleted; `stamp_ms` a hybrid clock, ms."""

    object: str
    field: str
    value: str | None
    source_count: int
    target_count: int
    stamp_ms: int
    site_id: str

    def dominates(self, other: Cell) -> bool:
        """Whether this version knew the other when it was made."""
        return self.source_count >= other.source_count and self.target_count >= other.target_count

    @property
    def rank(self) -> tuple[int, str, bool, str]:
        """What decides between two versions that did not know each other: clock, then site, then the value itself."""
        return self.stamp_ms, self.site_id, self.value is not None, self.value or ""


def edited(
    old: Cell | None, *, object: str, field: str, value: str | None, side: Side, now_ms: int, site_id: str
) -> Cell:
    """Return the version that a person's edit at one side makes; it dominates the one it replaces."""
    source, target = (old.source_count, old.target_count) if old else (0, 0)
    if side is Side.SOURCE:
        source += 1
    else:
        target += 1
    # Later than what was seen, except where that stamp comes from a clock far ahead, which must not drag ours along.
    follows = old.stamp_ms + 1 if old and old.stamp_ms <= now_ms + HLC_AHEAD_MS_MAX else 0
    return Cell(object, field, value, source, target, max(now_ms, follows), site_id)


def merged(mine: Cell | None, theirs: Cell) -> tuple[Cell, Cell | None]:
    """Return (what both sides end with, the version that lost in a conflict or None)."""
    if mine is None or (theirs.dominates(mine) and theirs != mine):
        if mine is None or not mine.dominates(theirs):
            return theirs, None
    elif mine.dominates(theirs):
        return mine, None
    assert mine is not None
    winner, loser = (mine, theirs) if mine.rank >= theirs.rank else (theirs, mine)
    kept = msgspec.structs.replace(
        winner,
        source_count=max(mine.source_count, theirs.source_count),
        target_count=max(mine.target_count, theirs.target_count),
    )
    return kept, loser if loser.value != winner.value else None


def digest(cells: Iterable[Cell]) -> bytes:
    """Return 16 bytes that are equal where two sides hold the same cells; order does not matter."""
    total = 0
    for cell in cells:
        total ^= int.from_bytes(sha256(msgspec.msgpack.encode(cell)).digest()[:16], "big")
    return total.to_bytes(16, "big")


def device_object(identity: str) -> str:
    """The object name of a device."""
    return _DEVICE + identity


def device_identity(object: str) -> str | None:
    """The identity of a device's object name, None where the object is something else."""
    return object[len(_DEVICE) :] if object.startswith(_DEVICE) else None


def tag_field(name: str, value: str) -> str:
    """The field of one (name, value) pair."""
    return _TAG + msgspec.json.encode([name, value]).decode()


def tag_pair(field: str) -> tuple[str, str] | None:
    """The (name, value) pair of a field, None where the field is no well-formed tag."""
    if not field.startswith(_TAG):
        return None
    try:
        name, value = msgspec.json.decode(field[len(_TAG) :], type=tuple[str, str])
    except msgspec.DecodeError:
        return None
    return name, value
