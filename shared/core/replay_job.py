"""Replays of a past range (N9): what was asked for, how far it is, and what a store keeps of it.

A replay reads the history of the source again and fills what the target lacks. It changes nothing that is there, and it
is outside the account (G1): its segments count nothing, and its figures are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Protocol

import msgspec

from shared.columns import Columns
from shared.core.intervals import IntervalSet
from shared.core.tables import Table
from shared.errors import Undecodable
from shared.foreign import read_packed
from shared.limits import (
    ALIAS_CHARS_MAX,
    IDENTITY_CHARS_MAX,
    NAME_CHARS_MAX,
    NUMBER_EXACT_MAX,
    REPLAY_NAMES_MAX,
    REPLAY_RANGE_MS_MAX,
)
from shared.sealing import Side

JOB_ID_BYTES: Final = 8
# Why a resource of the ask is left out: not here, Remote-Sync off, or none like it at the target. Stable, as refusals are.
UNKNOWN_RESOURCE: Final = "unknown_resource"
NOT_STREAMED: Final = "not_streamed"
NOT_ACCEPTED: Final = "not_accepted"


class ReplayState(Enum):
    """How a replay stands; the source decides, the target follows what it states."""

    ASKED = "asked"  # at the target: the source has not answered yet
    WAITING = "waiting"  # behind another replay, or for the other side to be linked
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    REFUSED = "refused"

    @property
    def is_open(self) -> bool:
        """Whether something is still to come."""
        return self in (ReplayState.ASKED, ReplayState.WAITING, ReplayState.RUNNING)


class ReplayEvent(Enum):
    """What moves a replay at the source."""

    TAKEN = "taken"
    STARTED = "started"
    ALL_ACKNOWLEDGED = "all_acknowledged"
    CANCELLED = "cancelled"
    NOTHING_TO_SEND = "nothing_to_send"
    REFUSED = "refused"
    DESTINATION_RESTORED = "destination_restored"


_S, _E = ReplayState, ReplayEvent
REPLAY_TABLE: Final = Table(
    "replay",
    ReplayState.ASKED,
    {
        (_S.ASKED, _E.TAKEN): _S.WAITING,
        (_S.ASKED, _E.REFUSED): _S.REFUSED,
        (_S.WAITING, _E.STARTED): _S.RUNNING,
        (_S.WAITING, _E.NOTHING_TO_SEND): _S.REFUSED,
        (_S.WAITING, _E.CANCELLED): _S.CANCELLED,
        (_S.RUNNING, _E.ALL_ACKNOWLEDGED): _S.DONE,
        (_S.RUNNING, _E.CANCELLED): _S.CANCELLED,
        (_S.RUNNING, _E.DESTINATION_RESTORED): _S.WAITING,
        (_S.DONE, _E.DESTINATION_RESTORED): _S.WAITING,
        (_S.DONE, _E.CANCELLED): _S.CANCELLED,  # the other side cancelled before the last words met
    },
)


class ReplayAsk(msgspec.Struct, frozen=True, array_like=True):
    """What is to be sent again: `from_ms` included, `to_ms` not; no names mean all. `side` asked, there `who`, then."""

    job_id: str
    from_ms: int
    to_ms: int
    resources: list[str]
    devices: list[str]
    side: int
    who: str
    asked_ms: int

    def why_wrong(self) -> str:
        """Say why it cannot be meant, empty where it can: the other side's is foreign here."""
        if len(self.job_id) != 2 * JOB_ID_BYTES or self.side not in (Side.SOURCE, Side.TARGET):
            return "a replay without a well-formed ID or side"
        if len(self.who) > NAME_CHARS_MAX or len(self.resources) + len(self.devices) > REPLAY_NAMES_MAX:
            return "a replay of too many names"
        if any(not 0 < len(name) <= ALIAS_CHARS_MAX for name in self.resources):
            return "a replay of a resource whose name is too long"
        if any(not 0 < len(name) <= IDENTITY_CHARS_MAX for name in self.devices):
            return "a replay of a device whose identity is too long"
        if not 0 <= self.asked_ms <= NUMBER_EXACT_MAX or self.to_ms > NUMBER_EXACT_MAX:
            return "a replay of a time that no clock shows"
        if not 0 <= self.from_ms < self.to_ms or self.to_ms - self.from_ms > REPLAY_RANGE_MS_MAX:
            return "a replay of a range that is empty or too long"
        return ""


class LeftOut(msgspec.Struct, frozen=True, array_like=True):
    """A resource of the ask that is not sent, and why (a code)."""

    resource: str
    reason: str


class StatedReplay(msgspec.Struct, frozen=True, array_like=True):
    """What the destination has made of a replay's `run`: counts of readings.

    `present` were there already, `differing` of them with another value, which stays. `unplaced` have no device or no
    resource of that format there; `names` are some of those, as device and resource.
    """

    job_id: str
    run: int
    arrived: int = 0
    added: int = 0
    present: int = 0
    differing: int = 0
    unplaced: int = 0
    names: list[tuple[str, str]] = []


