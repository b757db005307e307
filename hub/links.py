"""The connector endpoint: admission before the upgrade, then one reader and one writer per link.

Every wait and queue of a link is bounded, so that a peer that never reads, never speaks or speaks too much costs its
own link only (SECURITY, floods). The frames are those of shared.messages (docs/protocol.md, links).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import anyio
import msgspec
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.admission import Admitted
from hub.blocked import FLOOD, NO_HELLO, NOT_READING, PROTOCOL_BROKEN
from shared.core.lanes import Lanes
from shared.core.registry import Connector
from shared.errors import PairhubError, ProtocolError, Refused
from shared.limits import (
    CREDIT_BYTES,
    FRAME_SMALL_BYTES_MAX,
    HANDSHAKE_DEADLINE_S,
    LINK_FRAMES_PER_S_MAX,
    LINK_QUEUE_BYTES_MAX,
    LINK_QUEUE_FRAMES_MAX,
    SEND_DEADLINE_S,
)
from shared.messages import (
    PROTOCOL_HIGHEST,
    PROTOCOL_LOWEST,
    AnyFrame,
    Hello,
    HelloBack,
    Notice,
    Sealed,
    Statement,
    decode_frame,
    encode_frame,
)
from shared.serving import ABORT_KEY, DIRECT_KEY, BytesLike, DirectMessages

_log = logging.getLogger(__name__)
_CLOSE_DEADLINE_S = 2.0

# How frames begin that may be large; all others are small, and are not even decoded where they are not.
_MAY_BE_LARGE: Final = tuple(msgspec.msgpack.encode(kind.__name__) for kind in (Sealed, Statement))

CLOSE_PROTOCOL = 1002
CLOSE_POLICY = 1008
CLOSE_RESTART = 1012
CLOSE_DISPLACED = 4001
CLOSE_REVOKED = 4003


class LinkOwner(Protocol):
    """What a link needs of the hub."""

    def admit(self, websocket: WebSocket) -> Admitted:
        """Decide before the upgrade; raises Refused."""

    def on_link_opened(self, link: Link) -> None:
        """A link has said hello; raises Refused('duplicate_instance'), ('too_many_of_site')."""

    def on_link_closed(self, link: Link) -> None:
        """A link has ended. Called once for each that was opened."""

    def relay(self, link: Link, frame: AnyFrame) -> bool:
        """A frame arrived: pass it on, where it is of a kind that waits for nothing; say whether it is."""

    async def on_frame(self, link: Link, frame: AnyFrame) -> None:
        """A frame arrived; raises ProtocolError."""

    def on_link_blocked(self, link: Link, reason: str) -> None:
        """A link was refused after its upgrade, cut off or slowed down: a code of a refusal, or of hub.blocked."""

    def now_ms(self) -> int:
        """The hub's time, which never goes back."""

    def wall_ms(self) -> int:
        """The wall clock."""


def _decoded(message: BytesLike) -> AnyFrame:
    if len(message) > FRAME_SMALL_BYTES_MAX and not bytes(message[1:16]).startswith(_MAY_BE_LARGE):
        raise ProtocolError("frame larger than allowed", 1009)
    return decode_frame(message)


def refusal_body(refused: Refused) -> bytes:
    """The JSON of a refusal: code, sentence, facts."""
    facts = {name: str(value) for name, value in refused.facts.items()}
    return msgspec.json.encode({"code": refused.code, "message": str(refused), "facts": facts})


def refusal_response(refused: Refused) -> Response:
    """A refusal as an HTTP answer."""
    headers = {"Cache-Control": "no-store"}
    if refused.status == 426:
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    return Response(refusal_body(refused), refused.status, headers, "application/json")


async def serve_link(websocket: WebSocket, owner: LinkOwner) -> None:
    """Serve one upgrade request to its end."""
    try:
        admitted = owner.admit(websocket)
    except Refused as refused:
        _log.info("Link refused from %s: %s", websocket.client, refused.code)
        await websocket.send_denial_response(refusal_response(refused))
        return
    await websocket.accept()
    await Link(websocket, admitted, owner).run()


