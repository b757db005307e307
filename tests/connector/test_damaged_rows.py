"""One row that the disk damaged stops nothing that goes over all rows of its kind (G7)."""

from __future__ import annotations

import pytest

from connector import gaps, parting_rows
from connector.ingest import mqtt_rows
from connector.ingest.mqtt_settings import MqttSettings
from connector.replay_rows import list_replays
from connector.streams import Streams
from shared.core.entries import (
    CAUSE_DESTINATION_RESTORED,
    CAUSE_ORIGIN_RESTORED,
    Definition,
    GapNotice,
    GapRow,
)
from shared.core.gaps import GapTally
from shared.core.intervals import IntervalSet
from shared.core.ledger import Ledger
from shared.core.parting import PartState
from shared.core.ports import EpochIn, EpochOut
from shared.core.replay_job import ReplayAsk, ReplayJob, ReplayState
from shared.notices import rows as notice_rows
from shared.notices.notice import Sender, trial_notice
from shared.sealing import Side
from tests.core.stores import CONNECTOR, NOW_MS, open_store
from tests.core.test_outbox import accept, linked, outbox


@pytest.fixture
def store() -> Streams:
    return open_store()


def damage(store: Streams, table: str, column: str, which: str) -> None:
    """Give the end of what stands in a column back as zeros, as a disk does that lost the last page of a row."""
    done = store.connection.execute(
        f"UPDATE {table} SET {column} = CAST(substr(CAST({column} AS BLOB), 1, LENGTH({column}) / 2)"
        f" || zeroblob(LENGTH({column}) - LENGTH({column}) / 2) AS"
        f" {'TEXT' if column in ('settings', 'dropped') else 'BLOB'}) WHERE {which}"
    )
    assert done.rowcount == 1


def notice(gap_id: str) -> GapNotice:
    return GapNotice(gap_id, "retention", 2, 1, 5, [GapRow("d", "r", 2, 1, 5)], [], NOW_MS)


def test_g7_a_damaged_gap_notice_keeps_no_other_from_being_told_shown_or_indexed(store: Streams) -> None:
    for gap_id in ("a", "b", "c"):
        store.add_gap(notice(gap_id), ours=True)
    damage(store, "gap", "notice", "gap_id = 'b'")
    assert [each.gap_id for each in store.own_gaps()] == ["a", "c"]
    assert store.own_gap("b") is None
    assert [each.notice.gap_id for each in gaps.list_gaps(store.connection, CONNECTOR)] == ["a", "c"]
    store.connection.execute("UPDATE gap SET named = -1")
    assert not gaps.index_notices(store.connection)
    assert store.connection.execute("SELECT COUNT(*) FROM gap WHERE named < 0").fetchone() == (0,)


def test_g7_a_damaged_resource_of_the_other_side_makes_what_is_known_another_so_that_it_is_told_again(
    store: Streams,
) -> None:
    store.save_peer_definitions([Definition(alias, "number", "", None, False, True) for alias in ("p", "q")])
    damage(store, "peer_resource", "definition", "position = 0")
    assert [each.alias for each in store.peer_definitions() or ()] == ["q"]


def test_g7_a_damaged_replay_keeps_no_other_from_going_on_and_what_came_of_it_comes_again(store: Streams) -> None:
    for job_id in ("a", "b"):
        ask = ReplayAsk(job_id, 0, 1, [], [], 1, "ann", NOW_MS)
        store.save_replay(ReplayJob.of(ask, ReplayState.RUNNING), NOW_MS)
    damage(store, "replay", "ask", "job_id = 'a'")
    assert [each.ask.job_id for each in list_replays(store.connection, CONNECTOR)] == ["b"]
    assert store.replay_job("a") is None
    store.save_replay_epoch(7, IntervalSet([1_000, 3_000]), NOW_MS)
    damage(store, "replay_epoch", "recorded", "epoch = 7")
    assert store.replay_epochs() == [(7, IntervalSet())]


