"""A site's shell in the fake world: each event one transaction on real SQLite; effects leave only after the commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from connector import history
from connector.absorbing import Request, absorb
from connector.catalogue import Catalogue
from connector.device_edits import DeviceEdits, NewDevice
from connector.history_folding import fold_all
from connector.readings import Groups, Line, group_lines
from connector.resource_figures import has_readings
from connector.streams import Streams
from shared.batches import Format, Value
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Fault, Send
from shared.core.fields import fields_object
from shared.core.outbox import OutboxLimits
from shared.errors import Refused
from shared.messages import AskStatement, Credit, Held, PairKnown, PeerPresence, Sealed, Statement
from shared.migration import migrate
from shared.sealing import Kind, PairKeys, Side
from tests.simulation.network import Link, Violation
from tests.simulation.resource_accounts import check_step

if TYPE_CHECKING:
    from tests.simulation.hub import SimHub
    from tests.simulation.world import World

CONNECTOR = "C0NNECT0"
# Units of work between two foldings of history: often enough that all its forms are met.
_FOLD_EVERY = 7
history.HISTORY_ROWS_MAX = 2  # type: ignore[attr-defined]  # small batches meet the form of great ones
Key = tuple[str, str, int]
_SCRIPTS = Path(__file__).parents[2] / "connector" / "sql"


def _empty_database() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, _SCRIPTS)
    connection.execute(
        "INSERT INTO connector (connector_id, name, role, created_ms) VALUES (?, 'c', 'source', 0)", (CONNECTOR,)
    )
    return connection.serialize()


_EMPTY = _empty_database()


class SpoilingKeys(PairKeys):
    """Keys that on request seal a segment whose contents nobody can read: genuine, yet undecodable."""

    spoil: int = 0
    spoiled: list[bytes]

    def seal(  # the signature of the parent, passed on
        self,
        kind: Kind,
        body: bytes,
        *,
        epoch: int,
        number: int,
        accepted_ms: int,
        count: int,
        nonce: bytes,
        associated: bytes = b"",
    ) -> tuple[bytes, bytes]:
        if kind is Kind.SEGMENT and self.spoil:
            self.spoil -= 1
            self.spoiled.append(body)
            body = b"nobody can read this"
        return super().seal(
            kind,
            body,
            epoch=epoch,
            number=number,
            accepted_ms=accepted_ms,
            count=count,
            nonce=nonce,
            associated=associated,
        )


class SimSite:
    """One side of the pair: database, engine, link."""

    def __init__(self, world: World, side: Side, keys: SpoilingKeys, limits: OutboxLimits, *, skew_ms: int) -> None:
        self.world = world
        self.side = side
        self.keys = keys
        self.limits = limits
        self.skew_ms = skew_ms
        self.catalogue = Catalogue()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys=ON")
        self.connection.deserialize(_EMPTY)
        self.engine: PairEngine | None = None
        self.link: Link | None = None
        self.accepted: dict[Key, Value] = {}  # committed, into the stream
        self.accepted_ms: dict[Key, int] = {}  # when, by this site's clock
        self.armed: str | None = None  # what befalls the next unit of work: `before`, `after`, `undone`
        self.seal_faults = 0
        self.restored = False
        self.units = 0

    @property
    def now_ms(self) -> int:
        """This site's wall clock."""
        return self.world.now_ms + self.skew_ms

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

    def restore(self, copy: bytes) -> None:
        """Put an older copy of the database in place."""
        self.crash()
        self.connection.close()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.deserialize(copy)
        self.connection.execute("PRAGMA foreign_keys=ON")
        self.restored = True

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
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            effects = do(store)
            effects += engine.flush(store, self.now_ms)
        except Refused as error:
            self.connection.execute("ROLLBACK")
            self.catalogue.forget()
            self.world.note(f"refused {error.code}")
            return False
        self._check(store)
        armed, self.armed = self.armed, None
        if armed in ("before", "undone"):
            self.connection.execute("ROLLBACK")
            self.catalogue.forget()
            if armed == "before":
                self.world.fired(f"{self.side.word}_crash_before")
                self.crash()
            else:
                self.world.fired(f"{self.side.word}_disk_full")
                self._undone(engine)
            return False
        if self.units % _FOLD_EVERY == 0:
            fold_all(self.connection)
        self.connection.execute("COMMIT")
        if committed is not None:
            committed()
        if armed == "after":
            self.world.fired(f"{self.side.word}_crash_after")
            self.crash()
            return True
        self._obey(effects)
        return True

    def _undone(self, engine: PairEngine) -> None:
        if self.link is not None:
            self.world.cut(self.link)
            self.link = None

        def load(store: Streams) -> list[Effect]:
            engine.load(store, self.now_ms)
            return []

        self.work("load again", load)

    def _obey(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and self.link is not None:
                self.link.send_to_hub(effect.frame)
            elif isinstance(effect, Fault):
                self.seal_faults += 1
                self.world.note(f"{self.side.word} fault {effect.what}")

    def _check(self, store: Streams) -> None:
        """What holds after every unit of work (G1)."""
        ledger = store.ledger()
        if not ledger.balanced:
            raise Violation(f"the {self.side.word}'s account does not balance: {ledger}")
        if min(ledger.accepted, ledger.tail, ledger.outbox, ledger.held, ledger.applied, *ledger.dropped.values()) < 0:
            raise Violation(f"the {self.side.word}'s account has a negative count: {ledger}")
        check_step(self, store)

    # --- link ---------------------------------------------------------------------------------------------------------

    def dial(self, hub: SimHub, number: int) -> None:
        """Open a link and present the pair."""
        self.link = Link(self.side, number)
        self.world.note(f"{self.side.word} dials")
        hub.on_dialled(self.link)

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

        def take(store: Streams) -> list[Effect]:
            effects: list[Effect] = []
            for frame in frames:
                match frame:
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

    # --- time ---------------------------------------------------------------------------------------------------------

    def deadline_ms(self) -> int | None:
        """When the engine is due next, by the world's clock."""
        if self.engine is None:
            return None
        due_ms = self.engine.next_deadline_ms(self.store())
        return None if due_ms is None else due_ms - self.skew_ms

    def on_deadline(self) -> None:
        """The engine is due."""
        engine = self.engine
        if engine is not None:
            self.work("deadline", lambda store: engine.on_deadline(store, self.now_ms))

    # --- what people and devices do -----------------------------------------------------------------------------------

    def accept(self, readings: list[tuple[str, str, Format, int, Value]]) -> bool:
        """Take readings in as the shell does: history first, which knows repeats; what is new enters the stream."""
        engine = self.engine
        if engine is None:
            return False
        streamed: dict[Key, Value] = {}

        def take(store: Streams) -> list[Effect]:
            groups: Groups = {}
            for number, (device, resource, kind, at_ms, value) in enumerate(readings, start=1):
                row = self.catalogue.find(self.connection, CONNECTOR, device, resource)
                if row is not None and row.format == kind:
                    group_lines([(number, Line(device, resource, value, at_ms))], groups)
            # A clock set back by a year would refuse the readings of everybody else's present.
            now_ms = max([self.now_ms, *(reading[3] for reading in readings)])
            packed = absorb(self.connection, self.catalogue, CONNECTOR, [Request.of(groups)], now_ms)
            for piece in packed:
                for series in piece.columns.listed():
                    for at_ms, value in zip(series.times_ms, series.values, strict=True):
                        streamed[series.device, series.resource, at_ms] = value
            effects: list[Effect] = []
            if packed:
                engine.accept(store, packed, self.now_ms)
                effects += engine.enforce_cap(store, self.now_ms)
            return effects

        def committed() -> None:
            self.accepted.update(streamed)
            self.accepted_ms.update(dict.fromkeys(streamed, self.now_ms))

        return self.work(f"accepts {len(readings)}", take, committed)

    def edit(self, *edits: tuple[str, str, str | None]) -> bool:
        """Edit cells."""
        engine = self.engine
        if engine is None:
            return False

        def change(store: Streams) -> list[Effect]:
            engine.edit(store, edits, self.now_ms)
            return []

        return self.work("edits", change)

    def create_device(self, identity: str) -> bool:
        """Add a device."""
        try:
            edits = DeviceEdits(self.connection, CONNECTOR).creation(NewDevice(identity=identity))
        except Refused:
            return False
        return self.edit(*edits)

    def delete_device(self, identity: str) -> bool:
        """Delete a device."""
        try:
            edits = DeviceEdits(self.connection, CONNECTOR).deletion(identity)
        except Refused:
            return False
        self.world.died = True
        done = self.edit(*edits)
        if done:
            self.world.fired("device_deleted")
        return done

    def fields(self, identity: str) -> str:
        """The object of a device's fields, in its present generation; of one that is not there, in the first."""
        row = self.connection.execute("SELECT generation FROM device WHERE identity = ?", (identity,)).fetchone()
        return fields_object(identity, row[0] if row else 1)

    def define(self, alias: str, kind: Format, *, unit: str = "", sync: bool = True) -> bool:
        """Create or change a resource."""
        engine = self.engine
        if engine is None or self._is_of_another_format(alias, kind):
            return False

        def change(store: Streams) -> list[Effect]:
            self.connection.execute(
                "INSERT INTO resource (connector_id, alias, format, unit, remote_sync, created_ms)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET format = excluded.format, unit = excluded.unit,"
                " remote_sync = excluded.remote_sync",
                (CONNECTOR, alias, kind, unit, sync, self.now_ms),
            )
            self.catalogue.forget()
            engine.on_definitions_changed(store, alias, self.now_ms)
            return []

        return self.work(f"defines {alias} {kind} {unit} {sync}", change)

    def _is_of_another_format(self, alias: str, kind: Format) -> bool:
        """Tell whether people would be refused (`has_readings`): readings of another format are here."""
        row = self.connection.execute("SELECT resource_id, format FROM resource WHERE alias = ?", (alias,)).fetchone()
        return row is not None and row[1] != kind and has_readings(self.connection, row[0])

    # --- looking ------------------------------------------------------------------------------------------------------

    def readings(self) -> dict[Key, Value]:
        """All history, by (device, resource, ms)."""
        named = self.connection.execute(
            "SELECT series_id, identity, alias FROM series JOIN device USING (device_id) JOIN resource USING (resource_id)"
        ).fetchall()
        return {
            (device, resource, at_ms): value
            for series_id, device, resource in named
            for at_ms, value in history.between(self.connection, series_id)
        }

    def lose_history(self) -> None:
        """Delete all history behind the daemon's back."""
        for table in ("reading", "recent", "chunk"):
            self.connection.execute(f"DELETE FROM {table}")

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return what a query finds."""
        return self.connection.execute(query).fetchall()
