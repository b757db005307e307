"""Answers over HTTP that end: a deadline for the whole of one, and a bound of its bytes, whatever it is that answers.

A client's own timeouts are for one read each, and it keeps what it has read: an answer that trickles on for ever would
hold up whoever waits for it, and fill the memory. Every request that a daemon makes goes through here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2


@asynccontextmanager
async def answer_to(
    http: httpx2.AsyncClient,
    method: str,
    address: str,
    *,
    deadline_s: float,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[httpx2.Response]:
    """Ask, and yield the head of the answer; block and all are over after `deadline_s`. Raises httpx2.HTTPError, OSError.

    What was not read of the body at the end of the block never is.
    """
    plain = {"Accept-Encoding": "identity", **(headers or {})}  # what is packed is of any size
    try:
        async with (
            asyncio.timeout(deadline_s),
            http.stream(method, address, content=content, headers=plain) as response,
        ):
            yield response
    except TimeoutError as error:
        raise httpx2.ReadTimeout(f"no whole answer within {deadline_s:g} s") from error


async def body_of(response: httpx2.Response, bytes_max: int) -> bytes:
    """Return the body of an answer as it came; raises httpx2.ReadError where it has more bytes, httpx2.HTTPError."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > bytes_max:
            raise httpx2.ReadError(f"the answer has more than {bytes_max} bytes")
    return bytes(body)
