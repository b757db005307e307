"""Versioned fields, the unit of every two-way edit (G11).

A cell is one field of one object: a device's name, its existence, or one of its tags as a (name, value) pair. Merging is
commutative and idempotent, so that both sides end equal whatever the order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from shared.limits import (
    DESCRIPTION_CHARS_MAX,
    HLC_AHEAD_MS_MAX,
    IDENTITY_CHARS_MAX,
    NAME_CHARS_MAX,
    TAG_CHARS_MAX,
)
from shared.sealing import Side

EXISTS: Final = "exists"
NAME: Final = "name"
DESCRIPTION: Final = "description"
_DEVICE: Final = "device/"
_TAG: Final = "tag/"
_SITE_ID_CHARS_MAX: Final = 64


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


def why_wrong(cell: Cell) -> str:
    """Say why a cell of the other side cannot be taken, empty where it can: what comes from there is foreign."""
    identity = device_identity(cell.object)
    if identity is None or not _is_text(identity, IDENTITY_CHARS_MAX, least=1):
        return "it is about no device, or one with an identity that is too long or not printable"
    if min(cell.source_count, cell.target_count, cell.stamp_ms) < 0 or len(cell.site_id) > _SITE_ID_CHARS_MAX:
        return "its version is malformed"
    if cell.field == EXISTS:
        return "" if cell.value in ("true", None) else "its existence is neither true nor deleted"
    if (pair := tag_pair(cell.field)) is not None:
        fits = _is_text(pair[0], TAG_CHARS_MAX, least=1) and _is_text(pair[1], TAG_CHARS_MAX)
        return "" if fits and cell.value in ("true", None) else "its tag is too long or not printable"
    most = {NAME: max(NAME_CHARS_MAX, IDENTITY_CHARS_MAX), DESCRIPTION: DESCRIPTION_CHARS_MAX}.get(cell.field)
    if most is None:
        return "its field is not known to this release"
    try:
        text = msgspec.json.decode(cell.value or '""', type=str)
    except msgspec.DecodeError:
        return "its value is no text"
    return "" if _is_text(text, most) else "its text is too long or not printable"


def _is_text(text: str, most: int, *, least: int = 0) -> bool:
    return least <= len(text) <= most and all(ord(letter) >= 32 for letter in text)


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
