"""Runs a pair's engine: events in as units of work, effects out after their commit, one deadline re-armed (DESIGN 3)."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from connector.arriving import Arriving, ForEngine
from connector.catalogue import Catalogue
from connector.connectors import Pair
from connector.crowd import Crowd
from connector.deadline import Deadline
from connector.streams import Streams
from shared.clock import Clock
from shared.core.clock_guard import ClockGuard
from shared.core.engine import PairEngine
from shared.core.engine_effects import Changed, Effect, Fault, PeerTime, Relink, Send
from shared.core.outbox import OutboxLimits
from shared.database import Database
from shared.errors import Refused, StorageFailed
from shared.messages import LANE_BACKFILL, AnyFrame, Credit, Sealed
from shared.supervision import end_if_cancelled

T = TypeVar("T")
Work = Callable[[PairEngine, Streams, int], tuple[T, list[Effect]]]
LastWord = Callable[[sqlite3.Connection, Streams, int], None]
_log = logging.getLogger(__name__)
# What was due and failed is tried again after this.
_DUE_AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class QuarantineState:
    """How full the quarantines of a pair are."""

    used_bytes: int = 0
    is_full: bool = False
    is_full_there: bool = False


class Outlet(Protocol):
    """Where effects go: the present link of the connector."""

    def send(self, frame: AnyFrame) -> None: ...
    def abort(self, why: str) -> None: ...


class Gathering(Protocol):
    """What units of work gather, and is done for all of them at once at the end of their transaction."""

    def finish(self, engine: PairEngine, store: Streams, now_ms: int) -> list[Effect]:
        """Do it; on the writer's thread, before the engine's last word."""

    def on_undone(self) -> None:
        """The transaction is undone: forget what was gathered."""


@dataclass(frozen=True, slots=True)
class _Done:
    effects: list[Effect]
    deadline_ms: int | None
    reloaded: bool
    over: bool = False


class PairRunner:
    """One paired connector at work."""

    def __init__(
        self,
        *,
        database: Database,
        catalogue: Catalogue,
        pair: Pair,
        site_id: str,
        limits: OutboxLimits,
        clock: Clock,
        guard: ClockGuard,
        ring: Callable[[str], None],
        crowd: Crowd | None = None,
    ) -> None:
        """`crowd` counts the pairs of the site that are at work; None for the only one."""
        self.pair = pair
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._guard = guard
        self._crowd = Crowd() if crowd is None else crowd
        self._ring = ring
        self._engine = PairEngine(keys=pair.keys, site_id=site_id, chance=os.urandom, limits=limits)
        self._outlet: Outlet | None = None
        self._stale = True  # the first unit of work loads
        self._reloaded = False
        self._effects: list[Effect] = []  # of the units of the present transaction
        self._gatherings: dict[Gathering, None] = {}
        self._finishing: dict[Gathering, None] = {}
        self._arriving: Arriving | None = None
        self._deadline = Deadline(clock)
        self._last_word: LastWord | None = None
        self.over = False
        """Whether the pair is over: what is asked of the engine from then on is refused."""
        self._on_over: Callable[[], None] | None = None
        self.faults = 0
        self._grants = 0
        self._ids = {"connector": pair.connector_id, "pair": pair.pair_id.hex()}

    async def run(
        self, work: Work[T], gathering: Gathering | None = None, *, patient: bool = False, asked: bool = True
    ) -> T:
        """Run an event of the engine as a unit of work; its effects follow its commit. `patient` and raises as Database.write.

        Units that share a transaction share one flush of the engine: one acknowledgement, and segments of a size. `asked`:
        somebody asks for it, to whom a refusal is an answer; else it is what the link or the clock brings.
        """
        return await self._database.write(
            lambda c: self._unit(c, work, gathering, asked=asked), self._after, self, patient=patient
        )

    def begin(
        self,
        work: Work[T],
        after: Callable[[T | BaseException], None],
        gathering: Gathering | None = None,
        *,
        is_harmless: bool = False,
        asked: bool = True,
    ) -> None:
        """Run an event as `run` does, for whom it is enough to be called; raises and calls as Database.begin."""

        def done(outcome: T | BaseException) -> None:
            self._after(outcome)
            after(outcome)

        self._database.begin(lambda c: self._unit(c, work, gathering, asked=asked), done, self, is_harmless=is_harmless)

    async def end(self, check: Callable[[Streams], None], last_word: LastWord, on_over: Callable[[], None]) -> None:
        """End the pair (G16): `check` may refuse; `last_word` is the last thing in the transaction that holds for it.

        Units that share the transaction come before it and are whole; later ones are refused with `parted_meanwhile`.
        `on_over` is called on the event loop before anything else can be asked. Raises as `run` does.
        """

        def work(_engine: PairEngine, store: Streams, _now_ms: int) -> tuple[None, list[Effect]]:
            check(store)
            self._last_word, self._on_over = last_word, on_over
            return None, []

        await self.run(work)

    def _unit(self, connection: sqlite3.Connection, work: Work[T], gathering: Gathering | None, *, asked: bool) -> T:
        if self.over:
            raise Refused("parted_meanwhile")
        written = connection.total_changes
        store, now_ms = self._open(connection)
        noted = self._catalogue.feed.noted
        if gathering is not None:  # before it gathers: what fails half way has to be forgotten, too
            self._gatherings[gathering] = None
        try:
            result, effects = work(self._engine, store, now_ms)
            self._engine.inbox.flush(store)  # counted, also where a later unit of the transaction has the engine loaded
        except BaseException as error:
            self._catalogue.feed.discard(noted)
            self._catalogue.forget()  # rows that it found may be undone
            # What is refused to somebody before anything is stored leaves the engine as it was. All else that fails may
            # come out of the midst of it: then it believes what is undone, and would acknowledge what is not stored (G3).
            if not (asked and isinstance(error, Refused) and connection.total_changes == written):
                self._stale = True
            raise
        self._effects += effects
        return result

    def _open(self, connection: sqlite3.Connection) -> tuple[Streams, int]:
        """Return the store; what the engine believes is loaded again where a unit of work was undone."""
        store = Streams(connection, self.pair.connector_id, self._catalogue)
        now_ms = self._clock.wall_ms()
        if self._stale:
            self._catalogue.forget()
            self._engine.load(store, now_ms)
            self._stale = False
            self._reloaded = True
        return store, now_ms

    def close(self, connection: sqlite3.Connection) -> _Done:
        """End a transaction (Database.Closing)."""
        if self.over:
            return _Done([], None, reloaded=False, over=True)
        store, now_ms = self._open(connection)
        gatherings, self._gatherings = self._gatherings, {}
        effects, self._effects = self._effects, []
        reloaded, self._reloaded = self._reloaded, False
        self._finishing = gatherings
        try:
            for gathering in gatherings:
                effects += gathering.finish(self._engine, store, now_ms)
            patient = self._crowd.note(self.pair.connector_id, now_ms)
            effects += self._engine.flush(store, now_ms, patient=patient)
            if self._last_word is not None:
                self._last_word(connection, store, now_ms)
                self._catalogue.forget()
                return _Done(effects, None, reloaded, over=True)
            return _Done(effects, self._engine.next_deadline_ms(store), reloaded)
        except BaseException:
            self._stale = True
            raise

    def on_closed(self, outcome: _Done | BaseException) -> None:
        """Carry the effects out; or forget them with the transaction."""
        if isinstance(outcome, BaseException):
            for gathering in (*self._finishing, *self._gatherings):
                gathering.on_undone()
            self._finishing, self._gatherings, self._effects = {}, {}, []
            self._stale = True
            self._last_word = self._on_over = None
            self._catalogue.forget()  # whoever comes first in the next transaction
            return
        self._finishing = {}
        # Who listens hears of a reading before frames are sent: what they are about waits for nobody.
        self._catalogue.feed.publish()
        if outcome.reloaded and self._outlet is not None:
            self._outlet.abort("its state was loaded again")
        self._obey(outcome.effects)
        self._deadline.move(outcome.deadline_ms)
        if outcome.over and not self.over:
            self.over = True
            self._outlet = None
            self._last_word = None
            if self._on_over is not None:
                self._on_over()

    def _after(self, outcome: T | BaseException) -> None:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Refused):
            _log.error("unit of work undone: %s", outcome, extra=self._ids)
            if self._outlet is not None:
                self._outlet.abort("its state has to be loaded again")

    def _obey(self, effects: list[Effect]) -> None:
        rung: dict[str, None] = {}
        for effect in effects:
            match effect:
                case Send():
                    if self._outlet is not None:
                        self._outlet.send(effect.frame)
                case Changed():
                    rung[effect.what] = None
                case PeerTime():
                    self._guard.on_peer_time(effect.time_ms, self._clock.wall_ms(), self._clock.monotonic_ms())
                case Relink():
                    if self._outlet is not None:
                        self._outlet.abort(effect.why)
                case Fault():
                    self.faults += 1
                    _log.warning("fault of the link: %s", effect.what, extra=self._ids)
        for what in rung:
            self._ring(what)

    # --- the link -------------------------------------------------------------------------------------------------------

    @property
    def credit(self) -> tuple[int, int] | None:
        """Bytes that the hub takes now, and how often it has granted some since the start; None without a link."""
        return None if self._outlet is None else (self._engine.outbox.credit_bytes, self._grants)

    @property
    def room(self) -> QuarantineState:
        """What the quarantine takes, and whether it, or that of the other side, takes nothing more."""
        engine = self._engine
        return QuarantineState(engine.quarantine.used_bytes, engine.quarantine.is_full, engine.is_full_there)

    @property
    def drain_bytes_per_s(self) -> int:
        """How fast a backlog may drain; 0 for no bound."""
        return self._engine.outbox.drain_bytes_per_s

    async def open_link(self, outlet: Outlet, *, peer_linked: bool, credit_bytes: int) -> None:
        """A link to a hub that knows the pair is up; effects go to it from here on."""
        await self.run(lambda _engine, _store, _now_ms: (None, []))  # load before the outlet is there, if that is due
        self._outlet = outlet
        await self.run(
            lambda engine, store, now_ms: (
                None,
                engine.on_link_opened(store, peer_linked=peer_linked, credit_bytes=credit_bytes, now_ms=now_ms),
            ),
            asked=False,
        )

    async def close_link(self) -> None:
        """The link is gone."""
        self._outlet = None
        try:
            await self._run_unless_over(lambda engine, _store, _now_ms: (None, engine.on_link_closed()))
        except StorageFailed:
            self._stale = True  # it may not have heard; what is loaded again knows of no link

    async def take(self, frames: list[ForEngine]) -> None:
        """Take frames that arrived, many in one transaction; those of a backlog give way to all that waits."""
        self._grants += sum(isinstance(frame, Credit) for frame in frames)
        await self._run_unless_over(Arriving(*frames).take, patient=all(map(_is_backfill, frames)))

    def begin_take(self, frame: ForEngine, failed: Callable[[Exception], None]) -> bool:
        """Take a frame that arrived and is no backlog's, as `take` does, with all that come before its unit of work begins.

        Return whether it is taken: not so while too much waits, or nothing can be stored. `failed` is called on the event
        loop where that came to nothing.
        """
        if self._arriving is None or not self._arriving.add(frame):
            if self._arriving is not None and not self._arriving.is_under_way:
                return False  # as much waits as one unit of work may take
            arriving = Arriving(frame)

            def after(outcome: BaseException | None) -> None:
                arriving.end()
                if isinstance(outcome, Exception) and not (isinstance(outcome, Refused) and self.over):
                    failed(outcome)

            try:
                self.begin(arriving.take, after, asked=False)
            except StorageFailed:
                return False
            self._arriving = arriving
        self._grants += isinstance(frame, Credit)
        return True

    async def set_presence(self, *, linked: bool) -> None:
        """The other side got or lost its link."""
        await self._run_unless_over(
            lambda engine, store, now_ms: (None, engine.on_presence(store, linked=linked, now_ms=now_ms))
        )

    async def _run_unless_over(self, work: Work[None], *, patient: bool = False) -> None:
        """Run what the link says; a pair that is over hears nothing more."""
        try:
            await self.run(work, patient=patient, asked=False)
        except Refused:
            if not self.over:
                raise

    async def set_drain_budget(self, bytes_per_s: int) -> None:
        """Bound from now on what a backlog takes of the link, in bytes per second; 0 for no bound."""

        def work(engine: PairEngine, _store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
            engine.outbox.set_budget(bytes_per_s, now_ms)
            return None, []

        await self._run_unless_over(work)

    async def introduce(self) -> None:
        """Tell a new peer our resources; devices follow by themselves when the first statements are compared."""

        def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
            engine.on_definitions_changed(store, None, now_ms)
            return None, []

        await self.run(work, asked=False)

    # --- time -----------------------------------------------------------------------------------------------------------

    def _on_time(self, engine: PairEngine, store: Streams, now_ms: int, *, expire: bool) -> tuple[None, list[Effect]]:
        engine.on_clock(store, now_ms, self._clock.monotonic_ms())
        return None, engine.on_deadline(store, now_ms, expire=expire) + engine.enforce_cap(store, now_ms)

    async def keep_time(self) -> None:
        """Run deadlines until cancelled, or the pair is over.

        Whatever one of them raises, the next one comes: expiry, resync and sealing by age hang on it, and nobody would miss
        them while the link looks well.
        """
        self._deadline.move(0)  # at once: to be loaded
        said = ""
        while True:
            try:
                await self._database.until_storing()
                await self._deadline.wait()
                self._guard.on_tick(self._clock.wall_ms(), self._clock.monotonic_ms())
                await self.run(partial(self._on_time, expire=not self._guard.in_doubt), asked=False)
                said = ""
            except Exception as error:  # noqa: BLE001  # as above
                end_if_cancelled(error)
                if self.over:
                    return
                # What the disk refuses is said in the log and on the pages; tried again until that is over.
                if not isinstance(error, StorageFailed) and repr(error) != said:
                    said = repr(error)
                    _log.error("what was due failed, and is tried again: %s", said, exc_info=error, extra=self._ids)
                await asyncio.sleep(_DUE_AGAIN_S)


def _is_backfill(frame: ForEngine) -> bool:
    return isinstance(frame, Sealed) and frame.lane == LANE_BACKFILL
