"""Live updates: one stream of server-sent events per page, which carries the fragments that changed.

Each message is a handful of `<hx-partial>` elements that htmx morphs into the page. Many changes in a moment become one
message, at most three a second. A fragment is sent only where its HTML differs from what this browser has. Of the named
events, `beat` says that the server is alive and `end` that the session is over; `static/js/updates.js` acts on both.
"""

import math
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from markupsafe import Markup
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

INTERVAL_S = 1 / 3
REFRESH_S = 5.0
BEAT_S = 10.0
SEND_TIMEOUT_S = 15.0

Fragments = dict[str, str]
"""HTML by `element_id`."""

RenderFragments = Callable[[], Awaitable[Fragments]]


class ChangeBell:
    """Tell any number of listeners that something changed. What rings while a listener is busy becomes one ring."""

    def __init__(self) -> None:
        self._events: dict[int, anyio.Event] = {}
        self._next_listener = 0

    def ring(self) -> None:
        """Wake every listener. Cheap; call it after each commit that a page may show, on the event loop's thread."""
        for event in self._events.values():
            event.set()

    @contextmanager
    def _listening(self) -> Iterator[int]:
        listener = self._next_listener
        self._next_listener += 1
        self._events[listener] = anyio.Event()
        try:
            yield listener
        finally:
            del self._events[listener]

    async def ticks(self) -> AsyncIterable[None]:
        """Yield once per ring, or once for many."""
        with self._listening() as listener:
            while True:
                await self._events[listener].wait()
                self._events[listener] = anyio.Event()
                yield None


def update_response(
    ticks: AsyncIterable[object],
    render: RenderFragments,
    is_session_open: Callable[[], Awaitable[bool]],
    *,
    stopping: anyio.Event | None = None,
    interval_s: float = INTERVAL_S,
    refresh_s: float = REFRESH_S,
    beat_s: float = BEAT_S,
) -> EventSourceResponse:
    """Answer a page's update stream.

    `ticks` yields whenever something may have changed. `render` returns the page's fragments as they are now; it is
    also called every `refresh_s`, because ages grow without anybody's doing. Everything is sent once at the start, so a
    browser that reconnects is current at once. `is_session_open` is asked at each refresh. The stream ends when the
    browser leaves, the session ends, `ticks` ends, or `stopping` is set; what `render` raises ends it too.
    """
    send_stream, receive_stream = anyio.create_memory_object_stream[ServerSentEvent](0)
    stream = _Stream(render, is_session_open, interval_s, refresh_s, beat_s, stopping or anyio.Event())
    return ClosingEventResponse(
        receive_stream,
        send_stream,
        # Our own beat is an event that scripts see; the library's ping is a comment that they do not.
        ping=3600,
        data_sender_callable=partial(stream.run, send_stream, ticks),
        headers={"Cache-Control": "no-store"},
        send_timeout=SEND_TIMEOUT_S,
    )


class ClosingEventResponse(EventSourceResponse):
    """The library's response, which leaves the streams open where the browser goes first: this one closes them."""

    def __init__(
        self,
        receive_stream: MemoryObjectReceiveStream[ServerSentEvent],
        send_stream: MemoryObjectSendStream[ServerSentEvent],
        **options: Any,
    ) -> None:
        super().__init__(receive_stream, **options)
        self._streams = (receive_stream, send_stream)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            for stream in self._streams:
                stream.close()


def partials(fragments: Fragments) -> str:
    """Return the htmx markup that puts each fragment in the place of the element with its ID."""
    return "".join(
        Markup('<hx-partial hx-target="#{}" hx-swap="outerMorph">{}</hx-partial>').format(
            element_id,
            Markup(html),  # noqa: S704 - rendered by our templates, which escape
        )
        for element_id, html in fragments.items()
    )


class _Stream:
    """One browser's stream: what it was sent, and the loop that sends more."""

    def __init__(
        self,
        render: RenderFragments,
        is_session_open: Callable[[], Awaitable[bool]],
        interval_s: float,
        refresh_s: float,
        beat_s: float,
        stopping: anyio.Event,
    ) -> None:
        self._render = render
        self._is_session_open = is_session_open
        self._interval_s = interval_s
        self._refresh_s = refresh_s
        self._beat_s = beat_s
        self._stopping = stopping
        self._changed = anyio.Event()
        self._sent: Fragments = {}

    async def run(self, out: MemoryObjectSendStream[ServerSentEvent], ticks: AsyncIterable[object]) -> None:
        async with out, anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, ticks, tasks.cancel_scope)
            tasks.start_soon(self._stop, tasks.cancel_scope)
            # It breaks where the browser leaves while a message is on its way.
            with suppress(anyio.BrokenResourceError):
                await self._send_changes(out)
            tasks.cancel_scope.cancel()

    async def _listen(self, ticks: AsyncIterable[object], scope: anyio.CancelScope) -> None:
        async for _ in ticks:
            self._changed.set()
        scope.cancel()

    async def _stop(self, scope: anyio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def _send_changes(self, out: MemoryObjectSendStream[ServerSentEvent]) -> None:
        beat_due_s = checked_s = -math.inf
        while True:
            now_s = anyio.current_time()
            if now_s >= checked_s + self._refresh_s:
                checked_s = now_s
                if not await self._is_session_open():
                    await out.send(ServerSentEvent("session", event="end"))
                    return
            self._changed = anyio.Event()
            fragments = await self._render()
            changed = {key: html for key, html in fragments.items() if self._sent.get(key) != html}
            if changed:
                await out.send(ServerSentEvent(partials(changed)))
                self._sent.update(changed)
            if now_s >= beat_due_s:
                beat_due_s = now_s + self._beat_s
                await out.send(ServerSentEvent("beat", event="beat"))
            await anyio.sleep(self._interval_s)
            with anyio.move_on_after(min(self._refresh_s, self._beat_s)):
                await self._changed.wait()
