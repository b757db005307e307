"""What charts show (W9, N4): spikes survive the folding, lines break at gaps, states become bands."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from connector import charts, history
from connector.charts import Slice, bands, coarser, fold, points, read_folded, slice_ms
from connector.gaps import SeriesGap
from tests.connector.site_stage import NOON_MS, line, lone_site, make_connector


def test_every_slice_keeps_its_lowest_and_highest_in_the_order_they_came() -> None:
    rows = [(0, 5.0), (1, 9.0), (2, 1.0), (3, 4.0), (12, 7.0)]

    slices = fold(rows, 0, 10)

    assert slices == (Slice(0, 3, 4, 1.0, 2, 9.0, 1, 4.0), Slice(12, 12, 1, 7.0, 12, 7.0, 12, 7.0))
    assert points(slices, []) == [(1, 9.0), (2, 1.0), (12, 7.0)]


def test_columns_of_numbers_fold_as_rows_do() -> None:
    chance = random.Random(7)
    rows = [(at * 7 + chance.randrange(7), float(chance.randrange(20))) for at in range(400) if chance.random() < 0.4]
    times, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    for width_ms in (1, 10, 50, 5_000):
        assert charts.fold_numbers(times, values, 0, width_ms) == fold(rows, 0, width_ms)
    assert charts.fold_numbers(times[:0], values[:0], 0, 10) == ()


def test_folding_again_is_folding_wider() -> None:
    chance = random.Random(4)
    rows = [(at * 7, chance.random()) for at in range(500)]
    assert coarser(fold(rows, 0, 50), 0, 500) == fold(rows, 0, 500)


def test_a_span_is_cut_into_no_more_slices_than_asked_for() -> None:
    for length in (1, 999, 1_000, 1_001, 86_400_000):
        assert -(-length // slice_ms(0, length, 1_000)) <= 1_000


def test_a_line_breaks_at_a_counted_gap_and_where_readings_stop() -> None:
    rows = [(at * 1_000, 1.0) for at in (*range(10), *range(12, 20), *range(60, 65))]
    gap = SeriesGap("retention", 9_500, 11_500, 2)
    broken = [at for at, value in points(fold(rows, 0, 1), [gap]) if value is None]
    assert broken == [9_001, 19_001]
    perhaps = SeriesGap("origin_restored", 9_500, 11_500, None)
    assert [at for at, value in points(fold(rows, 0, 1), [perhaps]) if value is None] == [19_001]


def test_a_state_lasts_until_the_next_reading_or_a_gap() -> None:
    slices = fold([(0, "idle"), (10, "idle"), (20, "busy"), (50, "idle")], 0, 1)
    assert bands(slices, 60, []) == [(0, 20, "idle"), (20, 50, "busy"), (50, 60, "idle")]
    gap = SeriesGap("byte_cap", 30, 40, 3)
    assert bands(slices, 60, [gap]) == [(0, 20, "idle"), (20, 30, "busy"), (50, 60, "idle")]


def test_a_state_that_changes_faster_than_can_be_drawn_is_called_several() -> None:
    slices = fold([(0, False), (3, True), (20, True)], 0, 10)
    assert bands(slices, 30, []) == [(0, 3, charts.SEVERAL), (3, 30, True)]


async def test_a_spike_of_one_millisecond_is_in_the_chart_of_a_day(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        times = range(NOON_MS - 86_400_000, NOON_MS, 20_000)
        body = b"\n".join(line("pump", "flow", 500.0 if at == times[2_000] else 1.0, at) for at in times)
        assert (await site.ingest(connector_id, body)).accepted == len(times)
        series_id = await site.database.read(lambda c: history.find_series(c, connector_id, "pump", "flow"))
        assert series_id is not None

        folded = await read_folded(site.database, series_id, NOON_MS - 86_400_000, NOON_MS)

        assert (folded.count, folded.is_sampled, len(folded.slices)) == (len(times), False, 1_000)
        drawn = points(folded.slices, [])
        assert len(drawn) <= 2 * charts.SLICES_MAX
        assert (times[2_000], 500.0) in drawn


async def test_a_long_history_is_sampled_at_a_bounded_cost_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "READ_MAX", 2_000)
    monkeypatch.setattr(charts, "SLICES_MAX", 20)
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        times = range(NOON_MS - 4_000, NOON_MS)
        await site.ingest(connector_id, b"\n".join(line("pump", "flow", float(at % 7), at) for at in times))
        series_id = await site.database.read(lambda c: history.find_series(c, connector_id, "pump", "flow"))
        assert series_id is not None

        folded = await read_folded(site.database, series_id, NOON_MS - 4_000, NOON_MS)

        assert (folded.is_sampled, folded.count, len(folded.slices)) == (True, 20 * charts.SAMPLED_PER_SLICE, 20)
        assert [each.first_ms for each in folded.slices] == list(range(NOON_MS - 4_000, NOON_MS, 200))
