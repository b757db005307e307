"""A server that says over TCP whatever a test wants said, and leaves nothing open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(answer: Answer) -> AsyncIterator[int]:
    """Answer each connection for the time of a block, at whose end all are cut; yield the port."""
    open_ones: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones[task] = writer
        with suppress(OSError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        del open_ones[task]

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_ones.values():
            writer.transport.abort()
        if open_ones:
            await asyncio.wait(list(open_ones))
        await server.wait_closed()


async def without_end(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Say the same again and again until nobody listens; raises OSError."""
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.002)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Listen and never answer."""
    while await reader.read(1024):
        pass
