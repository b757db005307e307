"""The destination of a stream of readings: each segment once, in whatever order (G3, G4, G6, G7, G14)."""

from __future__ import annotations

from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.batches import BatchCodec
from shared.columns import Columns
from shared.core.entries import CAUSE_HELD_TOO_LONG, GapNotice, StatedEpoch
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.ports import EpochIn, InboxStore
from shared.errors import SealBroken, Undecodable
from shared.limits import (
    ALIAS_CHARS_MAX,
    DAY_MS,
    EPOCHS_STATED_MAX,
    IDENTITY_CHARS_MAX,
    MINUTE_MS,
    READING_AHEAD_MS_MAX,
    READING_VALUE_BYTES_MAX,
    RETENTION_MS,
)
from shared.messages import RecordedEpoch
from shared.sealing import Kind, PairKeys

_HELD_RELEASED_MAX: Final = 256


class Arrival(Enum):
    """What became of a segment that arrived."""

    APPLIED = "applied"
    REPEATED = "repeated"
    QUARANTINED = "quarantined"
    SEAL_BROKEN = "seal_broken"


class Inbox:
    """Destination side of one pair's readings. Holds only which epochs changed since the last statement."""

    def __init__(self, keys: PairKeys, codec: BatchCodec) -> None:
        self._keys = keys
        self._codec = codec
        self._changed: dict[int, None] = {}  # in order of change, so that statements repeat exactly

    def on_segment(self, store: InboxStore, packed: bytes, body: bytes, now_ms: int) -> Arrival:
        """Take a segment in: open, decode, apply, record, all in the caller's one transaction."""
        try:
            header, plain = self._keys.open(Kind.SEGMENT, packed, body)
        except SealBroken:
            return Arrival.SEAL_BROKEN  # claims no number and no count (G7)
        epoch = store.epoch_in(header.epoch) or EpochIn(header.epoch)
        self._changed[header.epoch] = None
        if header.number in epoch.recorded or header.number in epoch.closed:
            return Arrival.REPEATED
        epoch.recorded.add(header.number)
        try:
            columns = self._codec.decode_columns(plain)
            _refuse_impossible(columns, now_ms)
        except Undecodable as error:
            epoch.quarantined += header.count
            store.quarantine(header.epoch, header.number, header.count, str(error), packed, body, now_ms)
            store.save_epoch_in(epoch, now_ms)
            return Arrival.QUARANTINED
        held = 0
        for at, applied in enumerate(store.apply(columns, plain, now_ms)):
            if not applied:
                series = columns.one(at)
                held += len(series)
                store.hold(header.epoch, series, self._codec.encode(series), now_ms)
        # The header's count is the account's; a segment made again from history may carry more readings than that.
        held = min(held, header.count)
        epoch.held += held
        epoch.applied += header.count - held
        store.save_epoch_in(epoch, now_ms)
        return Arrival.APPLIED

    def release_held(
        self, store: InboxStore, device: str | None, resource: str | None, after_row: int, now_ms: int
    ) -> tuple[int, int | None]:
        """Apply what waited for a device or a resource (None: any) that is here now.

        Return how many readings could be, and the row after which to go on in the next unit of work (None: all seen).
        """
        released = 0
        chunks = store.held_for(device, resource, after_row, _HELD_RELEASED_MAX)
        for chunk in chunks:
            if not all(store.apply(self._codec.decode_columns(chunk.body), chunk.body, now_ms)):
                continue
            store.remove_held(chunk)
            epoch = store.epoch_in(chunk.epoch) or EpochIn(chunk.epoch)
            moved = min(chunk.count, epoch.held)
            epoch.held -= moved
            epoch.applied += moved
            store.save_epoch_in(epoch, now_ms)
            self._changed[chunk.epoch] = None
            released += chunk.count
        return released, chunks[-1].row if len(chunks) == _HELD_RELEASED_MAX else None

    def expire_held(self, store: InboxStore, now_ms: int, tally: GapTally) -> None:
        """Give up what was held for 30 days (G14)."""
        for chunk in store.expired_held(now_ms - RETENTION_MS, _HELD_RELEASED_MAX):
            tally.batch(self._codec.decode(chunk.body))
            store.remove_held(chunk)
            epoch = store.epoch_in(chunk.epoch) or EpochIn(chunk.epoch)
            moved = min(chunk.count, epoch.held)
            epoch.held -= moved
            epoch.dropped[CAUSE_HELD_TOO_LONG] = epoch.dropped.get(CAUSE_HELD_TOO_LONG, 0) + moved
            store.save_epoch_in(epoch, now_ms)
            self._changed[chunk.epoch] = None

    def next_deadline_ms(self, store: InboxStore) -> int | None:
        """When `expire_held` has something to do next."""
        oldest_ms = store.oldest_held_ms()
        return None if oldest_ms is None else oldest_ms + RETENTION_MS

    def on_gap(self, store: InboxStore, notice: GapNotice, now_ms: int) -> None:
        """Close the numbers the origin gave up, unless they are recorded already: then our word corrects it (G1)."""
        store.add_gap(notice, ours=False)
        for number, flat in notice.epochs:
            epoch = store.epoch_in(number) or EpochIn(number)
            epoch.closed.update(IntervalSet(flat).minus(epoch.recorded))
            store.save_epoch_in(epoch, now_ms)
            self._changed[number] = None

    # --- acknowledging ----------------------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        """Whether there is something to state."""
        return bool(self._changed)

    def state(self, store: InboxStore, *, whole: bool) -> tuple[list[RecordedEpoch], list[StatedEpoch]]:
        """Return the public and private parts about all epochs (`whole`) or those that changed since the last call."""
        if whole:
            epochs = store.epochs_in()[-EPOCHS_STATED_MAX:]
        else:
            epochs = [epoch for epoch in map(store.epoch_in, self._changed) if epoch is not None]
        self._changed.clear()
        public = [RecordedEpoch(epoch.epoch, epoch.recorded.flat(), epoch.closed.flat()) for epoch in epochs]
        private = [
            StatedEpoch(epoch.epoch, epoch.applied, epoch.held, epoch.quarantined, dict(epoch.dropped))
            for epoch in epochs
        ]
        return public, private


