"""One reading after the other, and when the target tells of it: what the benches measure the delay of live readings with.

*Accepted* is the moment the answer of the request is read here; *applied* the moment the target's stream of events, which
tells of committed readings only, has told of it. Both clients are plain sockets.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final

import msgspec

from shared.errors import PairhubError
from shared.rig.client import until
from shared.rig.daemons import Daemon
from shared.rig.plain_http import answer, connect, head_of

LIVE_DEVICE: Final = "device-00"
# A line that lags behind by more gives up what was due: its lag would be counted as the delay of a later part of a bench.
_LAG_MAX_S: Final = 1.0


class _Event(msgspec.Struct):
    readings: list[tuple[int, float]]


class ReadingPoster:
    """Posts one reading after the other over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, resource: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head
        self._resource = resource

    @classmethod
    async def open(cls, site: Daemon, connector_id: str, resource: str) -> ReadingPoster:
        """Connect to a site."""
        reader, writer = await connect(site)
        head = head_of(site, "POST", f"/api/v1/connectors/{connector_id}/readings")
        return cls(reader, writer, head + "Content-Type: application/x-ndjson\r\n", resource)

    async def post(self, at_ms: int, value: float) -> None:
        """Send a reading; raises PairhubError where it was not accepted."""
        body = msgspec.json.encode(
            {"device": LIVE_DEVICE, "resource": self._resource, "timestamp": at_ms, "value": float(value)}
        )
        self._writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, body = await answer(self._reader)
        if status != 200 or b'"accepted":1' not in body:
            raise PairhubError(f"a reading was not accepted: {status} {body[:200]!r}")

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


class LiveLine:
    """Readings posted at a steady pace at one site, and when another told of them; `async with` it.

    Readings are named by their time (ms). Each is due at its moment whether or not the one before is back.
    """

    def __init__(self, source: tuple[Daemon, str], target: tuple[Daemon, str], resource: str, per_s: float) -> None:
        """`source` and `target` are daemons with the connector at each."""
        self._source = source
        self._target = target
        self._resource = resource
        self._per_s = per_s
        self._tasks: list[asyncio.Task[None]] = []
        self.sent_s: dict[int, float] = {}
        self.accepted_s: dict[int, float] = {}
        self.applied_s: dict[int, float] = {}

    async def __aenter__(self) -> LiveLine:
        poster = await ReadingPoster.open(*self._source, self._resource)
        # The first reading makes the device on both sides, whose arrival is not what is measured.
        await poster.post(_first_ms() - 1, 0)
        listening = asyncio.Event()
        self._tasks = [
            asyncio.ensure_future(listen(*self._target, self._resource, self.applied_s, listening)),
            asyncio.ensure_future(self._post(poster)),
        ]
        await asyncio.wait_for(listening.wait(), 30)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _post(self, poster: ReadingPoster) -> None:
        first_ms, began = _first_ms(), time.perf_counter()
        at = 0
        try:
            while True:
                wait_s = began + at / self._per_s - time.perf_counter()
                if wait_s < -_LAG_MAX_S:
                    began, wait_s = began - wait_s - _LAG_MAX_S, -_LAG_MAX_S
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                # Where the machine lags behind, the wait counts: the reading was due earlier.
                self.sent_s[first_ms + at] = time.perf_counter() + min(0.0, wait_s)
                await poster.post(first_ms + at, at)
                self.accepted_s[first_ms + at] = time.perf_counter()
                at += 1
        finally:
            poster.close()

    def check(self) -> None:
        """Raise what ended the line, if anything did."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def first_applied_s(self, since_s: float, timeout_s: float) -> float:
        """Wait for the first reading sent after a moment of `time.perf_counter` to be applied; return when it was."""

        async def found() -> float:
            self.check()
            return min(
                (self.applied_s[at] for at, sent in self.sent_s.items() if sent >= since_s and at in self.applied_s),
                default=0.0,
            )

        return float(await until(found, timeout_s=timeout_s, every_s=0.005, what="a live reading to be applied"))

    def delays_ms(self, since_s: float, until_s: float) -> tuple[list[float], list[float]]:
        """Return accepted to applied, and sent to accepted, of what was sent and applied in a span (perf_counter).

        What was sent in the span and is not applied a second after its end counts as if it had been then.
        """
        timed = [at for at, sent in self.sent_s.items() if since_s <= sent < until_s and at in self.accepted_s]
        late_s = until_s + 1.0
        # An answer and its event may overtake each other on their ways back here.
        applied = [max(0.0, min(self.applied_s.get(at, late_s), late_s) - self.accepted_s[at]) for at in timed]
        accepted = [self.accepted_s[at] - self.sent_s[at] for at in timed]
        return [1_000 * each for each in applied], [1_000 * each for each in accepted]


def _first_ms() -> int:
    return int(time.time() * 1_000) - 86_400_000


async def listen(
    site: Daemon, connector_id: str, resource: str, applied_s: dict[int, float], listening: asyncio.Event
) -> None:
    """Note when a site tells of each reading of a resource; `listening` is set once it would."""
    reader, writer = await connect(site)
    path = f"/api/v1/connectors/{connector_id}/events?kinds=readings&resource={resource}"
    writer.write((head_of(site, "GET", path) + "Accept: text/event-stream\r\n\r\n").encode())
    decoder = msgspec.json.Decoder(_Event)
    try:
        while line := await reader.readline():
            if line.startswith(b":"):
                listening.set()
            elif line.startswith(b"data: "):
                now_s = time.perf_counter()
                for at_ms, _ in decoder.decode(line[6:]).readings:
                    applied_s.setdefault(at_ms, now_s)
    finally:
        writer.close()


def quantile(durations_ms: list[float], part: float) -> float:
    """Return a quantile, rounded to a microsecond; raises PairhubError where there is next to nothing to take it of."""
    if len(durations_ms) < 2:
        raise PairhubError("too few readings arrived for a figure")
    return round(statistics.quantiles(durations_ms, n=1_000, method="inclusive")[round(part * 1_000) - 1], 3)
