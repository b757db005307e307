"""Credit (G8): a destination gives back what it has taken off the link, whatever became of it."""

from __future__ import annotations

from shared.core.engine import PairEngine
from shared.core.engine_effects import Send
from shared.limits import CREDIT_BYTES, CREDIT_GRANT_BYTES
from shared.messages import LANE_LIVE, Credit, Held, Sealed
from shared.sealing import Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store, series


def test_g8_a_destination_gives_back_all_the_credit_of_what_it_took() -> None:
    store = open_store()
    engine = PairEngine(keys=keys(Side.TARGET), site_id="there", chance=chance().randbytes)
    engine.load(store, NOW_MS)
    engine.on_link_opened(store, peer_linked=True, credit_bytes=CREDIT_BYTES, now_ms=NOW_MS)
    engine.on_frame(store, Held(True, []), NOW_MS)
    engine.flush(store, NOW_MS)
    source = keys(Side.SOURCE)
    plain = CODEC.encode([series(1)])
    whole = source.seal(Kind.SEGMENT, plain, epoch=1, number=1, accepted_ms=NOW_MS, count=1, nonce=bytes(12))
    frames = [Sealed(LANE_LIVE, *whole)] + [Sealed(LANE_LIVE, whole[0], bytes(100_000)) for _ in range(12)]
    given: list[int] = []
    for frame in frames:
        effects = engine.on_frame(store, frame, NOW_MS) + engine.flush(store, NOW_MS)
        given += [
            each.frame.body_bytes for each in effects if isinstance(each, Send) and isinstance(each.frame, Credit)
        ]
    taken = sum(len(frame.body) for frame in frames)
    assert len(given) == 2
    assert 0 <= taken - sum(given) < CREDIT_GRANT_BYTES
