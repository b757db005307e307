"""The tail of a stream: readings accepted, durable, and not yet sealed into a segment (DESIGN section 5).

It has parts: what the target took when it came, what it did not take by resource (G14), and of each what is kept at the
cap and what gives way (shared.core.overflow): the two never share a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from shared.batches import BatchCodec, Packed
from shared.columns import Columns, fitting, joined
from shared.core.ports import OutboxStore, TailChunk, TailPart, TailTotal
from shared.errors import Undecodable
from shared.limits import (
    SEGMENT_READINGS_MAX,
    TAIL_MERGED_CHUNKS,
    TAIL_MERGED_MS_MAX,
    TAIL_MERGED_READINGS,
    TAIL_SMALL_BYTES_MAX,
    TAIL_SMALL_READINGS_MAX,
)

# The part whose resources the target took when it came; the others wait under their alias.
READY: Final = ""
# The part of chunks that cannot be read: no resource has that alias. They wait until they expire, or give way at the cap.
_UNREADABLE: Final = "\n"
_RATHER_EMPTY: Final = TailTotal(0, 0, 0)


class Tail:
    """What waits unsealed. Its totals are a copy of the store's: `load` after a unit of work was undone."""

    def __init__(self, codec: BatchCodec) -> None:
        self._codec = codec
        self._totals: dict[TailPart, TailTotal] = {}
        self._small: dict[TailPart, tuple[int, int]] = {}  # chunks and readings, put in since they were made one

    def load(self, store: OutboxStore) -> None:
        """Take up what the store holds."""
        self._totals = store.tail_totals()
        self._small.clear()

    def add(self, store: OutboxStore, piece: Packed, accepted_ms: int, *, kept: bool, resource: str = READY) -> None:
        """Put a packed batch in."""
        store.add_tail(resource, accepted_ms, piece.columns, piece.body, kept=kept)
        part = resource, kept
        total = self._totals.get(part, _RATHER_EMPTY)
        oldest_ms = min(total.oldest_accepted_ms or accepted_ms, accepted_ms)
        count, size = total.count + len(piece), total.bytes + len(piece.body)
        self._totals[part] = TailTotal(count, size, oldest_ms)
        if _is_small(len(piece), len(piece.body)):
            small, readings = self._small.get(part, (0, 0))
            self._small[part] = small + 1, readings + len(piece)
            if small + 1 >= TAIL_MERGED_CHUNKS or readings + len(piece) >= TAIL_MERGED_READINGS:
                self._merge(store, part)

    def _merge(self, store: OutboxStore, part: TailPart) -> None:
        """Make one chunk of the small ones that came last."""
        small, _ = self._small.pop(part)
        newest = store.newest_tail(part, small)
        chunks = list(takewhile(lambda chunk: _is_together(chunk, newest[0]), newest))
        if len(chunks) < 2:
            return
        parts = self._opened(store, chunks)
        together = 0 if parts is None else fitting(parts)
        if parts is None or together < 2:
            return
        chunks = chunks[:together]
        columns = joined(reversed(parts[:together]))
        body = self._codec.encode(columns)
        store.remove_tail(chunks)
        # As a segment's: nothing in it expires before its time.
        store.add_tail(part[0], max(chunk.accepted_ms for chunk in chunks), columns, body, kept=part[1])
        total = self._totals[part]
        size = total.bytes + len(body) - sum(len(chunk.body) for chunk in chunks)
        self._totals[part] = TailTotal(total.count, size, total.oldest_accepted_ms)

    def hold_back(self, store: OutboxStore, columns: Columns, accepted_ms: int, *, kept: bool) -> None:
        """Put in what the target does not take, by resource, so that each waits by itself (G14)."""
        for resource in dict.fromkeys(name[1] for name in columns.series):
            part = columns.pick([name[1] == resource for name in columns.series])
            self.add(store, Packed(part, self._codec), accepted_ms, kept=kept, resource=resource)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not any(total.count for total in self._totals.values())

    def ready(self, accepts: frozenset[str], *, kept: bool) -> TailTotal:
        """Return what may be sealed: what was ready, and what the target takes by now."""
        if not self._totals:
            return _RATHER_EMPTY
        totals = [self._totals[part] for part in self._ready_parts(accepts, kept=kept) if self._totals[part].count]
        return TailTotal(
            sum(total.count for total in totals),
            sum(total.bytes for total in totals),
            min((total.oldest_accepted_ms for total in totals), default=0),
        )

    def _ready_parts(self, accepts: frozenset[str], *, kept: bool) -> list[TailPart]:
        return [part for part in self._totals if part[1] is kept and (part[0] == READY or part[0] in accepts)]

    def take(self, store: OutboxStore, accepts: frozenset[str], *, kept: bool) -> tuple[Columns, int]:
        """Take out up to one segment's worth of what is ready; return it, and when the newest of it was accepted.

        What was ready when it came and the target has ceased to take goes on waiting, as does what cannot be read. Where that
        was all, there is nothing in it.
        """
        resources = [resource for resource, _ in self._ready_parts(accepts, kept=kept)]
        chunks: list[TailChunk] = []
        parts: list[Columns] | None = None
        while parts is None:
            chunks = store.tail_chunks(resources, SEGMENT_READINGS_MAX, kept=kept)
            parts = self._opened(store, chunks)
        if not chunks:
            return joined(()), 0
        together = fitting(parts)  # the rest makes a segment of its own
        chunks = chunks[:together]
        columns = joined(parts[:together])
        store.remove_tail(chunks)
        self.load(store)
        taken = [name[1] in accepts for name in columns.series]
        if not all(taken):
            rest = columns.pick([not each for each in taken])
            self.hold_back(store, rest, min(each.accepted_ms for each in chunks), kept=kept)
            columns = columns.pick(taken)
        return columns, max(chunk.accepted_ms for chunk in chunks)

    def _opened(self, store: OutboxStore, chunks: Sequence[TailChunk]) -> list[Columns] | None:
        """Open chunks; None where some cannot be read, which the disk damaged: those are out of the way from then on."""
        parts: list[Columns] = []
        for chunk in chunks:
            if (columns := self.opened(chunk)) is not None:
                parts.append(columns)
            else:
                store.set_tail_aside(chunk, _UNREADABLE)
        if len(parts) == len(chunks):
            return parts
        self.load(store)
        return None

    def opened(self, chunk: TailChunk) -> Columns | None:
        """Open a chunk; None where it does not hold what was put in, for the disk damaged it."""
        try:
            columns = self._codec.decode_tail(chunk.body)
        except Undecodable:
            return None
        return columns if len(columns) == chunk.count else None

    def remove(self, store: OutboxStore, chunks: Sequence[TailChunk]) -> None:
        """Take chunks out that are given up. The age of the rest is looked at when it is loaded next."""
        store.remove_tail(chunks)
        for chunk in chunks:
            total = self._totals[chunk.resource, chunk.kept]
            count, size = total.count - chunk.count, total.bytes - len(chunk.body)
            self._totals[chunk.resource, chunk.kept] = (
                TailTotal(count, size, total.oldest_accepted_ms) if count else _RATHER_EMPTY
            )


def _is_small(readings: int, body_bytes: int) -> bool:
    """Whether a chunk is mostly names and frame."""
    return readings < TAIL_SMALL_READINGS_MAX and body_bytes < TAIL_SMALL_BYTES_MAX


def _is_together(chunk: TailChunk, newest: TailChunk) -> bool:
    apart_ms = abs(newest.accepted_ms - chunk.accepted_ms)
    return _is_small(chunk.count, len(chunk.body)) and apart_ms <= TAIL_MERGED_MS_MAX
