"""What waits of each resource: counted by the store itself, whichever way readings come and go (W9, N4)."""

from __future__ import annotations

from shared.core.intervals import IntervalSet
from shared.core.ports import Segment
from tests.core.stores import NOW_MS, open_store, rows, series


def waiting(store: object) -> dict[str, tuple[object, ...]]:
    found = rows(store, "SELECT resource, tail_count, outbox_count, held_count, accepted_ms, applied_ms FROM waiting")  # type: ignore[arg-type]
    return {str(row[0]): tuple(row[1:]) for row in found}


def test_a_segment_counts_for_each_of_its_resources_until_it_is_settled() -> None:
    store = open_store("flow", "level", devices=("a", "b"))
    batch = [
        series(1, 2, device="a", resource="flow"),
        series(3, device="b", resource="flow"),
        series(4, 5, 6, device="a", resource="level"),
    ]
    row = store.add_segment(7, 1, batch, 6, NOW_MS, b"h", b"body")
    assert waiting(store) == {"flow": (0, 3, 0, NOW_MS, None), "level": (0, 3, 0, NOW_MS, None)}

    segment = store.segment(row)
    assert isinstance(segment, Segment)
    store.settle_segments(segment.epoch, IntervalSet([segment.number] * 2), [segment], NOW_MS + 5)

    assert waiting(store) == {"flow": (0, 0, 0, NOW_MS, NOW_MS), "level": (0, 0, 0, NOW_MS, NOW_MS)}


def test_a_dropped_segment_waits_no_longer_and_its_late_settling_takes_nothing_away_twice() -> None:
    store = open_store("flow")
    row = store.add_segment(7, 1, [series(1, 2, resource="flow")], 2, NOW_MS, b"h", b"body")
    kept = store.add_segment(7, 2, [series(3, resource="flow")], 1, NOW_MS + 1, b"h", b"body")
    segment = store.segment(row)
    assert segment is not None
    store.drop_segment(segment, "retention")
    assert waiting(store)["flow"][1] == 1

    dropped = store.segment(row)
    assert dropped is not None
    store.undrop_segment(dropped)
    store.settle_segments(dropped.epoch, IntervalSet([dropped.number] * 2), [dropped], NOW_MS + 5)

    assert waiting(store)["flow"][1] == 1
    assert store.segment(kept) is not None


def test_the_tail_moves_from_tail_to_outbox_and_counts_once() -> None:
    store = open_store("flow")
    batch = [series(1, 2, 3, resource="flow")]
    store.add_tail("flow", NOW_MS, batch, b"body")
    assert waiting(store)["flow"][:2] == (3, 0)

    store.remove_tail(store.droppable_tail(10))
    store.add_segment(7, 1, batch, 3, NOW_MS, b"h", b"body")

    assert waiting(store)["flow"][:2] == (0, 3)


def test_held_readings_count_for_their_resource() -> None:
    store = open_store("flow")
    store._connection.execute(
        "INSERT INTO held (connector_id, epoch, device, resource, count, arrived_ms, body)"
        " VALUES ('C0NNECT0', 1, 'd', 'x', 4, 0, x'')"
    )
    assert waiting(store)["x"][2] == 4
    store._connection.execute("DELETE FROM held")
    assert waiting(store)["x"][2] == 0
