"""Calls across a pair: answered where the question is read, by a task where that takes time, and never lost between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from connector.calls import Answerer, Calls
from shared.clock import SystemClock
from shared.errors import Refused
from shared.limits import CALL_BODY_BYTES_MAX
from shared.messages import LANE_CONTROL, AnyFrame, Sealed
from shared.sealing import NONCE_BYTES, Kind, PairKeys, Side

PAIR = b"p" * 16


def calls(side: Side, answer: Answerer = lambda method, body: b"") -> Calls:
    return Calls(PairKeys(PAIR, side, {1: b"r" * 32}), SystemClock(), answer)


def passes_to(other: Calls, passed: list[Sealed] | None = None) -> Callable[[AnyFrame], None]:
    """A link that brings what is sent to the other side at once."""

    def send(frame: AnyFrame) -> None:
        assert isinstance(frame, Sealed)
        if passed is not None:
            passed.append(frame)
        other.on_frame(frame)

    return send


def joined(answer: Answerer) -> tuple[Calls, Calls]:
    asking, answering = calls(Side.TARGET), calls(Side.SOURCE, answer)
    asking.open_link(passes_to(answering))
    answering.open_link(passes_to(asking))
    return asking, answering


async def test_w7_a_question_by_key_is_answered_where_it_is_read_without_a_task() -> None:
    asking, _ = joined(lambda method, body: body[::-1])
    assert (await asking.ask("by.key", b"abc")).body == b"cba"


async def test_w7_a_slow_question_is_answered_by_a_task_and_quick_ones_pass_it() -> None:
    released = asyncio.Event()

    async def slow() -> bytes:
        await released.wait()
        return b"slow"

    asking, answering = joined(lambda method, body: b"quick" if method == "by.key" else slow)
    running = asyncio.ensure_future(answering.run())
    waiting = asyncio.ensure_future(asking.ask("search", b"x"))
    await asyncio.sleep(0)
    assert (await asking.ask("by.key", b"")).body == b"quick"
    assert not waiting.done()
    released.set()
    assert (await waiting).body == b"slow"
    running.cancel()


async def test_w7_a_question_that_overtakes_the_opening_of_the_link_is_answered_after_it() -> None:
    asking, answering = calls(Side.TARGET), calls(Side.SOURCE, lambda method, body: b"here")
    asking.open_link(passes_to(answering))
    waiting = asyncio.ensure_future(asking.ask("by.key", b""))
    await asyncio.sleep(0)  # the question is there, the way back is not
    answering.open_link(passes_to(asking))
    running = asyncio.ensure_future(answering.run())
    assert (await waiting).body == b"here"
    running.cancel()


@pytest.mark.parametrize(
    ("raised", "code"),
    [(Refused("look_up_not_allowed"), "look_up_not_allowed"), (ValueError("no such thing"), "invalid")],
)
async def test_w7_what_stands_in_the_way_there_is_a_refusal_here(raised: Exception, code: str) -> None:
    def refuse(method: str, body: bytes) -> bytes:
        raise raised

    asking, _ = joined(refuse)
    with pytest.raises(Refused) as refused:
        await asking.ask("by.key", b"")
    assert refused.value.code == code


async def test_w7_an_answer_that_is_too_long_is_refused_and_one_of_another_question_wakes_nobody() -> None:
    asking, answering = joined(lambda method, body: bytes(CALL_BODY_BYTES_MAX + len(body)))
    passed: list[Sealed] = []
    answering.open_link(passes_to(asking, passed))
    assert len((await asking.ask("by.key", b"")).body) == CALL_BODY_BYTES_MAX
    with pytest.raises(Refused) as refused:
        await asking.ask("by.key", b"x")
    assert refused.value.code == "body_too_large"
    asking.open_link(lambda frame: asking.on_frame(passed[0]))  # an answer to the first question comes again
    with pytest.raises(Refused) as refused:
        await asking.ask("by.key", b"", deadline_s=0.01)
    assert refused.value.code == "call_timed_out"


async def test_g7_an_answer_that_cannot_be_read_is_a_refusal_to_whoever_asked() -> None:
    keys = {side: PairKeys(PAIR, side, {1: b"r" * 32}) for side in Side}
    asking = calls(Side.TARGET)

    def answer(frame: AnyFrame) -> None:
        assert isinstance(frame, Sealed)
        question, _ = keys[Side.SOURCE].open(Kind.CALL, frame.header, frame.body)
        sealed = keys[Side.SOURCE].seal(
            Kind.CALL, b"\x00", epoch=question.epoch, number=1, accepted_ms=0, count=0, nonce=b"n" * NONCE_BYTES
        )
        asking.on_frame(Sealed(LANE_CONTROL, *sealed))

    asking.open_link(answer)
    with pytest.raises(Refused) as refused:
        await asking.ask("by.key", b"")
    assert refused.value.code == "answer_unreadable"
