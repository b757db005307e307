"""Stories of a source whose disk is put back: from when to when readings may be missing is said as it was (G1, G2)."""

from __future__ import annotations

import pytest

from connector.connectors import Pair
from connector.resource_accounts import cut_differences, list_resource_accounts
from shared.core.completion import PairState
from shared.core.engine_effects import Effect
from shared.core.entries import CAUSE_ORIGIN_RESTORED, GapNotice
from shared.core.ports import PairStore
from shared.limits import BACKFILL_IN_FLIGHT_MAX, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, TAIL_AGE_MS_MAX
from shared.sealing import Side
from tests.core.stores import CONNECTOR
from tests.simulation.demands import notices
from tests.simulation.hub import PAIR_ID
from tests.simulation.stories import healed, take
from tests.simulation.test_clocks import set_clock
from tests.simulation.world import World

pytestmark = pytest.mark.simulation


def a_day_goes_with_the_disk(world: World) -> tuple[bytes, int, int]:
    """Deliver some, lose some; return the disk as it was before, and when the first and the last of the lost came."""
    take(world, 3)
    world.drain()
    copy = world.source.connection.serialize()
    world.sleep(DAY_MS)
    world.dial()
    take(world, 5)
    world.drain()
    world.cut_all()
    take(world, 7)
    lost_ms = world.now_ms
    world.sleep(DAY_MS)
    return copy, lost_ms - 60, lost_ms


def test_what_a_restored_source_adopted_leaves_no_resource_unexplained_at_its_target(world: World) -> None:
    take(world, 2)
    world.drain()
    copy = world.source.connection.serialize()
    take(world, 8)
    world.drain()
    put_back(world, copy)
    healed(world)
    take(world, 2)
    world.drain()
    world.pass_time(HOUR_MS)
    pair = Pair(
        CONNECTOR, PAIR_ID, Side.TARGET, PairState.PAIRED, b"", b"", "F", "s", "there", "D", b"", 0, 0, 0, accepted=True
    )
    accounts = list_resource_accounts(world.target.connection, pair)
    raw = {each.resource: each.own.differs_by(each.stated_by_source) for each in accounts}
    assert any(raw.values()), "the source counts what it adopted under no resource"
    assert not any(cut_differences(accounts).values())
    world.target.connection.execute("UPDATE peer_resource_ledger SET applied_here = applied_here + 9")
    assert any(cut_differences(list_resource_accounts(world.target.connection, pair)).values())


@pytest.mark.parametrize("undone", [False, True])
def test_a_restore_is_named_although_the_disk_refused_the_first_word_of_it(world: World, undone: bool) -> None:
    take(world, 3)
    world.drain()
    copy = world.source.connection.serialize()
    world.cut_all()
    world.sleep(DAY_MS)
    world.dial(Side.SOURCE)
    for _ in range(BACKFILL_IN_FLIGHT_MAX * 2):
        take(world, 1)  # the hub has these, the target does not: its first word cannot compare all
        world.pass_time(TAIL_AGE_MS_MAX + SECOND_MS)
    world.cut_all()
    take(world, 2)
    put_back(world, copy)
    assert world.source.engine is not None
    lane, found = world.source.engine._control, list[bool]()
    note_found = lane.note_found

    def refused_at_first(store: PairStore, peer_ms: int, now_ms: int) -> list[Effect]:
        effects = note_found(store, peer_ms, now_ms)
        found.append(bool(effects))
        if undone and len(found) == 1:
            world.source.armed = "undone"
        return effects

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lane, "note_found", refused_at_first)
        for _ in range(2):
            world.dial()
            world.drain()
            world.pass_time(SECOND_MS)
    healed(world)
    world.cut_all()
    world.dial()
    world.drain()
    assert found[0]
    named = [each for each in notices(world.source, ours=True).values() if each.cause == CAUSE_ORIGIN_RESTORED]
    assert len(named) == 1
    beginning = world.source.store().beginning()
    assert beginning is not None
    assert beginning.is_compared


def put_back(world: World, copy: bytes) -> None:
    world.source.restore(copy)
    world.source.start()


def told(world: World) -> GapNotice:
    """Return the one notice, the same at both sides."""
    healed(world)
    (mine,) = notices(world.source, ours=True).values()
    assert notices(world.target, ours=False) == {mine.gap_id: mine}
    assert (mine.cause, mine.count) == (CAUSE_ORIGIN_RESTORED, None)
    return mine


