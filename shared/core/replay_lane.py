"""What two sides say about replays (N9), through the control log (G12): asks, cancellations, and how each stands.

The source decides and states; the target asks, and shows what the source stated beside its own figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from shared.batches import BatchCodec
from shared.core.control import ControlOrigin
from shared.core.engine_link import EngineLink
from shared.core.entries import Private, ReplayAskEntry, ReplayCancelEntry, ReplayStateEntry
from shared.core.outbox import Outbox
from shared.core.ports import PairStore
from shared.core.replay_inbox import ReplayInbox, in_run
from shared.core.replay_job import (
    JOB_ID_BYTES,
    LeftOut,
    ReplayAsk,
    ReplayEvent,
    ReplayJob,
    ReplayState,
)
from shared.core.replay_origin import ReplayOrigin
from shared.core.sending import Outgoing
from shared.errors import Refused
from shared.limits import (
    CONTROL_ENTRY_BYTES_MAX,
    DAY_MS,
    NUMBER_EXACT_MAX,
    REPLAY_JOBS_KEPT_MAX,
    REPLAY_JOBS_OPEN_MAX,
    REPLAY_NAMES_MAX,
    REPLAY_RANGE_MS_MAX,
)
from shared.messages import Recorded
from shared.sealing import PairKeys, Side

_REASON_CHARS_MAX = 64
# Resources left out, in one entry with an ask of the longest names: those take 200 KiB of its 256.
_LEFT_OUT_BYTES_MAX = CONTROL_ENTRY_BYTES_MAX // 8
_LEFT_OUT_BYTES_EXTRA = 8  # of each, beside its texts
Chance = Callable[[int], bytes]
ReplayEntry = ReplayAskEntry | ReplayStateEntry | ReplayCancelEntry


class Replays:
    """The replays of one side of a pair."""

    def __init__(
        self,
        keys: PairKeys,
        codec: BatchCodec,
        chance: Chance,
        *,
        log: ControlOrigin,
        outbox: Outbox,
        inbox: ReplayInbox,
    ) -> None:
        self._side = keys.side
        self._chance = chance
        self._log = log
        self._inbox = inbox
        self._origin = ReplayOrigin(keys, codec, chance, outbox, self._say)

    def load(self, store: PairStore) -> None:
        """Take up what is stored."""
        if self._side is Side.SOURCE:
            self._origin.load(store)

    # --- what people ask --------------------------------------------------------------------------------------------------

    def ask(
        self,
        store: PairStore,
        *,
        from_ms: int,
        to_ms: int,
        resources: Sequence[str],
        devices: Sequence[str],
        who: str,
        now_ms: int,
    ) -> ReplayJob:
        """Ask for a range again: `from_ms` included, `to_ms` not; no names mean all. Return the job.

        Raises Refused('invalid', 'unknown_resource', 'unknown_device', 'too_many_replays').
        """
        job_id = self._chance(JOB_ID_BYTES).hex()
        ask = ReplayAsk(
            job_id,
            from_ms,
            to_ms,
            list(dict.fromkeys(resources)),
            list(dict.fromkeys(devices)),
            self._side,
            who,
            now_ms,
        )
        _refuse_wrong(ask)
        known = {definition.alias for definition in (*store.definitions(), *(store.peer_definitions() or ()))}
        for alias in ask.resources:
            if alias not in known:
                raise Refused("unknown_resource", resource=alias)
        if (missing := store.unknown_device(ask.devices)) is not None:
            raise Refused("unknown_device", device=missing)
        _refuse_too_many(store)
        job = ReplayJob.of(ask, ReplayState.ASKED)
        if self._side is Side.SOURCE:
            return self._file(store, job, now_ms)
        store.save_replay(job, now_ms)
        self._log.append(store, ReplayAskEntry(ask), now_ms)
        return job

    def _file(self, store: PairStore, job: ReplayJob, now_ms: int) -> ReplayJob:
        filed = job.after(ReplayEvent.TAKEN)
        store.save_replay(filed, now_ms)
        self._say(store, filed, now_ms)
        self._origin.look(store)
        return filed

    def cancel(self, store: PairStore, job_id: str, *, who: str, now_ms: int) -> None:
        """Stop a replay that is open; what arrived stays. Raises Refused('not_found')."""
        job = store.replay_job(job_id)
        if job is None or not job.state.is_open:
            raise Refused("not_found", what="open replay")
        if self._side is Side.SOURCE:
            self._cancel(store, job, now_ms)
            return
        store.save_replay(replace(job, state=ReplayState.CANCELLED), now_ms)
        self._log.append(store, ReplayCancelEntry(job_id, who), now_ms)

    def _cancel(self, store: PairStore, job: ReplayJob, now_ms: int) -> None:
        cancelled = job.after(ReplayEvent.CANCELLED)
        store.clear_replay_segments(job.ask.job_id)
        store.save_replay(cancelled, now_ms)
        self._say(store, cancelled, now_ms)
        self._origin.look(store)

    # --- what the other side says -------------------------------------------------------------------------------------------

    def take(self, store: PairStore, entry: ReplayEntry, now_ms: int) -> None:
        """Take what the other side says; raises ValueError where it cannot be meant (the entry goes to quarantine)."""
        match entry:
            case ReplayAskEntry():
                self._take_ask(store, entry.ask, now_ms)
            case ReplayCancelEntry():
                self._take_cancel(store, entry, now_ms)
            case ReplayStateEntry():
                self._take_state(store, entry, now_ms)

    def _take_ask(self, store: PairStore, ask: ReplayAsk, now_ms: int) -> None:
        if why := ask.why_wrong():
            raise ValueError(why)
        if self._side is not Side.SOURCE:
            raise ValueError("an ask for a replay towards the side that has no history of its own")
        known = store.replay_job(ask.job_id)
        if known is not None:
            self._say(store, known, now_ms)
            return
        job = ReplayJob.of(ask, ReplayState.ASKED)
        refusal = _why_not(store)
        store.note_peer_asked(ask, f"refused to replay: {refusal}" if refusal else "asked for a replay", now_ms)
        if not refusal:
            self._file(store, job, now_ms)
            return
        refused = job.after(ReplayEvent.REFUSED, refusal)
        store.save_replay(refused, now_ms)
        self._say(store, refused, now_ms)

    def _take_cancel(self, store: PairStore, entry: ReplayCancelEntry, now_ms: int) -> None:
        if self._side is not Side.SOURCE:
            raise ValueError("a cancellation towards the side that asks")
        job = store.replay_job(entry.job_id)
        if job is None or job.state in (ReplayState.CANCELLED, ReplayState.REFUSED):
            return
        store.note_peer_asked(replace_who(job.ask, entry.who), "cancelled a replay", now_ms)
        self._cancel(store, job, now_ms)

    def _take_state(self, store: PairStore, entry: ReplayStateEntry, now_ms: int) -> None:
        if why := entry.ask.why_wrong():
            raise ValueError(why)
        if self._side is not Side.TARGET:
            raise ValueError("how a replay stands, from the side that does not decide it")
        state = ReplayState(entry.state)
        if (
            len(entry.left_out) > REPLAY_NAMES_MAX
            or len(entry.reason) > _REASON_CHARS_MAX
            or not 1 <= entry.run <= NUMBER_EXACT_MAX
            or min(entry.asked_count, entry.sent_count) < 0
            or max(entry.asked_count, entry.sent_count) > NUMBER_EXACT_MAX
        ):
            raise ValueError("how a replay stands, with figures that cannot be")
        known = store.replay_job(entry.ask.job_id) or ReplayJob.of(entry.ask, state)
        if entry.run < known.run:
            self._inbox.state_again(known.ask.job_id)  # a source that was restored goes on from the run known here
            return
        if entry.run == known.run and state.is_open and not known.state.is_open:
            return  # out of quarantine: overtaken
        if entry.run > known.run:
            known = in_run(known, entry.run)
        if known.state is ReplayState.CANCELLED:
            state = known.state  # cancelled here, which the source did not know yet
        stated = replace(
            known,
            ask=entry.ask,
            state=state,
            reason=entry.reason,
            asked_count=entry.asked_count,
            sent_count=entry.sent_count,
            left_out=tuple(entry.left_out),
        )
        store.save_replay(stated, now_ms)

    def tell_again(self, store: PairStore, now_ms: int) -> None:
        """Repeat what a peer may have lost in a restore: how jobs stand; or, at the target, what it asked for."""
        for job in store.replay_jobs(open_only=False, limit=REPLAY_JOBS_KEPT_MAX):
            if self._side is Side.SOURCE:
                self._say(store, job, now_ms)
            elif job.state.is_open:
                self._log.append(store, ReplayAskEntry(job.ask), now_ms)

    def _ask_again(self, store: PairStore, link: EngineLink, private: Private, now_ms: int) -> None:
        """Ask again for what a source that was restored does not know any more."""
        known = {each.job_id for each in private.replays}
        waiting = store.replay_jobs(open_only=True, limit=REPLAY_JOBS_KEPT_MAX)
        lost = [job for job in waiting if job.ask.job_id not in known]
        if lost and self._log.first_row(store):
            link.compare_later = True  # the ask may be on its way
            return
        for job in lost:
            self._log.append(store, ReplayAskEntry(job.ask), now_ms)

    def _say(self, store: PairStore, job: ReplayJob, now_ms: int) -> None:
        entry = ReplayStateEntry(
            job.ask,
            job.state.value,
            job.reason,
            job.run,
            job.asked_count,
            job.sent_count,
            _told(job.left_out),
        )
        self._log.append(store, entry, now_ms)

    # --- segments ---------------------------------------------------------------------------------------------------------

    def pump(self, store: PairStore, link: EngineLink, now_ms: int) -> tuple[list[Outgoing], bool]:
        """Return segments to send now, and whether figures of a job changed."""
        return self._origin.pump(store, link, now_ms)

    def next_deadline_ms(self, link: EngineLink) -> int | None:
        """When `pump` has something to do although nothing further may happen, None for never."""
        return self._origin.next_deadline_ms(link)

    def on_stated(
        self, store: PairStore, link: EngineLink, public: Recorded, private: Private, *, fresh: bool, now_ms: int
    ) -> bool:
        """Take the other side's word on replays; return whether anything changed."""
        if self._side is not Side.SOURCE:
            if fresh:
                self._ask_again(store, link, private, now_ms)
            return False
        over = set(private.replay_epochs)
        epochs = [part for part in public.segments if part.epoch in over]
        return self._origin.on_stated(store, epochs, private.replays, fresh=fresh, now_ms=now_ms)


