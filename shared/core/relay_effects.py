"""What the hub's relay asks its shell to do, and the copy it does it with."""

from __future__ import annotations

from dataclasses import dataclass

from shared.messages import AnyFrame
from shared.sealing import Kind, Side


@dataclass(frozen=True, slots=True)
class Copy:
    """One sealed segment or control entry of `side`, as it arrived at the hub.

    `place` is the store's arrival order, greater for each copy that is stored later and never used again; 0 where the
    copy is not stored. Nothing in here can be read but the header.
    """

    side: Side
    kind: Kind
    epoch: int
    number: int
    arrived_ms: int
    header: bytes
    body: bytes
    place: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Put a frame into the queue of one side's link, in the order of the effects."""

    side: Side
    frame: AnyFrame


@dataclass(frozen=True, slots=True)
class StoreCopies:
    """Make copies durable in one transaction, then call `on_stored`, or `on_store_failed`, with the same copies.

    A copy whose (side, kind, epoch, number) is stored already takes the other's place: it was sealed again.
    """

    copies: tuple[Copy, ...]


@dataclass(frozen=True, slots=True)
class TrimCopies:
    """Delete the copies of these numbers (`[low, high, ...]`); a failure does no harm. No answer is expected."""

    side: Side
    kind: Kind
    epoch: int
    flat: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoadCopies:
    """Read copies of `side` with a place greater than `after`, in order of place, then call `on_loaded`.

    At least one where there is one; no further ones once `body_bytes_max` or `copies_max` is reached.
    """

    side: Side
    kind: Kind
    after: int
    body_bytes_max: int
    copies_max: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Close the link of a side that broke the protocol."""

    side: Side
    why: str


Effect = Send | StoreCopies | TrimCopies | LoadCopies | Fault
