"""`pairhub bench live`: how long one reading takes from accepted at the source to applied at the target, at a steady pace.

One reading per request at a fixed rate, each due at its moment whether or not the one before is back (so that a hiccup is
not hidden by waiting for it). *Accepted* is the moment the answer of the request is read here; *applied* the moment the
target's stream of events, which tells of committed readings only, has told of it. Both clients are plain sockets.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import psutil

from shared.errors import PairhubError
from shared.rig.bench_stream import Stage
from shared.rig.client import operator_token, until
from shared.rig.daemons import Daemon

_WARM_UP_S: Final = 2.0
_LAST_S: Final = 10.0
_DEVICE: Final = "device-00"
_RESOURCE: Final = "resource-0"


class _Event(msgspec.Struct):
    readings: list[tuple[int, float]]


async def measure(readings: int, per_s: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError."""
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        async with Stage(Path(folder)) as stage:
            warm_up = round(_WARM_UP_S * per_s)
            applied_s: dict[int, float] = {}
            accepted_s: dict[int, float] = {}
            sent_s: dict[int, float] = {}
            poster = await _Poster.open(stage.source, stage.source_id)
            # The first reading makes the device on both sides, whose arrival is not what is measured.
            await poster.post(_first_ms() - 1, 0)
            listening = asyncio.Event()
            listener = asyncio.ensure_future(_listen(stage.target, stage.target_id, applied_s, listening))
            await asyncio.wait_for(listening.wait(), 30)
            say(f"Sending {readings} readings at {per_s:g}/s ...")
            try:
                await _send(poster, warm_up + readings, per_s, sent_s, accepted_s)
                await _until_all(applied_s, sent_s)
            finally:
                listener.cancel()
                poster.close()
    timed = sorted(sent_s)[warm_up:]
    lost = [at for at in timed if at not in applied_s]
    # An answer and its event may overtake each other on their ways back here.
    accepted_ms = [max(0.0, applied_s[at] - accepted_s[at]) * 1_000 for at in timed if at in applied_s]
    whole_ms = [(applied_s[at] - sent_s[at]) * 1_000 for at in timed if at in applied_s]
    return {
        "readings": readings,
        "per_s": per_s,
        "p50_ms": _quantile(accepted_ms, 0.50),
        "p99_ms": _quantile(accepted_ms, 0.99),
        "sent_p50_ms": _quantile(whole_ms, 0.50),
        "sent_p99_ms": _quantile(whole_ms, 0.99),
        "lost": len(lost),
        "cpu_count": psutil.cpu_count(),
    }


def _first_ms() -> int:
    return int(time.time() * 1_000) - 86_400_000


async def _send(
    poster: _Poster, count: int, per_s: float, sent_s: dict[int, float], accepted_s: dict[int, float]
) -> None:
    loop = asyncio.get_running_loop()
    first_ms, began = _first_ms(), loop.time()
    for at in range(count):
        wait_s = began + at / per_s - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        # Where the machine lags behind, the wait counts: the reading was due earlier.
        sent_s[first_ms + at] = time.perf_counter() + min(0.0, wait_s)
        await poster.post(first_ms + at, at)
        accepted_s[first_ms + at] = time.perf_counter()


async def _until_all(applied_s: dict[int, float], sent_s: dict[int, float]) -> None:
    """Give the last ones time to arrive; what has not is counted as lost."""

    async def all_arrived() -> bool:
        # The reading that made the device may be told of, too.
        return sent_s.keys() <= applied_s.keys()

    with suppress(PairhubError):
        await until(all_arrived, timeout_s=_LAST_S)


class _Poster:
    """Posts one reading after the other over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, site: Daemon, connector_id: str) -> _Poster:
        """Connect to a site."""
        reader, writer = await _connect(site)
        head = _head(site, "POST", f"/api/v1/connectors/{connector_id}/readings")
        return cls(reader, writer, head + "Content-Type: application/x-ndjson\r\n")

    async def post(self, at_ms: int, value: float) -> None:
        """Send a reading; raises PairhubError where it was not accepted."""
        body = msgspec.json.encode(
            {"device": _DEVICE, "resource": _RESOURCE, "timestamp": at_ms, "value": float(value)}
        )
        self._writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, answer = await _answer(self._reader)
        if status != 200 or b'"accepted":1' not in answer:
            raise PairhubError(f"a reading was not accepted: {status} {answer[:200]!r}")

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


async def _listen(site: Daemon, connector_id: str, applied_s: dict[int, float], listening: asyncio.Event) -> None:
    """Note when the target tells of each reading."""
    reader, writer = await _connect(site)
    path = f"/api/v1/connectors/{connector_id}/events?kinds=readings&resource={_RESOURCE}"
    writer.write((_head(site, "GET", path) + "Accept: text/event-stream\r\n\r\n").encode())
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


async def _connect(site: Daemon) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(site.url)
    return await asyncio.open_connection(where.hostname, where.port)


def _head(site: Daemon, method: str, path: str) -> str:
    token = operator_token(site.data_dir)
    return f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(site.url).netloc}\r\nAuthorization: Bearer {token}\r\n"


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0].strip() or 0)
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


def _quantile(durations_ms: list[float], part: float) -> float:
    if len(durations_ms) < 2:
        raise PairhubError("too few readings arrived for a figure")
    return round(statistics.quantiles(durations_ms, n=1_000, method="inclusive")[round(part * 1_000) - 1], 3)