def test_g7_of_a_damaged_epoch_nothing_is_known_so_that_its_origin_makes_it_again(store: Streams) -> None:
    for epoch in (7, 8):
        store.save_epoch_in(EpochIn(epoch, IntervalSet([1, 300]), applied=300), NOW_MS)
    damage(store, "epoch_in", "dropped", "epoch = 7")
    (damaged,) = [each for each in store.epochs_in() if each.epoch == 7]
    assert (damaged.recorded.flat(), damaged.applied) == ([], 0)
    assert [each.applied for each in store.epochs_in() if each.epoch == 8] == [300]


def test_g7_a_damaged_notice_or_repair_keeps_no_daemon_from_starting(store: Streams) -> None:
    for name in ("a", "b"):
        told = trial_notice(name, at_ms=NOW_MS, sender=Sender("site", "plant", "id", ""))
        notice_rows.save_repairs(store.connection, [], [("webhook", told)])
    damage(store, "notice", "body", "notice_id = 'a'")
    assert [each.id for each in notice_rows.waiting_notices(store.connection, "webhook")] == ["b"]


def test_g7_a_damaged_mqtt_subscription_keeps_no_daemon_from_starting(store: Streams) -> None:
    for name in ("a", "b"):
        made = mqtt_rows.Subscription(name, CONNECTOR, MqttSettings(name, "broker"), "")
        mqtt_rows.add_subscription(store.connection, made, NOW_MS)
    damage(store, "mqtt_subscription", "settings", "subscription_id = 'a'")
    assert [each.settings.name for each in mqtt_rows.list_subscriptions(store.connection)] == ["b"]


def test_g7_a_damaged_parted_pair_keeps_no_other_from_being_told(store: Streams) -> None:
    for pair_id in (b"a", b"b"):
        parted = parting_rows.Parted(
            pair_id, Side.SOURCE, CONNECTOR, b"", b"", "", "", PartState.AGREED, False, False, NOW_MS, Ledger(), 0
        )
        parting_rows.save_parted(store.connection, parted)
    damage(store, "parted", "ledger", "pair_id = x'61'")
    assert [each.pair_id for each in parting_rows.untold(store.connection, CONNECTOR)] == [b"b"]
    assert [each.pair_id for each in parting_rows.all_parted(store.connection, CONNECTOR)] == [b"b"]
    assert parting_rows.find_parted(store.connection, CONNECTOR, b"a") is None


@pytest.mark.parametrize("column", ["recorded", "dropped"])
def test_g7_an_epoch_that_the_disk_damaged_is_counted_as_before_until_the_destination_states_it_again(
    store: Streams,
    column: str,
) -> None:
    earlier, box = linked(store, outbox(store, seed=1)), linked(store, outbox(store, seed=2))
    for one in (earlier, box):
        for at_ms in (1, 2, 3):
            accept(store, one, at_ms)
    epochs = list(store.epochs_out())

    def hear(epoch: int, recorded: list[int], applied: int) -> GapTally:
        tally, closed = GapTally(CAUSE_DESTINATION_RESTORED), GapTally(CAUSE_ORIGIN_RESTORED)
        stated = EpochOut(epoch, 0, IntervalSet(recorded), IntervalSet(), applied)
        box.on_stated(store, stated, fresh=True, now_ms=NOW_MS, tally=tally, closed=closed)
        assert store.ledger().balanced
        return tally

    for epoch in epochs:
        hear(epoch, [1, 1, 3, 3], 2)
    ledger = store.ledger()
    store._connection.execute(f"UPDATE epoch_out SET {column} = substr({column}, 1, LENGTH({column}) - 1)")
    assert (store.ledger(), ledger.applied) == (ledger, 4)
    assert all(hear(epoch, [1, 3], 3).is_empty for epoch in epochs)
    assert (store.ledger().applied, store.ledger().adopted, store.ledger().dropped) == (6, 0, {})
