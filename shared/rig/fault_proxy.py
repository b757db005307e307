"""A TCP proxy between a site and its hub that cuts, freezes, slows and alters what passes: the network at its worst.

It knows just enough of HTTP and WebSocket (RFC 6455, 5.2) to show a test each frame of a link before it is passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Literal
from urllib.parse import urlsplit

from shared.joining import LINK_PATH
from shared.messages import AnyFrame, decode_frame, encode_frame

Direction = Literal["up", "down"]
"""`up` is from the site to the hub."""
Passed = AnyFrame | bytes
OnFrame = Callable[[Direction, AnyFrame], Awaitable[Passed | list[Passed] | None]]
"""Returns what is passed on: the frame, another one, raw bytes in its place, several of them, or None for nothing.
While it waits, nothing more passes in this direction of this link."""
_CHUNK: Final = 65_536
_BINARY: Final = 2


class FaultProxy:
    """Listens on a port of its own and passes on to `upstream`. `async with` it."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (str(parts.hostname), int(parts.port or 80))
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._cut = False
        self._connections: set[asyncio.Task[None]] = set()
        self.slow_bytes_per_s: int | None = None
        self.on_frame: OnFrame | None = None
        self.url = ""

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # --- faults ---------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break every connection, and refuse new ones until `mend`."""
        self._cut = True
        self.drop()

    def drop(self) -> None:
        """Break every connection; new ones are taken."""
        for connection in self._connections:
            connection.cancel()

    def freeze(self) -> None:
        """Let nothing pass, in either direction, without a word: a half-open network. Goes on with `mend`."""
        self._open.clear()

    def mend(self) -> None:
        """Behave again; what a freeze held is passed on."""
        self._cut = False
        self.slow_bytes_per_s = None
        self._open.set()

    # --- passing on -----------------------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._cut:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        hub_reader, hub_writer = await asyncio.open_connection(*self._upstream)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await self._write(hub_writer, head)
            is_link = head.split(b" ", 2)[1] == LINK_PATH.encode()
            if is_link:
                answer = await hub_reader.readuntil(b"\r\n\r\n")
                await self._write(writer, answer)
                is_link = b" 101 " in answer.split(b"\r\n", 1)[0]
            pump = self._frames if is_link else self._bytes
            ends = [
                asyncio.ensure_future(pump("up", reader, hub_writer)),
                asyncio.ensure_future(pump("down", hub_reader, writer)),
            ]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
        finally:
            hub_writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(hub_writer.wait_closed(), 1)

    async def _bytes(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del direction
        while chunk := await reader.read(_CHUNK):
            await self._write(writer, chunk)

    async def _frames(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            start = await reader.readexactly(2)
            masked, size, more = start[1] & 0x80, start[1] & 0x7F, b""
            if size >= 126:
                more = await reader.readexactly(2 if size == 126 else 8)
                size = int.from_bytes(more, "big")
            mask = await reader.readexactly(4) if masked else b""
            payload = await reader.readexactly(size)
            if start[0] == 0x80 | _BINARY and self.on_frame is not None:
                shown = decode_frame(_masked(payload, mask))
                passed = await self.on_frame(direction, shown)
                if passed is None:
                    continue
                if passed is not shown:
                    for each in passed if isinstance(passed, list) else [passed]:
                        await self._write(
                            writer, _framed(each if isinstance(each, bytes) else encode_frame(each), mask)
                        )
                    continue
            await self._write(writer, start + more + mask + payload)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        await self._open.wait()
        for at in range(0, len(data), _CHUNK):
            chunk = data[at : at + _CHUNK]
            writer.write(chunk)
            await writer.drain()
            if self.slow_bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / self.slow_bytes_per_s)
                await self._open.wait()


def _masked(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask (the same thing)."""
    if not mask or not payload:
        return payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def _framed(payload: bytes, mask: bytes) -> bytes:
    """Return one unfragmented binary frame."""
    size = len(payload)
    flag = 0x80 if mask else 0
    if size < 126:
        head = bytes([0x80 | _BINARY, flag | size])
    elif size < 65_536:
        head = bytes([0x80 | _BINARY, flag | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | _BINARY, flag | 127]) + size.to_bytes(8, "big")
    return head + mask + _masked(payload, mask)
