"""What the control log carries (G12), and the private part of a statement. All of it travels sealed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import chain
from typing import Final

import msgspec

from shared.batches import FORMATS
from shared.core.account import Apart
from shared.core.cells import Cell
from shared.core.ledger import Ledger
from shared.core.public_parts import check_order
from shared.core.replay_job import LeftOut, ReplayAsk, StatedReplay
from shared.errors import ProtocolError
from shared.foreign import read_json, read_packed
from shared.limits import (
    ALIAS_CHARS_MAX,
    CELLS_PER_ENTRY_MAX,
    CONTROL_ENTRY_BYTES_MAX,
    EPOCHS_STATED_MAX,
    GAP_COUNT_MAX,
    NUMBER_EXACT_MAX,
    UNIT_CHARS_MAX,
)

# Causes of a gap (G1). Shown to people by web and API; stable.
CAUSE_RETENTION: Final = "retention"
CAUSE_BYTE_CAP: Final = "byte_cap"
CAUSE_DESTINATION_RESTORED: Final = "destination_restored"
CAUSE_ORIGIN_RESTORED: Final = "origin_restored"
CAUSE_HELD_TOO_LONG: Final = "held_too_long"
CAUSE_DEVICE_REPLACED: Final = "device_replaced"
CAUSE_PARTED: Final = "parted"
CAUSE_DISCARDED: Final = "discarded"


class GapRow(msgspec.Struct, frozen=True, array_like=True):
    """Readings of one series inside a gap; times are the readings' own."""

    device: str
    resource: str
    count: int
    first_ms: int
    last_ms: int


class GapNotice(msgspec.Struct, frozen=True, array_like=True):
    """Readings that will never arrive. `count` None: not countable (unknown). `epochs`: the segment numbers given up.

    `taken_back` readings it named before arrived after all and are in no count any more (G1): the notice that says more
    of them is the later one. Rows of which nothing is left stay, with a count of 0.
    """

    gap_id: str
    cause: str
    count: int | None
    first_ms: int
    last_ms: int
    rows: list[GapRow]
    epochs: list[tuple[int, list[int]]]
    noticed_ms: int
    taken_back: int = 0

    def why_wrong(self) -> str:
        """Say why it cannot be meant, empty where it can: the other side's is foreign here."""
        spans = [(self.first_ms, self.last_ms), *((row.first_ms, row.last_ms) for row in self.rows)]
        counts = [self.count or 0, self.taken_back, *(row.count for row in self.rows)]
        if not 0 <= min(counts) <= max(counts) <= GAP_COUNT_MAX:
            return "a gap of more readings than there can be"
        if max(abs(time_ms) for time_ms in (*chain(*spans), self.noticed_ms)) > NUMBER_EXACT_MAX:
            return "a gap at a time that no clock shows"
        numbers = [epoch for epoch, _ in self.epochs]
        if len(numbers) > EPOCHS_STATED_MAX or len(set(numbers)) < len(numbers) or min(numbers, default=0) < 0:
            return "a gap of epochs that are too many, below zero or named twice"
        try:
            for _, flat in self.epochs:
                check_order(flat)
        except ProtocolError:
            return "a gap whose numbers are no intervals, or can be none"
        return ""

    @property
    def named(self) -> list[GapRow]:
        """The rows of which something is left."""
        return [row for row in self.rows if row.count]


class _Allowed(msgspec.Struct):
    """What a resource allows, in the form in which a side says it."""

    low: float | None = None
    high: float | None = None
    any: list[bool | float | str] | None = None


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """A resource as its side defines it; `allowed` is JSON (a [low, high] range or a list under "any"), or None."""

    alias: str
    format: str
    unit: str
    allowed: str | None
    settable: bool
    remote_sync: bool

    @property
    def well_formed(self) -> bool:
        """Whether it can be taken from the other side, whose word is foreign here."""
        if not 0 < len(self.alias) <= ALIAS_CHARS_MAX or len(self.unit) > UNIT_CHARS_MAX or self.format not in FORMATS:
            return False
        try:
            if self.allowed is not None:
                read_json(self.allowed, _Allowed)
            return True
        except msgspec.DecodeError:
            return False

    @property
    def accepts(self) -> bytes:
        """What must be equal on both sides before readings flow (G14)."""
        return sha256(msgspec.msgpack.encode([self.alias, self.format, self.unit, self.allowed])).digest()[:8]


class CellsEntry(msgspec.Struct, frozen=True, array_like=True, tag="cells"):
    """Edits: new versions of cells."""

    cells: list[Cell]


class GapEntry(msgspec.Struct, frozen=True, array_like=True, tag="gap"):
    """The origin gives readings up."""

    notice: GapNotice


class DefinitionsEntry(msgspec.Struct, frozen=True, array_like=True, tag="definitions"):
    """All resources of the sender's connector, replacing what it said before."""

    definitions: list[Definition]


class EpochsOverEntry(msgspec.Struct, frozen=True, array_like=True, tag="epochs_over"):
    """Earlier epochs of the sender's log are over: what they carried was carried over, and nothing of them counts now."""

    epochs: list[int]


class CreateResourceEntry(msgspec.Struct, frozen=True, array_like=True, tag="create_resource"):
    """The sender asks for a resource like this to be made at the other side; `request_id` comes back in the answer."""

    request_id: str
    definition: Definition
    who: str


