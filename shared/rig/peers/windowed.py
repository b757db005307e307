"""A client that sends prepared messages, so many unacknowledged at once: as fast as its server lets any client be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

from shared.errors import PairhubError

_STALLED_S: Final = 60.0


class WindowedSender(asyncio.Protocol):
    """Sends all messages over one connection; `done` is set once each is acknowledged, or holds why not."""

    def __init__(self, hello: bytes, messages: Sequence[bytes], window: int, count: Callable[[bytes], int]) -> None:
        """`count(data)` returns how many acknowledgements a piece of what arrived completes; it may raise PairhubError."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hello = hello
        self._messages = messages
        self._window = window
        self._count = count
        self._sent = self._acknowledged = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._transport.write(self._hello)
        self._fill()

    def data_received(self, data: bytes) -> None:
        try:
            self._acknowledged += self._count(data)
        except PairhubError as error:
            self._end(error)
            return
        if self._acknowledged >= len(self._messages):
            self._end(None)
        elif self._sent - self._acknowledged <= self._window // 2:
            self._fill()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(PairhubError(f"the peer closed the connection ({exc})"))

    def _fill(self) -> None:
        assert self._transport is not None
        upto = min(len(self._messages), self._acknowledged + self._window)
        if upto > self._sent:
            self._transport.write(b"".join(self._messages[self._sent : upto]))
            self._sent = upto

    def _end(self, error: PairhubError | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
        if self._transport is not None:
            self._transport.close()


async def send_all(
    port: int, hello: bytes, messages: Sequence[bytes], window: int, count: Callable[[bytes], int]
) -> None:
    """Send all messages to a port of this machine and wait for their acknowledgements; raises PairhubError."""
    loop = asyncio.get_running_loop()
    sender = WindowedSender(hello, messages, window, count)
    await loop.create_connection(lambda: sender, "127.0.0.1", port)
    try:
        await asyncio.wait_for(sender.done, _STALLED_S + len(messages) / 1_000)
    except TimeoutError:
        raise PairhubError("the peer stopped acknowledging what it was sent") from None
