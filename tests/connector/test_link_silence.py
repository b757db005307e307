"""A hub that does not answer the heartbeat of a link: the link says so long before it is given up (G9)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import cast

import pytest

from connector.link import Link
from connector.link_socket import LinkSocket
from shared.errors import LinkLost
from shared.messages import Credit, encode_frame
from tests.connector.test_link import FakeSocket


class SilentSocket(FakeSocket):
    """A socket whose peer answers no ping by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.pings: list[asyncio.Future[float]] = []

    async def ping(self) -> asyncio.Future[float]:
        self.pings.append(asyncio.get_running_loop().create_future())
        return self.pings[-1]


async def test_g9_a_hub_that_leaves_a_heartbeat_unanswered_is_silent_until_it_sends_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connector.link.LINK_LOOK_S", 0.01)
    monkeypatch.setattr("connector.link.LINK_SILENT_AFTER_S", 0.03)
    socket, said = SilentSocket(), asyncio.Queue[float]()
    link = Link(cast("LinkSocket", socket), b"start", lambda frame: True, lambda: said.put_nowait(link.silent_s))
    socket.reads.set()
    await link.greet()
    running = asyncio.ensure_future(link.run(lambda frames: asyncio.sleep(0)))
    async with asyncio.timeout(5):
        first, second = await said.get(), await said.get()
        assert 0.03 <= first < second

        assert socket.take_message(encode_frame(Credit(1)))  # the heartbeat waits behind what a slow link carries
        assert await said.get() < second  # counted afresh

        socket.pings[-1].set_result(0.2)
        while await said.get():
            pass
    assert link.round_trip_ms == 200.0
    link.abort("the test is over")
    with suppress(LinkLost):
        await running
