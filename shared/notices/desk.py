"""Delivers notices: a queue for each channel, on disk, tried again until it is empty; nothing else ever waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from shared.clock import Clock
from shared.errors import StorageFailed
from shared.limits import (
    NOTICE_LIFE_MS,
    NOTICE_RETRY_FIRST_MS,
    NOTICE_RETRY_LAST_MS,
    NOTICES_WAITING_MAX,
    SECOND_MS,
)
from shared.notices.notice import Channel, Notice, NoticeFailed
from shared.notices.store import Addressed, RepairStore
from shared.supervision import end_if_cancelled

_log = logging.getLogger(__name__)


class ChannelStatus(msgspec.Struct, frozen=True):
    """How a channel fares since the start: `problem` is why the last attempt failed, empty where it did not."""

    channel: str
    waiting: int
    delivered: int
    lost: int
    problem: str
    delivered_ms: int | None
    failed_ms: int | None


class TrialOutcome(msgspec.Struct, frozen=True):
    """What became of a test notice: `problem` is empty where it was taken."""

    channel: str
    problem: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A notice since it waits, by the clock that nobody sets: one that was a month behind is set right one day."""

    notice: Notice
    since_ms: int


@dataclass(slots=True)
class _Queue:
    """What waits for one channel, and how the channel fares. Attempts and age count anew after a restart."""

    channel: Channel
    waiting: deque[_Waiting] = field(default_factory=deque)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    delivered: int = 0
    lost: int = 0
    problem: str = ""
    delivered_ms: int | None = None
    failed_ms: int | None = None
    retry_ms: int = field(default_factory=lambda: NOTICE_RETRY_FIRST_MS)

    def notices(self) -> Iterator[Notice]:
        """Yield what waits, the oldest first."""
        return (each.notice for each in self.waiting)


