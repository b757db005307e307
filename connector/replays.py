"""Asking for a past range again, at either side of a pair, and following it (N9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from connector.replay_rows import list_replays
from connector.runtime import ConnectorRuntime
from connector.streams import Streams
from shared.core.engine import PairEngine
from shared.core.engine_effects import Changed, Effect
from shared.core.replay_job import ReplayJob
from shared.database import Database
from shared.errors import Refused


class ReplayWish(msgspec.Struct, forbid_unknown_fields=True):
    """What to send again: `from_ms` included, `to_ms` not, null for until now. No resources or devices mean all."""

    from_ms: int
    to_ms: int | None = None
    resources: list[str] = []
    devices: list[str] = []


class ReplayDesk:
    """The replays of all connectors of a site."""

    def __init__(self, *, database: Database, runtime: Callable[[str], ConnectorRuntime]) -> None:
        self._database = database
        self._runtime = runtime

    async def ask(self, connector_id: str, wish: ReplayWish, *, who: str) -> ReplayJob:
        """Ask for a range again, or start it where this side is the source; return the job.

        Raises Refused('not_paired', 'invalid', 'unknown_resource', 'unknown_device', 'too_many_replays').
        """

        def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[ReplayJob, list[Effect]]:
            job = engine.replays.ask(
                store,
                from_ms=wish.from_ms,
                to_ms=now_ms if wish.to_ms is None else wish.to_ms,
                resources=wish.resources,
                devices=wish.devices,
                who=who,
                now_ms=now_ms,
            )
            return job, [Changed("replays")]

        runner = self._runtime(connector_id).runner
        if runner is None:
            raise Refused("not_paired")
        return await runner.run(work)

    async def cancel(self, connector_id: str, job_id: str, *, who: str) -> None:
        """Stop a replay that is open, at both sides; what arrived stays. Raises Refused('not_found', 'not_paired')."""

        def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
            engine.replays.cancel(store, job_id, who=who, now_ms=now_ms)
            return None, [Changed("replays")]

        runner = self._runtime(connector_id).runner
        if runner is None:
            raise Refused("not_paired")
        await runner.run(work)

    async def jobs(self, connector_id: str) -> Sequence[ReplayJob]:
        """Return replays, newest first: open ones, and those that were over last. Raises Refused('not_found')."""
        self._runtime(connector_id)
        return await self._database.read(lambda connection: list_replays(connection, connector_id))
