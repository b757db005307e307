"""Taking readings in: who may, devices made on the way, one unit of work with the stream, and this machine's own."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from connector import connectors, devices
from connector.catalogue import Catalogue
from connector.host import HostDevice
from connector.ingest.bodies import parse_body
from connector.readings import Groups, Outcome, definitions_of, group_lines, store_readings
from connector.runtime import ConnectorRuntime
from connector.streams import Streams
from shared.batches import Series
from shared.clock import Clock
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.database import Database, Unit
from shared.errors import PairhubError, Refused
from shared.limits import INGEST_REFUSALS_SHOWN_MAX

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Ingestion:
    """The way in for readings of all connectors of a site."""

    def __init__(
        self,
        *,
        database: Database,
        catalogue: Catalogue,
        clock: Clock,
        runtime: Callable[[str], ConnectorRuntime],
        write: Callable[[Unit[None]], Awaitable[None]],
        create: Callable[[str, Iterable[str]], Awaitable[None]],
        ring: Callable[[str, str], None],
    ) -> None:
        """`write` runs a unit of work, `create` adds devices that readings name, `ring` tells pages: all of the site's."""
        self.taken: dict[str, int] = {}
        """Readings taken since this start, by connector."""
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._runtime = runtime
        self._write = write
        self._create = create
        self._ring = ring

    async def take_body(self, connector_id: str, body: bytes, content_type: str = "") -> Outcome:
        """Take readings in any form of a body; raises Refused for the request as a whole, else says it per reading."""
        outcome = Outcome()
        parsed = parse_body(body, content_type, outcome)
        for groups in parsed.parts.values():
            await self.take(connector_id, groups, outcome)
        if parsed.form != "lines":
            outcome.refusals = [replace(refusal, at=parsed.position(refusal.line)) for refusal in outcome.refusals]
        return outcome

    async def take(self, connector_id: str, groups: Groups, outcome: Outcome) -> None:
        """Take grouped readings; counts into `outcome`. Raises Refused('target_not_writable', 'outbox_full', ...)."""
        connector = await self._database.read(lambda c: connectors.get_connector(c, connector_id))
        runtime = self._runtime(connector_id)
        if connector.disabled:
            raise Refused("connector_disabled")
        if connector.role == "target":
            source = runtime.pair.peer_site_name if runtime.pair is not None else "its source"
            raise Refused("target_not_writable", source=source)
        if connector.creates_devices:
            await self._create_missing(connector_id, groups)
        counted = Outcome()  # apart, so that a unit of work that is undone counts nothing

        def store(connection: sqlite3.Connection, now_ms: int) -> list[Series]:
            return store_readings(connection, self._catalogue, connector_id, groups, counted, now_ms).for_stream

        if runtime.runner is not None:

            def work(engine: PairEngine, streams: Streams, now_ms: int) -> tuple[None, list[Effect]]:
                for_stream = store(streams.connection, now_ms)
                if not for_stream:
                    return None, []
                engine.accept(streams, for_stream, now_ms)
                # At once: until the next deadline a fast device could fill the disk that the cap is there to protect.
                return None, engine.enforce_cap(streams, now_ms)

            await runtime.runner.run(work)
        else:
            now_ms = self._clock.wall_ms()

            def alone(connection: sqlite3.Connection) -> None:
                store(connection, now_ms)

            await self._write(alone)
        outcome.accepted += counted.accepted
        outcome.repeated += counted.repeated
        outcome.refused += counted.refused
        outcome.refusals = sorted(outcome.refusals + counted.refusals, key=lambda refusal: refusal.line)
        del outcome.refusals[INGEST_REFUSALS_SHOWN_MAX:]
        self.taken[connector_id] = self.taken.get(connector_id, 0) + counted.accepted
        self._ring(connector_id, "readings")

    async def _create_missing(self, connector_id: str, groups: Groups) -> None:
        def unit(connection: sqlite3.Connection) -> list[str]:
            known = definitions_of(connection, connector_id)
            named = dict.fromkeys(device for device, resource in groups if resource in known)
            return [identity for identity in named if not devices.exists(connection, connector_id, identity)]

        missing = await self._database.read(unit)
        if missing:  # an identity that no device can have is refused with its lines, as an unknown device
            await self._create(connector_id, missing)

    async def report_host(self, connector_id: str, every_s: float) -> None:
        """Take readings of this machine every so many seconds until cancelled."""
        host = HostDevice()
        while True:
            await asyncio.sleep(every_s)
            groups: Groups = {}
            lines = await asyncio.to_thread(host.measure, self._clock.wall_ms())
            group_lines(enumerate(lines, start=1), groups)
            try:
                await self.take(connector_id, groups, Outcome())
            except PairhubError as error:
                _log.warning("host readings not taken: %s", error, extra={"connector": connector_id})
