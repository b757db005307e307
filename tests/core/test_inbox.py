"""The destination: each segment once, whatever order, and nothing that is broken claims anything (G3, G4, G7, G14)."""

from __future__ import annotations

import pytest

from shared.batches import Series
from shared.core.arrivals import Arrival
from shared.core.entries import GapNotice
from shared.core.gaps import GapTally
from shared.core.inbox import _HELD_RELEASED_MAX, Inbox
from shared.limits import DAY_MS, RETENTION_MS
from shared.sealing import Kind, Side
from tests.core.stores import (
    CODEC,
    NOW_MS,
    add_device,
    add_resource,
    chance,
    keys,
    noise,
    open_store,
    rows,
    series,
    with_page_lost,
)

SOURCE = keys(Side.SOURCE)
EPOCH = 5


def sealed(number: int, *batch: Series, count: int | None = None, plain: bytes | None = None) -> tuple[bytes, bytes]:
    return SOURCE.seal(
        Kind.SEGMENT,
        CODEC.encode(batch) if plain is None else plain,
        epoch=EPOCH,
        number=number,
        accepted_ms=NOW_MS,
        count=sum(map(len, batch)) if count is None else count,
        nonce=chance(number).randbytes(12),
    )


def inbox() -> Inbox:
    return Inbox(keys(Side.TARGET), CODEC)


def test_a_segment_is_applied_once_and_acknowledged_again_when_it_comes_again() -> None:
    store, box = open_store(), inbox()
    assert box.on_segment(store, *sealed(1, series(1, 2)), NOW_MS) is Arrival.APPLIED
    assert box.state(store, whole=False)[1][0].applied == 2
    assert box.state(store, whole=False) == ([], [])
    assert box.on_segment(store, *sealed(1, series(1, 2)), NOW_MS) is Arrival.REPEATED
    assert box.state(store, whole=False)[1][0].applied == 2


def test_g5_readings_are_not_from_afar_because_the_targets_clock_was_set_back() -> None:
    store, box = open_store(), inbox()
    assert box.on_segment(store, *sealed(1, series(NOW_MS)), NOW_MS - 365 * DAY_MS) is Arrival.APPLIED


def test_numbers_in_any_order_make_one_interval() -> None:
    store, box = open_store(), inbox()
    for number in (3, 1, 2, 5):
        box.on_segment(store, *sealed(number, series(number)), NOW_MS)
    (recorded,), _ = box.state(store, whole=True)
    assert recorded.recorded == [1, 3, 5, 5]


def test_a_broken_seal_claims_no_number_and_no_count() -> None:
    store, box = open_store(), inbox()
    header, body = sealed(1, series(1))
    assert box.on_segment(store, header, body[:-1] + bytes([body[-1] ^ 1]), NOW_MS) is Arrival.SEAL_BROKEN
    assert not box.changed
    assert store.epochs_in() == []


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [Series("", "r", "number", [1], [1.0])],
        [Series("d", "r", "number", [-1], [1.0])],
        [Series("d", "r", "number", [NOW_MS + 10**12], [1.0])],
        [Series("d", "r", "number", [1], [float("nan")])],
        [Series("d", "r", "number", [1], [float("inf")])],
    ],
)
def test_what_an_honest_source_never_sends_is_quarantined_and_the_number_is_recorded(batch: list[Series]) -> None:
    store, box = open_store(), inbox()
    assert box.on_segment(store, *sealed(1, *batch, count=1), NOW_MS) is Arrival.QUARANTINED
    (recorded,), (stated,) = box.state(store, whole=True)
    assert recorded.recorded == [1, 1]
    assert (stated.applied, stated.quarantined) == (0, 1)
    assert rows(store, "SELECT number, count FROM quarantine") == [(1, 1)]


def test_bytes_that_are_no_batch_are_quarantined() -> None:
    store, box = open_store(), inbox()
    assert box.on_segment(store, *sealed(1, count=4, plain=b"no batch"), NOW_MS) is Arrival.QUARANTINED


def test_what_has_no_device_or_resource_or_another_format_is_held_and_the_rest_applied() -> None:
    store, box = open_store("r", "text"), inbox()
    add_resource(store, "text", "string")
    batch = [series(1), series(1, 2, device="new"), series(1, resource="new"), series(3, resource="text")]
    assert box.on_segment(store, *sealed(1, *batch), NOW_MS) is Arrival.APPLIED
    _, (stated,) = box.state(store, whole=True)
    assert (stated.applied, stated.held) == (1, 4)


