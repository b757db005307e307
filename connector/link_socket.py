"""The WebSocket of a link: hands whole messages over where they are read, and sends at once where nothing waits.

A lookup across the pair passes four sockets; each turn of a reading or writing task on its way costs as much as the
question itself (docs/performance.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State

from shared.websocket_frames import MASK_BYTES, binary_frame

TakeMessage = Callable[[bytes | bytearray | memoryview], bool]


class LinkSocket(ClientConnection):
    """A client's end of a WebSocket (given to `websockets.connect` as `create_connection`)."""

    take_message: TakeMessage | None = None
    """Offered each whole binary message where it is read, unless earlier ones wait for `read`; says whether it took it."""
    _unread = 0

    def process_event(self, event: Event) -> None:
        """Offer a message to `take_message`; what it does not take, and fragments, wait for `read`."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            whole = event.fin and event.opcode is Opcode.BINARY
            if whole and not self._unread and self.take_message is not None and self.take_message(event.data):
                return
            self._unread += event.fin
        super().process_event(event)

    async def read(self) -> Any:
        """Return the next message that was not taken; raises websockets.ConnectionClosed."""
        message = await self.recv()
        self._unread -= 1
        return message

    @property
    def is_writable(self) -> bool:
        """Whether `send_now` may be called: the link is open, and the hub reads what it is sent."""
        return not self.paused and self.protocol.state is State.OPEN and not self.transport.is_closing()

    def send_now(self, message: bytes) -> None:
        """Send a binary message without waiting; only while `is_writable`."""
        self.transport.write(binary_frame(message, os.urandom(MASK_BYTES)))

    def hold(self, *, held: bool) -> None:
        """Stop reading from the network, or go on: what has arrived has to be handled first."""
        if self.transport.is_closing():
            return
        if held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
