"""What the overview draws over time: a few minutes of each connector's counts and link, kept in memory only."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec

from connector.device_queries import DeviceQuery
from connector.lookups import LIST_DEVICES
from connector.runtime import ConnectorRuntime, LinkView
from connector.site import Site
from shared.core.health import FlowState
from shared.core.link_state import LinkState
from shared.errors import PairhubError, Refused
from shared.limits import CANARY_AGAIN_S, CANARY_EVERY_S, LIVE_RESERVE_BYTES, SECOND_MS
from shared.supervision import end_if_cancelled
from web import contexts as c

# What they do, in the log and to people.
SAMPLING: Final = "sampling"
ASKING: Final = "asking through the pairs"
EVERY_S: Final = 5.0
KEPT_S: Final = 600
_AT_ONCE_MAX: Final = 8
_KEPT_COUNT: Final = KEPT_S // int(EVERY_S)
# Sixty bars of ten seconds.
BEAT_S: Final = 10
# Refusals of ours, for want of an answer.
_UNANSWERED: Final = frozenset({"no_route", "peer_not_linked", "call_timed_out"})
_log = logging.getLogger(__name__)

_UNLINKED = frozenset({FlowState.OFFLINE, FlowState.RECONNECTING, FlowState.CONNECTING, FlowState.PEER_OFFLINE})
# Linked, and nothing comes through.
_STUCK = frozenset({FlowState.STALLED, FlowState.HUB_SILENT, FlowState.PEER_SILENT})
# What one slice of time is called where its samples differ: the worst comes first.
_WORST_FIRST = (c.BeatState.STALLED, c.BeatState.OFFLINE, c.BeatState.FLOWING, c.BeatState.QUIET)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: readings taken from devices since the start, applied at the destination, and the link."""

    at_ms: int
    taken: int
    applied: int
    queued: int
    link: FlowState


# The look needs the link's state in words, which connector.pages.situation works out.
Look = Callable[[ConnectorRuntime], Awaitable[Sample]]
Work = Callable[[ConnectorRuntime], Awaitable[None]]


@dataclass(slots=True)
class Track:
    """Since when a connector and its peer are (or are not) linked, by this machine's clock; None where it does not hold.

    `peer_left_ms` is when the peer was last seen to go.
    """

    linked_ms: int | None = None
    unlinked_ms: int | None = None
    peer_linked_ms: int | None = None
    peer_unlinked_ms: int | None = None
    peer_left_ms: int | None = None
    was_linked: bool = False
    canary_ms: float | None = None
    canary_lost_ms: int | None = None
    starved: bool | None = None
    _grants: int = 0

    def observe_credit(self, credit: tuple[int, int] | None) -> None:
        """Follow the hub's credit: (bytes that it takes now, how often it has granted some); None without a link."""
        if credit is None:
            self.starved = None
            return
        credit_bytes, grants = credit
        # A backlog leaves the reserve to live readings: it stands still at that.
        self.starved = credit_bytes <= LIVE_RESERVE_BYTES and grants == self._grants
        self._grants = grants

    def observe_canary(self, round_trip_ms: float | None, sent_ms: int, *, was_asked: bool) -> None:
        """Follow the questions through the whole pair: how long the one sent then took, None where it did not come back."""
        self.canary_ms = round_trip_ms
        if round_trip_ms is not None or not was_asked:
            self.canary_lost_ms = None
        elif self.canary_lost_ms is None:
            self.canary_lost_ms = sent_ms

    def observe(self, view: LinkView, now_ms: int) -> None:
        """Follow what the link looks like now."""
        if view.state is LinkState.LINKED:
            self.linked_ms = view.since_ms if self.linked_ms is None else self.linked_ms
            self.unlinked_ms, self.was_linked = None, True
        else:
            self.unlinked_ms = now_ms if self.unlinked_ms is None else self.unlinked_ms
            self.linked_ms = None
        if view.peer_linked:
            self.peer_linked_ms = now_ms if self.peer_linked_ms is None else self.peer_linked_ms
            self.peer_unlinked_ms = None
        else:
            if self.peer_linked_ms is not None:
                self.peer_left_ms = now_ms
            self.peer_unlinked_ms = now_ms if self.peer_unlinked_ms is None else self.peer_unlinked_ms
            self.peer_linked_ms = None


