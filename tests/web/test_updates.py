"""The update stream: what is sent, how often, and how it ends."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from sse_starlette import ServerSentEvent

from tests.web.sample_app import World, running_app
from web.updates import ChangeBell, Fragments, _Stream, partials

INTERVAL_S = 0.05


class Reading:
    """A stream under test: what it sent, and the world it shows."""

    def __init__(self) -> None:
        self.bell = ChangeBell()
        self.fragments: Fragments = {"backlog": "<p>1</p>", "rates": "<p>a</p>"}
        self.is_open = True
        self.stopping = anyio.Event()
        self.renders_count = 0
        self.events: list[ServerSentEvent] = []
        self.has_ended = anyio.Event()

    async def render(self) -> Fragments:
        self.renders_count += 1
        return dict(self.fragments)

    async def is_session_open(self) -> bool:
        return self.is_open

    @property
    def updates(self) -> list[str]:
        return [str(event.data) for event in self.events if event.event is None]

    async def until(self, updates_count: int) -> None:
        with anyio.fail_after(5):
            while len(self.updates) < updates_count:  # noqa: ASYNC110 - what is waited for is a list
                await anyio.sleep(0.005)


@asynccontextmanager
async def reading(refresh_s: float = 60.0) -> AsyncIterator[Reading]:
    it = Reading()
    send, receive = anyio.create_memory_object_stream[ServerSentEvent](0)
    stream = _Stream(it.render, it.is_session_open, INTERVAL_S, refresh_s, 60.0, it.stopping)

    async def collect() -> None:
        async with receive:
            async for event in receive:
                it.events.append(event)
        it.has_ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect)
        tasks.start_soon(stream.run, send, it.bell.ticks())
        await it.until(1)
        yield it
        tasks.cancel_scope.cancel()


async def test_everything_is_sent_at_the_start() -> None:
    async with reading() as it:
        assert it.updates == [partials(it.fragments)]


async def test_only_what_changed_is_sent() -> None:
    async with reading() as it:
        it.fragments["backlog"] = "<p>2</p>"
        it.bell.ring()
        await it.until(2)
        assert it.updates[1] == partials({"backlog": "<p>2</p>"})


async def test_change_without_effect_sends_nothing() -> None:
    async with reading() as it:
        rendered = it.renders_count
        it.bell.ring()
        with anyio.fail_after(5):
            while it.renders_count == rendered:  # noqa: ASYNC110
                await anyio.sleep(0.005)
        assert len(it.updates) == 1


async def test_many_changes_become_one_message() -> None:
    async with reading() as it:
        for number in range(500):
            it.fragments["backlog"] = f"<p>{number}</p>"
            it.bell.ring()
        await it.until(2)
        await anyio.sleep(INTERVAL_S * 3)
        assert it.updates[1:] == [partials({"backlog": "<p>499</p>"})]


async def test_storm_of_changes_is_slowed_to_the_interval() -> None:
    async with reading() as it:
        started_s = anyio.current_time()
        for number in range(100):
            it.fragments["backlog"] = f"<p>{number}</p>"
            it.bell.ring()
            await anyio.sleep(0.005)
        elapsed_s = anyio.current_time() - started_s
        assert 1 < len(it.updates) <= elapsed_s / INTERVAL_S + 2


async def test_ages_are_refreshed_without_a_change() -> None:
    async with reading(refresh_s=0.05) as it:
        it.fragments["backlog"] = "<p>older</p>"
        await it.until(2)


async def test_end_of_the_session_is_said_and_ends_the_stream() -> None:
    async with reading(refresh_s=0.05) as it:
        it.is_open = False
        with anyio.fail_after(5):
            await it.has_ended.wait()
        assert it.events[-1].event == "end"


async def test_stopping_ends_the_stream() -> None:
    async with reading() as it:
        it.stopping.set()
        with anyio.fail_after(5):
            await it.has_ended.wait()


async def test_bell_forgets_listeners_that_left() -> None:
    async with reading() as it:
        assert len(it.bell._events) == 1
    assert not it.bell._events


def test_partials_name_their_targets() -> None:
    html = partials({"backlog": '<p class="x">1</p>'})
    assert html == '<hx-partial hx-target="#backlog" hx-swap="outerMorph"><p class="x">1</p></hx-partial>'


async def test_stream_over_http() -> None:
    world = World()
    async with running_app(world) as base, httpx2.AsyncClient() as client:
        async with client.stream("GET", f"{base}/live/updates") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            text = ""
            async for chunk in response.aiter_text():
                text += chunk
                if "event: beat" in text:
                    break
        assert len(re.findall("<hx-partial", text)) == 2
        with anyio.fail_after(5):
            while world.bell._events:  # noqa: ASYNC110
                await anyio.sleep(0.02)


@pytest.mark.parametrize("end", ["stopping", "session"])
async def test_stream_over_http_ends(end: str) -> None:
    world = World()
    async with (
        running_app(world) as base,
        httpx2.AsyncClient() as client,
        client.stream("GET", f"{base}/live/updates") as response,
    ):
        text = ""
        with anyio.fail_after(5):
            async for chunk in response.aiter_text():
                text += chunk
                if end == "stopping":
                    world.stopping.set()
                world.is_session_open = end != "session"
        assert ("event: end" in text) is (end == "session")
