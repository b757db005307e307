"""Parting on purpose: the table, the talk of two sides through ordered logs, and what a certificate must have."""

from __future__ import annotations

import random
from collections import deque
from contextlib import suppress
from itertools import product

import pytest

from shared.certificates import Parting, pack, read_parting, sign
from shared.core.entries import PartAskedEntry
from shared.core.parting import PARTING_TABLE, Ask, PartEvent, PartingTalk, PartState
from shared.core.parting_lane import PartingEntry, PartingLane
from shared.errors import Misuse, Refused
from tests.hub.builders import TestPair, TestSite

UNDER_WAY = (PartState.TOGETHER, PartState.ASKED_HERE, PartState.ASKED_THERE, PartState.ASKED_BOTH)


class _Side:
    """One side: its talk, and its log as a queue. Stands for store and log at once."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.talk = PartingTalk()
        self.sent: deque[PartingEntry] = deque()
        self.asks = 0
        self.lane = PartingLane(self)  # type: ignore[arg-type]

    def append(self, _store: object, entry: PartingEntry, _now_ms: int) -> None:
        self.sent.append(entry)

    def parting_talk(self) -> PartingTalk:
        return self.talk

    def save_parting_talk(self, talk: PartingTalk) -> None:
        self.talk = talk

    def peer_signed_parting(self, _part_id: bytes, signature: bytes) -> bool:
        return signature == b"signed"

    def ask(self, *, flush: bool = False) -> None:
        self.asks += 1
        ask = Ask((self.name + bytes([self.asks])).ljust(16, b"."), b"signed", "eva", self.asks)
        self.lane.ask(self, ask, flush=flush, now_ms=1)  # type: ignore[arg-type]

    def withdraw(self) -> None:
        self.lane.withdraw(self, 1)  # type: ignore[arg-type]

    def decline(self) -> None:
        self.lane.decline(self, 1)  # type: ignore[arg-type]

    def hear(self, other: _Side) -> None:
        if other.sent:
            self.lane.take(self, other.sent.popleft(), 1)  # type: ignore[arg-type]


def two() -> tuple[_Side, _Side]:
    return _Side(b"a"), _Side(b"b")


def test_agreeing_needs_an_ask_of_the_other_side_and_parted_has_no_way_back() -> None:
    agreeing = {state for state in PartState if PARTING_TABLE.allows(state, PartEvent.AGREE)}
    assert agreeing == {PartState.ASKED_THERE, PartState.ASKED_BOTH}
    for state, event in product((PartState.AGREED, PartState.PARTED), PartEvent):
        if PARTING_TABLE.allows(state, event):
            assert PARTING_TABLE.after(state, event) not in UNDER_WAY
    for state in UNDER_WAY:
        assert PARTING_TABLE.after(state, PartEvent.BOTH_SIGNATURES_SEEN) is PartState.AGREED
        with pytest.raises(Misuse):
            PARTING_TABLE.after(state, PartEvent.KNOWN_EVERYWHERE)


@pytest.mark.parametrize("seed", range(40))
def test_both_sides_end_with_the_same_asks_whatever_crosses_on_the_way(seed: int) -> None:
    chance, sides = random.Random(seed), two()
    for _ in range(60):
        side = chance.choice(sides)
        other = sides[1] if side is sides[0] else sides[0]
        act = chance.choice((side.ask, side.withdraw, side.decline, lambda s=side, o=other: s.hear(o)))
        with suppress(Refused):  # as a person would be
            act()
    while sides[0].sent or sides[1].sent:
        sides[0].hear(sides[1])
        sides[1].hear(sides[0])
    assert (sides[0].talk.mine, sides[1].talk.mine) == (sides[1].talk.theirs, sides[0].talk.theirs)


def test_two_asks_that_cross_let_either_side_agree() -> None:
    a, b = two()
    a.ask(flush=True)
    b.ask()
    a.hear(b)
    b.hear(a)
    assert (a.talk.state, b.talk.state) == (PartState.ASKED_BOTH, PartState.ASKED_BOTH)
    assert a.talk.on_agree().state is PartState.AGREED


def test_what_was_chosen_holds_for_that_ask_alone() -> None:
    a, b = two()
    a.ask(flush=True)
    first = a.talk.mine
    assert first is not None
    assert a.talk.chosen_for(first.part_id)
    a.withdraw()
    assert not a.talk.chosen_for(first.part_id)
    a.ask(flush=False)
    assert not a.talk.chosen_for(first.part_id)
    for _ in range(3):
        b.hear(a)
    assert b.talk.theirs == a.talk.mine


def test_an_ask_without_the_signature_of_the_other_side_is_not_taken() -> None:
    a, _ = two()
    forged = PartAskedEntry(b"p" * 16, b"forged", "eva", 1)
    with pytest.raises(ValueError, match="has not signed"):
        a.lane.take(a, forged, 1)  # type: ignore[arg-type]
    assert a.talk == PartingTalk()


def test_a_parting_counts_only_with_both_signatures_of_this_very_pair() -> None:
    plant, office, stranger = TestSite("plant"), TestSite("office"), TestSite("stranger")
    pair = TestPair(plant, office)
    parting = Parting(pair.pair_id, b"q" * 16)
    by = {site.name: sign(site.identity_key, parting) for site in (plant, office, stranger)}
    assert read_parting(pack(parting, [by["plant"], by["office"]]), pair.certificate) == parting
    other = Parting(b"o" * 16, b"q" * 16)
    wrong = {
        "one-sided": pack(parting, [by["plant"]]),
        "one side twice": pack(parting, [by["plant"], by["plant"]]),
        "in the wrong order": pack(parting, [by["office"], by["plant"]]),
        "a stranger's": pack(parting, [by["plant"], by["stranger"]]),
        "of another ID": pack(Parting(pair.pair_id, b"r" * 16), [by["plant"], by["office"]]),
        "of another pair": pack(other, [sign(site.identity_key, other) for site in (plant, office)]),
        "garbage": b"garbage",
    }
    for packed in wrong.values():
        with pytest.raises(Refused, match="certificate"):
            read_parting(packed, pair.certificate)
