"""A site: one daemon, one data directory, many connectors. Composes the parts; what pages and API do, they do through it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TypeVar

from connector import accounts, connectors, gaps, history, history_damage
from connector.accounts import Account
from connector.backup import deal_with_restore
from connector.backup_desk import BackupDesk
from connector.catalogue import Catalogue
from connector.clock_watch import ClockWatch
from connector.connectors import Connector, Pair
from connector.device_edits import NewDevice
from connector.edit_rows import sweep as sweep_edits
from connector.editing import Edited, Editing
from connector.enrolment import Enrolment
from connector.gaps import GapRow
from connector.health_facts import site_facts
from connector.history_folding import Folding
from connector.host_desk import HostDesk
from connector.hub_client import HubClient
from connector.hub_way import hub_way
from connector.identity import Identity, load_or_create
from connector.ingest import mqtt_rows
from connector.ingest.mqtt_desk import MqttDesk
from connector.ingest.mqtt_rows import Subscription
from connector.ingestion import Ingestion
from connector.lookups import Lookups
from connector.quarantine import QuarantineDesk
from connector.readings import Outcome
from connector.repair_desk import RepairDesk
from connector.repair_rows import RepairRows
from connector.replays import ReplayDesk
from connector.resource_accounts import Books, read_books
from connector.resource_desk import ResourceDesk
from connector.resources import NewResource, ResourceRow
from connector.runtime import ConnectorRuntime, Surroundings
from connector.settings import SiteSettings
from shared.clock import Clock, SystemClock
from shared.core.clock_guard import ClockGuard
from shared.core.completion import PairState
from shared.core.link_state import LinkState
from shared.core.outbox import OutboxLimits
from shared.core.window import Window
from shared.database import Database
from shared.disk_reserve import DiskReserve
from shared.errors import Refused, StorageFailed
from shared.limits import (
    DAY_MS,
    MINUTE_MS,
    SECOND_MS,
    STOPPED_TOLD_MS,
)
from shared.names import make_connector_id, read_connector_id
from shared.notices.desk import NoticeDesk
from shared.notices.notice import Sender
from shared.notices.settings import notice_channels
from shared.served_certificate import ServedCertificate
from shared.supervision import supervised
from web import paths
from web.updates import ChangeBell

T = TypeVar("T")
_log = logging.getLogger(__name__)
_HOUSEKEEPING_S = 600.0
# Old rows go in small bites, so that the writer is never kept for long.
_HOUSEKEEPING_ROWS = 5_000


class Site:
    """A running site. Make it with `Site.open`, keep `run` going, end with `close`."""

    def __init__(self, settings: SiteSettings, database: Database, identity: Identity, clock: Clock) -> None:
        self.settings = settings
        self.database = database
        self.clock = clock
        self.guard = ClockGuard()
        self.backups = BackupDesk(settings.data_dir)
        self.clock_watch = ClockWatch(database, clock, self.guard, self.ring)
        self.reserve = DiskReserve(database.path, settings.disk_reserve_bytes, clock)
        self.reserve.unused_bytes = database.unused_bytes
        self.catalogue = Catalogue()
        self.catalogue.feed.follow(database)
        self.lookups = Lookups(database, clock)
        self.runtimes: dict[str, ConnectorRuntime] = {}
        self.certificate: ServedCertificate | None = None
        """What it serves TLS with, once it is served; None where it does not."""
        self._bells: dict[str, ChangeBell] = {}
        self._hub = (
            HubClient(hub_way(settings.hub_url, settings.hub_ca, settings.hub_proxy)) if settings.hub_url else None
        )
        self.enrolment = Enrolment(
            database, identity, self._hub, settings.enrolment_token, clock, lambda: self.ring("", "enrolment")
        )
        self._tasks: asyncio.TaskGroup | None = None
        self.editing = Editing(
            catalogue=self.catalogue,
            clock=clock,
            runtime=self.runtime,
            write=self.write,
            read=database.read,
            site_id=lambda: self.identity.site_id,
            ring=self.ring,
        )
        self.ingestion = Ingestion(
            database=database,
            catalogue=self.catalogue,
            clock=clock,
            runtime=self.runtime,
            create=self.editing.create_reported,
            ring=self.ring,
            reserve=self.reserve,
        )
        self.mqtt = MqttDesk(database=database, clock=clock, take=self.ingestion.take, ring=self.ring)
        self.host = HostDesk(
            database=database,
            create_device=self.create_device,
            create_resource=self.create_resource,
            report=self.ingestion.report_host,
        )
        self.resource_desk = ResourceDesk(
            database=database,
            catalogue=self.catalogue,
            clock=clock,
            runtime=self.runtime,
            write=self.write,
            ring=self.ring,
        )
        repairs_url = settings.public_url.rstrip("/") + paths.REPAIRS if settings.public_url else ""
        channels = notice_channels(settings, lambda: clock.wall_ms() / SECOND_MS)
        self.notices = NoticeDesk(RepairRows(database), clock, channels)
        self.repairs = RepairDesk(
            database=database,
            clock=clock,
            notices=self.notices,
            tell_after_ms=int(settings.notices_after_s * SECOND_MS),
            facts=lambda: site_facts(self),
            sender=lambda: Sender("site", self.identity.site_name, self.identity.site_id, repairs_url),
            ring=self.ring,
        )
        self.replays = ReplayDesk(database=database, runtime=self.runtime)
        self.quarantine = QuarantineDesk(database=database, runtime=self.runtime)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopped_ms: dict[str, int] = {}  # on the monotonic clock
        database.on_trouble = lambda: self.ring("", "storage")
        self._around = Surroundings(
            database=database,
            catalogue=self.catalogue,
            clock=clock,
            guard=self.guard,
            reserve=self.reserve,
            limits=OutboxLimits(
                settings.retention_ms,
                settings.outbox_bytes_max,
                settings.outbox_full == "refuse_new",
                int(settings.live_seconds * SECOND_MS),
                settings.drain_bytes_per_s,
                settings.quarantine_bytes_max,
            ),
            start_id=secrets.token_bytes(16),
            enrolment=self.enrolment,
            needs_accept=settings.accept_pairings,
            answer=self.lookups.answer,
            ring=self.ring,
        )

    @classmethod
    async def open(cls, settings: SiteSettings, clock: Clock | None = None) -> Site:
        """Open (or make) the data directory; raises StorageFailed."""
        clock = clock or SystemClock()
        database = await Database.open(settings.data_dir / "site.db", files("connector") / "sql", puts_back=True)
        try:
            identity = await database.write(lambda connection: load_or_create(connection, settings.name))
            site = cls(settings, database, identity, clock)
            pairs = {pair.connector_id: pair for pair in await database.read(connectors.list_pairs)}
            for connector in await database.read(connectors.list_connectors):
                site._make(connector, pairs.get(connector.connector_id))
            runners = [runtime.runner for runtime in site.runtimes.values() if runtime.runner is not None]
            while await database.write(gaps.index_notices):
                pass  # of before a release that finds them by what they name
            await deal_with_restore(database, runners)
            await site.clock_watch.load(has_peers=bool(pairs))
            await site.clock_watch.note()
            await site.repairs.load()
            await site.notices.load()
        except BaseException:
            await database.close()  # its threads would keep the process alive
            raise
        return site

    async def run(self, started: Callable[[], None] | None = None) -> None:
        """Run all connectors until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for connector_id in list(self.runtimes):
                self._start(connector_id)
            await self.host.start(tasks)
            await self.mqtt.start(tasks)
            for what, work in (
                ("housekeeping", self._keep_house),
                ("the look at the clock", self.clock_watch.run),
                ("folding history", Folding(self.database).run),
                ("saving copies of lookups", self.lookups.copies.run),
                ("looking for repairs", self.repairs.run),
                ("sending notices", self.notices.run),
            ):
                tasks.create_task(supervised(what, work, told=self.on_stopped), name=what)
            if started is not None:
                started()

    async def close(self) -> None:
        """Finish what is being written and close the database."""
        if self._hub is not None:
            await self._hub.close()
        await self.lookups.copies.save()
        await self.clock_watch.note()
        await self.backups.stop()
        await self.repairs.save()
        await self.database.close()

    def on_stopped(self, what: str) -> None:
        """Hear that an error of ours stopped work in the background, which is begun again."""
        self._stopped_ms[what] = self.clock.monotonic_ms()
        asyncio.get_running_loop().call_soon(
            self.repairs.observe_site
        )  # by itself: nothing here may stop what supervises

    def stopped(self) -> tuple[str, ...]:
        """Return what was stopped so within STOPPED_TOLD_MS."""
        now_ms = self.clock.monotonic_ms()
        return tuple(what for what, at_ms in self._stopped_ms.items() if now_ms - at_ms < STOPPED_TOLD_MS)

    def bell(self, connector_id: str) -> ChangeBell:
        """The bell that rings when something of a connector changes; `""` for changes of the site."""
        return self._bells.setdefault(connector_id, ChangeBell())

    def ring(self, connector_id: str, what: str) -> None:
        """Say that something (`what`, for the log) changed that pages may show."""
        self.catalogue.feed.publish()
        if what in ("enrolment", "storage"):
            self.repairs.observe_site()
        if what == "link" and (runtime := self.runtimes.get(connector_id)) is not None:
            is_linked = runtime.view.state is LinkState.LINKED
            self.repairs.on_link(connector_id, is_linked=is_linked, peer_is_linked=runtime.view.peer_linked)
        self.bell(connector_id).ring()
        if what not in ("readings", "account"):
            self.bell("").ring()

    async def write(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """Run a unit of work that may find series; raises as Database.write."""

        def guarded(connection: sqlite3.Connection) -> T:
            noted = self.catalogue.feed.noted
            try:
                return unit(connection)
            except BaseException:
                self.catalogue.feed.discard(noted)
                self.catalogue.forget()  # rows it found may be undone with it
                raise

        def after(outcome: T | BaseException) -> None:
            if isinstance(outcome, StorageFailed):
                self.catalogue.forget()

        return await self.database.write(guarded, after)

    # --- hub ------------------------------------------------------------------------------------------------------------

    @property
    def hub_url(self) -> str:
        """The hub's address, empty where none is set."""
        return self.settings.hub_url

    @property
    def storage_problem(self) -> str:
        """Why nothing is stored, or no readings are taken; empty while all is well."""
        return self.database.problem or self.reserve.problem

    @property
    def identity(self) -> Identity:
        """Who this site is."""
        return self.enrolment.identity

    async def enrol(self, token: str) -> None:
        """Enrol at the hub with a token, now; raises Refused, LinkLost."""
        await self.enrolment.enrol(token)

    # --- connectors -----------------------------------------------------------------------------------------------------

    def _make(self, connector: Connector, pair: Pair | None) -> ConnectorRuntime:
        runtime = ConnectorRuntime(connector, pair, self._around)
        self.runtimes[connector.connector_id] = runtime
        return runtime

    def _start(self, connector_id: str) -> None:
        assert self._tasks is not None
        self._running[connector_id] = self._tasks.create_task(self._supervise(connector_id), name=connector_id)

    async def _supervise(self, connector_id: str) -> None:
        """Keep one connector going: a bug or a broken disk in one must not stop the others."""
        runtime = self.runtimes[connector_id]
        await supervised("connector", runtime.run, {"connector": connector_id})

    async def connectors(self) -> list[Connector]:
        """Return all connectors, oldest first."""
        return await self.database.read(connectors.list_connectors)

    async def connector(self, connector_id: str) -> Connector:
        """Return one connector; raises Refused('not_found')."""
        return await self.database.read(lambda c: connectors.get_connector(c, connector_id))

    def runtime(self, connector_id: str) -> ConnectorRuntime:
        """Return a connector at run time; raises Refused('not_found')."""
        runtime = self.runtimes.get(connector_id)
        if runtime is None:
            raise Refused("not_found", what="connector")
        return runtime

    def pair(self, connector_id: str) -> Pair | None:
        """Return a connector's pair, pending or paired."""
        return self.runtime(connector_id).pair

    async def create_connector(
        self, name: str, *, creates_devices: bool = False, target: bool = False, host_every_s: float = 0.0
    ) -> Connector:
        """Make a connector; with `host_every_s` it reports this machine. Raises Refused('exists', 'invalid')."""
        connector_id = make_connector_id(secrets.token_bytes(8))
        now_ms = self.clock.wall_ms()

        connector = await self.write(
            lambda connection: connectors.create_connector(
                connection,
                connector_id,
                name,
                "target" if target else "standalone",
                now_ms,
                creates_devices=creates_devices,
            )
        )
        self._make(connector, None)
        self._start(connector_id)
        if host_every_s:
            await self.host.set(connector_id, host_every_s)
        self.ring("", "connectors")
        return connector

    async def create_target(self, name: str, *, site_name: str, source_connector: str, code: str) -> Connector:
        """Make a target connector and finish the pairing (W3); where it is refused, no connector stays. Raises Refused."""
        source_id = read_connector_id(source_connector)
        if source_id is None:
            raise Refused("invalid", what="Connector ID", why="it is 8 letters and digits, as shown at the source")
        connector = await self.create_connector(name, target=True)
        try:
            await self.claim(connector.connector_id, site_name=site_name, source_connector=source_id, code=code)
        except BaseException:
            await asyncio.shield(self.delete_connector(connector.connector_id))
            raise
        return await self.connector(connector.connector_id)

    async def claim(self, connector_id: str, *, site_name: str, source_connector: str, code: str) -> Pair:
        """Let an unpaired target claim a source; raises Refused."""
        if self._hub is None:
            raise Refused("no_hub")
        return await self.runtime(connector_id).claim(
            site_name=site_name.strip(), source_connector=source_connector, code=code
        )

    async def change_connector(self, connector_id: str, name: str, *, creates_devices: bool) -> Connector:
        """Rename a connector and set whether readings make devices; raises Refused."""
        connector = await self.write(
            lambda c: connectors.rename_connector(c, connector_id, name, creates_devices=creates_devices)
        )
        self.ring("", "connectors")
        return connector

    async def set_drain_budget(self, connector_id: str, bytes_per_s: int | None) -> None:
        """Set what a backlog may take of the link; 0 for no bound, None for what the settings say. Raises Refused."""
        await self.write(lambda c: connectors.set_drain_budget(c, connector_id, bytes_per_s))
        await self.runtime(connector_id).reload()
        self.ring("", "connectors")

    async def disable_connector(self, connector_id: str, *, disabled: bool) -> None:
        """Disable or enable; refused where paired (W5). Raises Refused('still_paired', 'not_found')."""
        await self.write(lambda c: connectors.disable_connector(c, connector_id, disabled=disabled))
        await self.runtime(connector_id).reload()
        self.ring(connector_id, "connectors")

    async def delete_connector(self, connector_id: str) -> None:
        """Delete; refused where paired (W5). Raises Refused('still_paired', 'not_found')."""

        def unit(connection: sqlite3.Connection) -> list[Subscription]:
            subscriptions = mqtt_rows.list_subscriptions(connection, connector_id)
            connectors.delete_connector(connection, connector_id)
            return subscriptions

        await self.mqtt.stop(await self.write(unit))
        self.catalogue.forget()
        self.host.stop(connector_id)
        task = self._running.pop(connector_id, None)
        if task is not None:
            task.cancel()
        self.runtimes.pop(connector_id, None)
        self.ring("", "connectors")

    # --- pairing --------------------------------------------------------------------------------------------------------

    async def enable_remote_sync(self, connector_id: str) -> Window:
        """Open the pairing window of a source (W1); raises Refused."""
        if self._hub is None:
            raise Refused("no_hub")
        runtime = self.runtime(connector_id)
        window = await runtime.source.enable(int(self.settings.window_minutes * MINUTE_MS))
        await runtime.reload()
        return window

    async def close_window(self, connector_id: str) -> None:
        """Close an open pairing window, or put a finished one away; raises Refused('not_found')."""
        await self.runtime(connector_id).source.cancel()

    async def accept_claimant(self, connector_id: str) -> None:
        """Accept who claimed this source (where the setting asks for it); raises Refused('not_found')."""
        await self.runtime(connector_id).accept_claimant()

    async def refuse_claimant(self, connector_id: str) -> None:
        """Refuse who claimed this source: both sides forget the pair; raises Refused('not_found')."""
        await self.runtime(connector_id).refuse_claimant()

    async def window(self, connector_id: str) -> Window | None:
        """Return the last pairing window as it stands now; raises Refused('not_found')."""
        return await self.runtime(connector_id).source.window()

    # --- devices and tags -----------------------------------------------------------------------------------------------

    async def create_device(
        self, connector_id: str, identity: str, name: str = "", description: str = "", *, who: str = ""
    ) -> None:
        """Add a device; raises Refused('exists', 'invalid', 'not_found')."""
        new = NewDevice(identity=identity, name=name, description=description)
        _raise_refused(await self.editing.create_devices(connector_id, [new], who=who))

    async def add_tag(self, connector_id: str, identity: str, name: str, value: str, *, who: str = "") -> None:
        """Add a tag to a device; raises Refused('not_found', 'invalid')."""
        _raise_refused(await self.editing.add_tags(connector_id, [identity], [(name, value)], who=who))

    async def remove_tag(self, connector_id: str, identity: str, name: str, value: str, *, who: str = "") -> None:
        """Take a tag from a device; raises Refused('not_found')."""
        _raise_refused(await self.editing.remove_tags(connector_id, [identity], [(name, value)], who=who))

    # --- resources ------------------------------------------------------------------------------------------------------

    async def resources(self, connector_id: str) -> list[ResourceRow]:
        """Return the resources of a connector compared with the other side's."""
        return await self.resource_desk.rows(connector_id)

    async def create_resource(self, connector_id: str, new: NewResource) -> None:
        """Make a resource; held readings of that name are released. Raises Refused('exists', 'invalid')."""
        await self.resource_desk.create(connector_id, new)

    async def create_resource_like_peer(self, connector_id: str, alias: str) -> None:
        """Make the same resource that the other side has (W9); raises Refused('exists', 'not_found')."""
        await self.resource_desk.create_like_peer(connector_id, alias)

    async def set_remote_sync(self, connector_id: str, alias: str, *, on: bool) -> None:
        """Switch a resource's readings into the stream or out of it (W9, G14); raises Refused('not_found')."""
        await self.resource_desk.switch(connector_id, [alias], on=on)

    # --- readings ------------------------------------------------------------------------------------------------------

    async def ingest(
        self, connector_id: str, body: bytes, content_type: str = "", reporters: Sequence[str] = ()
    ) -> Outcome:
        """Take a body of readings; raises Refused for the request as a whole, else says it per reading."""
        return await self.ingestion.take_body(connector_id, body, content_type, reporters)

    # --- account --------------------------------------------------------------------------------------------------------

    async def account(self, connector_id: str) -> tuple[Account | None, Account | None]:
        """Return (this side's account, the source's last statement at a target); None where there is none."""
        pair = self.pair(connector_id)
        if pair is None or pair.state is not PairState.PAIRED:
            return None, None
        return await self.database.read(
            lambda c: (accounts.own_account(c, pair), accounts.peer_account(c, connector_id))
        )

    async def books(self, connector_id: str) -> Books:
        """Return all that is counted of a connector, as of one instant; raises Refused('not_found')."""
        pair = self.pair(connector_id)
        if pair is None or pair.state is not PairState.PAIRED:
            return Books()
        settings, flow, now_ms = self.settings, self.catalogue.flow, self.clock.wall_ms()

        def unit(connection: sqlite3.Connection) -> Books:
            def rate(resource_id: int) -> float:
                return flow.per_minute(resource_id, now_ms)

            return read_books(connection, pair, settings.outbox_bytes_max, settings.outbox_full, rate)

        return await self.database.read(unit)

    async def gaps(self, connector_id: str) -> list[GapRow]:
        """Return the newest gap notices, newest first."""
        return await self.database.read(lambda c: gaps.list_gaps(c, connector_id))

    # --- housekeeping ---------------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            self.clock_watch.look()
            if self.guard.in_doubt:
                continue
            now_ms = self.clock.wall_ms()
            try:
                after: int | None = 0
                while after is not None:
                    after = await self.database.write(lambda c, at=after, now_ms=now_ms: _sweep(c, now_ms, at))  # type: ignore[misc]
                    await asyncio.sleep(0.05)
                while await self.database.write(lambda c, now_ms=now_ms: sweep_edits(c, now_ms, _HOUSEKEEPING_ROWS)):  # type: ignore[misc]  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            except StorageFailed as error:
                _log.warning("housekeeping put off: %s", error)


def _raise_refused(edited: Edited) -> None:
    for refused in edited.refused.values():
        raise refused


def _sweep(connection: sqlite3.Connection, now_ms: int, after: int) -> int | None:
    """Delete a bite of what is past its time; return the series to go on after, None at the end."""
    connectors.forget_dissolutions(connection, now_ms - 30 * DAY_MS)
    history_damage.forget_expired(connection, now_ms)
    return history.forget_expired(connection, now_ms, after=after, limit=_HOUSEKEEPING_ROWS)
