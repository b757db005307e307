"""N9: a past range is sent again; it fills what is missing, changes nothing that is there, and counts in no account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from connector import history
from connector.edit_rows import change_peer_rights
from connector.replay_rows import list_replays
from shared.columns import Series, as_columns
from shared.core.engine import PairEngine
from shared.core.intervals import IntervalSet
from shared.core.replay_job import ReplayJob, ReplayState, StatedReplay
from shared.errors import Refused
from shared.limits import (
    ALIAS_CHARS_MAX,
    DAY_MS,
    IDENTITY_CHARS_MAX,
    REPLAY_EPOCHS_KEPT_MAX,
    REPLAY_JOBS_OPEN_MAX,
    REPLAY_NAMES_MAX,
    REPLAY_RANGE_MS_MAX,
    REPLAY_SEGMENTS_MAX,
    SECOND_MS,
)
from shared.messages import LANE_CONTROL, Sealed
from shared.sealing import Side
from tests.core.stores import CONNECTOR, NOW_MS, add_resource
from tests.core.two_sites import OneSite, TwoSites

FROM_MS = NOW_MS - DAY_MS


def two_sites(seed: int = 1, devices: Sequence[str] = ("d",)) -> TwoSites:
    """Two sites that know the same devices, with one resource whose Remote-Sync is on."""
    two = TwoSites(Random(seed))
    for identity in devices:
        two.edit(two.source, (f"device/{identity}", "exists", "1"))
    two.settle()
    return two


def put(site: OneSite, times_ms: Sequence[int], device: str = "d", resource: str = "r", plus: float = 0.0) -> None:
    """Put readings into a site's history, whose value is the last digits of their time."""
    columns = as_columns([Series(device, resource, "number", list(times_ms), [at % 1000 + plus for at in times_ms])])
    rows = site.catalogue.rows(site.connection, CONNECTOR, columns)
    history.add(site.connection, CONNECTOR, columns, [row.series_id if row else 0 for row in rows])


def there(site: OneSite, device: str = "d", resource: str = "r") -> dict[int, object]:
    """Return a series of a site's history."""
    series_id = history.find_series(site.connection, CONNECTOR, device, resource)
    return dict(history.between(site.connection, series_id)) if series_id is not None else {}


def ask(two: TwoSites, site: OneSite, from_ms: int = FROM_MS, to_ms: int = NOW_MS, **named: Sequence[str]) -> str:
    """Ask for a range again; return the job's ID."""
    asked: list[ReplayJob] = []

    def work(engine: PairEngine, store: object, now_ms: int) -> list[object]:
        job = engine.replays.ask(
            store,  # type: ignore[arg-type]
            from_ms=from_ms,
            to_ms=to_ms,
            resources=named.get("resources", ()),
            devices=named.get("devices", ()),
            who="ann",
            now_ms=now_ms,
        )
        asked.append(job)
        return []

    two.work(site, work, may_crash=False)
    return asked[0].ask.job_id


def job(site: OneSite, job_id: str) -> ReplayJob:
    """Return a job as a site knows it."""
    return next(each for each in list_replays(site.connection, CONNECTOR) if each.ask.job_id == job_id)


def go_on(two: TwoSites, rounds: int = 400) -> None:
    """Let both work until no replay is open and nothing is under way."""
    for _ in range(rounds):
        for site in two.sites.values():
            two.link(site)
        while sum(two.deliver(site) for site in two.sites.values()):
            pass
        is_over = not any(list_replays(s.connection, CONNECTOR, open_only=True) for s in two.sites.values())
        if is_over and two.quiet():
            return
        step(two)
    raise AssertionError([list_replays(site.connection, CONNECTOR) for site in two.sites.values()])


def step(two: TwoSites) -> None:
    """Let a little time go by: at once where something is due at once."""
    for site in two.sites.values():
        due_ms = site.engine.next_deadline_ms(site.store) if site.engine else None
        if due_ms is not None and due_ms <= two.now_ms:
            two.work(site, lambda engine, store, now_ms: engine.on_deadline(store, now_ms))
            return
    two.now_ms += SECOND_MS


