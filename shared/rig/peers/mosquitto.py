"""Mosquitto as a bridge between two sites: three brokers, source > hub > target, QoS 1, a subscriber at the target.

Persistence is on and queues are unlimited; the brokers write to disk every 30 minutes and at their end, which is how they come.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from shared.errors import PairhubError
from shared.rig.peers.servers import Server, find_program, free_ports, version_of
from shared.rig.peers.windowed import send_all

_CHAIN: Final = {"source": "hub", "hub": "target", "target": ""}
_TOPIC: Final = b"telemetry/x"
_PROBE: Final = b"telemetry/probe"
_WINDOW: Final = 2_000
_STALLED_S: Final = 60.0
_JOINED_S: Final = 30.0
_CONNECTED: Final = b"\x20\x02\x00\x00"
_ACKNOWLEDGEMENT_BYTES: Final = 4


def publish(topic: bytes, payload: bytes, at: int) -> bytes:
    """Return the `at`th message of a connection with QoS 1, as it goes over the wire (MQTT 3.1.1, 3.3)."""
    rest = struct.pack(">H", len(topic)) + topic + struct.pack(">H", at % 65_535 + 1) + payload
    length, size = len(rest), bytearray()
    while True:
        length, low = length >> 7, length & 127
        size.append(low | (128 if length else 0))
        if not length:
            return b"\x32" + bytes(size) + rest


class _Acknowledgements:
    """Counts acknowledgements, four bytes each, behind the answer to CONNECT."""

    def __init__(self) -> None:
        self._rest = b""
        self._greeted = False

    def count(self, data: bytes) -> int:
        """Return how many are complete; raises PairhubError where the broker refused."""
        self._rest += data
        if not self._greeted:
            if len(self._rest) < len(_CONNECTED):
                return 0
            if not self._rest.startswith(_CONNECTED):
                raise PairhubError(f"mosquitto refused the connection: {self._rest[:20]!r}")
            self._greeted, self._rest = True, self._rest[len(_CONNECTED) :]
        complete = len(self._rest) // _ACKNOWLEDGEMENT_BYTES
        self._rest = self._rest[complete * _ACKNOWLEDGEMENT_BYTES :]
        return complete


class Mosquitto:
    """Three brokers on fresh data; `async with` it."""

    def __init__(self, folder: Path) -> None:
        """Raises PairhubError where broker or subscriber are not installed."""
        self._program = find_program("mosquitto", "mosquitto")
        self._subscriber = find_program("mosquitto_sub", "mosquitto-clients")
        ports = dict(zip(_CHAIN, free_ports(3), strict=True))
        self._servers: dict[str, Server] = {}
        for name, above in _CHAIN.items():
            store = folder / f"mosquitto-{name}"
            store.mkdir()
            lines = [
                "user root",  # else a broker that root starts cannot read this folder; nobody else's does anything with it
                f"listener {ports[name]} 127.0.0.1",
                "allow_anonymous true",
                "persistence true",
                f"persistence_location {store}/",
                "max_queued_messages 0",
                "log_type error",
                "log_type warning",
            ]
            if above:
                lines += [
                    f"connection {name}",
                    f"address 127.0.0.1:{ports[above]}",
                    "topic telemetry/# out 1",
                    "cleansession false",
                    "notifications false",
                    f"remote_clientid bridge-{name}",
                    "restart_timeout 1",
                ]
            config = folder / f"mosquitto-{name}.conf"
            config.write_text("\n".join(lines) + "\n", encoding="utf-8")
            self._servers[name] = Server([self._program, "-c", str(config)], ports[name], config.with_suffix(".log"))

    async def __aenter__(self) -> Mosquitto:
        try:
            for name in ("target", "hub", "source"):
                await self._servers[name].start()
            await self._until_joined()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        for server in self._servers.values():
            await server.stop()

    async def version(self) -> str:
        """Return what the broker calls itself."""
        return await version_of(self._program, "-h")

    async def stream_s(self, payloads: Sequence[bytes]) -> float:
        """Return the seconds from the first message at the source until the target's subscriber has printed all."""
        messages = [publish(_TOPIC, payload, at) for at, payload in enumerate(payloads)]
        async with asyncio.timeout(_STALLED_S + len(messages) / 1_000):
            subscriber = await self._subscribe(_TOPIC)
            try:
                began = time.perf_counter()
                sending = asyncio.ensure_future(self._send("bench", messages))
                await _read_lines(subscriber, len(messages))
                taken_s = time.perf_counter() - began
                await sending
                return taken_s
            finally:
                subscriber.terminate()
                await subscriber.wait()

    async def _until_joined(self) -> None:
        """Send a probe again and again until one arrives at the target."""
        subscriber = await self._subscribe(_PROBE)
        arrived = asyncio.ensure_future(_read_lines(subscriber, 1))
        try:
            async with asyncio.timeout(_JOINED_S):
                while not arrived.done():
                    await self._send("probe", [publish(_PROBE, b"probe", 0)])
                    await asyncio.wait([arrived], timeout=0.2)
                await arrived
        except TimeoutError:
            raise PairhubError("mosquitto's bridges did not join in time") from None
        finally:
            arrived.cancel()
            subscriber.terminate()
            await subscriber.wait()

    async def _subscribe(self, topic: bytes) -> asyncio.subprocess.Process:
        """Subscribe, and return the program that prints what comes, a line each."""
        # A session that outlives its connection: from its first end on, nothing is missed.
        words = [self._subscriber, "-p", str(self._servers["target"].port), "-q", "1", "-t", topic.decode()]
        words += ["-c", "-i", "reader-" + topic.decode().replace("/", "-")]
        first = await asyncio.create_subprocess_exec(*words, "-E")
        if await asyncio.wait_for(first.wait(), _JOINED_S) != 0:
            raise PairhubError("mosquitto_sub could not subscribe at the target")
        return await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)

    async def _send(self, client_id: str, messages: Sequence[bytes]) -> None:
        name = client_id.encode()
        hello = (
            b"\x10" + bytes([12 + len(name)]) + b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack(">H", len(name)) + name
        )
        await send_all(self._servers["source"].port, hello, messages, _WINDOW, _Acknowledgements().count)


async def _read_lines(subscriber: asyncio.subprocess.Process, count: int) -> None:
    """Read until a program has printed so many lines; raises PairhubError where it ends before."""
    assert subscriber.stdout is not None
    seen = 0
    while seen < count:
        data = await subscriber.stdout.read(2**20)
        if not data:
            raise PairhubError("mosquitto_sub ended before everything had arrived")
        seen += data.count(b"\n")
