"""Frames that are written without the library are what the library reads."""

from __future__ import annotations

import os

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from shared.websocket_frames import MASK_BYTES, binary_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("reader", [Side.SERVER, Side.CLIENT])
def test_a_frame_is_read_as_the_message_it_was_made_of(size: int, reader: Side) -> None:
    message = os.urandom(size)
    mask = os.urandom(MASK_BYTES) if reader is Side.SERVER else b""
    protocol = Protocol(reader, state=OPEN, max_size=None)
    protocol.receive_data(binary_frame(message, mask) + binary_frame(b"next", mask))
    first, second = protocol.events_received()
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.opcode, first.fin, bytes(first.data)) == (Opcode.BINARY, True, message)
    assert bytes(second.data) == b"next"
