"""A proxy on a site's way out, as companies have them: HTTP CONNECT, or SOCKS 5 with names resolved by the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass
class WayOut:
    """A running proxy: its address, and how many connections it has passed on."""

    url: str
    passed: int = 0


@asynccontextmanager
async def way_out(kind: str) -> AsyncIterator[WayOut]:
    """Run a proxy for the time of a block; `kind` is `http` or `socks5h`."""
    tasks: set[asyncio.Task[None]] = set()
    told = WayOut("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            host, port = await (_connect if kind == "http" else _socks)(reader, writer)
            there_reader, there = await asyncio.open_connection(host, port)
            told.passed += 1
            await asyncio.gather(_pass(reader, there), _pass(there_reader, writer))
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    told.url = f"{kind}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield told
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    head = await reader.readuntil(b"\r\n\r\n")
    method, authority, _ = head.decode().split("\r\n")[0].split(" ")
    assert method == "CONNECT"
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    host, _, port = authority.rpartition(":")
    return host, int(port)


async def _socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """RFC 1928, without authentication."""
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    _, _, _, kind = await reader.readexactly(4)
    if kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = ".".join(str(part) for part in await reader.readexactly(4))
    port = int.from_bytes(await reader.readexactly(2), "big")
    writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
    return host, port


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    finally:
        writer.close()
