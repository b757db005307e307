"""What requests offer to one connector gathers here, and is absorbed for all of them at once before their commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from connector import devices
from connector.absorbing import Request, absorb
from connector.catalogue import Catalogue
from connector.ingest.permission import locked_devices, turned_away
from connector.readings import definitions_of
from connector.streams import Streams
from shared.clock import Clock
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.errors import Refused
from shared.limits import ABSORB_READINGS_MAX

_AT_THE_DOOR: Final = (
    "SELECT role, disabled, creates_devices,"
    " EXISTS (SELECT 1 FROM device WHERE device.connector_id = connector.connector_id AND locked <> 0)"
    " FROM connector WHERE connector_id = ?"
)


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked of a connector for each request: look once for all that are offered one after the other."""

    role: str
    is_disabled: bool
    creates_devices: bool
    locked: frozenset[str]
    """Devices that may not report."""


class Intake:
    """The requests of one transaction (PairRunner's Gathering; where there is no pair, Database's Closing)."""

    def __init__(self, connector_id: str, catalogue: Catalogue, clock: Clock) -> None:
        self.connector_id = connector_id
        self._catalogue = catalogue
        self._clock = clock
        self._waiting: list[Request] = []

    def door(self, connection: sqlite3.Connection) -> Door:
        """Look who may come in; raises Refused('not_found')."""
        row = connection.execute(_AT_THE_DOOR, (self.connector_id,)).fetchone()
        if row is None:
            raise Refused("not_found", what="connector")
        locked = locked_devices(connection, self.connector_id) if row[3] else frozenset()
        return Door(row[0], bool(row[1]), bool(row[2]), locked)

    def offer(
        self,
        connection: sqlite3.Connection,
        request: Request,
        *,
        may_create: bool,
        source: str,
        door: Door | None = None,
    ) -> list[str]:
        """Take a request in; or return the devices that have to be made first, where the connector makes them.

        Runs in a unit of work; a `door` is one of this unit of work. Raises Refused('connector_disabled',
        'target_not_writable', 'not_found'); `source` is whom to name.
        """
        door = self.door(connection) if door is None else door
        if door.is_disabled:
            raise Refused("connector_disabled")
        if door.role == "target":
            raise Refused("target_not_writable", source=source)
        if door.locked or request.reporters:
            named = (device for device, _ in request.lines.keys)
            if refused := turned_away(connection, self.connector_id, named, door.locked, request.reporters):
                request.turn_away(refused)
        if may_create and door.creates_devices and (missing := self._missing(connection, request)):
            return missing
        self._waiting.append(request)
        return []

    def _missing(self, connection: sqlite3.Connection, request: Request) -> list[str]:
        unknown = [
            key
            for key in request.lines.keys
            if self._catalogue.find(connection, self.connector_id, key[0], key[1]) is None
        ]
        if not unknown:
            return []
        defined = definitions_of(connection, self.connector_id)
        named = dict.fromkeys(device for device, resource in unknown if resource in defined)
        return [identity for identity in named if not devices.exists(connection, self.connector_id, identity)]

    def refuse_when_full(self, engine: PairEngine, store: Streams, request: Request) -> None:
        """Raise Refused('outbox_full') where the outbox is, and the request has something for the stream."""
        try:
            engine.outbox.refuse_when_full(store)
        except Refused:
            defined = definitions_of(store.connection, self.connector_id)
            if any(resource in defined and defined[resource].remote_sync for _, resource in request.lines.keys):
                raise

    # --- the end of a transaction -------------------------------------------------------------------------------------

    def finish(self, engine: PairEngine, store: Streams, now_ms: int) -> list[Effect]:
        """Store what has gathered and feed the stream with it."""
        fed = False
        for requests in self._taken():
            for_stream = absorb(store.connection, self._catalogue, self.connector_id, requests, now_ms)
            if for_stream:
                engine.outbox.take(store, for_stream, now_ms)
                fed = True
        if not fed:
            return []
        # At once: until the next deadline a fast device could fill the disk that the cap is there to protect.
        return engine.enforce_cap(store, now_ms)

    def close(self, connection: sqlite3.Connection) -> None:
        """Store what has gathered, of a connector without a peer."""
        for requests in self._taken():
            absorb(connection, self._catalogue, self.connector_id, requests, self._clock.wall_ms())

    def on_closed(self, outcome: object) -> None:
        """The transaction is committed, or undone."""
        if isinstance(outcome, BaseException):
            self.on_undone()

    def on_undone(self) -> None:
        """Forget what has gathered, and what was found on the way."""
        self._waiting = []
        self._catalogue.forget()

    def _taken(self) -> Iterator[Sequence[Request]]:
        """Yield what has gathered, in the order it came: as much together as memory allows."""
        taken, self._waiting = self._waiting, []
        some: list[Request] = []
        readings = 0
        for request in taken:
            if some and readings + len(request.lines) > ABSORB_READINGS_MAX:
                yield some
                some, readings = [], 0
            some.append(request)
            readings += len(request.lines)
        if some:
            yield some
