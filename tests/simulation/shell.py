"""A site's shell in the fake world: each event one transaction on real SQLite; effects leave only after the commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from connector import history
from connector.catalogue import Catalogue
from connector.history_folding import fold_all
from connector.streams import Streams
from shared.core.clock_guard import ClockGuard
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Fault, PeerTime, Relink, Send
from shared.core.outbox import OutboxLimits
from shared.errors import ProtocolError, Refused
from shared.limits import SECOND_MS
from shared.messages import AskStatement, Credit, Held, HelloBack, PairKnown, PeerPresence, Sealed, Statement
from shared.migration import migrate
from shared.sealing import Side
from tests.databases import BEGIN, COMMIT, Databases, opened, undo
from tests.simulation import at_each_step, gap_sums, quarantine_caps, resource_accounts
from tests.simulation.network import Link
from tests.simulation.spoiling_keys import SpoilingKeys

if TYPE_CHECKING:
    from tests.simulation.hub import SimHub
    from tests.simulation.world import World

CONNECTOR = "C0NNECT0"
# Units of work between two foldings of history: often enough that all its forms are met.
_FOLD_EVERY = 41
# In most seeds what the destination has recorded is compared with what the origin believes once in so many units of work.
_COMPARE_EVERY = 3
# A daemon never sleeps longer than this, so that it notices a wall clock that somebody sets (connector/pair_runner.py).
_SLEEP_MS_MAX = 30 * SECOND_MS
history.HISTORY_ROWS_MAX = 2  # type: ignore[attr-defined]  # small batches meet the form of great ones
_SCRIPTS = Path(__file__).parents[2] / "connector" / "sql"


def _empty_database() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, _SCRIPTS)
    connection.execute(
        "INSERT INTO connector (connector_id, name, role, created_ms) VALUES (?, 'c', 'source', 0)", (CONNECTOR,)
    )
    return connection.serialize()


DATABASES = Databases(_empty_database())


class Shell:
    """One side of the pair: database, engine, link, clock."""

    def __init__(self, world: World, side: Side, keys: SpoilingKeys, limits: OutboxLimits, *, skew_ms: int) -> None:
        self.world = world
        self.side = side
        self.keys = keys
        self.limits = limits
        self.skew_ms = skew_ms
        self.drift_ppm = 0
        self._drifts_since_ms = world.now_ms
        self.guard = ClockGuard()
        self.start_id = b""
        self.catalogue = Catalogue()
        self.connection = DATABASES.lend()
        self.engine: PairEngine | None = None
        self.link: Link | None = None
        self.accepted_count = 0
        self.noticed_ms: dict[str, int] = {}  # when gap notices were given, by the world's clock
        self.armed: str | None = None  # what befalls the next unit of work: `before`, `after`, `undone`
        self.seal_faults = 0
        self.restored = False
        self.restores = 0  # how often an older copy of the disk was put in place
        self.slow = False
        self.busy_until_ms = 0  # a slow peer takes nothing before
        self.units = 0
        self._due_ms: int | None = None
        self._woke_ms = 0
        self.clock_seen_ms: int | None = None  # the last time that was believed
        self._dropped = 0

    @property
    def now_ms(self) -> int:
        """This site's wall clock."""
        drifted_ms = self.drift_ppm * (self.world.now_ms - self._drifts_since_ms) // 1_000_000
        return self.world.now_ms + self.skew_ms + drifted_ms

    def set_clock(self, *, skew_ms: int, drift_ppm: int = 0) -> None:
        """Set the wall clock to so much beside the world's, from where it drifts."""
        self.skew_ms, self.drift_ppm, self._drifts_since_ms = skew_ms, drift_ppm, self.world.now_ms

    def store(self) -> Streams:
        """The store, for looking at; or inside a unit of work."""
        return Streams(self.connection, CONNECTOR, self.catalogue)

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon on what is in the database."""
        engine = PairEngine(
            keys=self.keys,
            site_id=f"site of the {self.side.word}",
            chance=self.world.chance.randbytes,
            limits=self.limits,
        )
        self.engine = engine
        self.guard = ClockGuard()
        if self.clock_seen_ms is None:
            self.clock_seen_ms = self.now_ms
        elif self.world.clocks_are_off:
            self.guard.on_start(self.now_ms, self.clock_seen_ms)
        self.start_id = self.world.chance.randbytes(8)

        def load(store: Streams) -> list[Effect]:
            engine.load(store, self.now_ms)
            return []

        self.work("start", load)

    def crash(self) -> None:
        """End the daemon without a word."""
        self.world.note(f"{self.side.word} crashed")
        self.engine = None
        self.catalogue.forget()
        if self.link is not None:
            self.world.cut(self.link)
            self.link = None

    def close(self) -> None:
        """Give the database back."""
        DATABASES.take_back(self.connection)

    def restore(self, copy: bytes) -> None:
        """Put an older copy of the database in place."""
        self.crash()
        self.close()
        self.connection = opened(copy)
        self.restored = True
        self.restores += 1

    def work(
        self, what: str, do: Callable[[Streams], list[Effect]], committed: Callable[[], None] | None = None
    ) -> bool:
        """Run one unit of work as the shell does; return whether it was committed."""
        engine = self.engine
        if engine is None:
            return False
        self.units += 1
        self.world.note(f"{self.side.word} {what}")
        store = self.store()
        changes = self.connection.total_changes
        self.connection.execute(BEGIN)
        try:
            effects = do(store)
            effects += engine.flush(store, self.now_ms, patient=self.world.crowded)
            due_ms = engine.next_deadline_ms(store)
        except (Refused, ProtocolError) as error:
            undo(self.connection)
            self.catalogue.forget()
            self.world.note(f"refused {error}")
            if isinstance(error, ProtocolError):
                if not self.world.lied:
                    raise
                self._undone(engine)
            return False
        armed, self.armed = self.armed, None
        if armed in ("before", "undone"):
            undo(self.connection)
            self.catalogue.forget()
            if armed == "before":
                self.world.fired(f"{self.side.word}_crash_before")
                self.crash()
            else:
                self.world.fired(f"{self.side.word}_disk_full")
                self._undone(engine)
            return False
        changed = self.connection.total_changes != changes
        if self.units % _FOLD_EVERY == 0:
            fold_all(self.connection)
        self.connection.execute(COMMIT)
        self._due_ms = due_ms
        if committed is not None:
            committed()
        if changed:
            self._check(store)
        if armed == "after":
            self.world.fired(f"{self.side.word}_crash_after")
            self.crash()
            return True
        self._obey(effects)
        return True

    def _undone(self, engine: PairEngine) -> None:
        """Load before anything else may happen, as the shell does: the engine believes in what is undone."""

        def load(store: Streams) -> list[Effect]:
            engine.load(store, self.now_ms)
            return []

        self.work("load again", load)
        if self.link is not None:
            self.world.cut(self.link)
            self.link = None

    def _obey(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and self.link is not None:
                self.link.send_to_hub(effect.frame)
            elif isinstance(effect, PeerTime):
                self.guard.on_peer_time(effect.time_ms, self.now_ms, self.world.now_ms)
            elif isinstance(effect, Relink):
                self.world.note(f"{self.side.word} links anew: {effect.why}")
                if self.link is not None:
                    self.world.cut(self.link)
                    self.world.dial(self.side)
            elif isinstance(effect, Fault):
                self.seal_faults += 1
                self.world.note(f"{self.side.word} fault {effect.what}")

    def _check(self, store: Streams) -> None:
        """Demand what holds after every commit (G1)."""
        resource_accounts.check_step(self, store)
        gap_sums.check_step(self)
        quarantine_caps.check_step(self)
        if self.side is Side.TARGET:
            at_each_step.check_target(self)
            return
        ledger = at_each_step.check_source(self, store)
        if ledger.dropped_total != self._dropped:
            self._dropped = ledger.dropped_total
            for notice in store.own_gaps():
                self.noticed_ms.setdefault(notice.gap_id, self.world.now_ms)
        is_due = self.world.looks_each_time or self.units % _COMPARE_EVERY == 0
        if is_due and not self.restored and not self.world.target.restored:
            at_each_step.check_beliefs(store, self.world.target.store())

    # --- link ---------------------------------------------------------------------------------------------------------

    def dial(self, hub: SimHub, number: int) -> None:
        """Open a link and present the pair."""
        link = Link(self, hub, number)
        self.world.note(f"{self.side.word} dials hub {hub.number}")
        if hub.on_dialled(link):
            self.link = link

    def on_link_lost(self) -> None:
        """The link ended as this site sees it."""
        self.link = None
        engine = self.engine
        if engine is not None:
            self.work("link lost", lambda store: engine.on_link_closed())

    def on_packets(self, link: Link, packets: list[bytes]) -> None:
        """Take frames in, all in one unit of work."""
        engine = self.engine
        if engine is None or link is not self.link:
            return
        frames = [link.arrived(packet) for packet in packets]
        if self.slow:
            self._be_slow()

        def take(store: Streams) -> list[Effect]:
            effects: list[Effect] = []
            for frame in frames:
                match frame:
                    case HelloBack():
                        self.guard.on_hub_time(frame.time_ms, self.now_ms, self.world.now_ms)
                    case PairKnown():
                        effects += engine.on_link_opened(
                            store,
                            peer_linked=frame.peer_linked,
                            credit_bytes=link.credit_at_opening,
                            now_ms=self.now_ms,
                        )
                    case PeerPresence():
                        effects += engine.on_presence(store, linked=frame.linked, now_ms=self.now_ms)
                    case Sealed() | Statement() | AskStatement() | Held() | Credit():
                        effects += engine.on_frame(store, frame, self.now_ms)
                    case _:
                        pass
            return effects

        self.work("takes " + " ".join(type(frame).__name__ for frame in frames), take)

    def _be_slow(self) -> None:
        """Take nothing for a while."""
        self.busy_until_ms = self.world.now_ms + self.world.chance.choice((20, 300, 2_000))
        self.world.fired(f"{self.side.word}_slow")

    # --- time ---------------------------------------------------------------------------------------------------------

    def deadline_ms(self) -> int | None:
        """When the engine is due next, by the world's clock."""
        if self.engine is None:
            return None
        wait_ms = _SLEEP_MS_MAX if self._due_ms is None else max(0, self._due_ms - self.now_ms)
        if not self.world.clocks_are_off:
            return None if self._due_ms is None else self.world.now_ms + wait_ms
        return min(self.world.now_ms + wait_ms, self._woke_ms + _SLEEP_MS_MAX)

    def on_deadline(self) -> None:
        """The engine is due."""
        self._woke_ms = self.world.now_ms
        engine = self.engine
        if engine is None:
            return
        self.guard.on_tick(self.now_ms, self.world.now_ms)
        expire = not self.guard.in_doubt
        if expire:
            self.clock_seen_ms = self.now_ms

        def look(store: Streams) -> list[Effect]:
            engine.on_clock(store, self.now_ms, self.world.now_ms)
            return engine.on_deadline(store, self.now_ms, expire=expire) + engine.enforce_cap(store, self.now_ms)

        self.work("deadline" if expire else "deadline in doubt", look)
