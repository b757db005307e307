"""Pairings that were given up: the signed word stays until the hub can have heard it."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path

from connector import connectors
from connector.given_up import GivenUp
from shared.database import Database
from shared.messages import AnyFrame, DissolvePair
from tests.core.stores import CONNECTOR, NOW_MS, open_store


def test_a_pairing_given_up_while_the_clock_was_far_behind_is_not_forgotten_before_the_hub_is_told() -> None:
    connection = open_store().connection
    for number in range(40):
        connectors.save_dissolution(connection, bytes([number]), CONNECTOR, bytes([number]), number)
        connectors.forget_dissolutions(connection, NOW_MS)
        assert bytes([number]) in connectors.dissolutions(connection, CONNECTOR)
    assert connectors.dissolutions(connection, CONNECTOR)[0] > b"\0"  # in the end the oldest go


async def test_g16_a_pairing_given_up_while_the_others_are_read_is_told_too(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "site.db", files("connector") / "sql")
    try:
        await database.write(lambda c: connectors.save_dissolution(c, b"a", CONNECTOR, b"before", NOW_MS))
        given_up, told = GivenUp(database, CONNECTOR), list[AnyFrame]()
        given_up.open_link(told.append)
        loading = asyncio.ensure_future(given_up.load())
        await asyncio.sleep(0)  # it reads
        given_up.add(b"meanwhile")
        await loading
        told.clear()
        given_up.tell_again()
        assert told == [DissolvePair(b"before"), DissolvePair(b"meanwhile")]
    finally:
        await database.close()
