"""A backlog on a link: handled beside what is live, never before what is urgent, and not without rests (G6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import cast

from connector.link import Handler, Link
from connector.link_socket import LinkSocket
from shared.errors import LinkLost
from shared.limits import BACKFILL_REST_S_MAX, BACKFILL_REST_SHARE, SEGMENT_READINGS_MAX
from shared.messages import LANE_BACKFILL, LANE_LIVE, AnyFrame, Credit, HelloBack, Sealed, encode_frame
from shared.sealing import Header, Kind, Side


class _Socket:
    """A socket that is written to at once, and from which only the greeting is read."""

    is_writable = True

    def __init__(self) -> None:
        self.take_message: Callable[[bytes], bool] = lambda message: False
        self._arriving: asyncio.Queue[bytes] = asyncio.Queue()
        self._arriving.put_nowait(encode_frame(HelloBack(1, 0, 0)))

    def send_now(self, message: bytes) -> None:
        pass

    async def send(self, message: bytes) -> None:
        pass

    async def read(self) -> bytes:
        return await self._arriving.get()

    async def ping(self) -> asyncio.Future[float]:
        return asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        pass

    def hold(self, *, held: bool) -> None:
        pass


@asynccontextmanager
async def _linked(handle: Handler) -> AsyncIterator[Callable[[AnyFrame], bool]]:
    socket = _Socket()
    link = Link(cast("LinkSocket", socket), b"start", lambda frame: False)
    await link.greet()
    running = asyncio.ensure_future(link.run(handle))
    try:
        yield lambda frame: socket.take_message(encode_frame(frame))
    finally:
        link.abort("the test is over")
        with suppress(LinkLost):
            await running


def _segment(lane: int, number: int, count: int = SEGMENT_READINGS_MAX) -> Sealed:
    header = Header(1, Kind.SEGMENT, Side.SOURCE, b"p" * 16, 1, 1, 1, number, 1_000, count, b"n" * 12)
    return Sealed(lane, header.pack(), b"body")


async def test_g6_live_is_handled_while_a_backlog_waits_for_the_writer() -> None:
    handled: asyncio.Queue[AnyFrame] = asyncio.Queue()
    stored = asyncio.Event()

    async def handle(frames: list[AnyFrame]) -> None:
        if any(isinstance(frame, Sealed) and frame.lane == LANE_BACKFILL for frame in frames):
            await stored.wait()
        for frame in frames:
            handled.put_nowait(frame)

    async with _linked(handle) as arrive:
        old, older, live = _segment(LANE_BACKFILL, 1), _segment(LANE_BACKFILL, 2), _segment(LANE_LIVE, 3, 1)
        arrive(old)
        arrive(older)
        await asyncio.sleep(0)
        arrive(live)
        assert await asyncio.wait_for(handled.get(), 5) == live
        stored.set()
        assert await asyncio.wait_for(handled.get(), 5) == old
        assert await asyncio.wait_for(handled.get(), 5) == older


async def test_no_segment_of_a_backlog_overtakes_what_is_urgent_and_came_before_it() -> None:
    begun: list[AnyFrame] = []
    go_on, done = asyncio.Event(), asyncio.Event()

    async def handle(frames: list[AnyFrame]) -> None:
        begun.extend(frames)
        if Credit(1) in frames:
            await go_on.wait()
        if old in frames:
            done.set()

    old = _segment(LANE_BACKFILL, 1)
    async with _linked(handle) as arrive:
        arrive(Credit(1))
        arrive(old)
        for _ in range(10):
            await asyncio.sleep(0)
        assert begun == [Credit(1)]
        arrive(Credit(2))
        go_on.set()
        await asyncio.wait_for(done.wait(), 5)
        assert begun == [Credit(1), Credit(2), old]


async def test_g6_a_drain_rests_while_live_readings_come_and_only_then() -> None:
    loop = asyncio.get_running_loop()
    spans: list[tuple[float, float]] = []
    done = asyncio.Event()
    live = _segment(LANE_LIVE, 99, 1)

    async def handle(frames: list[AnyFrame]) -> None:
        if frames == [live]:
            return
        began_s = loop.time()
        await asyncio.sleep(0.004)
        spans.append((began_s, loop.time()))
        if len(spans) == 10:
            done.set()

    for comes in (False, True):
        spans.clear()
        done.clear()
        async with _linked(handle) as arrive:
            if comes:
                arrive(live)
            for number in range(10):
                arrive(_segment(LANE_BACKFILL, number))
            await asyncio.wait_for(done.wait(), 5)
        rests = [
            (begin_s - ended_s) / min(BACKFILL_REST_SHARE * (ended_s - began_s), BACKFILL_REST_S_MAX)
            for (began_s, ended_s), (begin_s, _) in pairwise(spans)
        ]
        assert min(rests) >= 0.8 if comes else min(rests) < 0.5
