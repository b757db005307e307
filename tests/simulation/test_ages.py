"""Stories of how long the oldest reading waits: both sides say the same of what waits at either of them (G9)."""

from __future__ import annotations

import pytest

from connector.accounts import Backlog, backlog
from shared.limits import DAY_MS, SECOND_MS
from tests.simulation.shell import CONNECTOR
from tests.simulation.site import SimSite
from tests.simulation.stories import healed, take
from tests.simulation.test_clocks import set_clock
from tests.simulation.world import World

pytestmark = pytest.mark.simulation


def waits(world: World) -> tuple[Backlog, Backlog]:
    """Return what each side says that waits."""
    return says(world.source), says(world.target)


def says(site: SimSite) -> Backlog:
    site.connection.execute(
        "INSERT OR IGNORE INTO pair (connector_id, pair_id, side, state, root, certificate, fingerprint, peer_site_id,"
        " peer_site_name, peer_connector_id, peer_identity_key, agreed_ms, roll_back_ms)"
        " VALUES (?, x'', ?, 'paired', x'', x'', '', '', '', '', x'', 0, 0)",
        (CONNECTOR, int(site.side)),
    )
    return backlog(site.connection, CONNECTOR)


def one_is_held(world: World) -> int:
    """Let the target hold a reading; return when it came."""
    take(world, 1)
    world.target.define(("temp", "string"))
    world.drain()
    assert world.source.store().ledger().held == 1
    return world.now_ms


def test_g9_both_sides_know_since_when_the_oldest_is_held_until_it_is_applied(world: World) -> None:
    held_ms = one_is_held(world)
    for _ in range(29):
        world.sleep(DAY_MS)
    world.dial()
    world.drain()
    assert [(each.oldest_ms, each.oldest_held_ms) for each in waits(world)] == [(held_ms, held_ms)] * 2
    world.target.define(("temp", "number"))
    healed(world)
    assert [each.oldest_ms for each in waits(world)] == [None, None]


def test_g9_a_target_goes_on_by_what_the_source_stated_last_of_the_oldest_that_waits_there(world: World) -> None:
    world.source.define(("other", "number"))  # not at the target: held back
    took_ms = world.now_ms
    assert world.source.accept([("d0", "other", "number", took_ms, 1.0)])
    world.pass_time(10 * SECOND_MS)
    expected = [(took_ms, took_ms, None)] * 2
    assert [(each.oldest_ms, each.oldest_waiting_ms, each.oldest_held_ms) for each in waits(world)] == expected
    world.cut_all()
    world.target.crash()
    world.target.start()
    assert says(world.target).oldest_ms == took_ms
    world.dial()
    world.pass_time(SECOND_MS)
    one_is_held(world)
    assert [each.oldest_ms for each in waits(world)] == [took_ms, took_ms]  # the older of both


def test_g9_the_age_is_right_by_the_clock_of_each_side_however_far_they_are_apart(world: World) -> None:
    set_clock(world, world.target, -3 * DAY_MS)
    held_ms = one_is_held(world)
    source, target = waits(world)
    assert (source.oldest_ms, target.oldest_ms) == (held_ms, held_ms - 3 * DAY_MS)
    set_clock(world, world.source, 400 * DAY_MS)
    assert says(world.source).oldest_ms == held_ms + 400 * DAY_MS