class Samples:
    """The recent past of all connectors of a site. `run` fills it; pages read it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._rings: dict[str, deque[Sample]] = {}
        self._tracks: dict[str, Track] = {}

    def track(self, runtime: ConnectorRuntime, now_ms: int) -> Track:
        """Return what is known about a connector's link over time, brought up to date."""
        track = self._tracks.setdefault(runtime.connector_id, Track())
        track.observe(runtime.view, now_ms)
        return track

    def add(self, connector_id: str, sample: Sample) -> None:
        """Keep one more look at a connector; the oldest gives way."""
        self._rings.setdefault(connector_id, deque(maxlen=_KEPT_COUNT)).append(sample)

    def of(self, connector_id: str) -> tuple[Sample, ...]:
        """Return a connector's samples, oldest first."""
        return tuple(self._rings.get(connector_id, ()))

    def forget_others(self, connector_ids: set[str]) -> None:
        """Drop what belongs to connectors that are gone."""
        for known in (self._rings, self._tracks):
            for gone in [each for each in known if each not in connector_ids]:
                del known[gone]

    async def ask_canary(self, runtime: ConnectorRuntime) -> None:
        """Send a question through the whole pair, and keep how long it took (G9)."""
        track = self._tracks.setdefault(runtime.connector_id, Track())
        clock = self._site.clock
        if runtime.calls is None or not runtime.view.peer_linked:
            track.observe_canary(None, clock.wall_ms(), was_asked=False)
            return
        began_ms, asked_ms = clock.monotonic_ms(), clock.wall_ms()
        round_trip_ms: float | None = None
        try:
            asked = await runtime.calls.ask(LIST_DEVICES, msgspec.msgpack.encode(DeviceQuery(limit=1)))
            round_trip_ms = asked.round_trip_ms
        except Refused as refused:
            if refused.code not in _UNANSWERED:  # a refusal came all the way back, too
                round_trip_ms = float(clock.monotonic_ms() - began_ms)
        track.observe_canary(round_trip_ms, asked_ms, was_asked=True)

    async def run(self, look: Look) -> None:
        """Take a sample of every connector every few seconds, until cancelled."""

        async def sample(runtime: ConnectorRuntime) -> None:
            self.add(runtime.connector_id, await look(runtime))

        while True:
            groups = self._groups()
            for group in groups:
                for runtime in group:
                    await self._contained(SAMPLING, runtime, sample)
                await asyncio.sleep(EVERY_S / len(groups))
            self.forget_others(set(self._site.runtimes))
            self._site.repairs.keep_connectors(list(self._site.runtimes))

    def _groups(self) -> list[list[ConnectorRuntime]]:
        """Return all connectors, a few at a time: hundreds looked at in a row would hold up every reading meanwhile."""
        runtimes = list(self._site.runtimes.values())
        return [runtimes[at : at + _AT_ONCE_MAX] for at in range(0, len(runtimes), _AT_ONCE_MAX)] or [[]]

    async def run_canaries(self) -> None:
        """Keep asking through every pair, until cancelled; one that does not answer delays no other."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask_all())
            tasks.create_task(self._ask_lost_again())

    async def _ask_all(self) -> None:
        while True:
            groups = self._groups()
            pause_s = CANARY_EVERY_S / len(groups)
            await asyncio.gather(*(self._ask_canaries(group, at * pause_s) for at, group in enumerate(groups)))
            await asyncio.sleep(pause_s)

    async def _ask_lost_again(self) -> None:
        while True:
            await asyncio.sleep(CANARY_AGAIN_S)
            lost = [each for each in self._site.runtimes.values() if self._is_lost(each)]
            await self._ask_canaries(lost)

    def _is_lost(self, runtime: ConnectorRuntime) -> bool:
        track = self._tracks.get(runtime.connector_id)
        return track is not None and track.canary_lost_ms is not None

    async def _ask_canaries(self, group: list[ConnectorRuntime], wait_s: float = 0.0) -> None:
        if wait_s:
            await asyncio.sleep(wait_s)
        await asyncio.gather(*(self._contained(ASKING, runtime, self.ask_canary) for runtime in group))

    async def _contained(self, what: str, runtime: ConnectorRuntime, work: Work) -> None:
        """Do work for one connector: an error in it is told, and stops none of the others (G7)."""
        try:
            await work(runtime)
        except PairhubError as error:
            _log.debug("%s: %s", what, error, extra={"connector": runtime.connector_id})
        except Exception as error:  # noqa: BLE001  # whatever it is, it is logged
            end_if_cancelled(error)
            _log.exception("%s failed for a connector", what, extra={"connector": runtime.connector_id})
            self._site.on_stopped(what)


def rates(samples: tuple[Sample, ...], field: str) -> tuple[float, ...]:
    """Return readings per second between neighbouring samples, oldest first; `field` is `taken` or `applied`."""
    found = []
    for before, after in pairwise(samples):
        passed_ms = after.at_ms - before.at_ms
        grown = getattr(after, field) - getattr(before, field)
        # A restarted count or a clock set back is no rate.
        found.append(max(0.0, grown * SECOND_MS / passed_ms) if passed_ms > 0 else 0.0)
    return tuple(found)


def beats(samples: tuple[Sample, ...], now_ms: int) -> tuple[c.Beat, ...]:
    """Return one bar per slice of BEAT_S, oldest first, up to now; slices from before the start are unknown."""
    slice_ms = BEAT_S * SECOND_MS
    count = KEPT_S // BEAT_S
    first_ms = (now_ms // slice_ms - count + 1) * slice_ms
    seen: dict[int, set[c.BeatState]] = {}
    for at, sample in enumerate(samples):
        if sample.link in (FlowState.NOT_PAIRED, FlowState.DISABLED):
            continue  # no heart was meant to beat
        before = samples[at - 1] if at else None
        seen.setdefault((sample.at_ms - first_ms) // slice_ms, set()).add(_beat_state(before, sample))
    return tuple(c.Beat(first_ms + at * slice_ms, _worst(seen.get(at, set()))) for at in range(count))


def _beat_state(before: Sample | None, sample: Sample) -> c.BeatState:
    if sample.link in _STUCK:
        return c.BeatState.STALLED
    if sample.link in _UNLINKED:
        return c.BeatState.OFFLINE
    return c.BeatState.FLOWING if before and sample.applied > before.applied else c.BeatState.QUIET


def _worst(states: set[c.BeatState]) -> c.BeatState:
    return next((state for state in _WORST_FIRST if state in states), c.BeatState.UNKNOWN)