def replace_who(ask: ReplayAsk, who: str) -> ReplayAsk:
    """Return an ask under another name."""
    return ReplayAsk(ask.job_id, ask.from_ms, ask.to_ms, ask.resources, ask.devices, ask.side, who[:128], ask.asked_ms)


def _why_not(store: PairStore) -> str:
    """Return the code with which the partner's ask is refused, empty where it is taken (G18)."""
    if not store.peer_rights().replay:
        return "replay_not_allowed"
    return "too_many_replays" if _open_count(store) >= REPLAY_JOBS_OPEN_MAX else ""


def _open_count(store: PairStore) -> int:
    return len(store.replay_jobs(open_only=True, limit=REPLAY_JOBS_OPEN_MAX))


def _refuse_too_many(store: PairStore) -> None:
    if _open_count(store) >= REPLAY_JOBS_OPEN_MAX:
        raise Refused("too_many_replays", most=REPLAY_JOBS_OPEN_MAX)


def _refuse_wrong(ask: ReplayAsk) -> None:
    """Refuse an ask of ours that the other side would not take."""
    if ask.to_ms <= ask.from_ms:
        raise Refused("invalid", what="To", why="it is a time after the first one")
    if ask.from_ms < 0:
        raise Refused("invalid", what="From", why="it lies before 1970")
    if ask.to_ms - ask.from_ms > REPLAY_RANGE_MS_MAX:
        raise Refused("invalid", what="Range", why=f"one replay takes at most {REPLAY_RANGE_MS_MAX // DAY_MS} days")
    if len(ask.resources) + len(ask.devices) > REPLAY_NAMES_MAX:
        raise Refused("invalid", what="Names", why=f"one replay takes at most {REPLAY_NAMES_MAX}; name none for all")
    if why := ask.why_wrong():
        raise Refused("invalid", what="Replay", why=why)


def _told(left_out: Sequence[LeftOut]) -> list[LeftOut]:
    """Return what is told of the resources that are left out: the first of them, for an entry has to hold the ask too."""
    room = _LEFT_OUT_BYTES_MAX
    told: list[LeftOut] = []
    for each in left_out[:REPLAY_NAMES_MAX]:
        room -= len(each.resource.encode()) + len(each.reason) + _LEFT_OUT_BYTES_EXTRA
        if room < 0:
            break
        told.append(each)
    return told
