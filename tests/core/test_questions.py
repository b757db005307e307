"""Questions for the other side's word: asked again where they may have been missed, and never for ever."""

from __future__ import annotations

from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Send
from shared.limits import CREDIT_BYTES
from shared.messages import AskStatement
from shared.sealing import Side
from tests.core.stores import NOW_MS, chance, keys, open_store

THEIRS = AskStatement(keys(Side.SOURCE).pair_id, b"a nonce of theirs")


def asked(effects: list[Effect]) -> list[bytes]:
    """The nonces of the questions among what is sent."""
    return [each.frame.nonce for each in effects if isinstance(each, Send) and isinstance(each.frame, AskStatement)]


def test_a_question_is_asked_a_second_time_with_the_first_of_the_other_side_and_not_with_every_one() -> None:
    store = open_store()
    engine = PairEngine(keys=keys(Side.TARGET), site_id="t", chance=chance(7).randbytes)
    engine.load(store, NOW_MS)
    opened = asked(engine.on_link_opened(store, peer_linked=True, credit_bytes=CREDIT_BYTES, now_ms=NOW_MS))
    assert asked(engine.on_frame(store, THEIRS, NOW_MS)) == opened
    assert asked(engine.on_frame(store, THEIRS, NOW_MS)) == []
    # The other side goes and comes: what is asked then is another question.
    engine.on_presence(store, linked=False, now_ms=NOW_MS)
    anew = asked(engine.on_presence(store, linked=True, now_ms=NOW_MS))
    assert anew != opened
    assert asked(engine.on_frame(store, THEIRS, NOW_MS)) == anew
    assert asked(engine.on_frame(store, THEIRS, NOW_MS)) == []
