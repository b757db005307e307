"""Stories of clocks that are wrong, and of clocks that are set right (G5)."""

from __future__ import annotations

import pytest

from connector.streams import Streams
from shared.core.engine_effects import Effect
from shared.core.entries import CAUSE_RETENTION
from shared.limits import DAY_MS, HOUR_MS, MINUTE_MS, QUARANTINE_TRY_EVERY_MS, RETENTION_MS
from shared.sealing import Side
from tests.simulation.demands import notices
from tests.simulation.site import SimSite
from tests.simulation.stories import at_target, healed, take
from tests.simulation.world import World

pytestmark = pytest.mark.simulation


def set_clock(world: World, site: SimSite, skew_ms: int) -> None:
    """Set a wall clock while its daemon runs and looks."""
    world.clocks_are_off = True
    site.on_deadline()
    site.set_clock(skew_ms=skew_ms)
    site.on_deadline()


@pytest.mark.parametrize("behind_ms", [2 * HOUR_MS, 400 * DAY_MS])
def test_what_was_accepted_by_a_clock_far_behind_does_not_expire_when_it_is_set_right(
    world: World, behind_ms: int
) -> None:
    # Seed 268: the hub agreed with the new time, and all that had waited for minutes was a year old.
    world.cut_all()
    take(world, 2)
    set_clock(world, world.source, -behind_ms)
    take(world, 3)
    world.source.work("seals nothing", lambda store: [])
    set_clock(world, world.source, 0)
    world.dial(Side.SOURCE)
    world.pass_time(2 * MINUTE_MS)
    world.cut_all()
    world.sleep(RETENTION_MS - 3 * MINUTE_MS)
    assert world.source.store().ledger().dropped_total == 0
    world.sleep(5 * MINUTE_MS)
    assert world.source.store().ledger().dropped == {CAUSE_RETENTION: 5}
    healed(world)


def test_what_was_accepted_by_a_clock_far_ahead_expires_after_thirty_days_all_the_same(world: World) -> None:
    world.cut_all()
    set_clock(world, world.source, 400 * DAY_MS)
    take(world, 3)
    set_clock(world, world.source, 0)
    world.sleep(RETENTION_MS)
    assert world.source.store().ledger().dropped == {CAUSE_RETENTION: 3}
    healed(world)


def test_a_clock_set_back_by_a_year_does_not_stop_what_was_lost_from_being_asked_for(world: World) -> None:
    # Seed 182: the head of the queue had stood still since a time that was to come again in a year.
    world.weather.drop = 1.0
    take(world, 1)
    world.drain()
    world.weather.drop = 0.0
    set_clock(world, world.source, -365 * DAY_MS)
    world.pass_time(2 * MINUTE_MS)
    assert at_target(world) == 1


def test_a_clock_set_back_by_a_year_does_not_stop_what_was_lost_of_a_replay_from_being_sent_again(world: World) -> None:
    # Seed 1000033: the source waited for the time at which it had been sent to come again.
    take(world, 5)
    world.drain()
    span = world.now_ms - MINUTE_MS, world.now_ms + 1
    world.target.connection.execute("DELETE FROM reading")
    world.weather.drop = 1.0
    engine = world.source.engine
    assert engine is not None

    def ask(store: Streams) -> list[Effect]:
        engine.replays.ask(
            store, from_ms=span[0], to_ms=span[1], resources=(), devices=(), who="ann", now_ms=world.now_ms
        )
        return []

    assert world.source.work("asks for a replay", ask)
    world.pass_time(0)
    assert world.source.rows("SELECT COUNT(*) FROM replay_segment") == [(1,)]
    world.weather.drop = 0.0
    set_clock(world, world.source, -365 * DAY_MS)
    world.pass_time(2 * MINUTE_MS)
    assert world.source.rows("SELECT COUNT(*) FROM replay_segment") == [(0,)]
    assert at_target(world) == 5


def test_a_clock_set_back_by_a_year_does_not_keep_what_is_in_quarantine_from_being_tried(world: World) -> None:
    world.source.keys.spoil = 1
    take(world, 1)
    world.pass_time(2 * QUARANTINE_TRY_EVERY_MS)
    ((tried_ms,),) = world.target.rows("SELECT tried_ms FROM quarantine")
    set_clock(world, world.target, -365 * DAY_MS)
    world.pass_time(2 * QUARANTINE_TRY_EVERY_MS)
    assert isinstance(tried_ms, int)
    ((again_ms,),) = world.target.rows("SELECT tried_ms FROM quarantine")
    assert isinstance(again_ms, int)
    assert again_ms < tried_ms - 364 * DAY_MS


def test_a_clock_far_behind_that_is_set_right_does_not_forget_what_a_restored_destination_lacks(world: World) -> None:
    # Seed 1022348: the account named nine readings of no device, while the source had all of them in its history.
    backup = world.target.connection.serialize()
    world.cut_all()
    take(world, 9)
    set_clock(world, world.source, -400 * DAY_MS)
    world.dial()
    world.pass_time(2 * MINUTE_MS)
    assert at_target(world) == 9
    set_clock(world, world.source, 0)
    world.pass_time(HOUR_MS)
    world.target.restore(backup)
    healed(world)
    assert at_target(world) == 9
    assert notices(world.source, ours=True) == {}
