"""The origin of replays (N9): reads history in bites, seals them, and sends them behind the stream until acknowledged.

One replay runs at a time. A few segments of it are under way, kept until the destination has recorded them; the cursor
moves in the transaction that stores a segment. So neither memory nor disk depends on the range, and a restart, a lost
link or a crash goes on where it was. Segments go only while the destination is linked, in the backfill lane, from the
credit that the stream leaves over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shared.batches import BatchCodec, Packed, pack
from shared.core.engine_link import EngineLink
from shared.core.intervals import IntervalSet
from shared.core.outbox import Outbox
from shared.core.ports import PairStore
from shared.core.replay_job import (
    NOT_ACCEPTED,
    NOT_STREAMED,
    UNKNOWN_RESOURCE,
    Bite,
    Cursor,
    LeftOut,
    ReplayAsk,
    ReplayEvent,
    ReplayJob,
    ReplayState,
    StatedReplay,
    encode_replayed,
)
from shared.core.sending import Outgoing
from shared.limits import (
    REPLAY_JOBS_WATCHED_MAX,
    REPLAY_READINGS_MAX,
    REPLAY_SEGMENTS_MAX,
    REPLAY_SERIES_MAX,
)
from shared.messages import RecordedEpoch
from shared.sealing import NONCE_BYTES, Kind, PairKeys

Chance = Callable[[int], bytes]
Say = Callable[[PairStore, ReplayJob, int], None]
_BEGUN = (ReplayState.RUNNING, ReplayState.DONE)


class ReplayOrigin:
    """What a source sends again. Holds what is under way, rebuilt by `load`."""

    def __init__(self, keys: PairKeys, codec: BatchCodec, chance: Chance, outbox: Outbox, say: Say) -> None:
        """`say` tells the other side how a job stands now."""
        self._keys = keys
        self._codec = codec
        self._chance = chance
        self._outbox = outbox
        self._say = say
        self._epoch = 0  # opened by the first segment of this start (G2)
        self._last_number = 0
        self._job: ReplayJob | None = None
        self._under_way: dict[int, tuple[int, int]] = {}  # row: epoch, number
        self._behind = False

    def load(self, store: PairStore) -> None:
        """Take up what is stored. Numbers given in a unit of work that was undone are not used again."""
        self._epoch = self._last_number = 0
        self.look(store)

    def look(self, store: PairStore) -> None:
        """See which job is the next, after anything changed about jobs."""
        jobs = store.replay_jobs(open_only=True, limit=1)
        self._job = jobs[0] if jobs else None
        self._under_way = {row: (epoch, number) for row, epoch, number in store.replay_segment_rows()}
        self._behind = self._job is not None

    # --- sending --------------------------------------------------------------------------------------------------------

    def pump(self, store: PairStore, link: EngineLink, now_ms: int) -> tuple[list[Outgoing], bool]:
        """Return segments to send now, and whether figures of a job changed. Reads one bite of history at most."""
        self._behind = False
        if self._job is None or not (link.peer_linked and link.stated):
            return [], False
        if self._job.state is ReplayState.WAITING:
            self._start(store, self._job, now_ms)
            return [], True
        due_ms = link.replays.due_ms
        if due_ms is not None and due_ms <= now_ms:  # nothing moved for long: what was sent may be lost
            link.replays.on_resync(now_ms)
            link.replayed = IntervalSet()
        changed = False
        if self._job.cursor is not None and len(self._under_way) < REPLAY_SEGMENTS_MAX and self._outbox.has_room_beside:
            self._read(store, self._job, self._job.cursor, now_ms)
            changed = True
        outgoing = self._send(store, link)
        link.replays.on_head(min(self._under_way, default=0), now_ms)
        if self._job.cursor is None and not self._under_way:
            self._finish(store, self._job, now_ms)
            changed = True
        self._behind = self._has_more()
        return outgoing, changed

    def _has_more(self) -> bool:
        if self._job is None or self._job.state is ReplayState.WAITING:
            return self._job is not None
        return self._job.cursor is not None and len(self._under_way) < REPLAY_SEGMENTS_MAX

    def next_deadline_ms(self, link: EngineLink) -> int | None:
        """When `pump` has something to do although nothing further may happen, None for never."""
        if self._job is None or not (link.peer_linked and link.stated):
            return None
        if self._behind and self._outbox.has_room_beside:
            return 0
        return link.replays.due_ms

    def _start(self, store: PairStore, job: ReplayJob, now_ms: int) -> None:
        aliases, left_out = self._wanted(store, job.ask)
        if aliases:
            begun = replace(job.after(ReplayEvent.STARTED), asked_count=store.replay_estimate(job.ask, aliases))
        else:
            begun = job.after(ReplayEvent.NOTHING_TO_SEND, "nothing_to_replay")
        begun = replace(begun, left_out=tuple(left_out))
        store.save_replay(begun, now_ms)
        self._say(store, begun, now_ms)
        self.look(store)

    def _wanted(self, store: PairStore, ask: ReplayAsk) -> tuple[list[str], list[LeftOut]]:
        """Return the resources to read, and those that are asked for and cannot be sent: the same rule as for the stream."""
        mine = {definition.alias: definition for definition in store.definitions()}
        named = list(dict.fromkeys(ask.resources)) or [alias for alias, each in mine.items() if each.remote_sync]
        aliases: list[str] = []
        left_out: list[LeftOut] = []
        for alias in named:
            if alias not in mine:
                left_out.append(LeftOut(alias, UNKNOWN_RESOURCE))
            elif not mine[alias].remote_sync:
                left_out.append(LeftOut(alias, NOT_STREAMED))
            elif not self._outbox.accepts(alias):
                left_out.append(LeftOut(alias, NOT_ACCEPTED))
            else:
                aliases.append(alias)
        return aliases, left_out

    def _read(self, store: PairStore, job: ReplayJob, cursor: Cursor, now_ms: int) -> None:
        """Seal the next bite of history."""
        aliases, _ = self._wanted(store, job.ask)
        bite = store.replay_bite(
            job.ask, aliases, cursor, readings_max=REPLAY_READINGS_MAX, series_max=REPLAY_SERIES_MAX
        )
        read, following = 0, bite.next
        if len(bite.columns):
            pieces = pack(bite.columns, self._codec)
            if len(pieces) > 1:  # long texts: the rest is read again
                following = _after(bite, pieces[0])
            read = len(pieces[0])
            self._seal(store, job, pieces[0], now_ms)
        self._job = replace(job, cursor=following, sent_count=job.sent_count + read)
        store.save_replay(self._job, now_ms)

    def _seal(self, store: PairStore, job: ReplayJob, piece: Packed, now_ms: int) -> None:
        if self._epoch == 0:
            self._epoch = int.from_bytes(self._chance(8), "big") >> 1 or 1
        self._last_number += 1
        header, body = self._keys.seal(
            Kind.SEGMENT,
            encode_replayed(job.ask.job_id, job.run, piece.body),
            epoch=self._epoch,
            number=self._last_number,
            accepted_ms=now_ms,
            count=0,  # outside the account
            nonce=self._chance(NONCE_BYTES),
        )
        row = store.add_replay_segment(job.ask.job_id, self._epoch, self._last_number, header, body)
        self._under_way[row] = (self._epoch, self._last_number)

    def _send(self, store: PairStore, link: EngineLink) -> list[Outgoing]:
        outgoing: list[Outgoing] = []
        for row in self._under_way:
            if not self._outbox.has_room_beside:
                break
            if row not in link.replayed and (segment := store.replay_segment(row)) is not None:
                link.replayed.add(row)
                outgoing.append(self._outbox.send_beside(segment.header, segment.body))
        return outgoing

    def _finish(self, store: PairStore, job: ReplayJob, now_ms: int) -> None:
        done = replace(job.after(ReplayEvent.ALL_ACKNOWLEDGED), asked_count=job.sent_count)
        store.save_replay(done, now_ms)
        self._say(store, done, now_ms)
        self.look(store)

    # --- the destination's word -------------------------------------------------------------------------------------------

    def on_stated(
        self,
        store: PairStore,
        epochs: list[RecordedEpoch],
        stated: list[StatedReplay],
        *,
        fresh: bool,
        now_ms: int,
    ) -> bool:
        """Take the destination's word on what it recorded and made of it; return whether anything changed.

        A `fresh` word that lacks what was stated before comes from a restored destination: its replays start over.
        """
        named = {each.job_id: each for each in stated}
        if fresh and self._start_over(store, named, now_ms):
            return True
        for part in epochs:
            recorded = IntervalSet(part.recorded)
            for row, (epoch, number) in list(self._under_way.items()):
                if epoch == part.epoch and number in recorded:
                    store.remove_replay_segment(row)
                    del self._under_way[row]
        for each in stated:
            job = store.replay_job(each.job_id)
            if job is None or job.figures == each or each.run < job.run:
                continue
            if job.state in _BEGUN and (each.run > job.run or each.arrived > job.sent_count):
                self._begin_again(store, replace(job, run=each.run), now_ms)  # this source was restored meanwhile
            elif each.run > job.run:  # as well: the destination takes no word on an earlier run than it knows
                later = replace(job, run=each.run, figures=each)
                if job.state is ReplayState.WAITING:  # what it sends has to be of a later one
                    later = replace(job, run=each.run + 1, figures=StatedReplay(each.job_id, each.run + 1))
                store.save_replay(later, now_ms)
                self._say(store, later, now_ms)
            else:
                store.save_replay(replace(job, figures=each), now_ms)
        if stated:
            jobs = store.replay_jobs(open_only=True, limit=1)
            self._job = jobs[0] if jobs else None
        return bool(stated)

    def _start_over(self, store: PairStore, named: dict[str, StatedReplay], now_ms: int) -> bool:
        lost = False
        for job in store.replay_jobs(open_only=False, limit=REPLAY_JOBS_WATCHED_MAX):
            if job.state not in _BEGUN or not job.figures.arrived:
                continue
            there = named.get(job.ask.job_id)
            if there is None or (there.run, there.arrived) < (job.run, job.figures.arrived):
                self._begin_again(store, job, now_ms)
                lost = True
        return lost

    def _begin_again(self, store: PairStore, job: ReplayJob, now_ms: int) -> None:
        again = job.again()
        store.clear_replay_segments(job.ask.job_id)
        store.save_replay(again, now_ms)
        self._say(store, again, now_ms)
        self.look(store)


def _after(bite: Bite, piece: Packed) -> Cursor:
    """Return where to go on behind the first part of a bite."""
    at = len(piece.columns.series) - 1
    return Cursor(bite.ids[at], int(piece.columns.times_ms[-1]) + 1)