def figures(site: OneSite, job_id: str) -> tuple[int, int, int, int]:
    made = job(site, job_id).figures
    return made.arrived, made.added, made.present, made.differing


# --- what it does ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asker", ["source", "target"])
def test_a_range_is_filled_at_the_target_and_what_is_there_stays(asker: str) -> None:
    two = two_sites()
    times = [FROM_MS + at * SECOND_MS for at in range(100)]
    put(two.source, times)
    put(two.target, times[10:15])
    put(two.target, times[20:24], plus=5.0)
    before = there(two.target)
    job_id = ask(two, two.source if asker == "source" else two.target)
    go_on(two)
    for site in two.sites.values():
        assert job(site, job_id).state is ReplayState.DONE
        assert figures(site, job_id) == (100, 91, 9, 4)
        assert (job(site, job_id).asked_count, job(site, job_id).sent_count) == (100, 100)
    assert there(two.target) == there(two.source) | before
    assert two.source.rows("SELECT COUNT(*) FROM replay_segment") == [(0,)]


def test_only_the_range_the_resources_and_the_devices_that_were_named_are_sent() -> None:
    two = two_sites(devices=("a", "b"))
    for site in two.sites.values():
        add_resource(site.store, "q")
        two.work(site, lambda engine, store, now_ms: engine.on_definitions_changed(store, "q", now_ms) or [])
    two.settle()
    for device in ("a", "b"):
        for resource in ("r", "q"):
            put(two.source, range(NOW_MS - 50, NOW_MS), device, resource)
    job_id = ask(two, two.target, NOW_MS - 40, NOW_MS - 30, resources=["q"], devices=["b"])
    go_on(two)
    assert there(two.target, "b", "q").keys() == set(range(NOW_MS - 40, NOW_MS - 30))
    assert figures(two.source, job_id) == (10, 10, 0, 0)
    assert [there(two.target, *names) for names in (("a", "q"), ("a", "r"), ("b", "r"))] == [{}, {}, {}]


def test_the_account_of_neither_side_moves_and_nobody_was_seen() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 5000, NOW_MS))
    tables = "stream", "epoch_out", "epoch_in", "dropped", "segment", "tail", "waiting", "gap", "quarantine"
    seen = "SELECT last_seen_ms FROM device"
    before = [
        [site.rows(f"SELECT * FROM {table}") for table in tables] + [site.rows(seen)] for site in two.sites.values()
    ]
    ask(two, two.source)
    go_on(two)
    assert len(there(two.target)) == 5000
    after = [
        [site.rows(f"SELECT * FROM {table}") for table in tables] + [site.rows(seen)] for site in two.sites.values()
    ]
    assert after == before


def test_a_second_replay_of_the_same_range_adds_nothing() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 200, NOW_MS))
    ask(two, two.source)
    again = ask(two, two.source)
    go_on(two)
    assert figures(two.source, again) == (200, 0, 200, 0)


def test_what_has_no_place_at_the_target_is_named() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 10, NOW_MS))
    two.target.connection.execute("DELETE FROM device")
    two.target.catalogue.forget()
    job_id = ask(two, two.source)
    go_on(two)
    made = job(two.source, job_id).figures
    assert (made.arrived, made.added, made.unplaced, made.names) == (10, 0, 10, [("d", "r")])


def test_a_resource_whose_remote_sync_is_off_or_that_is_another_there_is_left_out_by_name() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 10, NOW_MS))
    two.source.connection.execute("UPDATE resource SET remote_sync = 0")
    job_id = ask(two, two.target, resources=["r"])
    go_on(two)
    for site in two.sites.values():
        refused = job(site, job_id)
        assert (refused.state, refused.reason) == (ReplayState.REFUSED, "nothing_to_replay")
        assert [(each.resource, each.reason) for each in refused.left_out] == [("r", "not_streamed")]
    two.source.connection.execute("UPDATE resource SET remote_sync = 1, unit = 'K'")
    two.work(two.source, lambda engine, store, now_ms: engine.on_definitions_changed(store, None, now_ms) or [])
    job_id = ask(two, two.source, resources=["r"])
    go_on(two)
    assert [(each.resource, each.reason) for each in job(two.target, job_id).left_out] == [("r", "not_accepted")]
    assert there(two.target) == {}


