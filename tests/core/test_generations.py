"""Readings know the generation of their device (G13): in batches, in the tail, and where they arrive."""

from __future__ import annotations

import msgspec
import pytest
import zstandard

from connector.streams import Streams
from shared.batches import BatchCodec, Packed, Series, pack
from shared.columns import as_columns, fitting, joined
from shared.core.arrivals import Arrival
from shared.core.cells import Cell
from shared.core.fields import EXISTS, device_object
from shared.core.gaps import GapTally
from shared.core.inbox import Inbox
from shared.core.ports import SeriesSpan
from shared.core.tail import Tail
from shared.errors import Undecodable
from shared.limits import REPLACED_TOLD_AFTER_MS, TAIL_MERGED_CHUNKS
from shared.sealing import Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store, rows

SOURCE = keys(Side.SOURCE)
EPOCH = 5


def series(*times_ms: int, device: str = "d", generation: int = 1) -> Series:
    return Series(device, "r", "number", list(times_ms), [float(at_ms % 10) for at_ms in times_ms], generation)


def exists(store: Streams, generation: int, device: str = "d") -> None:
    """Make a device, or delete it (below 0)."""
    count = 2 * abs(generation) + (generation < 0)
    store.save_cell(Cell(device_object(device), EXISTS, str(generation), count, 0, NOW_MS, "s"), None, NOW_MS)


def arrive(store: Streams, box: Inbox, number: int, *batch: Series) -> None:
    header, body = SOURCE.seal(
        Kind.SEGMENT,
        CODEC.encode(batch),
        epoch=EPOCH,
        number=number,
        accepted_ms=NOW_MS,
        count=sum(map(len, batch)),
        nonce=chance(number).randbytes(12),
    )
    assert box.on_segment(store, header, body, NOW_MS) is Arrival.APPLIED


def counts(box: Inbox, store: Streams) -> tuple[int, int, int]:
    (stated,) = box.state(store, whole=True)[1]
    return stated.applied, stated.held, sum(stated.dropped.values())


def tally() -> GapTally:
    return GapTally("device_replaced")


# --- batches --------------------------------------------------------------------------------------------------------------


def test_a_batch_carries_the_generations_of_devices_that_were_made_again() -> None:
    batch = [series(1, device="a"), series(2, device="b", generation=3), series(3, device="c", generation=2)]
    assert CODEC.decode(CODEC.encode(batch)) == batch
    first, _, third = (CODEC.decode_columns(CODEC.encode(as_columns(batch).one(at))) for at in range(3))
    assert (first.generations, third.generations) == ({}, {"c": 2})


def test_a_batch_that_says_nothing_of_generations_is_as_it_always_was() -> None:
    batch = [series(1, 2, generation=0)]
    assert len(msgspec.msgpack.decode(zstandard.decompress(CODEC.encode(batch)))) == 8
    assert CODEC.decode_columns(CODEC.encode(batch)).generations is None


def test_generations_cost_a_batch_one_byte_where_no_device_was_made_again() -> None:
    plain, marked = (
        zstandard.decompress(CODEC.encode([series(*range(500), generation=generation)])) for generation in (0, 1)
    )
    assert marked[1:-1] == plain[1:]
    assert marked[-1:] == b"\x80"


def test_a_release_that_knows_no_generations_reads_past_them() -> None:
    class Earlier(msgspec.Struct, array_like=True):
        version: int
        devices: list[str]

    plain = zstandard.decompress(CODEC.encode([series(1, generation=4)]))
    assert msgspec.msgpack.decode(plain, type=Earlier) == Earlier(1, ["d"])


@pytest.mark.parametrize("generations", [{0: 1}, {0: -2}, {7: 2}, {-1: 2}, [2]])
def test_impossible_generations_are_refused(generations: object) -> None:
    fields = msgspec.msgpack.decode(zstandard.decompress(CODEC.encode([series(1)])))
    fields[8] = generations
    with pytest.raises(Undecodable):
        CODEC.decode(zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(fields)))


def test_generations_stay_with_their_readings_however_a_batch_is_cut_and_joined() -> None:
    whole = as_columns([series(1, 2, device="a"), series(3, 4, device="b", generation=2)])
    first, second = whole.part(0, 3), whole.part(3, 4)
    assert [piece.generations for piece in (first, second, whole.pick([False, True]))] == [{"b": 2}] * 3
    again = joined([first, second])
    assert (again.generations, again.listed()) == ({"b": 2}, whole.listed())
    assert [piece.columns.generations for piece in pack(whole, BatchCodec())] == [{"b": 2}]


