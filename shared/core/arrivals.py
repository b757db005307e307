"""What may become of a segment that arrives, and what no honest source ever sends (G7)."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from shared.columns import Columns
from shared.errors import Undecodable
from shared.limits import (
    ALIAS_CHARS_MAX,
    DAY_MS,
    IDENTITY_CHARS_MAX,
    MINUTE_MS,
    READING_AHEAD_MS_MAX,
    READING_VALUE_BYTES_MAX,
)


class Arrival(Enum):
    """What became of a segment that arrived."""

    APPLIED = "applied"
    REPEATED = "repeated"
    QUARANTINED = "quarantined"
    SEAL_BROKEN = "seal_broken"
    NO_ROOM = "no_room"
    """It would have to be kept aside, and the quarantine is full: it was not taken, and its origin keeps it."""


def refuse_impossible(columns: Columns, now_ms: int) -> None:
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