# --- who may -----------------------------------------------------------------------------------------------------------


def test_an_ask_of_the_longest_names_of_which_much_is_left_out_fits_what_is_told_of_it() -> None:
    wide = "\N{MUSICAL SYMBOL G CLEF}"  # four bytes
    devices = [f"{number:03}" + wide * (IDENTITY_CHARS_MAX - 3) for number in range(REPLAY_NAMES_MAX)]
    two = two_sites(devices=devices)
    for number in range(REPLAY_NAMES_MAX):
        add_resource(two.source.store, f"{number:03}" + wide * (ALIAS_CHARS_MAX - 3))
    put(two.source, [NOW_MS - SECOND_MS], device=devices[0])
    job_id = ask(two, two.target, devices=devices)
    go_on(two)
    for site in two.sites.values():
        assert job(site, job_id).state is ReplayState.DONE
        assert job(site, job_id).left_out
    assert there(two.target, devices[0])


def test_a_source_that_does_not_allow_it_refuses_by_name_and_writes_it_into_its_audit_log() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 10, NOW_MS))
    change_peer_rights(two.source.connection, CONNECTOR, {"replay": False}, "bo", "s", NOW_MS)
    job_id = ask(two, two.target)
    go_on(two)
    refused = job(two.target, job_id)
    assert (refused.state, refused.reason) == (ReplayState.REFUSED, "replay_not_allowed")
    assert there(two.target) == {}
    ((who, what),) = two.source.rows("SELECT who, what FROM audit")
    assert (who, what) == ("ann at the other site", "refused to replay: replay_not_allowed")


def test_asks_that_cannot_be_meant_are_refused_at_once() -> None:
    two = two_sites()
    for from_ms, to_ms in ((NOW_MS, NOW_MS), (-5, NOW_MS), (0, REPLAY_RANGE_MS_MAX + 1)):
        with pytest.raises(Refused) as refused:
            ask(two, two.target, from_ms, to_ms)
        assert refused.value.code == "invalid"
        two.target.connection.execute("ROLLBACK")
    for named, code in (({"resources": ["x"]}, "unknown_resource"), ({"devices": ["x"]}, "unknown_device")):
        with pytest.raises(Refused) as refused:
            ask(two, two.target, **named)  # type: ignore[arg-type]
        assert refused.value.code == code
        two.target.connection.execute("ROLLBACK")
    two.cut(two.source)
    for _ in range(REPLAY_JOBS_OPEN_MAX):
        ask(two, two.target)
    with pytest.raises(Refused) as refused:
        ask(two, two.target)
    assert refused.value.code == "too_many_replays"


# --- whatever happens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_losses_crashes_and_cuts_at_any_moment_leave_both_equal_and_each_reading_counted_once(seed: int) -> None:
    two = two_sites(seed, devices=("a", "b", "c"))
    for device in ("a", "b", "c"):
        put(two.source, range(NOW_MS - 9000, NOW_MS), device)
    put(two.target, range(NOW_MS - 9000, NOW_MS - 8000), "b", plus=1.0)
    job_id = ask(two, two.target if seed % 2 else two.source)
    two.losses, two.crashes = 0.1, 0.03
    for at in range(60):
        for site in two.sites.values():
            two.link(site)
            two.deliver(site)
        assert two.source.rows("SELECT COUNT(*) FROM replay_segment")[0][0] <= REPLAY_SEGMENTS_MAX  # type: ignore[operator]
        if at % 20 == 19:
            two.cut(two.target if at % 40 == 19 else two.source)
        step(two)
    two.losses = two.crashes = 0.0
    go_on(two)
    for site in two.sites.values():
        assert figures(site, job_id) == (27_000, 26_000, 1000, 1000)
    assert there(two.target, "a") == there(two.source, "a")
    assert there(two.target, "b")[NOW_MS - 8500] == there(two.source, "b")[NOW_MS - 8500] + 1.0  # type: ignore[operator]


