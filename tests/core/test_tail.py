"""The tail: what single readings take there, and become before they are sealed (DESIGN section 5)."""

from __future__ import annotations

import pytest

from connector.streams import Streams
from shared.core.entries import CAUSE_RETENTION
from shared.core.gaps import GapTally
from shared.core.outbox import Outbox, OutboxLimits
from shared.limits import (
    CREDIT_BYTES,
    SECOND_MS,
    TAIL_MERGED_CHUNKS,
    TAIL_MERGED_MS_MAX,
    TAIL_SMALL_READINGS_MAX,
)
from shared.sealing import Header, Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, noise, open_store, series, with_page_lost


def outbox(store: Streams) -> Outbox:
    made = Outbox(keys(Side.SOURCE), CODEC, chance(1).randbytes, OutboxLimits())
    made.load(store, frozenset({"r"}))
    return made


def accept(store: Streams, box: Outbox, *times_ms: int, now_ms: int = NOW_MS) -> None:
    box.accept(store, [series(*times_ms)], now_ms)


def test_single_readings_become_greater_chunks_of_the_tail_and_nothing_is_lost_or_older() -> None:
    store = open_store()
    box = outbox(store)
    for at_ms in range(2 * TAIL_MERGED_CHUNKS + 1):
        accept(store, box, at_ms, now_ms=NOW_MS + at_ms)
    chunks = store.newest_tail(("", False), 10)
    assert [(each.count, each.accepted_ms - NOW_MS) for each in chunks] == [(1, 128), (64, 127), (64, 63)]
    assert store.tail_totals()["", False].bytes == store.waiting_bytes()
    box.on_link_opened(store, {}, NOW_MS)
    box.set_reachable(True)
    box.add_credit(CREDIT_BYTES)
    (sent,) = box.pump(store, NOW_MS + SECOND_MS)
    assert Header.unpack(sent.header).count == 2 * TAIL_MERGED_CHUNKS + 1
    _, body = keys(Side.TARGET).open(Kind.SEGMENT, sent.header, sent.body)
    (all_of_them,) = CODEC.decode(body)
    assert all_of_them.times_ms == list(range(2 * TAIL_MERGED_CHUNKS + 1))
    assert (store.ledger().tail, store.waiting_bytes()) == (0, len(sent.body))


def test_what_was_accepted_minutes_apart_or_is_no_handful_stays_a_chunk_of_its_own() -> None:
    store = open_store()
    box = outbox(store)
    accept(store, box, *range(TAIL_SMALL_READINGS_MAX))
    for at in range(TAIL_MERGED_CHUNKS):
        accept(store, box, 1_000 + at, now_ms=NOW_MS + at // 32 * (TAIL_MERGED_MS_MAX + 1))
    counts = [each.count for each in store.newest_tail(("", False), 100)]
    assert counts == [32, *[1] * 32, TAIL_SMALL_READINGS_MAX]


@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize("head", [b"", b"\x28\xb5\x2f\xfd"])
def test_g7_what_of_a_tail_cannot_be_read_keeps_nothing_else_and_is_named_as_a_gap_when_it_expires(
    head: bytes, count: int
) -> None:
    store = open_store()
    box = outbox(store)
    accept(store, box, *range(count))
    (damaged,) = store.newest_tail(("", False), 9)
    store._connection.execute("UPDATE tail SET body = ?", (head.ljust(len(damaged.body), b"\0"),))
    for at in range(TAIL_MERGED_CHUNKS):
        accept(store, box, 1_000 + at, now_ms=NOW_MS + 1)
    box.on_link_opened(store, {}, NOW_MS)
    box.set_reachable(True)
    box.add_credit(CREDIT_BYTES)
    (sent,) = box.pump(store, NOW_MS + SECOND_MS)
    assert Header.unpack(sent.header).count == TAIL_MERGED_CHUNKS
    assert (store.ledger().tail, store.ledger().balanced) == (count, True)
    assert box.pump(store, NOW_MS + 2 * SECOND_MS) == []
    tally = GapTally(CAUSE_RETENTION)
    box.expire(store, NOW_MS + OutboxLimits().retention_ms, tally)
    (notice,) = tally.notices("gap", NOW_MS)
    assert (notice.count, store.ledger().dropped) == (count, {CAUSE_RETENTION: count})
    assert (store.ledger().tail, store.ledger().balanced) == (0, True)


@pytest.mark.parametrize("limits", [OutboxLimits(), OutboxLimits(bytes_max=100)])
def test_g7_where_the_disk_lost_what_a_piece_of_the_tail_counts_it_is_given_up_and_counted_all_the_same(
    limits: OutboxLimits,
) -> None:
    store = open_store("r", "other")
    box = outbox(store)
    box.accept(store, [noise(1_200), series(1, 2, resource="other")], NOW_MS)
    accept(store, box, 3, 4, 5)
    store = with_page_lost(store, b'{"r":1200')
    box = Outbox(keys(Side.SOURCE), CODEC, chance(2).randbytes, limits)
    box.load(store, frozenset({"r", "other"}))
    tally = GapTally(CAUSE_RETENTION)
    box.expire(store, NOW_MS + limits.retention_ms, tally)
    box.drop_over_cap(store, tally)
    assert sum(notice.count or 0 for notice in tally.notices("gap", NOW_MS)) == 1_205
    assert (store.ledger().dropped, store.ledger().balanced) == ({CAUSE_RETENTION: 1_205}, True)
    by_resource = store.resource_ledgers()
    assert {name: each.dropped[CAUSE_RETENTION] for name, each in by_resource.items()} == {"r": 1_203, "other": 2}
    assert all(each.tail == 0 and each.balanced for each in by_resource.values())