def test_all_that_is_held_is_released_however_much_it_is() -> None:
    store, box = open_store(devices=()), inbox()
    many = 2 * _HELD_RELEASED_MAX + 3
    for number in range(1, many + 1):
        box.on_segment(store, *sealed(number, series(number)), NOW_MS)
    add_device(store, "d")
    after: int | None = 0
    none = GapTally("device_replaced")
    units = released = 0
    while after is not None:
        done, after = box.release_held(store, "d", None, after, NOW_MS, none)
        released += done
        units += 1
    assert (released, units) == (many, 3)
    assert rows(store, "SELECT COUNT(*) FROM held") == [(0,)]
    assert box.state(store, whole=True)[1][0].applied == many


def test_g7_what_of_the_held_cannot_be_read_keeps_nothing_else_and_is_named_as_a_gap_when_it_expires() -> None:
    store, box = open_store(devices=()), inbox()
    box.on_segment(store, *sealed(1, noise(1_200)), NOW_MS)
    box.on_segment(store, *sealed(2, series(1, 2)), NOW_MS + 1)
    box.flush(store)
    (body,) = store._connection.execute("SELECT body FROM held WHERE count = 1200").fetchone()
    store, box = with_page_lost(store, body[-40:]), inbox()
    add_device(store, "d")
    none, expired = GapTally("device_replaced"), GapTally("held_too_long")
    assert box.release_held(store, "d", None, 0, NOW_MS, none) == (2, None)
    box.expire_held(store, NOW_MS + RETENTION_MS, expired)
    (notice,) = expired.notices("gap", NOW_MS)
    assert (notice.count, notice.named, none.is_empty) == (1_200, [], True)
    _, (stated,) = box.state(store, whole=True)
    assert (stated.applied, stated.held, stated.dropped) == (2, 0, {"held_too_long": 1_200})
    assert rows(store, "SELECT COUNT(*) FROM held") == [(0,)]


def test_what_cannot_be_released_does_not_stand_in_the_way_of_what_can() -> None:
    store, box = open_store(devices=()), inbox()
    for number in range(1, _HELD_RELEASED_MAX + 1):
        box.on_segment(store, *sealed(number, series(number, resource="missing")), NOW_MS)
    box.on_segment(store, *sealed(_HELD_RELEASED_MAX + 1, series(1)), NOW_MS)
    add_device(store, "d")
    none = GapTally("device_replaced")
    _, after = box.release_held(store, None, None, 0, NOW_MS, none)
    assert after is not None
    assert box.release_held(store, None, None, after, NOW_MS, none) == (1, None)


@pytest.mark.parametrize(("past_ms", "dropped"), [(-1, 0), (0, 1)])
def test_held_readings_expire_at_thirty_days_exactly(past_ms: int, dropped: int) -> None:
    store, box = open_store(), inbox()
    box.on_segment(store, *sealed(1, series(1, device="new")), NOW_MS)
    assert box.next_deadline_ms(store) == NOW_MS + RETENTION_MS
    tally = GapTally("held_too_long")
    box.expire_held(store, NOW_MS + RETENTION_MS + past_ms, tally)
    assert sum(box.state(store, whole=True)[1][0].dropped.values()) == dropped
    assert len(tally.notices("g", NOW_MS)) == dropped


def notice(*flat: int) -> GapNotice:
    return GapNotice("g", "retention", 1, 0, 0, [], [(EPOCH, list(flat))], NOW_MS)


def test_a_notice_closes_what_has_not_arrived_and_not_what_has() -> None:
    store, box = open_store(), inbox()
    box.on_segment(store, *sealed(2, series(2)), NOW_MS)
    box.on_gap(store, notice(1, 3), NOW_MS)
    (recorded,), _ = box.state(store, whole=True)
    assert (recorded.recorded, recorded.closed) == ([2, 2], [1, 1, 3, 3])
    assert box.on_segment(store, *sealed(3, series(3)), NOW_MS) is Arrival.REPEATED
    assert rows(store, "SELECT COUNT(*) FROM reading") == [(1,)]


def test_of_two_values_at_one_time_the_greater_stays() -> None:
    store, box = open_store(), inbox()
    for number, value in enumerate((2.0, 3.0, 1.0), start=1):
        box.on_segment(store, *sealed(number, Series("d", "r", "number", [7], [value])), NOW_MS)
    assert rows(store, "SELECT value FROM reading") == [(3.0,)]
