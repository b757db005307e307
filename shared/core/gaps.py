"""Adding up what is given up into gap notices: cause, range, counts per device and resource (G1)."""

from __future__ import annotations

from collections.abc import Sequence

from shared.batches import Series
from shared.core.entries import CAUSE_DESTINATION_RESTORED, CAUSE_ORIGIN_RESTORED, GapNotice, GapRow
from shared.core.intervals import IntervalSet
from shared.limits import GAP_ROWS_MAX


class GapTally:
    """One notice in the making. `cause` is that of what `number`, `batch` and `bare` report."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        self.destination_restored = False
        self.origin_restored = False
        self._rows: dict[tuple[str, str], list[int]] = {}
        self._numbers: dict[int, IntervalSet] = {}
        self._count = 0
        self._first_ms: int | None = None
        self._last_ms: int | None = None

    def number(self, epoch: int, number: int) -> None:
        """A segment is given up."""
        self._numbers.setdefault(epoch, IntervalSet()).add(number)

    def batch(self, batch: Sequence[Series]) -> None:
        """These readings are given up."""
        for series in batch:
            first_ms, last_ms = min(series.times_ms), max(series.times_ms)
            self._span(len(series), first_ms, last_ms)
            key = (series.device, series.resource)
            row = self._rows.get(key)
            if row is not None:
                row[0] += len(series)
                row[1], row[2] = min(row[1], first_ms), max(row[2], last_ms)
            elif len(self._rows) < GAP_ROWS_MAX:
                self._rows[key] = [len(series), first_ms, last_ms]

    def bare(self, count: int, at_ms: int) -> None:
        """So many readings are given up of which only the time of acceptance is known."""
        self._span(count, at_ms, at_ms)

    def lost(self, count: int, first_ms: int | None = None, last_ms: int | None = None) -> str:
        """A restore lost so many readings; returns the cause to count them under."""
        self.cause = CAUSE_DESTINATION_RESTORED
        if first_ms is None or last_ms is None:
            self._count += count
        else:
            self._span(count, first_ms, last_ms)
        return self.cause

    def _span(self, count: int, first_ms: int, last_ms: int) -> None:
        self._count += count
        self._first_ms = first_ms if self._first_ms is None else min(self._first_ms, first_ms)
        self._last_ms = last_ms if self._last_ms is None else max(self._last_ms, last_ms)

    def notices(self, gap_id: str, now_ms: int) -> list[GapNotice]:
        """Return what there is to tell the other side: none, a counted gap, an uncountable one, or both."""
        notices: list[GapNotice] = []
        if self._count or self._numbers:
            rows = [GapRow(*key, *row) for key, row in self._rows.items()]
            numbers = [(epoch, given_up.flat()) for epoch, given_up in self._numbers.items()]
            first_ms = now_ms if self._first_ms is None else self._first_ms
            last_ms = now_ms if self._last_ms is None else self._last_ms
            notices.append(GapNotice(gap_id, self.cause, self._count, first_ms, last_ms, rows, numbers, now_ms))
        if self.origin_restored:
            # What was accepted between the backup and the loss, and had not been delivered, nobody can count.
            notices.append(GapNotice(gap_id + "u", CAUSE_ORIGIN_RESTORED, None, now_ms, now_ms, [], [], now_ms))
        return notices
