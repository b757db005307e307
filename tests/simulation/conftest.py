"""What stories in the fake world begin with."""

from __future__ import annotations

import pytest

from shared.limits import SECOND_MS
from tests.simulation.world import World


@pytest.fixture
def world() -> World:
    """Two paired sites, linked and quiet."""
    world = World(1)
    world.pair()
    world.dial()
    world.pass_time(SECOND_MS)
    return world
