"""The destination of replays (N9): fills what is missing, once per segment, and changes nothing that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shared.batches import BatchCodec
from shared.columns import Columns
from shared.core.arrivals import Arrival, refuse_impossible
from shared.core.intervals import IntervalSet
from shared.core.replay_job import (
    Filled,
    ReplayAsk,
    Replayed,
    ReplayJob,
    ReplayState,
    ReplayStore,
    StatedReplay,
    decode_replayed,
)
from shared.errors import Undecodable
from shared.limits import (
    REPLAY_EPOCHS_KEPT_MAX,
    REPLAY_JOBS_KEPT_MAX,
    REPLAY_UNPLACED_NAMES_MAX,
    STATEMENT_REPLAYS_BYTES_MAX,
)
from shared.messages import RecordedEpoch
from shared.sealing import Header, Side

# What one number of a statement takes at most, and an epoch beside its numbers.
_NUMBER_BYTES: Final = 9
_EPOCH_BYTES: Final = 32


class ReplayInbox:
    """Holds only what changed since the last statement."""

    def __init__(self, side: Side, codec: BatchCodec) -> None:
        self._side = side
        self._codec = codec
        self._epochs: dict[int, None] = {}
        self._jobs: dict[str, None] = {}

    def take(self, store: ReplayStore, header: Header, plain: bytes, now_ms: int) -> Arrival:
        """Take a segment in; raises Undecodable, after which its number is recorded all the same."""
        recorded = store.replay_epoch(header.epoch) or IntervalSet()
        self._epochs[header.epoch] = None
        if not recorded.add(header.number):
            return Arrival.REPEATED
        store.save_replay_epoch(header.epoch, recorded, now_ms)
        self.apply(store, header, plain, now_ms)
        return Arrival.APPLIED

    def give_back(self, store: ReplayStore, header: Header, now_ms: int) -> None:
        """A segment that could not be read is not taken after all."""
        recorded = store.replay_epoch(header.epoch) or IntervalSet()
        recorded.discard(header.number)
        store.save_replay_epoch(header.epoch, recorded, now_ms)

    def apply(self, store: ReplayStore, header: Header, plain: bytes, now_ms: int) -> None:
        """Keep what of a segment is missing here and count it; raises Undecodable."""
        replayed = decode_replayed(plain)
        columns = self._codec.decode_columns(replayed.batch)
        refuse_impossible(columns, max(now_ms, header.accepted_ms))
        if self._side is not Side.TARGET:
            raise Undecodable("a replay towards the side whose history is replayed")
        job = self._job(store, replayed)
        if job is None:
            return
        filled = store.fill(columns, now_ms)
        figures = _counted(job.figures, columns, filled)
        store.save_replay(replace(job, figures=figures), now_ms)
        self._jobs[replayed.job_id] = None

    def _job(self, store: ReplayStore, replayed: Replayed) -> ReplayJob | None:
        """Return the job with the figures of this run; None where nothing more of it is wanted."""
        job = store.replay_job(replayed.job_id)
        if job is None:  # its first segment overtook what the source said about it
            unknown = ReplayAsk(replayed.job_id, 0, 1, [], [], self._side.other, "", 0)
            job = ReplayJob.of(unknown, ReplayState.RUNNING)
        if job.state is ReplayState.CANCELLED or replayed.run < job.run:
            return None
        return job if replayed.run == job.run else in_run(job, replayed.run)

    # --- acknowledging --------------------------------------------------------------------------------------------------

    def state_again(self, job_id: str) -> None:
        """Let the next statement name a job although nothing of it came."""
        self._jobs[job_id] = None

    @property
    def changed(self) -> bool:
        """Whether there is something to state."""
        return bool(self._epochs or self._jobs)

    def state(self, store: ReplayStore, *, whole: bool) -> tuple[list[RecordedEpoch], list[StatedReplay]]:
        """Return what is recorded and what became of it: all of it (`whole`), or what changed since the last call."""
        if whole:
            epochs = store.replay_epochs()
            jobs = store.replay_jobs(open_only=False, limit=REPLAY_JOBS_KEPT_MAX)
        else:
            epochs = [(epoch, store.replay_epoch(epoch) or IntervalSet()) for epoch in self._epochs]
            jobs = [job for job in map(store.replay_job, self._jobs) if job is not None]
        self._epochs.clear()
        self._jobs.clear()
        # A source names all it knows: what its target still waits for and it does not know, it lost in a restore.
        names_all = whole and self._side is Side.SOURCE
        if self._side is Side.SOURCE:  # what its target stated of them, which that target knows
            jobs = [replace(job, figures=StatedReplay(job.ask.job_id, job.run, job.figures.arrived)) for job in jobs]
        # A later run than the origin knows (it is a restored copy) would be waited for, though nothing of it came yet.
        stated = [job.figures for job in jobs if names_all or job.figures.arrived or job.run > 1]
        return _fitting(epochs), stated


def _fitting(epochs: list[tuple[int, IntervalSet]]) -> list[RecordedEpoch]:
    """Return the last of the epochs that a statement has room for; one that its origin made too long is left out."""
    room = STATEMENT_REPLAYS_BYTES_MAX
    found: list[RecordedEpoch] = []
    for epoch, recorded in epochs[::-1][:REPLAY_EPOCHS_KEPT_MAX]:
        flat = recorded.flat()
        if (size := _EPOCH_BYTES + _NUMBER_BYTES * len(flat)) <= room:
            room -= size
            found.append(RecordedEpoch(epoch, flat, []))
    return found[::-1]


def in_run(job: ReplayJob, run: int) -> ReplayJob:
    """Return a job whose figures begin again with a run."""
    return replace(job, run=run, figures=StatedReplay(job.ask.job_id, run))


def _counted(figures: StatedReplay, columns: Columns, filled: list[Filled | None]) -> StatedReplay:
    """Add one segment to the figures."""
    names = list(figures.names)
    added = present = differing = unplaced = 0
    for (device, resource, _), length, one in zip(columns.series, columns.lengths.tolist(), filled, strict=True):
        if one is not None:
            added, present, differing = added + one.added, present + one.present, differing + one.differing
            continue
        unplaced += length
        if (device, resource) not in names and len(names) < REPLAY_UNPLACED_NAMES_MAX:
            names.append((device, resource))
    return StatedReplay(
        figures.job_id,
        figures.run,
        figures.arrived + len(columns),
        figures.added + added,
        figures.present + present,
        figures.differing + differing,
        figures.unplaced + unplaced,
        names,
    )
