"""Adding up what is given up into gap notices: cause, range, counts per device and resource (G1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.batches import Series
from shared.core.entries import CAUSE_DESTINATION_RESTORED, GapNotice, GapRow
from shared.core.gap_shares import GapShare, TakenBack, part_id
from shared.core.intervals import IntervalSet
from shared.limits import CONTROL_ENTRY_BYTES_MAX, GAP_ROWS_MAX

# Rows of one notice, by bytes: it has to fit into one control entry with room to spare.
_ROWS_BYTES_MAX: Final = CONTROL_ENTRY_BYTES_MAX // 2
_ROW_BYTES: Final = 48  # beside its two names
# And its numbers, by intervals: where kept segments lie between those that are dropped, each number is one.
_INTERVALS_MAX: Final = CONTROL_ENTRY_BYTES_MAX // 4 // 24


@dataclass(slots=True)
class _Span:
    """Readings counted, and the times of the first and the last of them."""

    count: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, count: int, first_ms: int, last_ms: int) -> None:
        self.count += count
        self.first_ms = first_ms if self.first_ms is None else min(self.first_ms, first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)


_Named = tuple[str, str]
_Segment = tuple[int, int]


@dataclass(slots=True)
class _Made:
    """What a segment counts in the notice in the making."""

    rows: dict[_Named, int] = field(default_factory=dict)
    unnamed: int = 0


class GapTally:
    """One notice in the making. `cause` is that of what `number`, `batch` and `bare` report.

    `taken_back` is what earlier notices named, and arrived after all. `origin_restored`: beyond that something is missing
    that nobody can count (shared.core.restores).
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        self.destination_restored = False
        self.origin_restored = False
        self.taken_back = TakenBack()
        self._rows: dict[_Named, _Span] = {}
        self._numbers: dict[int, IntervalSet] = {}
        self._unnamed = _Span()
        self._made: dict[_Segment, _Made] = {}
        self._places: dict[_Named, tuple[int, int]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was given up."""
        return not (self._rows or self._numbers or self._unnamed.count)

    @property
    def says_nothing(self) -> bool:
        """Whether there is neither anything to tell nor to write down: so it is nearly always."""
        return self.is_empty and not self._made and not self.taken_back.gap_ids

    def number(self, epoch: int, number: int) -> None:
        """A segment is given up."""
        self._numbers.setdefault(epoch, IntervalSet()).add(number)

    def batch(self, batch: Sequence[Series], *, count: int | None = None, of: _Segment | None = None) -> None:
        """These readings are given up, of the segment `of`.

        `count` is what the account says of them: a segment made again from history may carry more than it counts, or less.
        """
        left = sum(map(len, batch)) if count is None else count
        made = self._made.setdefault(of, _Made()) if of is not None else _Made()
        whole = _Span()
        for series in batch:
            taken = min(len(series), left)
            left -= taken
            named = series.device, series.resource
            first_ms, last_ms = min(series.times_ms), max(series.times_ms)
            self._rows.setdefault(named, _Span()).add(taken, first_ms, last_ms)
            whole.add(taken, first_ms, last_ms)
            made.rows[named] = made.rows.get(named, 0) + taken
        if left and whole.first_ms is not None and whole.last_ms is not None:
            self._unnamed.add(left, whole.first_ms, whole.last_ms)
            made.unnamed += left

    def bare(self, count: int, at_ms: int, *, of: _Segment | None = None) -> None:
        """So many readings are given up of which only the time of acceptance is known."""
        self._unnamed.add(count, at_ms, at_ms)
        if of is not None:
            self._made.setdefault(of, _Made()).unnamed += count

    def lost(self, count: int, first_ms: int | None = None, last_ms: int | None = None) -> str:
        """A restore lost so many readings; returns the cause to count them under."""
        self.cause = CAUSE_DESTINATION_RESTORED
        if first_ms is None or last_ms is None:
            self._unnamed.count += count
        else:
            self._unnamed.add(count, first_ms, last_ms)
        return self.cause

    def notices(self, gap_id: str, now_ms: int) -> list[GapNotice]:
        """Return what there is to tell the other side: nothing, or counted gaps of bounded size."""
        notices: list[GapNotice] = []
        if self._unnamed.count or self._numbers or self._rows:
            parts = _parts([GapRow(*key, *_ends(span, now_ms)) for key, span in self._rows.items()])
            numbered = [[(epoch, given_up.flat()) for epoch, given_up in part.items()] for part in self._number_parts()]
            for at in range(max(len(parts), len(numbered))):
                rows = parts[at] if at < len(parts) else []
                numbers = numbered[at] if at < len(numbered) else []
                self._places.update({(row.device, row.resource): (at, place) for place, row in enumerate(rows)})
                total = self._unnamed if at == 0 else _Span()
                for row in rows:
                    total.add(row.count, row.first_ms, row.last_ms)
                ends = _ends(total, now_ms)
                notices.append(GapNotice(part_id(gap_id, at), self.cause, *ends, rows, numbers, now_ms))
        return notices

    def shares(self, gap_id: str) -> list[tuple[int, int, GapShare]]:
        """Return (epoch, number, what it counts) of each segment in the notices that were made under this ID."""
        parts = self._number_parts()
        shares: list[tuple[int, int, GapShare]] = []
        for (epoch, number), made in self._made.items():
            rows = [(*self._places[named], n) for named, n in made.rows.items() if n]
            numbered = next((at for at, part in enumerate(parts) if number in part.get(epoch, ())), 0)
            shares.append((epoch, number, GapShare(gap_id, rows, made.unnamed, numbered)))
        return shares

    def _number_parts(self) -> list[dict[int, IntervalSet]]:
        """Cut the numbers into parts that fit a notice each."""
        parts: list[dict[int, IntervalSet]] = []
        intervals = _INTERVALS_MAX
        for epoch, numbers in self._numbers.items():
            for low, high in numbers.intervals():
                if intervals == _INTERVALS_MAX:
                    parts.append({})
                    intervals = 0
                parts[-1].setdefault(epoch, IntervalSet()).add_range(low, high)
                intervals += 1
        return parts


def _ends(span: _Span, now_ms: int) -> tuple[int, int, int]:
    first_ms = now_ms if span.first_ms is None else span.first_ms
    return span.count, first_ms, now_ms if span.last_ms is None else span.last_ms


def _parts(rows: list[GapRow]) -> list[list[GapRow]]:
    """Cut rows into parts that fit a notice each; at least one part."""
    parts: list[list[GapRow]] = [[]]
    size = 0
    for row in rows:
        row_bytes = len(row.device.encode()) + len(row.resource.encode()) + _ROW_BYTES
        if parts[-1] and (len(parts[-1]) >= GAP_ROWS_MAX or size + row_bytes > _ROWS_BYTES_MAX):
            parts.append([])
            size = 0
        parts[-1].append(row)
        size += row_bytes
    return parts
