"""A link of a site: what it sends at once, what it queues, and the order it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest

from connector.link import Link
from connector.link_socket import LinkSocket
from shared.errors import LinkLost
from shared.limits import LINK_QUEUE_FRAMES_MAX
from shared.messages import AnyFrame, Credit, HelloBack, decode_frame, encode_frame


class FakeSocket:
    """A socket whose peer reads only while `reads` is set."""

    def __init__(self) -> None:
        self.sent: list[AnyFrame] = []
        self.held: list[bool] = []
        self.take_message: Callable[[bytes], bool] = lambda message: False
        self.reads = asyncio.Event()
        self._arriving: asyncio.Queue[bytes] = asyncio.Queue()
        self._arriving.put_nowait(encode_frame(HelloBack(1, 0, 0)))

    @property
    def is_writable(self) -> bool:
        return self.reads.is_set()

    def send_now(self, message: bytes) -> None:
        self.sent.append(decode_frame(message))

    async def send(self, message: bytes) -> None:
        await self.reads.wait()
        self.sent.append(decode_frame(message))

    async def read(self) -> bytes:
        return await self._arriving.get()

    async def ping(self) -> asyncio.Future[float]:
        return asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        pass

    def hold(self, *, held: bool) -> None:
        self.held.append(held)


async def test_g6_a_frame_sent_at_once_never_overtakes_one_that_waited() -> None:
    socket = FakeSocket()
    link = Link(cast("LinkSocket", socket), b"start", lambda frame: False)
    socket.reads.set()
    await link.greet()
    running = asyncio.ensure_future(link.run(lambda frames: asyncio.sleep(0)))
    link.send(Credit(1))
    assert socket.sent[1:] == [Credit(1)]  # nothing waited: no turn of a task was needed

    socket.reads.clear()
    link.send(Credit(2))
    for _ in range(3):  # the writing task takes it, and waits for the peer
        await asyncio.sleep(0)
    socket.reads.set()
    link.send(Credit(3))
    for _ in range(3):
        await asyncio.sleep(0)
    assert socket.sent[1:] == [Credit(1), Credit(2), Credit(3)]
    link.abort("the test is over")
    with suppress(LinkLost):
        await running


async def test_g8_reading_stops_while_too_much_waits_to_be_handled_and_goes_on_after() -> None:
    socket = FakeSocket()
    taken_at_once: list[AnyFrame] = []

    def at_once(frame: AnyFrame) -> bool:
        if frame == Credit(7):
            taken_at_once.append(frame)
        return frame == Credit(7)

    handled: list[AnyFrame] = []
    free, done = asyncio.Event(), asyncio.Event()

    async def handle(frames: list[AnyFrame]) -> None:
        await free.wait()
        handled.extend(frames)
        if len(handled) == LINK_QUEUE_FRAMES_MAX:
            done.set()

    link = Link(cast("LinkSocket", socket), b"start", at_once)
    socket.reads.set()
    await link.greet()
    running = asyncio.ensure_future(link.run(handle))
    for _ in range(LINK_QUEUE_FRAMES_MAX):
        assert socket.take_message(encode_frame(Credit(1)))
    assert socket.held == [True]
    assert socket.take_message(encode_frame(Credit(7)))  # passes what waits
    assert taken_at_once == [Credit(7)]
    assert not socket.take_message(b"\x00")  # what is malformed is left for the reader, which says so
    free.set()
    await asyncio.wait_for(done.wait(), 5)
    assert len(handled) == LINK_QUEUE_FRAMES_MAX
    assert socket.held == [True, False]
    link.abort("the test is over")
    with suppress(LinkLost):
        await running


async def test_g8_a_link_whose_hub_does_not_read_sends_all_that_waits_or_ends_and_never_goes_on_with_less() -> None:
    socket = FakeSocket()
    link = Link(cast("LinkSocket", socket), b"start", lambda frame: False)
    socket.reads.set()
    await link.greet()
    running = asyncio.ensure_future(link.run(lambda frames: asyncio.sleep(0)))
    socket.reads.clear()
    given = [Credit(at) for at in range(LINK_QUEUE_FRAMES_MAX)]
    for frame in given:
        link.send(frame)
    socket.reads.set()
    async with asyncio.timeout(5):
        while len(socket.sent) <= len(given):  # noqa: ASYNC110  # the socket is a fake without events
            await asyncio.sleep(0)
    assert socket.sent[1:] == given

    socket.reads.clear()
    for frame in (*given, Credit(0)):
        link.send(frame)
    with pytest.raises(LinkLost, match="does not take"):
        await asyncio.wait_for(running, 5)
