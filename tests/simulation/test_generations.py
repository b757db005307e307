"""Stories of devices that are deleted and made again: another device of the same name, with its own readings (G13)."""

from __future__ import annotations

import pytest

from connector.streams import Streams
from shared.core.engine_effects import Effect
from shared.core.entries import CAUSE_DEVICE_REPLACED, CAUSE_HELD_TOO_LONG
from shared.limits import MINUTE_MS, REPLACED_TOLD_AFTER_MS, RETENTION_MS, SECOND_MS
from shared.messages import Sealed, decode_frame
from shared.sealing import Header, Kind
from tests.simulation.demands import check, notices, settle
from tests.simulation.site import SimSite
from tests.simulation.world import TIGHT, World, bounds

pytestmark = pytest.mark.simulation


def take(world: World, *values: float, device: str = "d0") -> None:
    """Let the source accept readings, each by itself."""
    for value in values:
        world.now_ms += 10
        assert world.reading(device, "temp", world.now_ms, value)


def make_again(site: SimSite, device: str = "d0") -> None:
    assert site.delete_device(device)
    assert site.create_device(device)


def lose_edits(world: World) -> None:
    """Lose what the source has just said about devices: it will be found out and said again."""
    link = world.source.link
    assert link is not None
    frames = [(packet, decode_frame(packet)) for packet in link.to_hub]
    kept = [
        packet
        for packet, frame in frames
        if not (isinstance(frame, Sealed) and Header.unpack(frame.header).kind == Kind.CONTROL)
    ]
    assert len(kept) < len(frames)
    link.to_hub.clear()
    link.to_hub.extend(kept)


def quiet(world: World) -> None:
    """Wait until all is quiet, and demand everything."""
    world.dial()
    settle(world)
    assert check(world) == []


def ask(world: World, site: SimSite) -> None:
    """Ask for a replay of what happened lately."""
    engine = site.engine
    assert engine is not None
    span = world.now_ms - MINUTE_MS, world.now_ms + MINUTE_MS
    world.replayed = True

    def asked(store: Streams) -> list[Effect]:
        engine.replays.ask(
            store, from_ms=span[0], to_ms=span[1], resources=(), devices=(), who="ann", now_ms=site.now_ms
        )
        return []

    assert site.work("asks for a replay", asked)


def values(world: World, device: str = "d0") -> list[object]:
    return [value for key, value in sorted(world.target.readings().items()) if key[0] == device]


def test_readings_that_overtake_the_news_of_their_device_wait_for_it(world: World) -> None:
    take(world, 1.0)
    world.drain()
    make_again(world.source)
    take(world, 2.0, 3.0)
    lose_edits(world)
    world.drain()
    assert values(world) == [1.0]  # with the device that the target knows
    assert world.target.rows("SELECT SUM(count) FROM held") == [(2,)]
    assert world.source.store().ledger().held == 2

    quiet(world)

    assert values(world) == [2.0, 3.0]
    assert world.source.store().ledger().applied == 3
    assert notices(world.target, ours=True) == {}


def test_late_readings_of_a_device_do_not_go_to_the_next_one_of_its_name_and_are_told(world: World) -> None:
    world.cut_all()
    take(world, 1.0, 2.0)
    make_again(world.source)
    take(world, 3.0)
    with bounds(TIGHT):
        quiet(world)
        world.pass_time(REPLACED_TOLD_AFTER_MS)
        quiet(world)

    assert values(world) == [3.0]
    (notice,) = notices(world.source, ours=False).values()
    (row,) = notice.rows
    assert (notice.cause, notice.count, row.device, row.count) == (CAUSE_DEVICE_REPLACED, 2, "d0", 2)
    ledger = world.source.store().ledger()
    assert (ledger.applied, ledger.dropped) == (1, {CAUSE_DEVICE_REPLACED: 2})


def test_a_backlog_of_a_replaced_device_makes_one_notice(world: World) -> None:
    world.cut_all()
    make_again(world.target)
    for _ in range(5):
        take(world, 1.0)
        world.pass_time(MINUTE_MS)
        world.source.crash()
        world.source.start()
    with bounds(TIGHT):
        world.dial()
        quiet(world)
    assert [notice.count for notice in notices(world.target, ours=True).values()] == [5]


def test_readings_of_a_deleted_device_are_held_and_told_after_thirty_days(world: World) -> None:
    world.cut_all()
    take(world, 1.0)
    assert world.source.delete_device("d0")
    world.dial()
    world.pass_time(MINUTE_MS)
    assert world.source.store().ledger().held == 1
    world.sleep(RETENTION_MS)
    world.pass_time(SECOND_MS)
    assert world.source.store().ledger().dropped == {CAUSE_HELD_TOO_LONG: 1}
    quiet(world)


def test_a_restored_target_that_knows_the_old_device_gets_the_readings_of_the_new_one_once_it_knows_it(
    world: World,
) -> None:
    take(world, 1.0)
    world.drain()
    copy = world.target.connection.serialize()
    make_again(world.source)
    take(world, 2.0, 3.0)
    quiet(world)
    world.target.restore(copy)
    world.target.start()
    quiet(world)
    assert values(world) == [2.0, 3.0]


def test_a_replay_of_the_new_device_does_not_go_to_the_old_one(world: World) -> None:
    take(world, 1.0)
    world.drain()
    make_again(world.source)
    take(world, 2.0)
    lose_edits(world)
    ask(world, world.source)
    lose_edits(world)
    world.drain()
    assert values(world) == [1.0]
    quiet(world)
    assert values(world) == [2.0]
