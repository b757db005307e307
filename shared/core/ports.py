"""What the core asks of a site's storage: rows, and the verbs of one pair. Implemented by connector/streams.py.

All verbs run inside one unit of work; none commits. Times are ms since 1970, counts are readings, `bytes` are sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.columns import Batch, Columns, Series
from shared.core.account import Apart
from shared.core.cells import Cell
from shared.core.entries import Definition, GapNotice
from shared.core.intervals import IntervalSet
from shared.core.judge import PeerRights
from shared.core.ledger import Ledger
from shared.core.parting import PartingTalk
from shared.core.replay_job import ReplayStore


@dataclass(slots=True)
class EpochOut:
    """An epoch of this origin: numbers given, numbers with a word from the destination, and the counts it stated."""

    epoch: int
    last_number: int = 0
    recorded: IntervalSet = field(default_factory=IntervalSet)
    closed: IntervalSet = field(default_factory=IntervalSet)
    applied: int = 0
    held: int = 0
    quarantined: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    apart: Apart = field(default_factory=Apart)

    @property
    def recorded_count(self) -> int:
        """Readings of the recorded segments, wherever they are at the destination."""
        return self.applied + self.held + self.quarantined + sum(self.dropped.values())


@dataclass(slots=True)
class EpochIn:
    """An epoch of the other side's origin, as this destination has it."""

    epoch: int
    recorded: IntervalSet = field(default_factory=IntervalSet)
    closed: IntervalSet = field(default_factory=IntervalSet)
    applied: int = 0
    held: int = 0
    quarantined: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    apart: Apart = field(default_factory=Apart)


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment in the outbox. `row` orders segments over all epochs; `dropped` names the cause where given up.

    `kept`: it is never dropped for want of room (shared.core.overflow).
    """

    row: int
    epoch: int
    number: int
    count: int
    accepted_ms: int
    header: bytes
    body: bytes
    dropped: str | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class SeriesSpan:
    """From when to when the readings of one series in a segment are."""

    series_id: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class SentSegment:
    """What is kept of a recorded segment: enough to make it again from history (G4). `counts`: its readings by resource."""

    epoch: int
    number: int
    count: int
    first_ms: int
    last_ms: int
    series: tuple[SeriesSpan, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


# Resource (empty: the target took it when it came), and whether it is kept at the cap.
TailPart = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class TailTotal:
    """Readings of one resource that wait unsealed."""

    count: int
    bytes: int
    oldest_accepted_ms: int


@dataclass(frozen=True, slots=True)
class TailChunk:
    """Readings of one accept of one resource, as an encoded batch."""

    row: int
    resource: str
    accepted_ms: int
    count: int
    body: bytes
    kept: bool = False


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """Readings of one series that arrived before their device or resource did."""

    row: int
    epoch: int
    count: int
    arrived_ms: int
    body: bytes
    resource: str


SEGMENT_KIND: Final = 0
ENTRY_KIND: Final = 1


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A segment or an entry that could not be applied. Of an entry `body` is plain; of a segment it is sealed."""

    row: int
    kind: int
    epoch: int
    number: int
    count: int
    reason: str
    arrived_ms: int
    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class ControlRow:
    """An entry of our control log that the other side has not acknowledged. `row` never changes, the number may."""

    row: int
    epoch: int
    number: int
    entry: bytes
    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one field for the history: values are JSON. `state` is pending, applied, refused or conflict."""

    object: str
    field: str
    before: str | None
    after: str | None
    who: str
    site_id: str
    ours: bool
    state: str
    reason: str = ""
    control_row: int | None = None


class OutboxStore(Protocol):
    """Origin of readings."""

    def count_accepted(self, counts: Mapping[str, int]) -> None: ...
    def count_adopted(self, count: int) -> None: ...
    def set_unknown(self) -> None: ...
    def add_tail(self, resource: str, accepted_ms: int, batch: Batch, body: bytes, *, kept: bool = False) -> None: ...
    def tail_totals(self) -> dict[TailPart, TailTotal]: ...
    def tail_chunks(self, resources: Iterable[str], readings_max: int, *, kept: bool) -> list[TailChunk]: ...
    def expired_tail(self, before_ms: int, limit: int) -> list[TailChunk]: ...
    def droppable_tail(self, limit: int) -> list[TailChunk]: ...
    def remove_tail(self, chunks: Sequence[TailChunk]) -> None: ...
    def add_segment(
        self,
        epoch: int,
        number: int,
        batch: Batch,
        count: int,
        accepted_ms: int,
        header: bytes,
        body: bytes,
        counts: Mapping[str, int] | None = None,
        *,
        kept: bool = False,
    ) -> int: ...
    def segment(self, row: int) -> Segment | None: ...
    def fresh_rows(self, accepted_since_ms: int, limit: int) -> list[int]: ...
    def segments_numbered(self, epoch: int, numbers: IntervalSet) -> list[Segment]: ...
    def expired_segments(self, before_ms: int, limit: int) -> list[Segment]: ...
    def droppable_segments(self, after_row: int, limit: int) -> list[Segment]: ...
    def oldest_accepted_ms(self) -> int | None: ...
    def settle_segment(self, segment: Segment, now_ms: int) -> None: ...
    def drop_segment(self, segment: Segment, cause: str) -> None: ...
    def undrop_segment(self, segment: Segment) -> None: ...
    def forget_segment(self, segment: Segment) -> None: ...
    def count_dropped(self, cause: str, count: int, counts: Mapping[str, int]) -> None: ...
    def count_unrecorded(self, counts: Mapping[str, int]) -> None: ...
    def set_aside(self, segment: Segment) -> None: ...
    def forget_aside(self, epoch: int, keep: IntervalSet) -> None: ...
    def waiting_bytes(self) -> int: ...
    def kept_bytes(self) -> int: ...
    def own_overflows(self) -> dict[str, str]: ...
    def epochs_out(self) -> dict[int, EpochOut]: ...
    def save_epoch_out(self, epoch: EpochOut) -> None: ...
    def first_segment_row(self) -> int: ...
    def undropped_after(self, row: int, limit: int) -> list[tuple[int, int, int]]: ...
    def sent_segments(self, epoch: int, numbers: IntervalSet) -> list[SentSegment]: ...
    def forget_sent(self, before_ms: int, limit: int) -> None: ...
    def history(self, spans: Sequence[SeriesSpan]) -> list[Series]: ...
    def ledger(self) -> Ledger: ...
    def resource_ledgers(self) -> dict[str, Ledger]: ...
    def add_gap(self, notice: GapNotice, *, ours: bool) -> bool: ...
    def own_gaps(self) -> list[GapNotice]: ...


class InboxStore(Protocol):
    """Destination of readings."""

    def epoch_in(self, epoch: int) -> EpochIn | None: ...
    def epochs_in(self) -> list[EpochIn]: ...
    def save_epoch_in(self, epoch: EpochIn, now_ms: int) -> None: ...
    def apply(self, columns: Columns, body: bytes | None, now_ms: int) -> list[bool]: ...
    def hold(self, epoch: int, series: Columns, body: bytes, now_ms: int) -> None: ...
    def held_for(self, device: str | None, resource: str | None, after_row: int, limit: int) -> list[HeldChunk]: ...
    def expired_held(self, before_ms: int, limit: int) -> list[HeldChunk]: ...
    def oldest_held_ms(self) -> int | None: ...
    def remove_held(self, chunk: HeldChunk) -> None: ...
    def count_applied(self, counts: Mapping[str, int]) -> None: ...
    def quarantine(
        self, epoch: int, number: int, count: int, reason: str, header: bytes, body: bytes, now_ms: int
    ) -> None: ...
    def quarantined(self, row: int) -> Quarantined | None: ...
    def quarantined_after(self, row: int, limit: int) -> list[Quarantined]: ...
    def tried_quarantined(self, row: int, reason: str, now_ms: int) -> None: ...
    def remove_quarantined(self, row: int) -> None: ...
    def add_gap(self, notice: GapNotice, *, ours: bool) -> bool: ...


class ControlStore(Protocol):
    """Both ends of the control log, and the versioned state it keeps equal."""

    def append_control(self, epoch: int, number: int, entry: bytes, header: bytes, body: bytes, now_ms: int) -> int: ...
    def renumber_control(self, row: int, epoch: int, number: int, header: bytes, body: bytes) -> None: ...
    def control_rows(self, after_row: int, limit: int) -> list[ControlRow]: ...
    def remove_control(self, epoch: int, up_to: int) -> int: ...
    def control_acknowledged(self) -> tuple[int, int] | None: ...
    def save_control_acknowledged(self, epoch: int, up_to: int) -> None: ...
    def forget_control_acknowledged(self) -> None: ...
    def control_in(self) -> dict[int, int]: ...
    def save_control_in(self, epoch: int, up_to: int, now_ms: int) -> None: ...
    def quarantine_entry(self, epoch: int, number: int, reason: str, entry: bytes, now_ms: int) -> None: ...
    def begin_edits(self) -> None: ...
    def finish_edits(self) -> None: ...
    def cell(self, object: str, field: str) -> Cell | None: ...
    def cells(self) -> list[Cell]: ...
    def cells_digest(self) -> bytes: ...
    def count_fields(self, object: str, like: str) -> int: ...
    def save_cell(self, cell: Cell, control_row: int | None, now_ms: int) -> None: ...
    def add_change(self, change: Change, now_ms: int) -> None: ...
    def settle_own_change(self, object: str, field: str, state: str, reason: str) -> None: ...
    def add_conflict(self, kept: Cell, lost: Cell, policy: str, now_ms: int) -> None: ...
    def close_conflicts(self, object: str, field: str, who: str, now_ms: int) -> None: ...
    def peer_rights(self) -> PeerRights: ...
    def lost_edits(self) -> tuple[int, int] | None: ...
    def save_lost_edits(self, span: tuple[int, int] | None) -> None: ...
    def create_resource(self, definition: Definition, now_ms: int) -> str: ...
    def answer_request(self, request_id: str, code: str, now_ms: int) -> None: ...
    def definitions(self) -> list[Definition]: ...
    def peer_definitions(self) -> list[Definition] | None: ...
    def save_peer_definitions(self, definitions: Sequence[Definition]) -> None: ...
    def save_peer_ledger(self, ledger: Ledger, stated_ms: int) -> None: ...
    def save_peer_resources(
        self, ledgers: Mapping[str, Ledger], stated_ms: int, since: Mapping[str, int] | None
    ) -> None: ...
    def forget_peer_resources(self) -> None: ...
    def save_cut(self, since: Mapping[str, int] | None) -> None: ...
    def parting_talk(self) -> PartingTalk: ...
    def save_parting_talk(self, talk: PartingTalk) -> None: ...
    def peer_signed_parting(self, part_id: bytes, signature: bytes) -> bool: ...


class PairStore(OutboxStore, InboxStore, ControlStore, ReplayStore, Protocol):
    """Everything one pair keeps at one side."""
