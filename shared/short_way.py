"""A short way past ASGI for requests that come by the thousand: read where their bytes arrive, answered without a task.

An app that has one leaves it in the state of its lifespan. It is asked for each request, and takes only what it will most
likely answer with 200; whatever else becomes of a request then goes the long way to the app, which says it as always.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

SHORT_WAY_KEY: Final = "short_way"
REST_KEY: Final = "rest_of_short_way"
DIRECT_BODY_KEY: Final = "direct_body"
Rest: TypeAlias = Callable[[], Awaitable[bytes]]
"""What is left to do for a request: returns the body of its answer, or raises."""


class Taken(Protocol):
    """The body of a request on the short way. Neither may raise, nor answer at once."""

    def feed(self, chunk: bytes) -> None:
        """Take what came of it."""

    def end(self) -> None:
        """It is whole."""


class ShortWay(Protocol):
    """Decides by its head which request is taken."""

    def take(self, scope: Scope, reply: Reply) -> Taken | None:
        """Take a request; None sends it the long way. Must not raise, nor answer at once."""


class Reply:
    """Ends one request: call one of these, once."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: ShortWayProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle

    def answer(self, headers: bytes, body: bytes) -> None:
        """Answer with 200, whole lines of headers (lengths and dates are added) and a body."""
        self._protocol.answer(self._cycle, headers, body)

    def go_long(self, rest: Rest) -> None:
        """Let the app go on: it finds `rest` under REST_KEY in the state of its scope."""
        self._protocol.go_long(self._cycle, rest)


class DirectBody:
    """The body of an answer that the app is sending, for what must not wait for the turn of a task.

    In the state of each request's scope under DIRECT_BODY_KEY; pieces go between those that the app sends.
    """

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    @property
    def is_writable(self) -> bool:
        """Whether `write_now` may be called: the body has begun, has no length and no end yet, and its client reads."""
        cycle = self._cycle
        is_open = cycle.response_started and not (cycle.response_complete or cycle.disconnected)
        return is_open and cycle.chunked_encoding is True and not (cycle.flow.write_paused or self._is_closing)

    @property
    def _is_closing(self) -> bool:
        return bool(self._cycle.transport.is_closing())

    def write_now(self, piece: bytes) -> None:
        """Send a piece; only while `is_writable`."""
        transport = self._cycle.transport
        transport.set_write_buffer_limits(high=0)  # else it is put off until all else is done that came just now
        transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        transport.set_write_buffer_limits()


class ShortWayProtocol(HttpToolsProtocol):
    """HTTP with a short way, where the app has one."""

    _taken: tuple[RequestResponseCycle, Taken] | None = None
    """The request that is being read on the short way."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin with a request: it is its turn, and all or nothing of its body is here."""
        way: ShortWay | None = self.app_state.get(SHORT_WAY_KEY)
        taken = None
        # What does not read its answers waits in a task, and nothing more is read of it.
        if way is not None and app is self.app and not (cycle.waiting_for_100_continue or self.flow.write_paused):
            taken = way.take(cast("Scope", cycle.scope), Reply(self, cycle))
        if taken is None:
            cycle.scope["state"][DIRECT_BODY_KEY] = DirectBody(cycle)
            super()._start_asgi_task(cycle, app)
            return
        self._taken = (cycle, taken)
        if cycle.body:
            body, cycle.body = bytes(cycle.body), bytearray()
            taken.feed(body)
        if not cycle.more_body:
            self._end(taken)

    def on_body(self, body: bytes) -> None:
        if self._taken is not None and self._taken[0] is self.cycle:
            self._taken[1].feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._taken is not None and self._taken[0] is self.cycle:
            self._end(self._taken[1])

    def connection_lost(self, exc: Exception | None) -> None:
        self._taken = None
        super().connection_lost(exc)

    def _end(self, taken: Taken) -> None:
        if self._taken is not None:  # not so where a part of its body has sent it the long way
            self._taken = None
            taken.end()

    def answer(self, cycle: RequestResponseCycle, headers: bytes, body: bytes) -> None:
        """See Reply."""
        if cycle.disconnected or self.transport.is_closing():
            return
        parts = [STATUS_LINE[200]]
        for name, value in cycle.default_headers:
            parts += name, b": ", value, b"\r\n"
        parts.append(headers)
        parts.append(b"content-length: %d\r\n" % len(body))
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        parts.append(body)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def go_long(self, cycle: RequestResponseCycle, rest: Rest) -> None:
        """See Reply."""
        self._taken = None
        cycle.scope["state"][REST_KEY] = rest
        super()._start_asgi_task(cycle, self.app)
