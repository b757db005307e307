"""How fast each pair moves: what the hub relayed within the last minute, from counters that only grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.limits import MINUTE_MS, SECOND_MS


@dataclass(frozen=True, slots=True)
class Relayed:
    """What was relayed since the pair was first linked: sealed bytes of all kinds, and segments among them."""

    bytes_count: int = 0
    segments_count: int = 0

    def since(self, before: Relayed) -> Relayed:
        """Return what came after `before`; counters that began anew count from nothing."""
        if self.bytes_count < before.bytes_count or self.segments_count < before.segments_count:
            return self
        return Relayed(self.bytes_count - before.bytes_count, self.segments_count - before.segments_count)


@dataclass(frozen=True, slots=True)
class Rate:
    """Means over the last minute, or since the hub's start where that is nearer."""

    bytes_per_s: float = 0.0
    segments_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Moved:
    from_ms: int
    to_ms: int
    amount: Relayed


class RelayRates:
    """Remembers a minute of what moved. Pairs that are at rest take one number each, no more."""

    def __init__(self, now_ms: int) -> None:
        """`now_ms` is a time that never goes back."""
        self._started_ms = now_ms
        self._sampled_ms = now_ms
        self._before: dict[bytes, Relayed] = {}
        self._moved: dict[bytes, deque[_Moved]] = {}

    def sample(self, totals: Mapping[bytes, Relayed], now_ms: int) -> None:
        """Take the counters of all pairs; call it every few seconds. Pairs that are not among them are forgotten."""
        for pair_id, total in totals.items():
            amount = total.since(self._before.get(pair_id, Relayed()))
            if amount.bytes_count or amount.segments_count:
                self._moved.setdefault(pair_id, deque()).append(_Moved(self._sampled_ms, now_ms, amount))
        self._before = dict(totals)
        self._sampled_ms = now_ms
        for pair_id, moved in list(self._moved.items()):
            while moved and moved[0].to_ms <= now_ms - MINUTE_MS:
                moved.popleft()
            if not moved or pair_id not in totals:
                del self._moved[pair_id]

    def rate(self, pair_id: bytes, total: Relayed, now_ms: int) -> Rate:
        """Return how fast a pair moves, whose counters stand at `total` now."""
        from_ms = max(self._started_ms, now_ms - MINUTE_MS)
        fresh = _Moved(self._sampled_ms, now_ms, total.since(self._before.get(pair_id, Relayed())))
        bytes_count, segments_count = _within((*self._moved.get(pair_id, ()), fresh), from_ms)
        span_s = max(SECOND_MS, now_ms - from_ms) / SECOND_MS
        return Rate(bytes_count / span_s, segments_count / span_s)


def _within(moved: Iterable[_Moved], from_ms: int) -> tuple[float, float]:
    """Sum up bytes and segments; of a sample that began before `from_ms` counts the part that lies behind it."""
    bytes_count = segments_count = 0.0
    for each in moved:
        length_ms = each.to_ms - each.from_ms
        part = min(1.0, max(0, each.to_ms - from_ms) / length_ms) if length_ms else 1.0
        bytes_count += part * each.amount.bytes_count
        segments_count += part * each.amount.segments_count
    return bytes_count, segments_count
