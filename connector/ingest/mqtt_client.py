"""aiomqtt with what a bridge needs beyond it: messages in batches, acknowledged by us, and ends that leave nothing open.

A message of QoS 1 is acknowledged (PUBACK) only once its readings are on our disk; until then the broker keeps it, and
sends at most as many more as its own in-flight window allows. That window is the back-pressure.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiomqtt
from aiomqtt import Message, MqttError

from connector.ingest.mqtt_settings import MqttSettings
from shared.errors import Refused
from shared.limits import MQTT_ANSWER_S, MQTT_KEEPALIVE_S, MQTT_QUEUE_MESSAGES_MAX

_REFUSED_FROM: Final = 128  # MQTT 3.1.1, 3.9.3: 0x80 and above are failures


class _Incoming(asyncio.Queue[Message]):
    """Messages not yet taken. Of QoS 0, which the broker does not wait for, those beyond the bound are dropped."""

    dropped = 0

    def put_nowait(self, item: Message) -> None:
        """Keep a message; one of QoS 1 always, as the broker bounds those."""
        if item.qos == 0 and self.qsize() >= MQTT_QUEUE_MESSAGES_MAX:
            self.dropped += 1
        else:
            super().put_nowait(item)


class AcknowledgingClient(aiomqtt.Client):
    """One connection to a broker. Use it through `connected`."""

    def __init__(
        self,
        settings: MqttSettings,
        password: str,
        context: ssl.SSLContext | None,
        *,
        client_id: str | None = None,
        keeps_session: bool = True,
    ) -> None:
        """`client_id` and `keeps_session` differ for a mere trial, which must not take over the session that is in use."""
        super().__init__(
            settings.host,
            settings.port,
            username=settings.user_name or None,
            password=password or None,
            identifier=settings.client_id if client_id is None else client_id,
            clean_session=not keeps_session,
            queue_type=_Incoming,
            tls_context=context,
            keepalive=MQTT_KEEPALIVE_S,
            timeout=MQTT_ANSWER_S,
        )
        self._client.manual_ack_set(True)
        self._client.connect_timeout = MQTT_ANSWER_S

    @property
    def dropped(self) -> int:
        """Messages of QoS 0 that came faster than they could be stored."""
        assert isinstance(self._queue, _Incoming)
        return self._queue.dropped

    async def subscribe_all(self, filters: Iterable[str], qos: int) -> None:
        """Subscribe; raises Refused('broker_not_reachable') where the broker does not let us, MqttError."""
        for topic in filters:
            for answered in await self.subscribe(topic, qos=qos):
                code = answered if isinstance(answered, int) else answered.value
                if code >= _REFUSED_FROM:
                    raise Refused("broker_not_reachable", why=f"it does not let us subscribe to '{topic}'")

    async def batch(self, most: int) -> list[Message]:
        """Wait for a message; return it with those that are there already. Raises MqttError when the connection ends."""
        found = [await anext(aiter(self.messages))]
        with suppress(asyncio.QueueEmpty):
            while len(found) < most:
                found.append(self._queue.get_nowait())
        return found

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that it may forget them."""
        for message in messages:
            self._client.ack(message.mid, message.qos)

    async def lost_within(self, seconds: float) -> None:
        """Wait; raises MqttError as soon as the connection ends meanwhile."""
        await asyncio.wait((self._disconnected,), timeout=seconds)
        if self._disconnected.done():
            raise MqttError("the connection ended")

    def abandon(self) -> None:
        """Close what is still open, without a word to the broker. May be called again."""
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()  # looked at, so that nobody complains that it never was
        if self._misc_task is not None:
            self._misc_task.cancel()
        opened: Any = self._client.socket()
        if opened is not None and opened.fileno() >= 0:
            self._loop.remove_reader(opened.fileno())
            self._loop.remove_writer(opened.fileno())
            opened.close()


@asynccontextmanager
async def connected(client: AcknowledgingClient) -> AsyncIterator[AcknowledgingClient]:
    """Connect for the time of a block; raises MqttError. What was opened is closed, however the block or the attempt ends."""
    # The attempt runs in a thread: cut off in the middle, it would connect all the same, with nobody to close it.
    entering = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(entering)
    except BaseException:
        # Whatever it ends in, it must not take the place of a cancellation: that would leave nobody to end the caller.
        with suppress(Exception, asyncio.CancelledError):
            await entering
        client.abandon()
        raise
    try:
        yield client
    finally:
        try:
            with suppress(Exception):
                await client.__aexit__(None, None, None)
        finally:
            client.abandon()
