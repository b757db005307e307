"""Which part of a gap notice each segment is, so that a word of the destination that crossed the notice corrects it (G1)."""

from __future__ import annotations

import msgspec

from shared.core.entries import GapNotice
from shared.core.intervals import IntervalSet


class GapShare(msgspec.Struct, frozen=True, array_like=True):
    """What one segment counts in the notices that gave it up.

    `gap_id` is that of the first of them; `rows` are (which notice, which of its rows, readings); `unnamed` readings are
    in the first notice and in none of its rows. `number_part` is which notice has its number.
    """

    gap_id: str
    rows: list[tuple[int, int, int]]
    unnamed: int
    number_part: int = 0


def part_id(gap_id: str, part: int) -> str:
    """Return the ID of one of several notices that were made together."""
    return f"{gap_id}-{part}" if part else gap_id


class TakenBack:
    """What notices say to be lost, and arrived after all."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, int]] = {}
        self._unnamed: dict[str, int] = {}
        self._numbers: dict[str, dict[int, IntervalSet]] = {}

    def add(self, epoch: int, number: int, share: GapShare) -> None:
        """The destination has recorded a segment that was given up."""
        for part, row, count in share.rows:
            counts = self._rows.setdefault(part_id(share.gap_id, part), {})
            counts[row] = counts.get(row, 0) + count
        self._unnamed[share.gap_id] = self._unnamed.get(share.gap_id, 0) + share.unnamed
        numbers = self._numbers.setdefault(part_id(share.gap_id, share.number_part), {})
        numbers.setdefault(epoch, IntervalSet()).add(number)

    @property
    def gap_ids(self) -> list[str]:
        """Which notices have to be corrected."""
        return list(dict.fromkeys([*self._unnamed, *self._numbers, *self._rows]))

    def corrected(self, notice: GapNotice) -> GapNotice:
        """Return a notice as it is now. Rows keep their places, with what is left of them, for shares go by these."""
        counts = self._rows.get(notice.gap_id, {})
        rows = [msgspec.structs.replace(row, count=row.count - counts.get(at, 0)) for at, row in enumerate(notice.rows)]
        taken = sum(counts.values()) + self._unnamed.get(notice.gap_id, 0)
        gone = self._numbers.get(notice.gap_id, {})
        numbers = [(epoch, IntervalSet(flat).minus(gone.get(epoch, IntervalSet()))) for epoch, flat in notice.epochs]
        count = (notice.count or 0) - taken
        left = [row for row in rows if row.count]
        in_rows = bool(left) and sum(row.count for row in left) == count
        return msgspec.structs.replace(
            notice,
            count=count,
            first_ms=min(row.first_ms for row in left) if in_rows else notice.first_ms,
            last_ms=max(row.last_ms for row in left) if in_rows else notice.last_ms,
            rows=rows,
            epochs=[(epoch, left_over.flat()) for epoch, left_over in numbers if left_over],
            taken_back=notice.taken_back + taken,
        )