class AnsweredEntry(msgspec.Struct, frozen=True, array_like=True, tag="answered"):
    """The word on a request: `code` is empty where it was done, else a refusal."""

    request_id: str
    code: str


class PartAskedEntry(msgspec.Struct, frozen=True, array_like=True, tag="part_asked"):
    """The sender asks to part: its signature (shared.certificates.Parting) under a random `part_id` of 16 bytes."""

    part_id: bytes
    signature: bytes
    who: str
    asked_ms: int


class PartWithdrawnEntry(msgspec.Struct, frozen=True, array_like=True, tag="part_withdrawn"):
    """The sender takes its ask back; the receiver forgets the signature."""

    part_id: bytes


class PartDeclinedEntry(msgspec.Struct, frozen=True, array_like=True, tag="part_declined"):
    """The sender declines the receiver's ask."""

    part_id: bytes


class ReplayAskEntry(msgspec.Struct, frozen=True, array_like=True, tag="replay_ask"):
    """The target asks the source to send a past range again."""

    ask: ReplayAsk


class ReplayCancelEntry(msgspec.Struct, frozen=True, array_like=True, tag="replay_cancel"):
    """The target wants no more of a replay, whoever asked for it."""

    job_id: str
    who: str


class ReplayStateEntry(msgspec.Struct, frozen=True, array_like=True, tag="replay_state"):
    """How a replay stands at the source: `asked_count` is an estimate of readings until it is done."""

    ask: ReplayAsk
    state: str
    reason: str
    run: int
    asked_count: int
    sent_count: int
    left_out: list[LeftOut]


Entry = (
    CellsEntry
    | GapEntry
    | DefinitionsEntry
    | EpochsOverEntry
    | CreateResourceEntry
    | AnsweredEntry
    | PartAskedEntry
    | PartWithdrawnEntry
    | PartDeclinedEntry
    | ReplayAskEntry
    | ReplayCancelEntry
    | ReplayStateEntry
)


class StatedEpoch(msgspec.Struct, frozen=True, array_like=True):
    """Where the readings of one epoch's recorded segments are at the destination."""

    epoch: int
    applied: int
    held: int
    quarantined: int
    dropped: dict[str, int]
    apart: Apart | None = None


class Private(msgspec.Struct, frozen=True, array_like=True):
    """Private part of a statement: counts that go with its intervals, the sender's ledger if it is an origin, its clock.

    `cells` is the digest of its versioned state (G13), `definitions` that of the reader's resources as the sender knows
    them; both are empty in statements that are not whole. `resources` are the ledgers of resources that changed, and
    `heard` names the start and the number of the reader's last statement in the sender's ledger: the cut at which both
    sides compare. `replays` is what became of replays, `replay_epochs` which epochs of the public part are theirs: those
    have no counts. `is_full`: the sender's quarantine is, and what it cannot read waits at the reader (G7). `named_all`:
    from which to which epoch a whole statement names all; nil in those of earlier releases, which have room for 4,095.
    `oldest_ms`: since when, by the sender's clock, the oldest of what it has accepted or holds waits to be applied; nil for
    nothing, and in earlier releases.
    """

    epochs: list[StatedEpoch]
    ledger: Ledger | None
    time_ms: int
    cells: bytes
    definitions: bytes
    resources: dict[str, Ledger] = {}
    heard: tuple[int, int] = (0, 0)
    replays: list[StatedReplay] = []
    replay_epochs: list[int] = []
    is_full: bool = False
    named_all: tuple[int, int] | None = None
    oldest_ms: int | None = None


def definitions_digest(definitions: Iterable[Definition]) -> bytes:
    """Return 8 bytes that are equal where two sides know the same definitions; order does not matter."""
    rows = sorted(msgspec.msgpack.encode(definition) for definition in definitions)
    return sha256(msgspec.msgpack.encode(rows)).digest()[:8]


# Cells of one entry, by bytes: far from CONTROL_ENTRY_BYTES_MAX.
_CELLS_BYTES_MAX = CONTROL_ENTRY_BYTES_MAX // 2
_ENCODER = msgspec.msgpack.Encoder()
_ENTRY: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)
_PRIVATE: msgspec.msgpack.Decoder[Private] = msgspec.msgpack.Decoder(Private)


def encode_cell(cell: Cell) -> bytes:
    """Return the bytes that a cell takes in an entry."""
    return _ENCODER.encode(cell)


def encode_entry(entry: Entry | Private) -> bytes:
    """Return the plain bytes of an entry or a statement's private part."""
    return _ENCODER.encode(entry)


def decode_entry(body: bytes) -> Entry:
    """Read an entry; raises msgspec.DecodeError (poison, G12)."""
    return read_packed(_ENTRY, body)


def decode_private(body: bytes) -> Private:
    """Read a statement's private part; raises msgspec.DecodeError."""
    return read_packed(_PRIVATE, body)


def cell_parts(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cut cells into parts that fit one control entry each."""
    parts: list[list[Cell]] = []
    size = _CELLS_BYTES_MAX + 1
    for cell in cells:
        cell_bytes = len(encode_cell(cell))
        if size + cell_bytes > _CELLS_BYTES_MAX or len(parts[-1]) >= CELLS_PER_ENTRY_MAX:
            parts.append([])
            size = 0
        parts[-1].append(cell)
        size += cell_bytes
    return parts
