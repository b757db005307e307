"""Taking readings in: who may, devices made on the way, one unit of work with the stream, and this machine's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from connector.absorbing import Request
from connector.catalogue import Catalogue
from connector.host import HostDevice
from connector.ingest.bodies import form_of, parse_body
from connector.intake import Intake
from connector.lines import Groups, Lines, group_lines
from connector.offers import Answer, Offers
from connector.pair_runner import PairRunner
from connector.readings import Outcome, parse_lines
from connector.runtime import ConnectorRuntime
from connector.streams import Streams
from shared.clock import Clock
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.database import Database
from shared.disk_reserve import DiskReserve
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
        create: Callable[[str, Iterable[str]], Awaitable[None]],
        ring: Callable[[str, str], None],
        reserve: DiskReserve,
    ) -> None:
        """`create` adds devices that readings name, `ring` tells pages: all of the site's."""
        self.taken: dict[str, int] = {}
        """Readings taken since this start, by connector."""
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._runtime = runtime
        self._create = create
        self._ring = ring
        self._reserve = reserve
        self._intakes: dict[tuple[str, bool], Intake] = {}
        self._offers: dict[str, tuple[ConnectorRuntime, PairRunner | None, Offers]] = {}

    async def take_body(
        self, connector_id: str, body: bytes, content_type: str = "", reporters: Sequence[str] = ()
    ) -> Outcome:
        """Take readings in any form of a body; raises Refused for the request as a whole, else says it per reading.

        `reporters` have to be allowed to report for the devices (connector.ingest.permission).
        """
        outcome = Outcome()
        if form_of(body, content_type) == "lines":
            await self.take(connector_id, parse_lines(body, outcome), outcome, reporters=reporters)
            return outcome
        parsed = parse_body(body, content_type, outcome)
        for gateway, groups in parsed.parts.items():
            acting = (*reporters, gateway) if gateway else reporters
            await self.take(connector_id, groups, outcome, reporters=acting)
        outcome.refusals = [replace(refusal, at=parsed.position(refusal.line)) for refusal in outcome.refusals]
        return outcome

    async def take(
        self, connector_id: str, lines: Lines | Groups, outcome: Outcome, *, reporters: Sequence[str] = ()
    ) -> None:
        """Take lines; counts into `outcome`. Raises Refused('target_not_writable', 'outbox_full', 'disk_reserve', ...).

        `Lines` are the fast form; `Groups` do as well. Requests that share a commit are absorbed together.
        """
        self._refuse_when_touched()
        request = Request.of(lines, reporters)
        missing = await self._offer(connector_id, request, may_create=True)
        if missing:
            await self.take_with_devices(connector_id, request, missing, outcome)
        else:
            self._count(connector_id, request, outcome)

    def begin(self, connector_id: str, request: Request, outcome: Outcome, done: Callable[[Answer], None]) -> None:
        """Take a request as `take` does, without a task: `done` is called on the event loop, with nothing in its list
        where the lines are counted into `outcome`. Devices that it names come first: see `take_with_devices`.

        Raises as `take` does for what is known at once.
        """
        self._refuse_when_touched()
        runtime = self._runtime(connector_id)
        runner = runtime.runner
        known = self._offers.get(connector_id)
        if known is None or known[0] is not runtime or known[1] is not runner:
            offers = Offers(self._intake(connector_id, runner), self._database, runner)
            known = self._offers[connector_id] = (runtime, runner, offers)

        def answered(answer: Answer) -> None:
            if isinstance(answer, list) and not answer:
                self._count(connector_id, request, outcome)
            done(answer)

        known[2].begin(request, _source_of(runtime), answered)

    async def take_with_devices(
        self, connector_id: str, request: Request, missing: Iterable[str], outcome: Outcome
    ) -> None:
        """Make the devices that a request needs, then take it; raises as `take`."""
        await self._create(connector_id, missing)
        # An identity that no device can have is refused with its lines, as an unknown device.
        await self._offer(connector_id, request, may_create=False)
        self._count(connector_id, request, outcome)

    def _refuse_when_touched(self) -> None:
        if self._reserve.is_touched:
            raise Refused("disk_reserve", free=self._reserve.free_bytes, reserve=self._reserve.reserve_bytes)

    def _count(self, connector_id: str, request: Request, outcome: Outcome) -> None:
        """Say what became of the lines of a request."""
        counted = request.outcome
        outcome.accepted += counted.accepted
        outcome.repeated += counted.repeated
        outcome.refused += counted.refused
        if counted.refusals:
            outcome.refusals = sorted(outcome.refusals + counted.refusals, key=lambda refusal: refusal.line)
            del outcome.refusals[INGEST_REFUSALS_SHOWN_MAX:]
        self.taken[connector_id] = self.taken.get(connector_id, 0) + counted.accepted
        self._ring(connector_id, "readings")

    def _intake(self, connector_id: str, runner: PairRunner | None) -> Intake:
        intake = self._intakes.get((connector_id, runner is not None))
        if intake is None:
            intake = Intake(connector_id, self._catalogue, self._clock)
            self._intakes[connector_id, runner is not None] = intake
        return intake

    async def _offer(self, connector_id: str, request: Request, *, may_create: bool) -> list[str]:
        runtime = self._runtime(connector_id)
        runner = runtime.runner
        intake = self._intake(connector_id, runner)
        source = _source_of(runtime)
        if runner is None:
            return await self._database.write(
                lambda c: intake.offer(c, request, may_create=may_create, source=source), closing=intake
            )

        def work(engine: PairEngine, store: Streams, _: int) -> tuple[list[str], list[Effect]]:
            intake.refuse_when_full(engine, store, request)
            return intake.offer(store.connection, request, may_create=may_create, source=source), []

        return await runner.run(work, intake)

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


def _source_of(runtime: ConnectorRuntime) -> str:
    """Name where readings of a target come from."""
    return runtime.pair.peer_site_name if runtime.pair is not None else "its source"
