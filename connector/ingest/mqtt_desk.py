"""All MQTT subscriptions of a site: kept in its database, each read by a task of its own, tried out before they are saved."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

import msgspec
from aiomqtt import MqttError

from connector.ingest import mqtt_rows
from connector.ingest.mqtt_client import AcknowledgingClient, connected
from connector.ingest.mqtt_mapping import Mapping
from connector.ingest.mqtt_reader import Around, MqttReader, ReaderStatus, Take, reason
from connector.ingest.mqtt_rows import Subscription
from connector.ingest.mqtt_settings import MqttSettings, checked, checked_password, tls_context
from connector.lines import Line
from connector.readings import definitions_of
from shared.batches import Format
from shared.clock import Clock
from shared.database import Database
from shared.errors import PairhubError, Refused
from shared.limits import MQTT_ANSWER_S, MQTT_TRIAL_S
from shared.supervision import supervised

_log = logging.getLogger(__name__)
_CLIENT_ID_PREFIX = (
    "pairhub-"  # with twelve letters behind it: brokers need not take more than 23 (MQTT 3.1.1, 3.1.3.1)
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying settings: whether broker and filters work, and what a first message would become."""

    connected: bool
    why: str = ""
    topic: str = ""
    payload: str = ""
    readings: list[Line] = field(default_factory=list)
    refusal: str = ""