def test_n4_a_source_put_back_by_a_copy_of_its_files_says_from_when_to_when_readings_may_be_missing(
    world: World,
) -> None:
    copied_ms = world.now_ms
    copy, first_ms, last_ms = a_day_goes_with_the_disk(world)
    put_back(world, copy)
    back_ms = world.now_ms
    notice = told(world)
    assert copied_ms <= notice.first_ms < first_ms < last_ms < back_ms <= notice.last_ms


def test_what_a_source_put_back_accepts_before_it_is_linked_and_its_further_starts_do_not_shorten_the_range(
    world: World,
) -> None:
    copy, first_ms, last_ms = a_day_goes_with_the_disk(world)
    put_back(world, copy)
    for _ in range(2):
        take(world, 2)
        world.sleep(HOUR_MS)
        world.source.crash()
        world.source.start()
    notice = told(world)
    assert notice.first_ms < first_ms < last_ms < notice.last_ms


def test_a_range_reaches_back_before_the_restore_although_both_sides_were_compared_before_a_hub_told_of_it(
    world: World,
) -> None:
    take(world, 3)
    world.drain()
    copy = world.source.connection.serialize()
    world.cut_all()
    world.sleep(DAY_MS)
    world.dial(Side.SOURCE)
    take(world, 4)  # the hub has these, the target does not
    world.pass_time(TAIL_AGE_MS_MAX + SECOND_MS)
    assert world.hub.copies.held(PAIR_ID)
    world.cut_all()
    take(world, 2)
    lost_ms = world.now_ms
    put_back(world, copy)
    notice = told(world)
    assert notice.first_ms < lost_ms <= notice.last_ms
    world.cut_all()
    world.source.crash()
    world.source.start()
    assert told(world) == notice


def test_a_later_copy_put_back_is_named_from_its_own_time_on(world: World) -> None:
    copy, _, _ = a_day_goes_with_the_disk(world)
    put_back(world, copy)
    first = told(world)
    take(world, 1)
    copy, first_ms, last_ms = a_day_goes_with_the_disk(world)
    put_back(world, copy)
    healed(world)
    (second,) = [each for each in notices(world.source, ours=True).values() if each.gap_id != first.gap_id]
    assert first.last_ms <= second.first_ms < first_ms < last_ms < second.last_ms


@pytest.mark.parametrize("restarted", [False, True])
def test_beside_the_range_of_a_backup_that_was_restored_stands_no_other(world: World, *, restarted: bool) -> None:
    backup_ms = world.now_ms
    copy, _, _ = a_day_goes_with_the_disk(world)
    world.source.restore(copy)
    world.source.start()
    restored_ms = world.now_ms
    engine = world.source.engine
    assert engine is not None

    def on_restored(store: object) -> list[Effect]:
        return engine.on_restored(
            world.source.store(), backup_ms=backup_ms, restored_ms=restored_ms, now_ms=world.source.now_ms
        )

    world.source.work("was restored", on_restored)
    world.sleep(MINUTE_MS)
    if not restarted:
        notice = told(world)
        assert (notice.first_ms, notice.last_ms) == (backup_ms, restored_ms)
        return
    # Another copy may have been put back meanwhile: the rest of the time is named as well, and none of it twice.
    world.source.crash()
    world.source.start()
    healed(world)
    ranges = sorted((each.first_ms, each.last_ms) for each in notices(world.source, ours=True).values())
    assert ranges[0] == (backup_ms, restored_ms)
    assert all(first_ms == restored_ms < last_ms for first_ms, last_ms in ranges[1:])


@pytest.mark.parametrize("behind_ms", [DAY_MS * 2, 400 * DAY_MS])
def test_the_range_holds_where_a_machine_put_back_still_shows_the_time_of_its_copy(
    world: World, behind_ms: int
) -> None:
    copy, first_ms, last_ms = a_day_goes_with_the_disk(world)
    world.source.crash()
    world.clocks_are_off = True
    world.source.set_clock(skew_ms=-behind_ms)
    put_back(world, copy)
    notice = told(world)
    assert notice.first_ms < first_ms < last_ms < notice.last_ms


def test_the_range_holds_where_the_clock_had_been_far_ahead_before_the_copy(world: World) -> None:
    take(world, 2)
    world.drain()
    set_clock(world, world.source, 400 * DAY_MS)
    take(world, 2)
    world.drain()
    set_clock(world, world.source, 0)
    copy, first_ms, last_ms = a_day_goes_with_the_disk(world)
    put_back(world, copy)
    notice = told(world)
    assert notice.first_ms < first_ms < last_ms < notice.last_ms
