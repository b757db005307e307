"""Gap notices among many: found by what they name, in pages, and as files (N4)."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from connector import gaps
from connector.gap_rows import GapRows
from connector.gaps import FIRST, GapFilter, GapKey, GapRow
from connector.parting_gaps import note_gaps
from connector.streams import Streams
from shared.columns import as_columns
from shared.core.entries import GapNotice
from shared.core.entries import GapRow as Named
from shared.core.ledger import Ledger
from shared.core.ports import EpochIn
from shared.sealing import Side
from tests.core.stores import CONNECTOR, open_store, series
from web import formats


def notice(at: int, *rows: Named, cause: str = "retention", count: int | None = -1) -> GapNotice:
    found = sum(row.count for row in rows) if count == -1 else count
    first_ms = min((row.first_ms for row in rows), default=at * 10)
    last_ms = max((row.last_ms for row in rows), default=at * 10 + 5)
    return GapNotice(f"gap{at:05}", cause, found, first_ms, last_ms, list(rows), [], at)


def named(at: int, device: str = "d", resource: str = "r", count: int = 2) -> Named:
    return Named(device, resource, count, at * 10, at * 10 + 5)


@pytest.fixture
def store() -> Streams:
    """A store with 300 notices: every third names another resource, one nobody could count, one names nothing."""
    store = open_store()
    for at in range(298):
        store.add_gap(notice(at, named(at, resource="q" if at % 3 == 0 else "r")), ours=at % 2 == 0)
    store.add_gap(notice(298, cause="origin_restored", count=None), ours=False)
    store.add_gap(notice(299, cause="destination_restored", count=7), ours=True)
    return store


def ids(rows: list[GapRow]) -> list[str]:
    return [row.notice.gap_id for row in rows]


def test_n4_pages_go_through_all_notices_of_a_filter_newest_first_and_none_twice(store: Streams) -> None:
    wanted, seen, after = GapFilter(resource="q"), list[str](), FIRST
    while rows := gaps.list_gaps(store.connection, CONNECTOR, 40, after, wanted):
        seen += ids(rows)
        after = rows[-1].key
    assert seen == [f"gap{at:05}" for at in range(297, -1, -3)]
    assert gaps.totals(store.connection, CONNECTOR, wanted) == gaps.GapTotals(100, 200, 0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (GapFilter(cause="origin_restored"), [298]),
        (GapFilter(device="nobody"), []),
        (GapFilter(device="d", resource="r", from_ms=2_900), [296, 295, 293, 292, 290]),
        (GapFilter(from_ms=10, to_ms=30), [2, 1]),
        (GapFilter(from_ms=15, to_ms=20), [1]),
        (GapFilter(from_ms=16, to_ms=20), []),
    ],
)
def test_n4_notices_are_found_by_cause_names_and_time(store: Streams, wanted: GapFilter, found: list[int]) -> None:
    rows = gaps.list_gaps(store.connection, CONNECTOR, wanted=wanted)
    assert ids(rows)[:5] == [f"gap{at:05}" for at in found]


def test_n4_what_is_counted_of_a_resource_is_not_limited_to_the_newest(store: Streams) -> None:
    found = gaps.by_resource(store.connection, CONNECTOR)
    assert found == {"q": gaps.ResourceGaps(100, 200), "r": gaps.ResourceGaps(198, 396)}
    assert gaps.totals(store.connection, CONNECTOR) == gaps.GapTotals(300, 603, 1)


def test_n4_a_chart_shades_old_gaps_and_those_that_name_no_series_and_no_others(store: Streams) -> None:
    def shaded(device: str, resource: str, from_ms: int, to_ms: int) -> list[tuple[str, int | None]]:
        found = gaps.series_gaps(store.connection, CONNECTOR, device, resource, from_ms, to_ms)
        return [(gap.cause, gap.count) for gap in found]

    assert shaded("d", "q", 0, 40) == [("retention", 2), ("retention", 2)]
    assert shaded("other", "q", 0, 40) == []
    assert shaded("other", "q", 2_980, 3_000) == [("origin_restored", None), ("destination_restored", None)]
    store.add_gap(notice(400, named(400, device="", resource="q"), cause="parted"), ours=True)
    assert shaded("d", "q", 4_000, 4_001) == [("parted", None)]


def test_notices_of_an_earlier_release_are_found_once_they_were_read(store: Streams) -> None:
    store.connection.execute("UPDATE gap SET named = -1, cause = '', count = NULL, first_ms = 0, last_ms = 0")
    store.connection.execute("DELETE FROM gap_row")
    assert gaps.by_resource(store.connection, CONNECTOR) == {}
    while gaps.index_notices(store.connection, 100):
        pass
    assert gaps.totals(store.connection, CONNECTOR) == gaps.GapTotals(300, 603, 1)
    assert gaps.by_resource(store.connection, CONNECTOR)["q"].notices == 100


def test_a_notice_that_comes_again_changes_nothing(store: Streams) -> None:
    assert not GapRows.add_gap(store, notice(5, named(5, resource="other", count=9)), ours=False)
    assert gaps.totals(store.connection, CONNECTOR) == gaps.GapTotals(300, 603, 1)
    assert "other" not in gaps.by_resource(store.connection, CONNECTOR)


async def test_n4_a_notice_that_takes_back_more_replaces_the_one_before_and_no_earlier_one_comes_back(
    store: Streams,
) -> None:
    first = notice(5, named(5, count=4), named(5, device="e", count=3), cause="byte_cap")
    some = msgspec.structs.replace(
        first,
        gap_id="some",
        count=3,
        rows=[msgspec.structs.replace(first.rows[0], count=0), first.rows[1]],
        taken_back=4,
    )
    assert store.add_gap(msgspec.structs.replace(first, gap_id="some"), ours=False)
    assert not store.add_gap(some, ours=True)  # the other side never changes what is ours, nor we what is its own
    assert store.add_gap(some, ours=False)
    assert not store.add_gap(msgspec.structs.replace(first, gap_id="some"), ours=False)
    wanted = GapFilter(cause="byte_cap")
    assert gaps.totals(store.connection, CONNECTOR, wanted) == gaps.GapTotals(1, 3, 0)
    assert gaps.totals(store.connection, CONNECTOR, GapFilter(cause="byte_cap", device="d")).notices == 0

    async def read(after: GapKey) -> list[GapRow]:
        return gaps.list_gaps(store.connection, CONNECTOR, gaps.EXPORT_NOTICES, after, wanted)

    text = "".join([part async for part in gaps.as_csv(gaps.pages(read), formats.iso)])
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [(line["device"], line["count"], line["taken_back"]) for line in lines] == [("e", "3", "0"), ("", "0", "4")]
    none = msgspec.structs.replace(
        some, count=0, rows=[msgspec.structs.replace(row, count=0) for row in some.rows], taken_back=7
    )
    assert store.add_gap(none, ours=False)
    assert gaps.series_gaps(store.connection, CONNECTOR, "e", "r", 50, 56) == []
    body = b"".join([part async for part in gaps.as_json(gaps.pages(read), formats.iso)])
    (found,) = msgspec.json.decode(body)
    assert (found["count"], found["taken_back"], found["rows"]) == (0, 7, [])


async def test_n4_files_hold_every_notice_with_counts_per_device_and_resource(store: Streams) -> None:
    store.add_gap(notice(500, named(500, device="=cmd()"), named(500, resource="s"), count=9), ours=True)

    async def read(after: GapKey) -> list[GapRow]:
        return gaps.list_gaps(store.connection, CONNECTOR, gaps.EXPORT_NOTICES, after)

    text = "".join([part async for part in gaps.as_csv(gaps.pages(read), formats.iso)])
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 303
    assert [(line["device"], line["resource"], line["count"]) for line in lines[:3]] == [
        ("'=cmd()", "r", "2"),
        ("d", "s", "2"),
        ("", "", "5"),
    ]
    assert (lines[4]["cause"], lines[4]["count"]) == ("origin_restored", "")
    assert lines[3]["first"].endswith("Z")
    body = b"".join([part async for part in _joined(gaps.as_json(gaps.pages(read), formats.iso))])
    found = msgspec.json.decode(body)
    assert [len(found), found[0]["count"], found[2]["count"]] == [301, 9, None]


async def _joined(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for part in parts:
        yield part


async def test_an_export_of_nothing_is_an_empty_file() -> None:
    async def read(_: GapKey) -> list[GapRow]:
        return []

    assert b"".join([part async for part in gaps.as_json(gaps.pages(read), formats.iso)]) == b"[]\n"
    assert [part async for part in gaps.as_csv(gaps.pages(read), formats.iso)] == [",".join(gaps.COLUMNS) + "\r\n"]


# --- parting ----------------------------------------------------------------------------------------------------------


def pair_of(side: Side) -> Any:
    return SimpleNamespace(side=side, connector_id=CONNECTOR)


def test_n4_a_parting_names_at_the_source_what_waits_by_resource() -> None:
    store = open_store("r", "q")
    store.count_accepted({"r": 2, "q": 1})
    store.add_tail("", 50, [series(1, 2), series(3, resource="q")], b"body")
    note_gaps(store, pair_of(Side.SOURCE), "over", 99)
    (row,) = gaps.list_gaps(store.connection, CONNECTOR)
    assert (row.ours, row.notice.cause, row.notice.count) == (True, "parted", 3)
    assert [(each.device, each.resource, each.count) for each in row.notice.rows] == [("", "r", 2), ("", "q", 1)]


def test_n4_a_parting_names_at_the_target_what_is_held_and_what_the_source_said_to_wait() -> None:
    store = open_store("r")
    store.hold(5, as_columns([series(1, 2, resource="q")]), b"body", 40)
    epoch = EpochIn(5, held=2, quarantined=4)
    store.save_epoch_in(epoch, 40)
    store.save_peer_ledger(Ledger(9, tail=7, held=2), 70)
    store.save_peer_resources({"r": Ledger(7, tail=7), "q": Ledger(2, held=2)}, 70, None)
    note_gaps(store, pair_of(Side.TARGET), "over", 99)
    found = {row.ours: row.notice for row in gaps.list_gaps(store.connection, CONNECTOR)}
    assert (found[True].count, list(map(_plain, found[True].rows))) == (6, [("d", "q", 2)])
    assert (found[False].count, list(map(_plain, found[False].rows))) == (7, [("", "r", 7)])


def _plain(row: Named) -> tuple[str, str, int]:
    return row.device, row.resource, row.count


def test_a_parting_with_nothing_left_names_nothing() -> None:
    for side in Side:
        store = open_store()
        note_gaps(store, pair_of(side), "over", 99)
        assert gaps.list_gaps(store.connection, CONNECTOR) == []