def test_a_target_restored_from_before_the_replay_is_given_it_again() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 300, NOW_MS))
    copy = two.target.connection.serialize()
    job_id = ask(two, two.source)
    go_on(two)
    two.restore(two.target, copy)
    go_on(two)
    assert len(there(two.target)) == 300
    for site in two.sites.values():
        assert (job(site, job_id).state, job(site, job_id).run) == (ReplayState.DONE, 2)
        assert figures(site, job_id) == (300, 300, 0, 0)


def test_a_source_restored_in_the_middle_of_a_replay_does_not_leave_out_what_it_numbered_twice() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 30_000, NOW_MS))
    job_id = ask(two, two.source)
    for _ in range(3):
        two.deliver(two.source)
        step(two)
    copy = two.source.connection.serialize()
    go_on(two)
    two.target.connection.execute("DELETE FROM reading")
    two.target.connection.execute("DELETE FROM recent")
    two.restore(two.source, copy)
    go_on(two)
    assert there(two.target) == there(two.source)
    assert (job(two.source, job_id).run, figures(two.source, job_id)) == (2, (30_000, 30_000, 0, 0))


@pytest.mark.parametrize("canceller", [Side.SOURCE, Side.TARGET])
def test_a_cancelled_replay_stops_at_both_sides_and_what_arrived_stays(canceller: Side) -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 40_000, NOW_MS))
    job_id = ask(two, two.source)
    while not there(two.target):
        for site in two.sites.values():
            two.deliver(site)
        step(two)
    two.work(
        two.sites[canceller],
        lambda engine, store, now_ms: engine.replays.cancel(store, job_id, who="bo", now_ms=now_ms) or [],
    )
    go_on(two)
    assert [job(each, job_id).state for each in two.sites.values()] == [ReplayState.CANCELLED] * 2
    assert 0 < len(there(two.target)) < 40_000
    assert two.source.rows("SELECT COUNT(*) FROM replay_segment") == [(0,)]


def test_texts_and_booleans_come_back_as_they_are() -> None:
    two = two_sites()
    values = {"string": ["ä" * 60_000, "b", "c"] * 4, "boolean": [True, False] * 6}
    for kind, list_ in values.items():
        for site in two.sites.values():
            add_resource(site.store, kind, kind)
            two.work(site, lambda engine, store, now_ms: engine.on_definitions_changed(store, None, now_ms) or [])
        columns = as_columns([Series("d", kind, kind, list(range(NOW_MS - 12, NOW_MS)), list_)])  # type: ignore[arg-type]
        rows = two.source.catalogue.rows(two.source.connection, CONNECTOR, columns)
        history.add(two.source.connection, CONNECTOR, columns, [row.series_id for row in rows if row])
    two.settle()
    ask(two, two.target)
    go_on(two)
    for kind, list_ in values.items():
        assert list(there(two.target, "d", kind).values()) == list_


@pytest.mark.parametrize("state", [ReplayState.DONE, ReplayState.WAITING])
def test_a_run_that_only_a_lost_copy_of_the_source_began_is_not_waited_for(state: ReplayState) -> None:
    # Seed 1047565: a second copy of the source had begun the third run, said so, and was gone before it sent anything.
    two = two_sites()
    put(two.source, range(NOW_MS - 300, NOW_MS))
    job_id = ask(two, two.source)
    go_on(two)
    before = job(two.source, job_id)
    if state is ReplayState.WAITING:
        two.source.store.save_replay(before.again(), NOW_MS)
        two.crash(two.source)
    begun = replace(job(two.target, job_id), state=ReplayState.RUNNING, run=3, figures=StatedReplay(job_id, 3))
    two.target.store.save_replay(begun, NOW_MS)
    two.crash(two.target)
    two.target.connection.execute("DELETE FROM reading")
    two.target.connection.execute("DELETE FROM recent")
    go_on(two)
    assert [(job(site, job_id).state, job(site, job_id).run) for site in two.sites.values()] == [
        (ReplayState.DONE, 4)
    ] * 2
    assert figures(two.source, job_id) == (300, 300, 0, 0)


