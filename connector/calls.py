"""Live questions across the pair (G10): sealed, bound to their request, never stored, never changing anything."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from shared.clock import Clock
from shared.errors import PairhubError, ProtocolError, Refused, SealBroken, refused_there
from shared.limits import CALL_BODY_BYTES_MAX, CALL_DEADLINE_S, CALLS_IN_FLIGHT_MAX
from shared.messages import LANE_CONTROL, AnyFrame, Sealed
from shared.sealing import NONCE_BYTES, Header, Kind, PairKeys

_REQUEST: Final = 0
_ANSWER: Final = 1


class _Question(msgspec.Struct, frozen=True, array_like=True):
    method: str
    body: bytes


class _Reply(msgspec.Struct, frozen=True, array_like=True):
    code: str  # empty: answered
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side answered, and how long it took."""

    body: bytes
    round_trip_ms: float


Answerer = Callable[[str, bytes], Awaitable[bytes]]


class Calls:
    """Asks and answers over one pair's present link."""

    def __init__(self, keys: PairKeys, clock: Clock, answer: Answerer) -> None:
        """`answer(method, body)` answers the peer's questions; Refused becomes a refusal there."""
        self._keys = keys
        self._clock = clock
        self._answer = answer
        self._send: Callable[[AnyFrame], None] | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._questions: asyncio.Queue[tuple[Header, bytes]] = asyncio.Queue(CALLS_IN_FLIGHT_MAX)

    def open_link(self, send: Callable[[AnyFrame], None]) -> None:
        """Calls go out over this link from here on."""
        self._send = send

    def close_link(self) -> None:
        """The link is gone: whoever waits hears so at once."""
        self._send = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Refused("no_route"))

    def on_peer_not_linked(self, ref: bytes) -> None:
        """The hub says that a question found nobody."""
        future = self._waiting.get(int.from_bytes(ref, "big"))
        if future is not None and not future.done():
            future.set_exception(Refused("peer_not_linked"))

    async def ask(self, method: str, body: bytes, deadline_s: float = CALL_DEADLINE_S) -> Answer:
        """Ask the other side; raises Refused('no_route', 'peer_not_linked', 'call_timed_out', or what it refused with)."""
        if self._send is None:
            raise Refused("no_route")
        if len(self._waiting) >= CALLS_IN_FLIGHT_MAX:
            raise Refused("call_timed_out")
        call_id = int.from_bytes(secrets.token_bytes(8), "big")
        future = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        try:
            self._send(self._sealed(call_id, _REQUEST, msgspec.msgpack.encode(_Question(method, body))))
            async with asyncio.timeout(deadline_s):
                plain = await future
        except TimeoutError:
            raise Refused("call_timed_out") from None
        finally:
            del self._waiting[call_id]
        reply = msgspec.msgpack.decode(plain, type=_Reply)
        if reply.code:
            raise refused_there(reply.code, {})
        return Answer(reply.body, (time.perf_counter() - started) * 1000)

    def is_call(self, frame: Sealed) -> bool:
        """Whether a sealed frame is a call's."""
        return len(frame.header) > 1 and frame.header[1] == Kind.CALL

    def on_frame(self, frame: Sealed) -> None:
        """Take a question (for `run` to answer) or an answer (wakes who waits); broken seals are dropped (G7)."""
        try:
            header, plain = self._keys.open(Kind.CALL, frame.header, frame.body)
        except SealBroken:
            return
        if header.number == _ANSWER:
            future = self._waiting.get(header.epoch)
            if future is not None and not future.done():
                future.set_result(plain)
            return
        if not self._questions.full():  # beyond it the asker hears nothing and gives up: our stream comes first
            self._questions.put_nowait((header, plain))

    async def run(self) -> None:
        """Answer questions until cancelled, beside the stream: a slow answer must not hold readings up."""
        while True:
            await self._reply(*await self._questions.get())

    async def _reply(self, header: Header, plain: bytes) -> None:
        send = self._send
        if send is None:
            return
        try:
            question = msgspec.msgpack.decode(plain, type=_Question)
            body = await self._answer(question.method, question.body)
            reply = _Reply("", body) if len(body) <= CALL_BODY_BYTES_MAX else _Reply("body_too_large", b"")
        except Refused as refused:
            reply = _Reply(refused.code, b"")
        except (PairhubError, ProtocolError, msgspec.MsgspecError, ValueError):
            reply = _Reply("invalid", b"")
        # The answer's id is the request's, inside the authenticated header: it fits no other question (G10).
        send(self._sealed(header.epoch, _ANSWER, msgspec.msgpack.encode(reply)))

    def _sealed(self, call_id: int, number: int, plain: bytes) -> Sealed:
        header, body = self._keys.seal(
            Kind.CALL,
            plain,
            epoch=call_id,
            number=number,
            accepted_ms=self._clock.wall_ms(),
            count=0,
            nonce=secrets.token_bytes(NONCE_BYTES),
        )
        return Sealed(LANE_CONTROL, header, body)
