"""One link of one connector to the hub: nonce, assertion, WebSocket, one reader, one writer (docs/protocol.md, links)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import websockets

from connector.arriving import FRAMES_AT_ONCE_MAX
from connector.link_socket import LinkSocket
from shared.core.lanes import Lanes
from shared.errors import LinkLost, ProtocolError, refused_there
from shared.limits import (
    BACKFILL_REST_S_MAX,
    BACKFILL_REST_SHARE,
    BACKFILL_WATCHED_S,
    HANDSHAKE_DEADLINE_S,
    LINK_LOOK_S,
    LINK_QUEUE_FRAMES_MAX,
    LINK_SILENT_AFTER_S,
    PING_INTERVAL_S,
    SEND_DEADLINE_S,
)
from shared.messages import (
    LANE_BACKFILL,
    LANE_CONTROL,
    LANE_LIVE,
    PROTOCOL_HIGHEST,
    PROTOCOL_LOWEST,
    AnyFrame,
    Hello,
    HelloBack,
    Notice,
    Sealed,
    decode_frame,
    encode_frame,
)

_log = logging.getLogger(__name__)

Handler = Callable[[list[AnyFrame]], Awaitable[None]]
# Takes a frame that waits for nothing and that nothing waits for; says whether it did.
AtOnce = Callable[[AnyFrame], bool]
# Begins with a frame that is no backlog's and that nothing waits before; says whether it did. Nobody waits for its end.
Begin = Callable[["Link", AnyFrame], bool]


class Link:
    """An open link: `run` handles what arrives until it ends; `send` sends, or queues by lane where the hub is slow."""

    def __init__(
        self,
        socket: LinkSocket,
        start_id: bytes,
        at_once: AtOnce,
        on_silence: Callable[[], None] = lambda: None,
        begin: Begin = lambda _link, _frame: False,
    ) -> None:
        """What `at_once` takes passes what waits for the engine: a lookup must not queue behind readings.

        What `begin` takes goes there without a turn of a task; what it does not take, `run` hands to its handler.
        `on_silence` is called while the hub leaves a heartbeat unanswered, every second, and once more when it is over.
        """
        self._socket = socket
        self._start_id = start_id
        self._at_once = at_once
        self._begin = begin
        self._lanes = Lanes()
        self._to_send = asyncio.Event()
        self._sending = False  # a frame that was taken from the lanes waits for the socket
        self._arrived = Lanes()
        self._to_take = asyncio.Event()
        self._to_take_backfill = asyncio.Event()
        self._steady = asyncio.Event()  # nothing urgent waits or is being handled
        self._steady.set()
        self._waited_for_s = -BACKFILL_WATCHED_S  # when a live segment or a question came last
        self._taken = asyncio.Event()
        self._held = False  # nothing is read from the network until enough is handled
        self._ended = asyncio.Event()
        self._failure: Exception | None = None
        self.why = ""
        self.hello: HelloBack | None = None
        self._round_trip_s = 0.0
        self._on_silence = on_silence
        self.silent_s = 0.0
        """How long the hub has left a heartbeat unanswered, and sent nothing else either."""
        self.bytes_sent = 0  # WebSocket frames with their headers
        self.bytes_received = 0
        self.opened_ms = time.monotonic_ns() // 1_000_000

    @property
    def round_trip_ms(self) -> float:
        """The last measured round trip to the hub (WebSocket ping), ms; 0 before the first."""
        return self._round_trip_s * 1000

    def send(self, frame: AnyFrame) -> None:
        """Send a frame, or queue it; a queue that overflows means the hub does not read, and ends the link."""
        if not (self._sending or self._lanes) and self._socket.is_writable:
            message = encode_frame(frame)
            self._socket.send_now(message)
            self.bytes_sent += _framed_bytes(len(message), masked=True)
            return
        self._lanes.put(frame)
        if self._lanes.urgent_count > LINK_QUEUE_FRAMES_MAX:
            self.abort("the hub does not take what is sent")
        self._to_send.set()

    def abort(self, why: str) -> None:
        """End the link soon; the connector makes a new one."""
        if not self._ended.is_set():
            self.why = why
            self._ended.set()

    def fail(self, error: Exception) -> None:
        """End the link soon: `run` raises this."""
        if self._failure is None:
            self._failure = error
        self._ended.set()

    async def greet(self) -> HelloBack:
        """Exchange the first frames; raises Refused('version_mismatch'), LinkLost, ProtocolError."""
        try:
            await self._put(Hello(PROTOCOL_LOWEST, PROTOCOL_HIGHEST, self._start_id))
            async with asyncio.timeout(HANDSHAKE_DEADLINE_S):
                first = decode_frame(await self._socket.read())
        except (TimeoutError, OSError, websockets.WebSocketException) as error:
            raise LinkLost("the hub did not greet back") from error
        if isinstance(first, Notice):
            raise refused_there(first.code, first.facts)
        if not isinstance(first, HelloBack):
            raise ProtocolError("the hub's first frame is no greeting")
        self.hello = first
        self._socket.take_message = self._take
        return first

    async def run(self, handle: Handler) -> None:
        """Read, write and handle until the link ends; raises LinkLost or ProtocolError with the reason."""
        tasks = [
            asyncio.ensure_future(part)
            for part in (
                self._read(),
                self._write(),
                self._handle(handle),
                self._handle_backfill(handle),
                self._measure(),
                self._ended.wait(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is not None:
                    raise task.exception()  # type: ignore[misc]
            raise self._failure or LinkLost(self.why or "the link ended")
        except websockets.ConnectionClosed as error:
            said = error.rcvd.reason if error.rcvd is not None else ""
            raise LinkLost(f"the hub closed the link: {said or error}") from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.shield(self.close())

    async def close(self) -> None:
        """Close the socket, whatever state it is in; nothing where that is done."""
        try:
            async with asyncio.timeout(2):
                await self._socket.close()
        except (TimeoutError, OSError, websockets.WebSocketException):
            pass

    def _take(self, message: bytes | bytearray | memoryview) -> bool:
        """Take a message where it is read; a malformed one is left for `_read`, which says so."""
        try:
            self._on_message(message)
        except ProtocolError:
            return False
        if self._arrived.is_full and not self._held:
            # Segments are bounded by credit; this bounds the rest. The socket's own buffers push back further.
            self._held = True
            self._socket.hold(held=True)
        return True

    def _on_message(self, message: bytes | bytearray | memoryview | str) -> None:
        frame = decode_frame(message)
        self.bytes_received += _framed_bytes(len(message), masked=False)
        if self._at_once(frame):
            self._waited_for_s = asyncio.get_running_loop().time()
            return
        lane = frame.lane if isinstance(frame, Sealed) else LANE_CONTROL
        if lane == LANE_BACKFILL:
            self._arrived.put(frame)
            self._to_take_backfill.set()
            return
        if lane == LANE_LIVE:
            self._waited_for_s = asyncio.get_running_loop().time()
        if self._steady.is_set() and not self._to_take.is_set() and self._begin(self, frame):
            return
        self._arrived.put(frame)
        if lane != LANE_LIVE:
            self._steady.clear()
        self._to_take.set()

    async def _read(self) -> None:
        """Read what is not taken where it arrives: fragments, what is malformed, and that the connection has ended."""
        while True:
            self._on_message(await self._socket.read())
            if self._arrived.is_full:
                self._taken.clear()
                await self._taken.wait()

    async def _handle(self, handle: Handler) -> None:
        """Handle what is urgent, in its order, and what is live."""
        while True:
            await self._to_take.wait()
            frames = self._arrived.take_some(FRAMES_AT_ONCE_MAX)
            if frames:
                self._go_on_reading()
                await handle(frames)
            else:
                self._to_take.clear()
            if not self._arrived.urgent_count:
                self._steady.set()

    async def _handle_backfill(self, handle: Handler) -> None:
        """Handle a backlog a little at a time, beside what is live, which finds it out of its way.

        None is begun while something urgent waits: what came after the hub's word of the pair must not overtake it.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._to_take_backfill.wait()
            await self._steady.wait()
            frames = self._arrived.take_backfill()
            if not frames:
                self._to_take_backfill.clear()
                continue
            self._go_on_reading()
            began_s = loop.time()
            await handle(frames)
            ended_s = loop.time()
            if ended_s - self._waited_for_s < BACKFILL_WATCHED_S:
                await asyncio.sleep(min(BACKFILL_REST_S_MAX, BACKFILL_REST_SHARE * (ended_s - began_s)))

    def _go_on_reading(self) -> None:
        """Let more come in, now that some is taken."""
        self._taken.set()
        if self._held and not self._arrived.is_full:
            self._held = False
            self._socket.hold(held=False)

    async def _write(self) -> None:
        while True:
            await self._to_send.wait()
            while (frame := self._lanes.take()) is not None:
                self._sending = True  # what is sent meanwhile must not overtake it
                await self._put(frame)
                self._sending = False
            self._to_send.clear()

    async def _measure(self) -> None:
        """Measure the round trip for the link pill, and how long it stays out; the library's own pings end a dead link."""
        while True:
            await self._until_answered()
            await self._rest()

    async def _until_answered(self) -> None:
        heard, asking = self.bytes_received, asyncio.ensure_future(self._heartbeat())
        try:
            # Counted in looks, not by a clock: a daemon that stood still itself has missed nothing of the hub's.
            while not (await asyncio.wait((asking,), timeout=LINK_LOOK_S))[0]:
                self.silent_s = self.silent_s + LINK_LOOK_S if self.bytes_received == heard else 0.0
                heard = self.bytes_received
                if self.silent_s >= LINK_SILENT_AFTER_S:
                    self._on_silence()
            self._round_trip_s = asking.result()
        finally:
            asking.cancel()
        was_silent, self.silent_s = self.silent_s >= LINK_SILENT_AFTER_S, 0.0
        if was_silent:
            self._on_silence()

    async def _heartbeat(self) -> float:
        return await (await self._socket.ping())

    async def _rest(self) -> None:
        """Wait for the next heartbeat; what was sent and brought nothing back calls for it sooner."""
        sent, received = self.bytes_sent, self.bytes_received
        await asyncio.sleep(PING_INTERVAL_S / 4)
        if self.bytes_sent == sent or self.bytes_received != received:
            await asyncio.sleep(PING_INTERVAL_S / 4)

    async def _put(self, frame: AnyFrame) -> None:
        message = encode_frame(frame)
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await self._socket.send(message)
            self.bytes_sent += _framed_bytes(len(message), masked=True)
        except TimeoutError as error:
            raise LinkLost("the hub did not read for too long") from error


def _framed_bytes(payload_bytes: int, *, masked: bool) -> int:
    """Return the size of an unfragmented WebSocket frame (RFC 6455, 5.2)."""
    length_bytes = 0 if payload_bytes < 126 else 2 if payload_bytes < 65_536 else 8
    return 2 + length_bytes + (4 if masked else 0) + payload_bytes