@pytest.mark.parametrize("state", [ReplayState.CANCELLED, ReplayState.REFUSED])
def test_a_later_run_than_a_restored_source_knows_is_not_waited_for_where_nothing_more_goes(state: ReplayState) -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 300, NOW_MS))
    job_id = ask(two, two.source)
    go_on(two)
    two.source.store.save_replay(replace(job(two.source, job_id), state=state), NOW_MS)
    two.crash(two.source)
    begun = replace(job(two.target, job_id), state=ReplayState.RUNNING, run=3, figures=StatedReplay(job_id, 3))
    two.target.store.save_replay(begun, NOW_MS)
    two.crash(two.target)
    go_on(two)
    assert [(job(site, job_id).state, job(site, job_id).run) for site in two.sites.values()] == [(state, 3)] * 2


def test_a_source_restored_to_before_the_ask_that_refuses_it_now_is_heard_on_the_same_link() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 20_000, NOW_MS))
    before = two.source.connection.serialize()
    job_id = ask(two, two.target)
    while not there(two.target):
        for site in two.sites.values():
            two.deliver(site)
        step(two)
    known = job(two.target, job_id)
    two.target.store.save_replay(replace(known, run=2, figures=StatedReplay(job_id, 2)), NOW_MS)
    two.crash(two.target)
    two.restore(two.source, before)
    change_peer_rights(two.source.connection, CONNECTOR, {"replay": False}, "bo", "s", NOW_MS)
    go_on(two)
    assert [(job(site, job_id).state, job(site, job_id).run) for site in two.sites.values()] == [
        (ReplayState.REFUSED, 2)
    ] * 2


def test_a_source_that_was_restored_to_before_its_own_ask_is_asked_by_the_target() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 20_000, NOW_MS))
    copy = two.source.connection.serialize()
    job_id = ask(two, two.source)
    while not there(two.target):
        for site in two.sites.values():
            two.deliver(site)
        step(two)
    two.restore(two.source, copy)
    go_on(two)
    assert job(two.source, job_id).state is ReplayState.DONE
    assert there(two.target) == there(two.source)


def test_segments_that_were_lost_on_a_link_that_stays_are_sent_again() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 100, NOW_MS))
    ask(two, two.source)
    two.losses = 1.0
    for _ in range(3):
        step(two)
    assert two.source.rows("SELECT COUNT(*) FROM replay_segment") == [(1,)]
    two.losses = 0.0
    go_on(two, rounds=60)
    assert len(there(two.target)) == 100


def test_what_is_on_its_way_when_the_target_cancels_changes_nothing() -> None:
    two = two_sites()
    put(two.source, range(NOW_MS - 100, NOW_MS))
    job_id = ask(two, two.source)
    for _ in range(3):
        step(two)
    assert two.source.rows("SELECT COUNT(*) FROM replay_segment") == [(1,)]
    control = [frame for frame in two.target.inbox if isinstance(frame, Sealed) and frame.lane == LANE_CONTROL]
    two.work(
        two.target, lambda engine, store, now_ms: [each for f in control for each in engine.on_frame(store, f, now_ms)]
    )
    two.work(
        two.target, lambda engine, store, now_ms: engine.replays.cancel(store, job_id, who="bo", now_ms=now_ms) or []
    )
    go_on(two)
    assert there(two.target) == {}
    assert [job(each, job_id).state for each in two.sites.values()] == [ReplayState.CANCELLED] * 2


def test_a_replay_ends_although_the_targets_clock_was_set_back_and_as_many_epochs_are_known_as_are_kept() -> None:
    two = two_sites()
    put(two.source, [NOW_MS - SECOND_MS, NOW_MS - 2 * SECOND_MS])
    for epoch in range(1, REPLAY_EPOCHS_KEPT_MAX + 1):  # the source started often while the target's clock was ahead
        two.target.store.save_replay_epoch(epoch, IntervalSet([1, 1]), NOW_MS + 7 * DAY_MS)
    job_id = ask(two, two.source)
    go_on(two)
    assert figures(two.target, job_id) == (2, 2, 0, 0)
    assert job(two.source, job_id).state is ReplayState.DONE
