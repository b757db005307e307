"""Pairings that were given up: the signed word stays until the hub can have heard it."""

from __future__ import annotations

from connector import connectors
from tests.core.stores import CONNECTOR, NOW_MS, open_store


def test_a_pairing_given_up_while_the_clock_was_far_behind_is_not_forgotten_before_the_hub_is_told() -> None:
    connection = open_store().connection
    for number in range(40):
        connectors.save_dissolution(connection, bytes([number]), CONNECTOR, bytes([number]), number)
        connectors.forget_dissolutions(connection, NOW_MS)
        assert bytes([number]) in connectors.dissolutions(connection, CONNECTOR)
    assert connectors.dissolutions(connection, CONNECTOR)[0] > b"\0"  # in the end the oldest go
