"""What comes from the other side is foreign (SECURITY, people and programs): bounds hold, the good is kept."""

from __future__ import annotations

import pytest

from shared.core import fields
from shared.core.cells import Cell
from shared.core.engine import PairEngine
from shared.core.entries import Definition
from shared.core.fields import device_object, fields_object, tag_field
from shared.core.judge import why_wrong
from shared.errors import ProtocolError
from shared.limits import ALIAS_CHARS_MAX, CREDIT_BYTES, IDENTITY_CHARS_MAX, TAG_CHARS_MAX
from shared.messages import Held, HeldEpoch
from shared.sealing import Side
from tests.core.stores import NOW_MS, chance, keys, open_store


def cell(field: str, value: str | None, identity: str = "pump", source_count: int = 1) -> Cell:
    of = device_object(identity) if field == fields.EXISTS else fields_object(identity, 1)
    return Cell(of, field, value, source_count, 0, 1, "site")


@pytest.mark.parametrize(
    "good",
    [
        cell(fields.EXISTS, "1"),
        cell(fields.EXISTS, None),
        cell(fields.NAME, '"Pump 7 <b>é</b>"'),
        cell(fields.DESCRIPTION, '""'),
        cell(tag_field("place", "hall 3"), "true"),
        cell(tag_field("place", ""), None),
        cell(fields.EXISTS, "1", "x" * IDENTITY_CHARS_MAX),
    ],
)
def test_what_a_site_can_make_is_taken(good: Cell) -> None:
    assert why_wrong(good) == ""


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (cell(fields.EXISTS, "1", "x" * (IDENTITY_CHARS_MAX + 1)), "identity"),
        (cell(fields.EXISTS, "1", ""), "identity"),
        (cell(fields.EXISTS, "1", "a\nb"), "identity"),
        (cell(fields.EXISTS, "true"), "malformed"),
        (cell(fields.EXISTS, "0"), "generation"),
        (cell(fields.NAME, '"' + "n" * 5_000 + '"'), "text"),
        (cell(fields.NAME, "7"), "text"),
        (cell(fields.NAME, "{"), "text"),
        (cell(tag_field("n" * (TAG_CHARS_MAX + 1), "v"), "true"), "tag"),
        (cell(tag_field("n", "v\x00"), "true"), "tag"),
        (cell("tag/{", "true"), "malformed"),
        (cell("colour", '"red"'), "field"),
        (cell(fields.EXISTS, "1", source_count=-1), "version"),
        (Cell("user/root", fields.EXISTS, "1", 1, 0, 1, "site"), "device"),
    ],
)
def test_what_no_site_makes_is_refused_with_the_reason(bad: Cell, word: str) -> None:
    assert word in why_wrong(bad)


def test_definitions_are_held_to_their_bounds() -> None:
    good = Definition("flow", "number", "l/s", '{"low":0,"high":1}', False, True)
    assert good.well_formed
    for bad in (
        Definition("", "number", "", None, False, False),
        Definition("a" * (ALIAS_CHARS_MAX + 1), "number", "", None, False, False),
        Definition("flow", "picture", "", None, False, False),
        Definition("flow", "number", "u" * 99, None, False, False),
        Definition("flow", "number", "", "[1]", False, False),
        Definition("flow", "number", "", "{", False, False),
    ):
        assert not bad.well_formed


@pytest.mark.parametrize(
    "epochs",
    [
        [HeldEpoch(0, 1, [4, 4, 1, 1])],
        [HeldEpoch(0, 1, [1])],
        [HeldEpoch(0, 1, [1, 2**63])],
        [HeldEpoch(0, 1, [1, 1]), HeldEpoch(0, 1, [2, 2])],
    ],
)
def test_a_hub_that_says_in_no_order_what_it_holds_breaks_the_protocol_of_the_link(epochs: list[HeldEpoch]) -> None:
    store = open_store()
    engine = PairEngine(keys=keys(Side.SOURCE), site_id="here", chance=chance().randbytes)
    engine.load(store, NOW_MS)
    engine.on_link_opened(store, peer_linked=True, credit_bytes=CREDIT_BYTES, now_ms=NOW_MS)
    with pytest.raises(ProtocolError):
        engine.on_frame(store, Held(True, epochs), NOW_MS)
    engine.on_frame(store, Held(True, []), NOW_MS)
