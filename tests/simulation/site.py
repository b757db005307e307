"""One side of the pair: a shell, and what devices and people do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector import history
from connector.absorbing import Request, absorb
from connector.device_edits import DeviceEdits, NewDevice
from connector.lines import Groups, Line, group_lines
from connector.resource_figures import has_readings
from connector.streams import Streams
from shared.batches import Format, Value
from shared.core.engine_effects import Effect
from shared.core.fields import fields_object
from shared.core.outbox import OutboxLimits
from shared.errors import Refused
from shared.sealing import Side
from tests.databases import opened
from tests.simulation.shell import CONNECTOR, Shell
from tests.simulation.spoiling_keys import SpoilingKeys

if TYPE_CHECKING:
    from tests.simulation.world import World

Key = tuple[str, str, int]


class SimSite(Shell):
    """A site with devices and people around it."""

    def __init__(self, world: World, side: Side, keys: SpoilingKeys, limits: OutboxLimits, *, skew_ms: int) -> None:
        super().__init__(world, side, keys, limits, skew_ms=skew_ms)
        self.accepted: dict[Key, Value] = {}  # committed, into the stream
        self.accepted_before: dict[Key, list[Value]] = {}  # other values of the same times, before a restore
        self.offered: dict[Key, list[Value]] = {}  # by devices, whether or not any of it streams
        self.accepted_ms: dict[Key, int] = {}  # when, by the world's clock
        self.generations: dict[Key, int] = {}  # of the devices when their readings were accepted

    # --- what people and devices do -----------------------------------------------------------------------------------

    def accept(self, readings: list[tuple[str, str, Format, int, Value]]) -> bool:
        """Take readings in as the shell does: history first, which knows repeats; what is new enters the stream."""
        engine = self.engine
        if engine is None:
            return False
        streamed: dict[Key, Value] = {}
        generations: dict[str, int] = {}

        def take(store: Streams) -> list[Effect]:
            groups: Groups = {}
            generations.update(self.connection.execute("SELECT identity, generation FROM device").fetchall())
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
            for key in [key for key in streamed if key in self.accepted]:
                self.accepted_before.setdefault(key, []).append(self.accepted[key])
            self.accepted.update(streamed)
            for device, resource, _, at_ms, value in readings:
                self.offered.setdefault((device, resource, at_ms), []).append(value)
            self.accepted_count += len(streamed)
            self.generations.update((key, generations[key[0]]) for key in streamed)
            self.accepted_ms.update(dict.fromkeys(streamed, self.world.now_ms))

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

    def create_device(self, *identities: str) -> bool:
        """Add devices, those that are not there yet."""
        edits: list[tuple[str, str, str | None]] = []
        for identity in identities:
            try:
                edits += DeviceEdits(self.connection, CONNECTOR).creation(NewDevice(identity=identity))
            except Refused:
                continue
        return bool(edits) and self.edit(*edits)

    def delete_device(self, identity: str) -> bool:
        """Delete a device."""
        devices = DeviceEdits(self.connection, CONNECTOR)
        try:
            edits, generation = devices.deletion(identity), devices.generation(identity)
        except Refused:
            return False
        self.world.ended.add((identity, generation))
        done = self.edit(*edits)
        if done:
            self.world.fired("device_deleted")
        return done

    def fields(self, identity: str) -> str:
        """The object of a device's fields, in its present generation; of one that is not there, in the first."""
        row = self.connection.execute("SELECT generation FROM device WHERE identity = ?", (identity,)).fetchone()
        return fields_object(identity, row[0] if row else 1)

    def define(self, *resources: tuple[str, Format], unit: str = "", sync: bool = True) -> bool:
        """Create or change resources, all in one unit of work; return whether anything changed."""
        engine = self.engine
        wanted = [one for one in resources if not self._is_of_another_format(*one)]
        rows = {(*one, unit, sync) for one in wanted}
        if engine is None or rows <= set(self.rows("SELECT alias, format, unit, remote_sync FROM resource")):
            return False

        def change(store: Streams) -> list[Effect]:
            for alias, kind in wanted:
                self.connection.execute(
                    "INSERT INTO resource (connector_id, alias, format, unit, remote_sync, created_ms)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET format = excluded.format,"
                    " unit = excluded.unit, remote_sync = excluded.remote_sync",
                    (CONNECTOR, alias, kind, unit, sync, self.now_ms),
                )
            self.catalogue.forget()
            for alias, _ in wanted:
                engine.on_definitions_changed(store, alias, self.now_ms)
            return []

        return self.work(f"defines {wanted} {unit} {sync}", change)

    def _is_of_another_format(self, alias: str, kind: Format) -> bool:
        """Tell whether people would be refused (`has_readings`): readings of another format are here."""
        row = self.connection.execute("SELECT resource_id, format FROM resource WHERE alias = ?", (alias,)).fetchone()
        return row is not None and row[1] != kind and has_readings(self.connection, row[0])

    def clone(self) -> SimSite:
        """Return a second live copy of this site (G2): the same disk at this moment, from here on of its own."""
        copy = SimSite(self.world, self.side, self.keys, self.limits, skew_ms=self.skew_ms)
        copy.close()
        copy.connection = opened(self.connection.serialize())
        copy.accepted_before, copy.offered = self.accepted_before, self.offered
        copy.clock_seen_ms = self.clock_seen_ms
        copy.accepted, copy.accepted_ms, copy.noticed_ms = self.accepted, self.accepted_ms, self.noticed_ms
        copy.generations = self.generations
        self.restored = copy.restored = True
        return copy

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
