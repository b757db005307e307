"""How both daemons serve: uvicorn with deadlines and bounds it lacks (SECURITY, floods), and a drain before the end.

Stock uvicorn keeps half-sent requests for ever, answers pings into a buffer without a bound, and collects fragments
without end. The protocol classes here close such connections; nothing else of uvicorn is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeAlias

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

from shared.host_names import is_host
from shared.limits import (
    CONNECTIONS_MAX,
    DRAIN_DEADLINE_S,
    FRAGMENTS_MAX,
    FRAME_BYTES_MAX,
    HANDSHAKE_DEADLINE_S,
    HEAD_BYTES_MAX,
    MESSAGE_DEADLINE_S,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
    PINGS_PER_S_MAX,
    SEND_DEADLINE_S,
    SOCKET_BUFFER_BYTES_MAX,
)
from shared.settings import AddressUnavailable
from shared.short_way import ShortWayProtocol
from shared.websocket_frames import binary_frame

_log = logging.getLogger(__name__)
ABORT_KEY = "abort_connection"
DIRECT_KEY = "direct_messages"
BytesLike: TypeAlias = bytes | bytearray | memoryview
_BACKLOG = 1_024
_COLLECT_AFTER_OBJECTS = 20_000
# How long a busy thread may keep the interpreter from another one that wants it.
_SWITCH_THREADS_S = 0.000_5
_LINGER_S = 3.0


class _Stall:
    """Aborts a connection whose peer has not read for SEND_DEADLINE_S: its buffer stayed full for so long."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """The buffer is full."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SEND_DEADLINE_S, transport.abort)

    def end(self) -> None:
        """There is room again, or the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class GuardedHttpProtocol(ShortWayProtocol):
    """HTTP with a deadline for the head of each request, so that half-sent ones do not pile up."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._stall = _Stall()

    def pause_writing(self) -> None:
        self._stall.begin(self.transport)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stall.end()
        super().resume_writing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._stall.end()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HANDSHAKE_DEADLINE_S, self._give_up)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_came()
        if not self.transport.is_closing():
            self.transport.abort()


class DirectMessages(Protocol):
    """A short way past the queues and tasks of ASGI, for an app that relays; in `scope["state"]` under DIRECT_KEY."""

    take_message: Callable[[BytesLike], bool] | None
    """Offered each whole binary message where it is read, unless earlier ones wait for `receive`; says whether it took it."""

    @property
    def is_writable(self) -> bool:
        """Whether `send_now` may be called: the connection is open, and the peer reads what it is sent."""

    def send_now(self, message: bytes) -> None:
        """Send a binary message without waiting; only while `is_writable`."""


class GuardedWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets with bounds on pings, fragments and unsent bytes, and DirectMessages."""

    take_message: Callable[[BytesLike], bool] | None = None
    _fragments = 0
    _pings = 0
    _pings_since = 0.0
    _message_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._stall = _Stall()

    async def run_asgi(self) -> None:
        self.scope["state"] |= {ABORT_KEY: self.transport.abort, DIRECT_KEY: self}
        try:
            await super().run_asgi()
        finally:
            # A transport that is closing waits for its peer to read the rest, which may be never.
            self.loop.call_later(_LINGER_S, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # it was denied with an answer; uvicorn would call that a failure of the app

    def pause_writing(self) -> None:
        self._stall.begin(self.transport)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stall.end()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stall.end()
        self._message_done()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not (self.frames or self.conn.reader.buffer):
            self._message_done()
        elif self._message_timer is None and not self.transport.is_closing():
            self._message_timer = self.loop.call_later(MESSAGE_DEADLINE_S, self._abort, "a message that does not end")

    def _message_done(self) -> None:
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None

    @property
    def is_writable(self) -> bool:
        """Whether `send_now` may be called."""
        is_open = self.handshake_complete and not self.close_sent and self.conn.state is State.OPEN
        return is_open and self.writable.is_set() and not self.transport.is_closing()

    def send_now(self, message: bytes) -> None:
        """Send a binary message without waiting."""
        self.transport.write(binary_frame(message))

    def send_receive_event_to_app(self) -> None:
        self._message_done()
        is_whole = len(self.frames) == 1 and self.curr_msg_data_type == "bytes" and not self.close_sent
        if is_whole and self.take_message is not None and self.queue.empty() and self.take_message(self.frames[0]):
            self.frames = []
            return
        super().send_receive_event_to_app()

    def handle_events(self) -> None:
        if self.transport.get_write_buffer_size() > SOCKET_BUFFER_BYTES_MAX:
            self._abort("it does not read")
            return
        super().handle_events()

    def handle_bytes(self, event: Frame) -> None:
        self._fragments = 0
        super().handle_bytes(event)

    def handle_text(self, event: Frame) -> None:
        self._fragments = 0
        super().handle_text(event)

    def handle_cont(self, event: Frame) -> None:
        self._fragments += 1
        if self._fragments > FRAGMENTS_MAX:
            self._abort("a message of too many fragments")
        elif not self.transport.is_closing():
            super().handle_cont(event)

    def handle_ping(self) -> None:
        now_s = self.loop.time()
        if now_s - self._pings_since >= 1:
            self._pings_since, self._pings = now_s, 0
        self._pings += 1
        if self._pings > PINGS_PER_S_MAX:
            self._abort("a flood of pings")
        elif not self.transport.is_closing():
            super().handle_ping()

    def _abort(self, why: str) -> None:
        if not self.transport.is_closing():
            _log.warning("Aborting the connection of %s: %s", self.client, why)
            self.transport.abort()


def _switch_threads_often() -> None:
    """Let the event loop have the interpreter soon although a thread is busy with storing.

    By default it waits 5 ms each time it wants it back, several times for each lookup.
    """
    sys.setswitchinterval(_SWITCH_THREADS_S)


def _spare_the_collector() -> None:
    """Let the collector of cycles pass over what is there for good, and look at the rest less often.

    By default it starts every 700 new objects, which is every other request of readings.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)