def _refuse_impossible(columns: Columns, now_ms: int) -> None:
    """Refuse what an honest source never sends: empty names, times out of range, numbers that are none."""
    if len(columns) == 0:
        raise Undecodable("a segment without readings")
    for device, resource, _ in columns.series:
        if not 0 < len(device) <= IDENTITY_CHARS_MAX or not 0 < len(resource) <= ALIAS_CHARS_MAX:
            raise Undecodable("readings without a device or resource, or with names that are too long")
    # The source checks against its own clock; the two may differ by less than what suspends expiry.
    latest_ms = now_ms + READING_AHEAD_MS_MAX + DAY_MS + MINUTE_MS
    wrong_time = (columns.times_ms < 0) | (columns.times_ms > latest_ms)
    if wrong_time.any():
        raise Undecodable(f"readings of '{_resource_at(columns, wrong_time)}' with times before 1970 or far ahead")
    if columns.numeric:
        no_number = ~np.isfinite(columns.values)
    else:
        values = columns.values.tolist()
        too_large = np.array([isinstance(value, str) and len(value) > READING_VALUE_BYTES_MAX for value in values])
        if too_large.any():
            raise Undecodable(f"readings of '{_resource_at(columns, too_large)}' that are larger than 64 KiB")
        no_number = np.array([isinstance(value, float) and value - value != 0.0 for value in values])
    if no_number.any():
        raise Undecodable(f"readings of '{_resource_at(columns, no_number)}' that are no numbers")


def _resource_at(columns: Columns, wrong: npt.NDArray[np.bool_]) -> str:
    """Name the resource of the first reading that is wrong."""
    owners = np.repeat(np.arange(len(columns.series)), columns.lengths)
    return columns.series[int(owners[int(wrong.argmax())])][1]
