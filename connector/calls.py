"""Live questions across the pair (G10): sealed, bound to their request, never stored, never changing anything."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from shared.clock import Clock
from shared.errors import PairhubError, Refused, SealBroken, refused_there
from shared.foreign import read_packed
from shared.limits import CALL_BODY_BYTES_MAX, CALL_DEADLINE_S, CALLS_IN_FLIGHT_MAX
from shared.messages import LANE_CONTROL, AnyFrame, Sealed
from shared.sealing import NONCE_BYTES, Header, Kind, PairKeys, is_call

T = TypeVar("T")
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


# The answer to a question (method, body); or, where it takes more than microseconds, how to find it beside the stream.
Answerer = Callable[[str, bytes], bytes | Callable[[], Awaitable[bytes]]]

_ENCODER: Final = msgspec.msgpack.Encoder()
_QUESTIONS: Final = msgspec.msgpack.Decoder(_Question)
_REPLIES: Final = msgspec.msgpack.Decoder(_Reply)
_UNANSWERABLE: Final = (PairhubError, msgspec.MsgspecError, ValueError, ArithmeticError)


def read_answer(decoder: msgspec.msgpack.Decoder[T], packed: bytes) -> T:
    """Read what the other side answered; raises Refused('answer_unreadable')."""
    try:
        return read_packed(decoder, packed)
    except msgspec.DecodeError as error:
        raise Refused("answer_unreadable") from error


def _refusal(error: Exception) -> _Reply:
    return _Reply(error.code if isinstance(error, Refused) else "invalid", b"")


def _give_up(future: asyncio.Future[bytes]) -> None:
    if not future.done():
        future.set_exception(Refused("call_timed_out"))


class Calls:
    """Asks and answers over one pair's present link."""

    def __init__(self, keys: PairKeys, clock: Clock, answer: Answerer) -> None:
        """`answer(method, body)` answers the peer's questions; Refused becomes a refusal there.

        It is asked where the question is read, because the turn of a task would cost as much as an answer by key.
        """
        self._keys = keys
        self._clock = clock
        self._answer = answer
        self._send: Callable[[AnyFrame], None] | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._questions: asyncio.Queue[tuple[Header, _Question]] = asyncio.Queue(CALLS_IN_FLIGHT_MAX)

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
        """Ask the other side.

        Raises Refused('no_route', 'peer_not_linked', 'call_timed_out', 'answer_unreadable', or what it refused with).
        """
        if self._send is None:
            raise Refused("no_route")
        if len(self._waiting) >= CALLS_IN_FLIGHT_MAX:
            raise Refused("call_timed_out")
        call_id = int.from_bytes(secrets.token_bytes(8), "big")
        loop = asyncio.get_running_loop()
        future = self._waiting[call_id] = loop.create_future()
        started = time.perf_counter()
        deadline = loop.call_later(deadline_s, _give_up, future)
        try:
            self._send(self._sealed(call_id, _REQUEST, _ENCODER.encode(_Question(method, body))))
            plain = await future
        finally:
            deadline.cancel()
            del self._waiting[call_id]
        reply = read_answer(_REPLIES, plain)
        if reply.code:
            raise refused_there(reply.code, {})
        return Answer(reply.body, (time.perf_counter() - started) * 1000)

    def is_call(self, frame: Sealed) -> bool:
        """Whether a sealed frame is a call's."""
        return is_call(frame.header)

    def on_frame(self, frame: Sealed) -> None:
        """Take a question (answered now, or by `run`) or an answer (wakes who waits); broken seals are dropped (G7)."""
        try:
            header, plain = self._keys.open(Kind.CALL, frame.header, frame.body)
        except SealBroken:
            return
        if header.number == _ANSWER:
            future = self._waiting.get(header.epoch)
            if future is not None and not future.done():
                future.set_result(plain)
            return
        try:
            question = read_packed(_QUESTIONS, plain)
            # Before the link is open to calls (the hub's word of the pair waits to be handled) nothing can be sent.
            answer = self._answer(question.method, question.body) if self._send is not None else None
        except _UNANSWERABLE as error:
            self._reply(header, _refusal(error))
            return
        if isinstance(answer, bytes):
            self._reply(header, _Reply("", answer))
        elif not self._questions.full():  # beyond it the asker hears nothing and gives up: our stream comes first
            self._questions.put_nowait((header, question))

    async def run(self) -> None:
        """Answer questions until cancelled, beside the stream: a slow answer must not hold readings up."""
        while True:
            header, question = await self._questions.get()
            try:
                answer = self._answer(question.method, question.body)
                reply = _Reply("", answer if isinstance(answer, bytes) else await answer())
            except _UNANSWERABLE as error:
                reply = _refusal(error)
            self._reply(header, reply)

    def _reply(self, header: Header, reply: _Reply) -> None:
        if self._send is None:
            return
        if len(reply.body) > CALL_BODY_BYTES_MAX:
            reply = _Reply("body_too_large", b"")
        # The answer's id is the request's, inside the authenticated header: it fits no other question (G10).
        self._send(self._sealed(header.epoch, _ANSWER, _ENCODER.encode(reply)))

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