class Server(uvicorn.Server):
    """A uvicorn server that drains before it closes what is open, and can be asked to stop."""

    def __init__(
        self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]], on_started: Callable[[], None]
    ) -> None:
        """`drain` runs first at the end, while connections are still open; it is given DRAIN_DEADLINE_S / 2."""
        super().__init__(config)
        self._drain = drain
        self._on_started = on_started
        self.on_hangup: Callable[[], object] = lambda: None
        """Called at SIGHUP, which by itself would end the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT; unlike uvicorn's own, never raise them again, which would skip what comes after."""
        _spare_the_collector()  # here begins the life of a daemon, which has its process to itself
        _switch_threads_often()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self.handle_exit, each, None)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.on_hangup())
        try:
            yield
        finally:
            for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(each)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with a deadline for TLS handshakes, which uvicorn does not set; then say so."""
        await super().startup([])
        loop = asyncio.get_running_loop()
        deadline_s = HANDSHAKE_DEADLINE_S if self.config.ssl is not None else None
        for each in sockets or []:
            self.servers.append(
                await loop.create_server(
                    self._make_protocol,
                    sock=each,
                    ssl=self.config.ssl,
                    backlog=_BACKLOG,
                    ssl_handshake_timeout=deadline_s,
                )
            )
        self._on_started()

    def _make_protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, drain, then close what is left."""
        for server in self.servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_DEADLINE_S / 2):
                await self._drain()
        await super().shutdown(sockets)


class QuietServer(Server):
    """A server among others in one process: signals are somebody else's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def configure(app: ASGIApp, tls: ssl.SSLContext | None = None, **more: Any) -> uvicorn.Config:
    """Return the configuration both daemons serve with, by TLS where there is a context; `more` goes to uvicorn.Config."""
    return uvicorn.Config(
        app,
        ssl_context_factory=None if tls is None else lambda *_: tls,
        # web.front_door reads forwarded headers, and believes only whom the settings name.
        proxy_headers=False,
        http=GuardedHttpProtocol,
        ws=GuardedWebSocketProtocol,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        limit_concurrency=CONNECTIONS_MAX,
        backlog=_BACKLOG,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=1,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        **more,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises AddressUnavailable."""
    if host and not is_host(host):
        raise AddressUnavailable("host", host, "it has to be a name or an address of this machine")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        why = f"the address cannot be listened on: {error.strerror}"
        raise AddressUnavailable("port", f"{host}:{port}", why) from error


def url_of(listening: socket.socket, *, is_tls: bool = False) -> str:
    """Return the address under which this machine reaches a listening socket."""
    scheme = "https" if is_tls else "http"
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # names what was chosen, binds nothing
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