class NoticeDesk:
    """The ways out of one site or hub. `load` before `run`."""

    def __init__(self, store: RepairStore, clock: Clock, channels: Sequence[Channel]) -> None:
        self._store = store
        self._clock = clock
        self._queues = [_Queue(channel) for channel in channels]
        self._gone: list[tuple[str, str]] = []  # delivered or given up, and still on disk

    @property
    def is_set(self) -> bool:
        """Whether there is any way out."""
        return bool(self._queues)

    def status(self) -> list[ChannelStatus]:
        """Return how each channel fares."""
        return [
            ChannelStatus(
                queue.channel.name,
                len(queue.waiting),
                queue.delivered,
                queue.lost,
                queue.problem,
                queue.delivered_ms,
                queue.failed_ms,
            )
            for queue in self._queues
        ]

    async def load(self) -> None:
        """Take up what waited when the process ended; raises StorageFailed."""
        for queue in self._queues:
            found = await self._store.waiting_notices(queue.channel.name)
            queue.waiting = deque(_Waiting(notice, self._clock.monotonic_ms()) for notice in found)

    def move(self, store: RepairStore) -> None:
        """Go on with another store, into which the caller writes what is `waiting`."""
        self._store = store

    def undelivered(self) -> tuple[tuple[str, str, int], ...]:
        """Return the channels that fail: (channel, why, how many wait)."""
        return tuple((each.channel, each.problem, each.waiting) for each in self.status() if each.problem)

    def is_delivery_known(self) -> bool:
        """Whether every channel was tried since the start, or has nothing to try."""
        return all(each.problem or each.delivered or not each.waiting for each in self.status())

    # --- taking -------------------------------------------------------------------------------------------------------

    def addressed(self, notice: Notice) -> list[Addressed]:
        """Return a notice once for each channel that takes it, to be stored together with what it tells."""
        return [(queue.channel.name, notice) for queue in self._queues if _takes(queue.channel, notice)]

    def waiting(self) -> list[Addressed]:
        """Return what waits for each channel."""
        return [(queue.channel.name, notice) for queue in self._queues for notice in queue.notices()]

    def put(self, notice: Notice) -> None:
        """Send a notice on its way, after it was written down; where the disk refused that, from memory alone."""
        for queue in self._queues:
            if not _takes(queue.channel, notice):
                continue
            queue.waiting.append(_Waiting(notice, self._clock.monotonic_ms()))
            while len(queue.waiting) > NOTICES_WAITING_MAX:
                self._lose(queue, queue.waiting.popleft().notice)
            queue.stirred.set()

    def _lose(self, queue: _Queue, notice: Notice) -> None:
        queue.lost += 1
        self._gone.append((queue.channel.name, notice.id))
        _log.warning("a notice by %s was given up: %s", queue.channel.name, queue.problem or "too many wait")

    async def test(self, notice: Notice) -> list[TrialOutcome]:
        """Deliver a test notice by each channel, now; what waits is tried again where it is taken."""
        return list(await asyncio.gather(*(self._test(queue, notice) for queue in self._queues)))

    async def _test(self, queue: _Queue, notice: Notice) -> TrialOutcome:
        problem = await self._deliver(queue, notice)
        if not problem:
            queue.stirred.set()
        return TrialOutcome(queue.channel.name, problem)

    # --- delivering ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for queue in self._queues:
                tasks.create_task(self._work_off(queue), name=f"notices by {queue.channel.name}")

    async def _work_off(self, queue: _Queue) -> None:
        while True:
            queue.stirred.clear()
            while queue.waiting:
                first = queue.waiting[0]
                if self._clock.monotonic_ms() - first.since_ms > NOTICE_LIFE_MS:
                    self._lose(queue, queue.waiting.popleft().notice)
                    continue
                if await self._deliver(queue, first.notice):
                    break
                if queue.waiting and queue.waiting[0] is first:  # else it gave way meanwhile
                    queue.waiting.popleft()
                self._gone.append((queue.channel.name, first.notice.id))
            await self._forget_gone()
            if not queue.waiting:
                await queue.stirred.wait()
                continue
            await self._pause(queue)

    async def _pause(self, queue: _Queue) -> None:
        """Wait before the next attempt; a test that gets through ends the wait, another notice does not."""
        wait_ms, queue.retry_ms = queue.retry_ms, min(2 * queue.retry_ms, NOTICE_RETRY_LAST_MS)
        until_ms = self._clock.monotonic_ms() + wait_ms
        while queue.problem and (left_ms := until_ms - self._clock.monotonic_ms()) > 0:
            queue.stirred.clear()
            try:
                async with asyncio.timeout(left_ms / SECOND_MS):
                    await queue.stirred.wait()
            except TimeoutError:
                return

    async def _deliver(self, queue: _Queue, notice: Notice) -> str:
        """Try once; return why not, empty where it was taken."""
        try:
            await queue.channel.deliver(notice)
        except Exception as error:  # noqa: BLE001  # a library's surprise must not end the site for a notice
            end_if_cancelled(error)
            why = error.why if isinstance(error, NoticeFailed) else f"it failed with {type(error).__name__}"
            if why != queue.problem:
                _log.warning("a notice by %s was not delivered: %s", queue.channel.name, why)
            queue.problem, queue.failed_ms = why, self._clock.wall_ms()
            return why
        queue.delivered += 1
        queue.problem, queue.delivered_ms, queue.retry_ms = "", self._clock.wall_ms(), NOTICE_RETRY_FIRST_MS
        return ""

    async def _forget_gone(self) -> None:
        gone, self._gone = self._gone, []
        if not gone:
            return
        try:
            await self._store.forget_notices(gone)
        except StorageFailed:
            self._gone += gone  # with the next one


def _takes(channel: Channel, notice: Notice) -> bool:
    """Whether a channel is told: of its own trouble it cannot tell."""
    told = [*notice.raised, *notice.cleared]
    return not told or any((repair.code, repair.subject) != ("notices_undelivered", channel.name) for repair in told)