class MqttDesk:
    """The MQTT ways in of one site. `start` runs what is stored; it ends with the task group of the site."""

    def __init__(self, *, database: Database, clock: Clock, take: Take, ring: Callable[[str, str], None]) -> None:
        """`take` stores grouped readings, `ring` tells pages: both of the site's."""
        self._database = database
        self._clock = clock
        self._around = Around(clock, take, self._formats, ring)
        self._ring = ring
        self._tasks: asyncio.TaskGroup | None = None
        self._readers: dict[str, tuple[MqttReader, asyncio.Task[None]]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start what is stored and enabled."""
        self._tasks = tasks
        for subscription in await self._database.read(mqtt_rows.list_subscriptions):
            self._start(subscription)

    # --- settings -----------------------------------------------------------------------------------------------------

    async def subscriptions(self, connector_id: str) -> list[Subscription]:
        """Return the subscriptions of a connector, oldest first."""
        return await self._database.read(lambda c: mqtt_rows.list_subscriptions(c, connector_id))

    async def subscription(self, connector_id: str, subscription_id: str) -> Subscription:
        """Return one; raises Refused('not_found')."""
        return await self._database.read(lambda c: mqtt_rows.get_subscription(c, connector_id, subscription_id))

    def status(self, subscription_id: str) -> ReaderStatus:
        """Return what a subscription has done since this start."""
        running = self._readers.get(subscription_id)
        return running[0].status if running is not None else ReaderStatus()

    async def create(self, connector_id: str, settings: MqttSettings, password: str) -> Subscription:
        """Store a subscription and start it; raises Refused('invalid', 'exists', 'target_not_writable', 'not_found')."""
        settings = await asyncio.to_thread(checked, settings)
        if not settings.client_id:
            settings = msgspec.structs.replace(settings, client_id=_CLIENT_ID_PREFIX + secrets.token_hex(6))
        made = Subscription(secrets.token_hex(8), connector_id, settings, checked_password(password))
        now_ms = self._clock.wall_ms()
        async with self._turn(made.subscription_id):
            await self._database.write(lambda c: mqtt_rows.add_subscription(c, made, now_ms))
            self._start(made)
        self._ring(connector_id, "mqtt")
        return made

    async def change(
        self, connector_id: str, subscription_id: str, settings: MqttSettings, password: str | None
    ) -> Subscription:
        """Store other settings, and the password where one is given, and start with them; raises Refused."""
        settings = await asyncio.to_thread(checked, settings)
        if password is not None:
            checked_password(password)
        async with self._turn(subscription_id):
            old = await self.subscription(connector_id, subscription_id)
            made = _changed(old, settings, password)
            await self._database.write(lambda c: mqtt_rows.replace_subscription(c, made))
            await self._stop(subscription_id)
            if _session_of(made.settings) != _session_of(old.settings):
                self._forget_session(old)
            self._start(made)
        self._ring(connector_id, "mqtt")
        return made

    async def delete(self, connector_id: str, subscription_id: str) -> None:
        """Delete a subscription, and its session at the broker where that can be reached; raises Refused('not_found')."""
        async with self._turn(subscription_id):
            old = await self.subscription(connector_id, subscription_id)
            await self._database.write(lambda c: mqtt_rows.delete_subscription(c, connector_id, subscription_id))
            await self._stop(subscription_id)
            self._forget_session(old)
        self._ring(connector_id, "mqtt")

    async def stop(self, subscriptions: Sequence[Subscription]) -> None:
        """End what reads for a connector that was deleted, and its sessions at the brokers."""
        for subscription in subscriptions:
            async with self._turn(subscription.subscription_id):
                await self._stop(subscription.subscription_id)
                self._forget_session(subscription)

    async def try_out(self, connector_id: str, settings: MqttSettings, password: str) -> Trial:
        """Connect beside what runs, subscribe, and wait a moment for a message; raises Refused('invalid')."""
        settings, password = await asyncio.to_thread(checked, settings), checked_password(password)
        formats = await self._formats(connector_id)
        try:
            context = await asyncio.to_thread(tls_context, settings)
            trial_id = _CLIENT_ID_PREFIX + secrets.token_hex(6)
            client = AcknowledgingClient(settings, password, context, client_id=trial_id, keeps_session=False)
            async with connected(client):
                await client.subscribe_all(settings.filters(), 0)
                try:
                    message = (await asyncio.wait_for(client.batch(1), MQTT_TRIAL_S))[0]
                except TimeoutError:
                    return Trial(connected=True)
        except (MqttError, PairhubError, OSError) as error:
            return Trial(connected=False, why=reason(error))
        shown = message.payload[:300].decode(errors="replace")
        seen = Trial(connected=True, topic=str(message.topic)[:300], payload=shown)
        try:
            return replace(seen, readings=Mapping(settings).read(str(message.topic), message.payload, formats).lines)
        except Refused as refused:
            return replace(seen, refusal=str(refused))

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _turn(self, subscription_id: str) -> asyncio.Lock:
        """Return what one holds from the row to the reader: with two at once, one of two readers would be nobody's."""
        return self._turns.setdefault(subscription_id, asyncio.Lock())

    def _start(self, subscription: Subscription) -> None:
        if not subscription.settings.enabled or self._tasks is None:
            return
        subscription_id = subscription.subscription_id

        async def on_former_left() -> None:
            await self._database.write(lambda c: mqtt_rows.leave_former(c, subscription_id))

        reader = MqttReader(
            subscription.connector_id,
            subscription.settings,
            subscription.password,
            subscription.former,
            self._around,
            on_former_left,
        )
        reading = supervised("MQTT subscription", reader.run, {"connector": subscription.connector_id})
        task = self._tasks.create_task(reading, name=f"mqtt {subscription_id}")
        self._readers[subscription_id] = (reader, task)

    async def _stop(self, subscription_id: str) -> None:
        """End a reader and wait for it: two connections of one client ID throw each other out."""
        running = self._readers.pop(subscription_id, None)
        if running is not None:
            running[1].cancel()
            await asyncio.wait((running[1],))

    def _forget_session(self, subscription: Subscription) -> None:
        """Let the broker drop what it keeps for a client that will not come back; where it is away, it keeps it."""
        if self._tasks is not None:
            self._tasks.create_task(_forget(subscription))

    async def _formats(self, connector_id: str) -> dict[str, Format]:
        found = await self._database.read(lambda c: definitions_of(c, connector_id))
        return {alias: definition.format for alias, definition in found.items()}


def _changed(old: Subscription, settings: MqttSettings, password: str | None) -> Subscription:
    """Return a subscription with other settings; without a client ID or a password it keeps those that it has."""
    settings = msgspec.structs.replace(settings, client_id=settings.client_id or old.settings.client_id)
    moved = _session_of(settings) != _session_of(old.settings)
    former = () if moved else tuple(dict.fromkeys((*old.former, *old.settings.filters())))
    return replace(old, settings=settings, password=old.password if password is None else password, former=former)


def _session_of(settings: MqttSettings) -> tuple[str, int, str]:
    return settings.host, settings.port, settings.client_id


async def _forget(subscription: Subscription) -> None:
    """Try once. It runs among the site's own tasks, of which none may fail: nothing that a broker is comes out of it."""
    try:
        async with asyncio.timeout(3 * MQTT_ANSWER_S):
            context = await asyncio.to_thread(tls_context, subscription.settings)
            client = AcknowledgingClient(subscription.settings, subscription.password, context, keeps_session=False)
            async with connected(client):
                pass
    except Exception as error:  # noqa: BLE001  # whatever it is, the session stays with the broker
        _log.info(
            "MQTT session left with its broker: %s", reason(error), extra={"connector": subscription.connector_id}
        )
