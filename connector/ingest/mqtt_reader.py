"""One MQTT subscription at work: connects, takes what comes, acknowledges what is stored, and comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from aiomqtt import Message, MqttError

from connector.ingest.mqtt_client import AcknowledgingClient, connected
from connector.ingest.mqtt_mapping import Mapping
from connector.ingest.mqtt_settings import MqttSettings, tls_context
from connector.lines import Groups, Lines, group_lines
from connector.readings import Outcome
from shared.batches import Format
from shared.clock import Clock
from shared.core.link_state import Backoff
from shared.errors import PairhubError, Refused, StorageFailed
from shared.limits import MQTT_BATCH_MESSAGES_MAX, MQTT_REFUSALS_SHOWN_MAX, SECOND_MS
from shared.supervision import end_if_cancelled

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ReaderState(StrEnum):
    """How a subscription stands."""

    OFF = "off"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    WAITING = "waiting"
    """Connected, but this connector takes nothing at the moment: the broker keeps what comes."""


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message, or a reading of one, that was not taken."""

    at_ms: int
    topic: str
    code: str
    message: str


@dataclass(slots=True)
class ReaderStatus:
    """What a subscription has done since this start. Times are ms since 1970."""

    state: ReaderState = ReaderState.OFF
    since_ms: int = 0
    why: str = ""
    next_attempt_ms: int | None = None
    last_message_ms: int | None = None
    messages: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    ignored: int = 0
    """Retained messages that were left alone."""
    dropped: int = 0
    """Messages of QoS 0 that came faster than they could be stored."""
    last_refusals: deque[RefusedMessage] = field(default_factory=lambda: deque(maxlen=MQTT_REFUSALS_SHOWN_MAX))


class Take(Protocol):
    """The way in for grouped readings (connector.ingestion.Ingestion.take)."""

    async def __call__(
        self, connector_id: str, lines: Lines | Groups, outcome: Outcome, *, reporters: Sequence[str] = ()
    ) -> None:
        """Store what is good; raises Refused for all of it."""


@dataclass(frozen=True, slots=True)
class Around:
    """What readers of a site share."""

    clock: Clock
    take: Take
    formats: Callable[[str], Awaitable[dict[str, Format]]]
    ring: Callable[[str, str], None]


class MqttReader:
    """Keeps one subscription going; call `run` once."""

    def __init__(
        self,
        connector_id: str,
        settings: MqttSettings,
        password: str,
        former: Sequence[str],
        around: Around,
        on_former_left: Callable[[], Awaitable[None]],
    ) -> None:
        """`former` are filters of earlier settings that the broker's session may still hold; told once they are left."""
        self.status = ReaderStatus(since_ms=around.clock.wall_ms())
        self._connector_id = connector_id
        self._settings = settings
        self._password = password
        self._former = [topic for topic in former if topic not in settings.filters()]
        self._around = around
        self._on_former_left = on_former_left
        self._mapping = Mapping(settings)

    async def run(self) -> None:
        """Connect, and again whenever the connection ends, until cancelled."""
        backoff = Backoff()
        self._move(ReaderState.CONNECTING)
        try:
            while True:
                started_ms = self._around.clock.monotonic_ms()
                why = await self._once()
                lived_ms = self._around.clock.monotonic_ms() - started_ms
                wait_ms = backoff.next_ms(lived_ms=lived_ms, chance=secrets.randbelow(1 << 24) / (1 << 24))
                self.status.next_attempt_ms = self._around.clock.wall_ms() + wait_ms
                self._move(ReaderState.RECONNECTING, why)
                _log.info("MQTT connection lost: %s", why, extra={"connector": self._connector_id})
                await asyncio.sleep(wait_ms / SECOND_MS)
        finally:
            self._move(ReaderState.OFF)

    async def _once(self) -> str:
        """Live one connection; return why it ended."""
        try:
            context = await asyncio.to_thread(tls_context, self._settings)
            client = AcknowledgingClient(self._settings, self._password, context)
            async with connected(client):
                await self._serve(client)
        except (MqttError, PairhubError, OSError, UnicodeError) as error:  # the last: a host that no resolver takes
            end_if_cancelled(error)
            return reason(error)
        return "the connection ended"

    async def _serve(self, client: AcknowledgingClient) -> None:
        settings = self._settings
        if self._former:
            await client.unsubscribe(self._former)
            await self._on_former_left()
            self._former = []
        await client.subscribe_all(settings.filters(), settings.qos)
        self.status.next_attempt_ms = None
        self._move(ReaderState.CONNECTED)
        dropped = self.status.dropped
        while True:
            messages = await client.batch(MQTT_BATCH_MESSAGES_MAX)
            self.status.dropped = dropped + client.dropped
            await self._take(client, messages)
            client.acknowledge(messages)
            self._around.ring(self._connector_id, "readings")

    # --- messages -----------------------------------------------------------------------------------------------------

    async def _take(self, client: AcknowledgingClient, messages: Sequence[Message]) -> None:
        """Store the readings of messages; returns once all are on the disk or refused for good."""
        self.status.messages += len(messages)
        self.status.last_message_ms = self._around.clock.wall_ms()
        formats = await self._patiently(client, lambda: self._around.formats(self._connector_id))
        parts: dict[str, Groups] = {}
        topics: list[str] = []
        for message in messages:
            if message.retain and self._settings.retained == "ignore":
                self.status.ignored += 1
                continue
            topic = str(message.topic)
            try:
                mapped = self._mapping.read(topic, message.payload, formats)
            except Refused as refused:
                self._refuse(topic, refused.code, str(refused))
                continue
            first = len(topics) + 1
            topics += [topic] * len(mapped.lines)
            group_lines(enumerate(mapped.lines, start=first), parts.setdefault(mapped.gateway, {}))
        for gateway, groups in parts.items():
            await self._store(client, groups, (gateway,) if gateway else (), topics)

    async def _store(
        self, client: AcknowledgingClient, groups: Groups, reporters: Sequence[str], topics: Sequence[str]
    ) -> None:
        outcome = Outcome()
        await self._patiently(
            client, lambda: self._around.take(self._connector_id, groups, outcome, reporters=reporters)
        )
        self.status.accepted += outcome.accepted
        self.status.repeated += outcome.repeated
        self.status.refused += outcome.refused - len(outcome.refusals)
        for refusal in outcome.refusals:
            self._refuse(topics[refusal.line - 1], refusal.code, refusal.message)

    async def _patiently(self, client: AcknowledgingClient, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until this site takes it: nothing is acknowledged meanwhile, so the broker keeps what comes.

        Raises MqttError when the connection ends; the broker then sends again what was not acknowledged.
        """
        backoff = Backoff()
        while True:
            try:
                answer = await ask()
            except (Refused, StorageFailed) as error:
                self._move(ReaderState.WAITING, str(error))
                await client.lost_within(backoff.next_ms(lived_ms=0, chance=0.5) / SECOND_MS)
                continue
            self._move(ReaderState.CONNECTED)
            return answer

    def _refuse(self, topic: str, code: str, message: str) -> None:
        self.status.refused += 1
        self.status.last_refusals.append(RefusedMessage(self._around.clock.wall_ms(), topic[:300], code, message))

    def _move(self, state: ReaderState, why: str = "") -> None:
        if (self.status.state, self.status.why) != (state, why):
            self.status.state, self.status.why = state, why
            self.status.since_ms = self._around.clock.wall_ms()
            self._around.ring(self._connector_id, "mqtt")


def reason(error: BaseException) -> str:
    """Say in words why a broker cannot be used."""
    return str(error) or type(error).__name__
