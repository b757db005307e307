"""What an engine knows about its present link; gone with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.core.intervals import IntervalSet
from shared.core.watch import Watch
from shared.limits import WORD_WAITS_MS_MAX
from shared.sealing import Kind


@dataclass(slots=True)
class EngineLink:
    """What is known about the present link."""

    nonce: bytes = b""
    peer_linked: bool = False
    stated: bool = False  # a fresh statement of the peer arrived on this link
    held: dict[tuple[int, int], IntervalSet] | None = None  # what the hub holds, once it said
    asked_held: bool = True  # the hub says it unasked at the opening
    peer_start: int = 0
    peer_counter: int = 0
    compared: IntervalSet = field(default_factory=IntervalSet)  # epochs that the peer's start has named all of
    told_nothing_new: int = 0  # in a row, fresh statements of no epochs but those
    opened_ms: int = 0
    asked_ms: int = 0
    asked_again: bytes = b""  # the nonce of the question that was sent a second time
    ledger_ms: int = 0
    consumed_bytes: int = 0
    unstated: int = 0  # segments that came since the last statement
    word_due_ms: int | None = None  # when a statement that was put off has to go
    exchanged: bytes = b""  # digest of our cells that were sent whole on this link
    defined: bytes = b""  # digest of our definitions that were sent on this link beyond the log
    compare_later: bool = False  # cells are compared again once our log is empty
    segments: Watch = field(default_factory=Watch)
    entries: Watch = field(default_factory=Watch)
    insist_segment: int = 0  # rows to send although the hub says that it holds them
    insist_entry: int = 0
    replays: Watch = field(default_factory=Watch)
    replayed: IntervalSet = field(default_factory=IntervalSet)  # rows of replays' segments sent on this link

    def on_time(self, now_ms: int) -> None:
        """Measure every wait from now at the latest: a clock that was set back by a year must not stop all for a year."""
        self.opened_ms = min(self.opened_ms, now_ms)
        self.asked_ms = min(self.asked_ms, now_ms)
        self.ledger_ms = min(self.ledger_ms, now_ms)
        if self.word_due_ms is not None:
            self.word_due_ms = min(self.word_due_ms, now_ms + WORD_WAITS_MS_MAX)
        self.segments.on_time(now_ms)
        self.entries.on_time(now_ms)
        self.replays.on_time(now_ms)


def held_segments(held: Mapping[tuple[int, int], IntervalSet]) -> dict[int, IntervalSet]:
    """Return the segment numbers by epoch out of what the hub holds."""
    return {epoch: IntervalSet(numbers.flat()) for (kind, epoch), numbers in held.items() if kind == Kind.SEGMENT}
