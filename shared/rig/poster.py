"""A lean HTTP client that posts prepared bodies: the load of a bench must not be what is measured.

Requests are laid out as bytes before the clock starts; a connection sends one, waits for its answer and sends the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

from shared.errors import PairhubError

_STATUS_BYTES = len(b"HTTP/1.1 200")


def request_bytes(url: str, token: str, body: bytes, content_type: str = "application/x-ndjson") -> bytes:
    """Return a whole POST as it goes over the wire."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One connection: sends until there is nothing more, or an answer is not 200."""

    def __init__(self, requests: Iterator[bytes], ended: asyncio.Future[None]) -> None:
        self._requests = requests
        self._ended = ended
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, blank, rest = self._answer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or b"0")
        if len(rest) < length:
            return
        if not head[:_STATUS_BYTES].endswith(b"200"):
            self._end(PairhubError(f"the daemon answered {head[:40]!r} {rest[:500]!r}"))
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(PairhubError(f"the daemon closed the connection ({exc})"))

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None or self._ended.done():
            self._end(None)
            self._transport.close()
        else:
            self._transport.write(request)

    def _end(self, error: PairhubError | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


async def post_all(url: str, requests: Iterator[bytes], connections: int) -> None:
    """Post all requests over so many connections at once; raises PairhubError where one is not answered with 200."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    waiting: list[asyncio.Future[None]] = []
    for _ in range(connections):
        ended: asyncio.Future[None] = loop.create_future()
        connection = _Connection(requests, ended)
        await loop.create_connection(lambda each=connection: each, parts.hostname or "", parts.port or 80)  # type: ignore[misc]
        waiting.append(ended)
    await asyncio.gather(*waiting)
