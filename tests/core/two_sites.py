"""Two real engines on real SQLite, joined by a network that loses, repeats and reorders at will: control entries only."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final

from connector.catalogue import Catalogue
from connector.streams import Streams
from shared.core.edits import Edit
from shared.core.engine import PairEngine
from shared.core.engine_effects import Send
from shared.core.ledger import Ledger
from shared.core.ports import EpochIn, EpochOut
from shared.limits import CREDIT_BYTES, SECOND_MS
from shared.messages import AskHeld, AskStatement, Held, HeldEpoch, Sealed, Statement
from shared.sealing import Side
from tests.core.stores import CONNECTOR, NOW_MS, add_resource, keys, open_store
from tests.databases import BEGIN, COMMIT, Databases, opened, undo

Frame = Sealed | Statement | AskStatement | Held


def _empty() -> bytes:
    store = open_store(devices=())
    add_resource(store, "r")
    store.connection.execute("UPDATE resource SET settable = 1")
    return store.connection.serialize()


_DATABASES: Final = Databases(_empty())
_NO_READINGS: Final = open_store().ledger()


class _ControlOnly(Streams):
    """A store of a pair without readings: what every unit of work asks about them is known, which saves a third."""

    def first_segment_row(self) -> int:
        return 0

    def undropped_after(self, row: int, limit: int) -> list[tuple[int, int, int]]:
        return []

    def oldest_accepted_ms(self) -> int | None:
        return None

    def oldest_held_ms(self) -> int | None:
        return None

    def epochs_in(self) -> list[EpochIn]:
        return []

    def epoch_out(self, epoch: int) -> EpochOut | None:
        return None

    def epochs_out(self) -> dict[int, EpochOut]:
        return {}

    def ledger(self) -> Ledger:
        return _NO_READINGS


class OneSite:
    """One side: a database, an engine that comes and goes, and what is on its way to it."""

    def __init__(self, side: Side, chance: Random, skew_ms: int) -> None:
        self.side = side
        self.chance = chance
        self.skew_ms = skew_ms
        self.inbox: deque[Frame] = deque()
        self.linked = False
        self.connection = _DATABASES.lend()
        self.catalogue = Catalogue()
        self.engine: PairEngine | None = None
        self.restored = False

    @property
    def store(self) -> Streams:
        return _ControlOnly(self.connection, CONNECTOR, self.catalogue)

    def start(self, now_ms: int) -> None:
        engine = PairEngine(keys=keys(self.side), site_id=self.side.word, chance=self.chance.randbytes)
        engine.load(self.store, now_ms + self.skew_ms)
        self.engine = engine

    def close(self) -> None:
        """Give the database back."""
        _DATABASES.take_back(self.connection)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return self.connection.execute(query).fetchall()


class TwoSites:
    """Two sites and the network between them; both are started and not linked. `losses` is a chance per frame."""

    def __init__(self, chance: Random, *, skews_ms: tuple[int, int] = (0, 0)) -> None:
        self.chance = chance
        self.now_ms = NOW_MS
        self.losses = 0.0
        self.crashes = 0.0
        self.held: dict[Side, list[HeldEpoch]] = {}
        """What the hub says at a link's opening that it holds of a side."""
        self.sites = {side: OneSite(side, chance, skews_ms[side]) for side in Side}
        self.source, self.target = self.sites[Side.SOURCE], self.sites[Side.TARGET]
        for site in self.sites.values():
            site.start(self.now_ms)

    def close(self) -> None:
        """Give the databases back."""
        for site in self.sites.values():
            site.close()

    # --- units of work ------------------------------------------------------------------------------------------------

    def work(self, site: OneSite, do: object, *, may_crash: bool = True) -> bool:
        """Run one unit of work as the shell does; a crash comes before or after its commit. Tell whether it stands."""
        engine = site.engine
        assert engine is not None
        crash = self.chance.random() if may_crash and self.crashes else 1.0
        now_ms = self.now_ms + site.skew_ms
        site.connection.execute(BEGIN)
        store = site.store
        effects = do(engine, store, now_ms) + engine.flush(store, now_ms)  # type: ignore[operator]
        if crash < self.crashes:
            undo(site.connection)
            self.crash(site)
            return False
        site.connection.execute(COMMIT)
        if crash < 2 * self.crashes:
            self.crash(site)
            return True
        for effect in effects:
            if isinstance(effect, Send):
                self.send(site, effect.frame)
        return True

    def send(self, site: OneSite, frame: object) -> None:
        """Carry a frame; asked what it holds, the hub says that it is nothing."""
        if isinstance(frame, AskHeld):
            site.inbox.append(Held(True, []))
        elif isinstance(frame, Sealed | Statement | AskStatement):
            other = self.sites[site.side.other]
            if site.linked and other.linked and self.chance.random() >= self.losses:
                other.inbox.append(frame)

    def deliver(self, site: OneSite) -> bool:
        """Let a site take some of the frames on their way to it, in one unit of work as the shell does."""
        if not site.inbox or not site.linked:
            return False
        frames = [self._next(site) for _ in range(min(len(site.inbox), self.chance.choice((1, 3, 20))))]

        def take(engine: PairEngine, store: Streams, now_ms: int) -> list[object]:
            return [effect for frame in frames for effect in engine.on_frame(store, frame, now_ms)]

        self.work(site, take)
        return True

    def _next(self, site: OneSite) -> Frame:
        if not self.losses:
            return site.inbox.popleft()
        at = self.chance.randrange(min(3, len(site.inbox)))
        frame = site.inbox[at]
        if self.chance.random() >= 0.1:  # else it comes once more
            del site.inbox[at]
        return frame

    # --- links, crashes, restores ---------------------------------------------------------------------------------------

    def link(self, site: OneSite) -> None:
        if site.linked:
            return
        site.linked = True
        there = self.sites[site.side.other].linked

        def opened(engine: PairEngine, store: Streams, now_ms: int) -> list[object]:
            made = engine.on_link_opened(store, peer_linked=there, credit_bytes=CREDIT_BYTES, now_ms=now_ms)
            held = Held(True, self.held.get(site.side, []))
            return made + engine.on_frame(store, held, now_ms)  # type: ignore[return-value]

        if self.work(site, opened) and site.linked:
            self._tell_presence(site.side.other, linked=True)

    def cut(self, site: OneSite) -> None:
        if not site.linked:
            return
        site.linked = False
        site.inbox.clear()
        if site.engine is not None:
            site.engine.on_link_closed()
        self._tell_presence(site.side.other, linked=False)

    def _tell_presence(self, side: Side, *, linked: bool) -> None:
        other = self.sites[side]
        if other.linked and other.engine is not None:
            self.work(
                other,
                lambda engine, store, now_ms: engine.on_presence(store, linked=linked, now_ms=now_ms),
                may_crash=False,
            )

    def crash(self, site: OneSite) -> None:
        site.engine = None
        site.catalogue.forget()
        self.cut(site)
        site.start(self.now_ms)

    def restore(self, site: OneSite, copy: bytes) -> None:
        site.close()
        site.connection = opened(copy)
        site.restored = True
        self.crash(site)

    # --- settling -------------------------------------------------------------------------------------------------------

    def edit(self, site: OneSite, *edits: Edit, who: str = "ann") -> bool:
        """Edit at one side; tell whether that stands."""
        return self.work(site, lambda engine, store, now_ms: engine.edit(store, edits, now_ms, who=who) and [])

    def settle(self) -> None:
        """Link both and let all be exchanged; raises AssertionError where that does not end."""
        for _ in range(400):
            for site in self.sites.values():
                self.link(site)
            while sum(self.deliver(site) for site in self.sites.values()):
                pass
            if self.quiet():
                return
            self.now_ms += SECOND_MS
            for site in self.sites.values():
                due_ms = site.engine.next_deadline_ms(site.store) if site.engine else None
                if due_ms is not None and due_ms <= self.now_ms + site.skew_ms:
                    self.work(site, lambda engine, store, now_ms: engine.on_deadline(store, now_ms))
        raise AssertionError(
            f"not quiet: {[site.rows('SELECT COUNT(*) FROM control_out') for site in self.sites.values()]}"
        )

    def quiet(self) -> bool:
        one, other = self.sites.values()
        return all(
            site.linked and not site.inbox and site.rows("SELECT 1 FROM control_out") == []
            for site in self.sites.values()
        ) and (one.store.cells_digest() == other.store.cells_digest())
