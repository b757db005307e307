"""The pairing exchange: the right code agrees, and nothing that was touched on the way does (W3, SECURITY)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.certificates import Party
from shared.errors import Refused
from shared.pairing import Agreed, SourcePairing, TargetPairing

CODE = "7KQ2M9XF"
Tamper = Callable[[int, bytes], bytes]


def key(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def party(name: str, connector: str, private: Ed25519PrivateKey) -> Party:
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Party(f"id of {name}", name, connector, public)


SOURCE_KEY, TARGET_KEY = key(1), key(2)
SOURCE, TARGET = party("north", "S0URCE00", SOURCE_KEY), party("south", "TARGET00", TARGET_KEY)


def exchange(
    chance: random.Random, *, tamper: Tamper | None = None, code: str = CODE, target: Party = TARGET
) -> tuple[Agreed | None, Agreed | None, str | None]:
    """Run one exchange; return what source and target agreed, and the code of the refusal if there was one."""
    touch: Tamper = tamper or (lambda step, body: body)
    from_target = TargetPairing(
        me=target, key=TARGET_KEY, code=code, source_site="north", source_connector="S0URCE00", chance=chance.randbytes
    )
    from_source = SourcePairing(
        me=SOURCE, key=SOURCE_KEY, code=CODE, window_id=b"window", expires_ms=9_000, chance=chance.randbytes
    )
    at_source: Agreed | None = None
    try:
        counter = from_source.on_offer(touch(1, from_target.offer()))
        proof = from_target.on_counter(touch(2, counter))
        completion, at_source = from_source.on_proof(touch(3, proof))
        at_target = from_target.on_completion(touch(4, completion))
    except Refused as refused:
        return at_source, None, refused.code
    return at_source, at_target, None


def test_the_right_code_agrees_on_pair_root_certificate_and_fingerprint() -> None:
    at_source, at_target, refused = exchange(random.Random(1))
    assert refused is None
    assert at_source == at_target
    assert at_source is not None
    assert (at_source.source, at_source.target) == (SOURCE, TARGET)
    assert len(at_source.root) == 32
    assert len(at_source.pair_id) == 16


def test_two_pairings_share_no_secret() -> None:
    first, second = exchange(random.Random(1))[0], exchange(random.Random(2))[0]
    assert first is not None
    assert second is not None
    assert first.root != second.root
    assert first.pair_id != second.pair_id


@pytest.mark.parametrize("code", ["7KQ2M9XG", "00000000", "7KQ2M9X"])
def test_a_wrong_code_is_refused_by_the_source_and_agrees_nothing(code: str) -> None:
    assert exchange(random.Random(1), code=code) == (None, None, "wrong_code")


def test_a_connector_does_not_pair_with_itself() -> None:
    assert exchange(random.Random(1), target=SOURCE)[2] == "same_connector"


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("part", range(4))
def test_of_a_thousand_tampered_exchanges_none_is_accepted(step: int, part: int) -> None:
    chance = random.Random(100 * step + part)

    def tamper(at: int, body: bytes) -> bytes:
        if at != step:
            return body
        changed = bytearray(body)
        sort = chance.randrange(4)
        if sort == 0:
            del changed[chance.randrange(len(changed)) :]
        elif sort == 1:
            changed.insert(chance.randrange(len(changed)), chance.randrange(256))
        else:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed) if bytes(changed) != body else body + b"\0"

    for _ in range(64):
        at_source, at_target, refused = exchange(chance, tamper=tamper)
        assert at_target is None
        assert refused is not None
        # The last message is the source's own; what it agreed stays pending until the target's first sealed word.
        assert at_source is None or step == 4


def test_messages_of_another_exchange_are_refused() -> None:
    recorded: dict[int, bytes] = {}

    def record(step: int, body: bytes) -> bytes:
        recorded[step] = body
        return body

    exchange(random.Random(1), tamper=record)
    for step in (1, 2, 3, 4):
        replay: Tamper = lambda at, body, step=step: recorded[at] if at == step else body  # type: ignore[misc]  # noqa: E731
        _, at_target, refused = exchange(random.Random(2), tamper=replay)
        assert at_target is None
        assert refused is not None


def test_steps_out_of_order_are_refused() -> None:
    chance = random.Random(1)
    source = SourcePairing(me=SOURCE, key=SOURCE_KEY, code=CODE, window_id=b"w", expires_ms=9, chance=chance.randbytes)
    target = TargetPairing(
        me=TARGET, key=TARGET_KEY, code=CODE, source_site="north", source_connector="S0URCE00", chance=chance.randbytes
    )
    with pytest.raises(Refused):
        source.on_proof(b"x")
    with pytest.raises(Refused):
        target.on_completion(b"x")