class Link:
    """One live link of one connector."""

    def __init__(self, websocket: WebSocket, admitted: Admitted, owner: LinkOwner) -> None:
        self.connector: Connector = admitted.connector
        self.site_name = admitted.site_name
        self.start_id = admitted.start_id
        self.address = websocket.client.host if websocket.client else ""
        self.opened_ms = owner.wall_ms()
        self.version = 0
        """The protocol version both agreed on, once they have."""
        self.ended = anyio.Event()
        self._websocket = websocket
        self._owner = owner
        state = websocket.scope.get("state", {})
        self._abort: Callable[[], None] = state.get(ABORT_KEY, lambda: None)
        self._direct: DirectMessages | None = state.get(DIRECT_KEY)
        self._lanes = Lanes()
        self._to_send = anyio.Event()
        self._sending = False  # a frame that was taken from the lanes waits for the socket
        self._acting = False  # a frame that was read is still acted on
        self._closing = anyio.Event()
        self._close: tuple[int, str] = (1000, "")
        self._gone = False
        self._allowance = float(LINK_FRAMES_PER_S_MAX)
        self._allowed_ms = owner.now_ms()
        self._is_slowed = False

    # --- what others ask of a link -----------------------------------------------------------------------------------

    def send(self, frame: AnyFrame) -> None:
        """Send a frame, or queue it, urgent ones before segments; a queue that overflows means a peer that does not read."""
        direct = self._direct
        if direct is not None and not (self._sending or self._lanes) and direct.is_writable:
            direct.send_now(encode_frame(frame))
            return
        self._lanes.put(frame)
        if self._lanes.urgent_count > LINK_QUEUE_FRAMES_MAX or self._lanes.queued_bytes > LINK_QUEUE_BYTES_MAX:
            self._block(NOT_READING)
            self.abort("it does not read")
        self._to_send.set()

    def fault(self, why: str, code: int = CLOSE_PROTOCOL) -> None:
        """Close: the peer broke the protocol."""
        self._block(PROTOCOL_BROKEN)
        _log.warning("Closing the link of %s: %s", self, why, extra=self.ids)
        self.close(code, why)

    def close(self, code: int, reason: str) -> None:
        """Close with a close frame; the first reason stands."""
        if not self._closing.is_set():
            self._close = (code, reason[:100])
            self._closing.set()

    def abort(self, why: str) -> None:
        """Cut the connection without waiting for the peer."""
        if not self._gone:
            _log.warning("Aborting the link of %s: %s", self, why, extra=self.ids)
            self._gone = True
            self._abort()
            self._closing.set()

    def _block(self, reason: str) -> None:
        """Count why this link ends; what happens to one that is ending already is no further attempt."""
        if not self.leaving:
            self._owner.on_link_blocked(self, reason)

    @property
    def leaving(self) -> bool:
        """Whether it is about to end."""
        return self._gone or self._closing.is_set()

    def __str__(self) -> str:
        return f"{self.site_name}/{self.connector[1]}"

    @property
    def ids(self) -> dict[str, str]:
        """Whose it is, as fields of a log line."""
        return {"site": self.site_name, "connector": self.connector[1]}

    # --- the link's own life -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Greet, then read and write until the first of both ends, the peer leaves, or somebody closes."""
        opened = False
        try:
            opened = await self._greet()
            if opened:
                if self._direct is not None:
                    self._direct.take_message = self._take
                async with anyio.create_task_group() as tasks:
                    for part in (self._read, self._write, self._closing.wait):
                        tasks.start_soon(self._first, part, tasks.cancel_scope)
        finally:
            if self._direct is not None:
                self._direct.take_message = None
            if opened:
                self._owner.on_link_closed(self)
            with anyio.CancelScope(shield=True):
                await self._hang_up()
            self.ended.set()

    async def _first(self, part: Callable[[], Awaitable[object]], scope: anyio.CancelScope) -> None:
        """Run a part of the link; whichever ends first ends the others."""
        try:
            await part()
        except ProtocolError as error:
            self.fault(error.what, error.close_code)
        except WebSocketDisconnect:
            self._gone = True
        finally:
            scope.cancel()

    async def _greet(self) -> bool:
        """Take the first frame and agree on a version; return whether the hub has taken the link in."""
        try:
            with anyio.fail_after(HANDSHAKE_DEADLINE_S):
                self.version = self._agree(_decoded(await self._receive()))
            self._owner.on_link_opened(self)
        except Refused as refused:
            self._block(refused.code)
            with suppress(WebSocketDisconnect):
                await self._put(Notice(refused.code, {name: str(value) for name, value in refused.facts.items()}))
            self.close(CLOSE_POLICY, refused.code)
        except ProtocolError as error:
            self.fault(error.what, error.close_code)
        except WebSocketDisconnect:
            self._gone = True
        except TimeoutError:
            self._block(NO_HELLO)
            self.close(CLOSE_PROTOCOL, "no Hello in time")
        else:
            self.send(HelloBack(self.version, self._owner.wall_ms(), CREDIT_BYTES))
            return True
        return False

    def _agree(self, hello: AnyFrame) -> int:
        if not isinstance(hello, Hello):
            raise ProtocolError("the first frame has to be Hello")
        if hello.start_id != self.start_id:
            raise ProtocolError("Hello names another start than the request")
        version = min(hello.highest, PROTOCOL_HIGHEST)
        if version < max(hello.lowest, PROTOCOL_LOWEST):
            ours, theirs = f"{PROTOCOL_LOWEST} to {PROTOCOL_HIGHEST}", f"{hello.lowest} to {hello.highest}"
            raise Refused("version_mismatch", ours=ours, theirs=theirs)
        return version

    def _take(self, message: BytesLike) -> bool:
        """Relay a message where it is read; no where one before it is acted on, and where `_read` has to say or do more."""
        if self._acting or self._allowance < 1 or self.leaving:
            return False
        try:
            frame = _decoded(message)
        except ProtocolError:
            return False
        if not self._owner.relay(self, frame):
            return False
        self._spend()
        return True

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            self._acting = True
            await self._owner.on_frame(self, _decoded(message))
            await self._slow_down()
            self._acting = False

    async def _receive(self) -> bytes:
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1005))
        message = event.get("bytes")
        if message is None:
            raise ProtocolError("text message on a connector link", 1003)
        return bytes(message)

    async def _slow_down(self) -> None:
        """Take a short rest where more frames came than one link may bring."""
        self._spend()
        if self._allowance < 0:
            if not self._is_slowed:
                self._is_slowed = True
                self._owner.on_link_blocked(self, FLOOD)
            await anyio.sleep(0.05)

    def _spend(self) -> None:
        """Count a frame against what one link may bring in a second."""
        now_ms = self._owner.now_ms()
        gained = (now_ms - self._allowed_ms) * LINK_FRAMES_PER_S_MAX / 1000
        self._allowance = min(self._allowance + gained, float(LINK_FRAMES_PER_S_MAX)) - 1
        self._allowed_ms = now_ms
        if self._allowance >= LINK_FRAMES_PER_S_MAX / 2:
            self._is_slowed = False

    async def _write(self) -> None:
        while True:
            frame = self._lanes.take()
            if frame is None:
                self._to_send = anyio.Event()
                await self._to_send.wait()
                continue
            self._sending = True  # what is sent meanwhile must not overtake it
            await self._put(frame)
            self._sending = False

    async def _put(self, frame: AnyFrame) -> None:
        try:
            with anyio.fail_after(SEND_DEADLINE_S):
                await self._websocket.send_bytes(encode_frame(frame))
        except TimeoutError:
            self.abort("a send did not finish in time")
        except (RuntimeError, OSError) as error:  # closed by a close frame of ours, or by the transport
            raise WebSocketDisconnect(1006) from error

    async def _hang_up(self) -> None:
        if self._gone:
            return
        code, reason = self._close
        with anyio.move_on_after(_CLOSE_DEADLINE_S) as scope:
            try:
                await self._websocket.close(code, reason)
            except (PairhubError, RuntimeError, OSError, WebSocketDisconnect):
                return
        if scope.cancelled_caught:
            self.abort("it does not take the close frame")