class Replayed(msgspec.Struct, frozen=True, array_like=True):
    """The plain content of a replay's segment: `batch` is packed as any (shared.batches), `run` counts from 1."""

    version: int
    job_id: str
    run: int
    batch: bytes


_VERSION: Final = 1
_FIRST_BYTE: Final = b"\x94"  # a MessagePack array of four; a bare batch begins with zstd's magic number
_DECODER = msgspec.msgpack.Decoder(Replayed)


def is_replay(plain: bytes) -> bool:
    """Whether the content of a segment is a replay's."""
    return plain[:1] == _FIRST_BYTE


def encode_replayed(job_id: str, run: int, batch: bytes) -> bytes:
    """Return the content of a replay's segment."""
    return msgspec.msgpack.encode(Replayed(_VERSION, job_id, run, batch))


def decode_replayed(plain: bytes) -> Replayed:
    """Read it; raises Undecodable."""
    try:
        replayed = read_packed(_DECODER, plain)
    except msgspec.DecodeError as error:
        raise Undecodable(f"malformed segment of a replay: {error}") from error
    has_job = len(replayed.job_id) == 2 * JOB_ID_BYTES and 1 <= replayed.run <= NUMBER_EXACT_MAX
    if replayed.version != _VERSION or not has_job:
        raise Undecodable("a segment of a replay of an unknown version, or without a job")
    return replayed


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where reading goes on: this series, from this millisecond."""

    series_id: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """A replay as one side knows it. `asked_count` is an estimate until it is done; `cursor` None: all is read."""

    ask: ReplayAsk
    state: ReplayState
    figures: StatedReplay
    reason: str = ""
    run: int = 1
    asked_count: int = 0
    sent_count: int = 0
    left_out: tuple[LeftOut, ...] = ()
    cursor: Cursor | None = None

    @classmethod
    def of(cls, ask: ReplayAsk, state: ReplayState) -> ReplayJob:
        """Return a job that has not begun."""
        return cls(ask, state, StatedReplay(ask.job_id, 1), cursor=Cursor(0, ask.from_ms))

    def after(self, event: ReplayEvent, reason: str = "") -> ReplayJob:
        """Return the job after an event; raises Misuse where that is not legal now."""
        return replace(self, state=REPLAY_TABLE.after(self.state, event), reason=reason)

    def again(self) -> ReplayJob:
        """Return the job from its beginning, in a new run: the destination lost what it had of it."""
        run = self.run + 1
        begun = self.after(ReplayEvent.DESTINATION_RESTORED)
        figures = StatedReplay(self.ask.job_id, run)
        return replace(begun, run=run, figures=figures, sent_count=0, cursor=Cursor(0, self.ask.from_ms))


@dataclass(frozen=True, slots=True)
class Bite:
    """Readings of history, one series behind the other, `ids` their series; `next` None where there are no more."""

    columns: Columns
    ids: tuple[int, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class ReplaySegment:
    """A sealed segment of a replay that is not acknowledged."""

    row: int
    epoch: int
    number: int
    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of the readings of one series: `differing` are those of `present` that have another value here."""

    added: int
    present: int
    differing: int


class ReplayStore(Protocol):
    """What replays ask of a site's storage, at either side. All inside one unit of work; none commits."""

    def replay_job(self, job_id: str) -> ReplayJob | None: ...
    def replay_jobs(self, *, open_only: bool, limit: int) -> list[ReplayJob]:
        """Open ones oldest first; or the newest ones, newest first."""
        ...

    def save_replay(self, job: ReplayJob, now_ms: int) -> None: ...
    def note_peer_asked(self, ask: ReplayAsk, what: str, now_ms: int) -> None:
        """Write into the audit log what the other side asked for."""
        ...

    def replay_estimate(self, ask: ReplayAsk, aliases: Iterable[str]) -> int: ...
    def replay_bite(
        self, ask: ReplayAsk, aliases: Sequence[str], cursor: Cursor, *, readings_max: int, series_max: int
    ) -> Bite: ...
    def unknown_device(self, identities: Iterable[str]) -> str | None: ...
    def add_replay_segment(self, job_id: str, epoch: int, number: int, header: bytes, body: bytes) -> int: ...
    def replay_segment(self, row: int) -> ReplaySegment | None: ...
    def replay_segment_rows(self) -> list[tuple[int, int, int]]:
        """(row, epoch, number), oldest first."""
        ...

    def remove_replay_segment(self, row: int) -> None: ...
    def clear_replay_segments(self, job_id: str) -> None: ...
    def replay_epoch(self, epoch: int) -> IntervalSet | None: ...
    def replay_epochs(self) -> list[tuple[int, IntervalSet]]: ...
    def save_replay_epoch(self, epoch: int, recorded: IntervalSet, now_ms: int) -> None: ...
    def fill(self, columns: Columns, now_ms: int) -> list[Filled | None]:
        """Keep what is not there yet, per series; None where its device or resource is not here."""
        ...
