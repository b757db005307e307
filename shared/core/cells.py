"""Versioned fields, the unit of every two-way edit (G11).

A cell is one field of one object: a device's name, its existence, or one of its tags as a (name, value) pair; which
there are stands in shared/core/fields.py. Merging is commutative and idempotent, so that both sides end equal whatever
the order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from hashlib import sha256

import msgspec

from shared.core.fields import EXISTS, generation_of, set_alias
from shared.limits import HLC_AHEAD_MS_MAX
from shared.sealing import Side


class Policy(Enum):
    """What decides between two versions that did not know each other, per class of fields."""

    NEWER = "newer"
    SOURCE = "source"
    TARGET = "target"


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """One version of one field. `value` is JSON, None where the field is deleted; `stamp_ms` a hybrid clock, ms.

    `side` (0 source, 1 target) made it at the site `site_id`, there the person or program `who`. `refused` is the code
    with which that side refused an edit of the other and gave back its own value; empty for an edit.
    """

    object: str
    field: str
    value: str | None
    source_count: int
    target_count: int
    stamp_ms: int
    site_id: str
    side: int = 0
    who: str = ""
    refused: str = ""

    def dominates(self, other: Cell) -> bool:
        """Whether this version knew the other when it was made."""
        return self.source_count >= other.source_count and self.target_count >= other.target_count

    def rank(self, policy: Policy = Policy.NEWER) -> tuple[int | str | bool, ...]:
        """What decides between two versions that did not know each other: policy, then clock, then site, then the rest.

        A later generation of a device goes before: the deletion of an earlier one says nothing about it (G13).
        """
        generation = abs(generation_of(self.value)) if self.field == EXISTS else 0
        preferred = policy is not Policy.NEWER and self.side == Side[policy.name]
        return (
            generation,
            preferred,
            self.stamp_ms,
            self.site_id,
            self.side,
            self.value is not None,
            self.value or "",
            self.refused,
            self.who,
        )


def edited(
    old: Cell | None,
    *,
    object: str,
    field: str,
    value: str | None,
    side: Side,
    now_ms: int,
    site_id: str,
    who: str = "",
    refused: str = "",
) -> Cell:
    """Return the version that an edit at one side makes; it dominates the one it replaces."""
    source, target = (old.source_count, old.target_count) if old else (0, 0)
    if side is Side.SOURCE:
        source += 1
    else:
        target += 1
    # Later than what was seen, except where that stamp comes from a clock far ahead, which must not drag ours along.
    follows = old.stamp_ms + 1 if old and old.stamp_ms <= now_ms + HLC_AHEAD_MS_MAX else 0
    return Cell(object, field, value, source, target, max(now_ms, follows), site_id, side.value, who, refused)


def refusing(mine: Cell | None, theirs: Cell, *, side: Side, now_ms: int, site_id: str, code: str) -> Cell:
    """Return the version that gives our value back to an author whose edit is refused (G18); it dominates both."""
    known = msgspec.structs.replace(
        theirs,
        source_count=max(theirs.source_count, mine.source_count if mine else 0),
        target_count=max(theirs.target_count, mine.target_count if mine else 0),
    )
    return edited(
        known,
        object=theirs.object,
        field=theirs.field,
        value=mine.value if mine else None,
        side=side,
        now_ms=now_ms,
        site_id=site_id,
        refused=code,
    )


def merged(mine: Cell | None, theirs: Cell, policy: Policy = Policy.NEWER) -> tuple[Cell, Cell | None]:
    """Return (what both sides end with, the version that lost in a conflict or None)."""
    if mine is None or (theirs.dominates(mine) and theirs != mine):
        if mine is None or not mine.dominates(theirs):
            return theirs, None
    elif mine.dominates(theirs):
        return mine, None
    assert mine is not None
    winner, loser = (mine, theirs) if _wins(mine, theirs, policy) else (theirs, mine)
    kept = msgspec.structs.replace(
        winner,
        source_count=max(mine.source_count, theirs.source_count),
        target_count=max(mine.target_count, theirs.target_count),
    )
    return kept, loser if _contradicts(winner, loser) else None


def _wins(one: Cell, other: Cell, policy: Policy) -> bool:
    """Tell which of two versions that did not know each other stands.

    Of two refusals of what the device is to be set to, the source's: it alone judges what its device can take (G19).
    """
    if one.refused and other.refused and one.side != other.side and set_alias(one.field) is not None:
        return one.side == Side.SOURCE
    return one.rank(policy) >= other.rank(policy)


def _contradicts(winner: Cell, loser: Cell) -> bool:
    """Tell whether somebody's intention was lost: not where both said the same, or spoke of different generations."""
    if winner.value == loser.value:
        return False
    return winner.field != EXISTS or abs(generation_of(winner.value)) == abs(generation_of(loser.value))


def same_versions(mine: Cell, theirs: Cell) -> bool:
    """Whether two cells count the same edits; if they differ all the same, the sides merged under different policies."""
    return (mine.source_count, mine.target_count) == (theirs.source_count, theirs.target_count)


def cell_hash(cell: Cell) -> int:
    """Return what a cell adds to the digest."""
    return int.from_bytes(sha256(msgspec.msgpack.encode(cell)).digest()[:16], "big")


def digest(cells: Iterable[Cell]) -> bytes:
    """Return 16 bytes that are equal where two sides hold the same cells; order does not matter."""
    total = 0
    for cell in cells:
        total ^= cell_hash(cell)
    return total.to_bytes(16, "big")
