"""What people and programs do with the resources of a site: one unit of work each, told to the other side (W9, G14)."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from connector import resources
from connector.catalogue import Catalogue
from connector.projection import project_set_values
from connector.resources import NewResource, ResourceChange, ResourceRow
from connector.runtime import ConnectorRuntime
from connector.streams import Streams
from shared.clock import Clock
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.database import Database
from shared.database_connections import Unit

T = TypeVar("T")


class ResourceDesk:
    """The resources of all connectors of a site."""

    def __init__(
        self,
        *,
        database: Database,
        catalogue: Catalogue,
        clock: Clock,
        runtime: Callable[[str], ConnectorRuntime],
        write: Callable[[Unit[None]], Awaitable[None]],
        ring: Callable[[str, str], None],
    ) -> None:
        """`write` runs a unit of work of a connector without a peer, `ring` tells pages: both of the site's."""
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._runtime = runtime
        self._write = write
        self._ring = ring

    async def rows(self, connector_id: str) -> list[ResourceRow]:
        """Return the resources of a connector compared with the other side's; raises Refused('not_found')."""
        paired = self._runtime(connector_id).runner is not None
        now_ms, flow = self._clock.wall_ms(), self._catalogue.flow

        def unit(connection: sqlite3.Connection) -> list[ResourceRow]:
            return resources.list_resources(
                connection, connector_id, paired=paired, rates=lambda each: flow.per_minute(each, now_ms)
            )

        return await self._database.read(unit)

    async def create(self, connector_id: str, new: NewResource) -> None:
        """Make a resource; held readings of that name are released. Raises Refused('exists', 'invalid')."""
        now_ms = self._clock.wall_ms()
        await self._run(
            connector_id, lambda c: resources.create_resource(c, connector_id, new, now_ms), new.alias.strip()
        )

    async def create_like_peer(self, connector_id: str, alias: str) -> None:
        """Make the same resource that the other side has (W9); raises Refused('exists', 'not_found')."""
        new = await self._database.read(lambda c: resources.like_peer(c, connector_id, alias))
        await self.create(connector_id, new)

    async def change(self, connector_id: str, alias: str, change: ResourceChange) -> None:
        """Change a definition; held readings that fit it now are released. Raises Refused (see change_resource)."""
        await self._run(connector_id, lambda c: resources.change_resource(c, connector_id, alias, change), alias)

    async def delete(self, connector_id: str, alias: str) -> None:
        """Delete a resource with its history; raises Refused (see delete_resource)."""
        paired = self._runtime(connector_id).runner is not None
        await self._run(connector_id, lambda c: resources.delete_resource(c, connector_id, alias, paired=paired), None)

    async def switch(self, connector_id: str, aliases: Collection[str], *, on: bool) -> int:
        """Switch these resources into the stream or out of it (W9, G14), all or none; return how many changed.

        Raises Refused('not_found').
        """
        return await self._run(connector_id, lambda c: resources.switch_all(c, connector_id, aliases, on=on), None)

    async def _run(self, connector_id: str, change: Callable[[sqlite3.Connection], T], appeared: str | None) -> T:
        """Run a change of definitions and tell the other side; `appeared` may now release what is held of that name."""
        runtime = self._runtime(connector_id)
        found: list[T] = []

        def unit(connection: sqlite3.Connection) -> None:
            self._catalogue.forget()  # it knows formats, and series that may go with a resource
            found.append(change(connection))
            if appeared is not None:
                project_set_values(connection, connector_id, appeared)

        if runtime.runner is not None:

            def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
                unit(store.connection)
                engine.on_definitions_changed(store, appeared, now_ms)
                return None, []

            await runtime.runner.run(work)
        else:
            await self._write(unit)
        self._ring(connector_id, "resources")
        return found[-1]