@pytest.mark.parametrize(
    ("generations", "together"),
    [((1, 1, 1), 3), ((2, 2, 2), 3), ((1, 1, 2), 2), ((2, 1), 1), ((0, 0, 1), 2), ((1, 0), 1)],
)
def test_only_batches_whose_devices_have_one_generation_each_are_joined(
    generations: tuple[int, ...], together: int
) -> None:
    parts = [as_columns([series(at, generation=generation)]) for at, generation in enumerate(generations)]
    assert fitting(parts) == together


# --- the origin -----------------------------------------------------------------------------------------------------------


def test_what_waits_of_two_generations_never_becomes_one_chunk_or_one_segment() -> None:
    store, tail = open_store(), Tail(CODEC)
    tail.load(store)
    for at in range(2 * TAIL_MERGED_CHUNKS):
        generation = 1 if at < TAIL_MERGED_CHUNKS + 5 else 2
        tail.add(store, Packed(as_columns([series(at, generation=generation)]), CODEC), NOW_MS, kept=False)
    found = []
    while tail.ready(frozenset("r"), kept=False).count:
        columns, _ = tail.take(store, frozenset("r"), kept=False)
        found += [(one.generation, len(one)) for one in columns.listed()]
    assert found == [(1, TAIL_MERGED_CHUNKS + 5), (2, TAIL_MERGED_CHUNKS - 5)]


def test_what_is_made_again_from_history_is_of_the_device_that_is_there() -> None:
    store = open_store(devices=())
    exists(store, 2)
    assert store.apply(as_columns([series(1, generation=2)]), None, NOW_MS) == [True]
    ((series_id,),) = rows(store, "SELECT series_id FROM series")
    assert store.history([SeriesSpan(int(str(series_id)), 0, 9)]) == [series(1, generation=2)]


# --- the destination ------------------------------------------------------------------------------------------------------


def test_readings_of_a_device_that_is_not_known_to_be_made_again_are_held_until_it_is() -> None:
    store, box = open_store(devices=()), Inbox(keys(Side.TARGET), CODEC)
    exists(store, 1)
    arrive(store, box, 1, series(1, 2))
    arrive(store, box, 2, series(3, 4, generation=2))
    assert counts(box, store) == (2, 2, 0)
    assert box.release_held(store, "d", None, 0, NOW_MS, tally()) == (0, None)
    exists(store, -1)
    exists(store, 2)
    assert box.release_held(store, "d", None, 0, NOW_MS, tally()) == (2, None)
    assert counts(box, store) == (4, 0, 0)


def test_late_readings_of_a_replaced_device_are_given_up_together_and_named() -> None:
    store, box = open_store(devices=()), Inbox(keys(Side.TARGET), CODEC)
    exists(store, 2)
    arrive(store, box, 1, series(1, 2))
    arrive(store, box, 2, series(3))
    arrive(store, box, 3, series(4, generation=2))
    assert counts(box, store) == (1, 3, 0)
    assert box.replaced.due_ms == NOW_MS + REPLACED_TOLD_AFTER_MS
    assert box.replaced.take(NOW_MS) == []
    assert box.replaced.take(NOW_MS + REPLACED_TOLD_AFTER_MS) == ["d"]
    gap = tally()
    box.release_held(store, "d", None, 0, NOW_MS, gap)
    (notice,) = gap.notices("g", NOW_MS)
    assert [(row.device, row.count, row.first_ms, row.last_ms) for row in notice.rows] == [("d", 3, 1, 3)]
    assert counts(box, store) == (1, 0, 3)


def test_a_clock_set_back_does_not_keep_the_readings_of_a_replaced_device_waiting() -> None:
    store, box = open_store(devices=()), Inbox(keys(Side.TARGET), CODEC)
    exists(store, 2)
    arrive(store, box, 1, series(1))
    assert box.replaced.take(NOW_MS - 10 * REPLACED_TOLD_AFTER_MS) == ["d"]


def test_readings_of_a_deleted_device_are_held_as_long_as_none_has_replaced_it() -> None:
    store, box = open_store(devices=()), Inbox(keys(Side.TARGET), CODEC)
    exists(store, -1)
    arrive(store, box, 1, series(1))
    assert box.release_held(store, "d", None, 0, NOW_MS, tally()) == (0, None)
    assert counts(box, store) == (0, 1, 0)
    assert box.replaced.due_ms is None


def test_what_an_earlier_release_sent_goes_to_the_device_that_is_there() -> None:
    store, box = open_store(devices=()), Inbox(keys(Side.TARGET), CODEC)
    exists(store, 3)
    arrive(store, box, 1, series(1, generation=0))
    assert counts(box, store) == (1, 0, 0)
