"""Readings into a site without a peer: refusals by line, what is kept, what is repeated, and times given on arrival."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest

from connector.resources import NewResource
from shared.errors import Refused
from shared.limits import INGEST_REFUSALS_SHOWN_MAX
from tests.connector.site_stage import NOON_MS, SetClock, line, lone_site, make_connector, stored


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (b"oops", "not_json", "not a JSON object"),
        (line("ghost", "flow", 1), "unknown_device", "no device 'ghost'"),
        (line("pump", "heat", 1), "unknown_resource", "no resource 'heat'"),
        (line("pump", "flow", "1"), "wrong_format", "format number of 'flow'"),
        (line("pump", "flow", True), "wrong_format", "format number of 'flow'"),
        (line("pump", "note", 1), "wrong_format", "format string of 'note'"),
        (line("pump", "note", False), "wrong_format", "format string of 'note'"),
        (line("pump", "on", 1), "wrong_format", "format boolean of 'on'"),
        (line("pump", "on", "true"), "wrong_format", "format boolean of 'on'"),
        (line("pump", "level", 100.5), "not_allowed", "0 to 100"),
        (line("pump", "level", -1), "not_allowed", "0 to 100"),
        (line("pump", "mode", "Auto"), "not_allowed", "one of auto, off"),
        (b'{"device":"pump","resource":"flow","value":NaN}', "not_a_number", "NaN"),
        (line("pump", "flow", 2**53 + 1), "not_exact", "2^53"),
        (line("pump", "flow", -(10**30)), "not_exact", "2^53"),
        (line("pump", "flow", 1, -1), "before_1970", "before 1970"),
        (line("pump", "flow", 1, NOON_MS + 86_400_001), "too_far_ahead", "24 hours"),
        (line("pump", "flow", 1, "yesterday"), "bad_time", "ISO 8601"),
        (line("pump", "note", "x" * 65_537), "value_too_large", "64 KiB"),
        (line("pump", "note", "\N{SNOWMAN}" * 21_846), "value_too_large", "64 KiB"),
    ],
)
async def test_a_bad_line_is_refused_with_its_reason_and_the_good_ones_are_kept(
    tmp_path: Path, text: bytes, code: str, words: str
) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        body = b"\n".join([line("pump", "flow", 1.0, NOON_MS - 2), text, line("pump", "flow", 2.0, NOON_MS - 1)])
        outcome = await site.ingest(connector_id, body)
        assert [(refusal.line, refusal.code) for refusal in outcome.refusals] == [(2, code)]
        assert words in outcome.refusals[0].message
        assert (outcome.accepted, outcome.repeated, outcome.refused) == (2, 0, 1)
        assert await stored(site, connector_id, "flow") == [(NOON_MS - 2, 1.0), (NOON_MS - 1, 2.0)]


async def test_values_come_out_bit_equal(tmp_path: Path) -> None:
    numbers = [0.1, 1e308, -1.7976931348623157e308, 5e-324, 1 / 3, 2.0**53, -0.0, 0.0]
    texts = ["", "ä€😀", "a\x00b", "\n\t\"'\\", "x" * 65_536, "𝔘" * 16_384]
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        lines = [line("pump", "flow", value, NOON_MS + at) for at, value in enumerate(numbers)]
        lines += [line("pump", "note", value, NOON_MS + at) for at, value in enumerate(texts)]
        lines += [line("pump", "on", value, NOON_MS + at) for at, value in enumerate((True, False))]
        outcome = await site.ingest(connector_id, b"\n".join(lines))
        assert (outcome.accepted, outcome.refused) == (len(lines), 0)
        flow = [value for _, value in await stored(site, connector_id, "flow")]
        assert [struct.pack("<d", value) for value in flow] == [struct.pack("<d", value) for value in numbers]
        assert [value for _, value in await stored(site, connector_id, "note")] == texts
        assert [value for _, value in await stored(site, connector_id, "on")] == [1, 0]


async def test_a_reading_posted_again_is_repeated_with_another_value_its_timestamp_is_taken(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        first = await site.ingest(connector_id, line("pump", "flow", 1.5, NOON_MS))
        again = await site.ingest(connector_id, line("pump", "flow", 1.5, "2025-11-20T14:00:00Z"))
        other = await site.ingest(connector_id, line("pump", "flow", 2.5, NOON_MS))
        assert (first.accepted, first.repeated) == (1, 0)
        assert (again.accepted, again.repeated, again.refused) == (0, 1, 0)
        assert [refusal.code for refusal in other.refusals] == ["timestamp_taken"]
        assert await stored(site, connector_id, "flow") == [(NOON_MS, 1.5)]


async def test_two_values_of_one_millisecond_in_one_request_keep_the_first(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        body = b"\n".join(line("pump", "flow", value, NOON_MS) for value in (1.0, 1.0, 2.0))
        outcome = await site.ingest(connector_id, body)
        assert (outcome.accepted, outcome.repeated) == (1, 1)
        assert [(refusal.line, refusal.code) for refusal in outcome.refusals] == [(3, "timestamp_taken")]


async def test_readings_out_of_order_all_arrive(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        offsets = [5, 3, 4, 1, 2, 0]
        body = b"\n".join(line("pump", "flow", float(at), NOON_MS + at) for at in offsets)
        assert (await site.ingest(connector_id, body)).accepted == 6
        assert await stored(site, connector_id, "flow") == [(NOON_MS + at, float(at)) for at in range(6)]


async def test_requests_that_overtake_each_other_into_one_commit_are_each_told_of_their_own_lines(
    tmp_path: Path,
) -> None:
    def body(*offsets_ms: int, value: float = 0.0) -> bytes:
        return b"\n".join(line("pump", "flow", at + value, NOON_MS + at) for at in offsets_ms)

    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        commits = site.database.commits
        outcomes = await asyncio.gather(
            *(site.ingest(connector_id, each) for each in (body(7, 9), body(1, 2, 3), body(8, 4, 6, 5)))
        )
        assert site.database.commits == commits + 1
        assert [(each.accepted, each.repeated, each.refused) for each in outcomes] == [(2, 0, 0), (3, 0, 0), (4, 0, 0)]
        assert await stored(site, connector_id, "flow") == [(NOON_MS + at, float(at)) for at in range(1, 10)]

        outcomes = await asyncio.gather(
            *(site.ingest(connector_id, each) for each in (body(12, 11), body(11, 13), body(12, value=0.5)))
        )
        assert [(each.accepted, each.repeated, each.refused) for each in outcomes] == [(2, 0, 0), (1, 1, 0), (0, 0, 1)]
        assert await stored(site, connector_id, "flow") == [
            (NOON_MS + at, float(at)) for at in (*range(1, 10), 11, 12, 13)
        ]


async def test_late_readings_between_those_that_are_there_are_new_and_those_on_them_are_not(tmp_path: Path) -> None:
    def body(offsets_ms: range, value: float = 0.0) -> bytes:
        return b"\n".join(line("pump", "flow", at + value, NOON_MS + at) for at in offsets_ms)

    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        told = []
        for each, value in ((range(0, 400, 2), 0.0), (range(1, 500, 2), 0.0), (range(390, 501), 0.0), (range(3), 0.5)):
            outcome = await site.ingest(connector_id, body(each, value))
            told.append((outcome.accepted, outcome.repeated, outcome.refused))
        # Late and beyond; then even ones from 400 on are new, the others are there; then all are taken.
        assert told == [(200, 0, 0), (250, 0, 0), (51, 60, 0), (0, 0, 3)]
        expected = sorted({*range(0, 400, 2), *range(1, 500, 2), *range(390, 501)})
        assert await stored(site, connector_id, "flow") == [(NOON_MS + at, float(at)) for at in expected]


async def test_readings_without_a_time_get_strictly_increasing_ones(tmp_path: Path) -> None:
    clock = SetClock()
    async with lone_site(tmp_path, clock) as site:
        connector_id = await make_connector(site)
        for first in (0, 3):
            body = b"\n".join(line("pump", "flow", float(first + at)) for at in range(3))
            assert (await site.ingest(connector_id, body)).accepted == 3
        clock.now_ms = NOON_MS - 60_000  # somebody set the clock back
        assert (await site.ingest(connector_id, line("pump", "flow", 6.0))).accepted == 1
        assert await stored(site, connector_id, "flow") == [(NOON_MS + at, float(at)) for at in range(7)]


async def test_a_reading_without_a_time_gives_way_to_those_with_one(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        body = b"\n".join(
            [line("pump", "flow", 1.0), line("pump", "flow", 2.0, NOON_MS), line("pump", "flow", 3.0, NOON_MS + 2)]
            + [line("pump", "flow", value) for value in (4.0, 5.0)]
        )
        outcome = await site.ingest(connector_id, body)
        assert (outcome.accepted, outcome.refusals) == (5, [])
        assert [value for _, value in await stored(site, connector_id, "flow")] == [2.0, 1.0, 3.0, 4.0, 5.0]


async def test_unknown_devices_are_made_where_the_connector_allows_it_and_only_for_known_resources(
    tmp_path: Path,
) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site, creates_devices=True)
        names: list[Any] = ["fan", "Lüfter 2", "a/b?c#d", "no\nname", "x" * 257]
        body = b"\n".join(line(name, "flow", 1.0, NOON_MS) for name in names)
        outcome = await site.ingest(connector_id, body + b"\n" + line("ghost", "heat", 1.0, NOON_MS))
        assert outcome.accepted == 3
        assert [(refusal.line, refusal.code) for refusal in outcome.refusals] == [
            (4, "unknown_device"),
            (5, "unknown_device"),
            (6, "unknown_resource"),
        ]
        rows = await site.database.read(lambda c: c.execute("SELECT identity FROM device ORDER BY identity").fetchall())
        assert [row[0] for row in rows] == sorted(["pump", "fan", "Lüfter 2", "a/b?c#d"])


async def test_a_flood_of_bad_lines_is_counted_in_full_and_shown_in_part(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        bad = INGEST_REFUSALS_SHOWN_MAX + 500
        body = b"\n".join([b"!"] * bad + [line("ghost", "flow", 1)] * bad + [line("pump", "flow", 1.0, NOON_MS)])
        outcome = await site.ingest(connector_id, body)
        assert (outcome.accepted, outcome.refused) == (1, 2 * bad)
        assert len(outcome.refusals) == INGEST_REFUSALS_SHOWN_MAX


async def test_a_disabled_connector_takes_nothing(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        await site.disable_connector(connector_id, disabled=True)
        with pytest.raises(Refused) as caught:
            await site.ingest(connector_id, line("pump", "flow", 1.0))
        assert caught.value.code == "connector_disabled"


async def test_a_target_refuses_readings_even_before_it_is_paired(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        target = await site.create_connector("t", target=True)
        with pytest.raises(Refused) as caught:
            await site.ingest(target.connector_id, line("pump", "flow", 1.0))
        assert caught.value.code == "target_not_writable"


async def test_the_state_follows_the_latest_time_not_the_latest_arrival(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        await site.create_resource(connector_id, NewResource(alias="heat", format="number"))
        await site.ingest(connector_id, line("pump", "heat", 2.0, NOON_MS))
        await site.ingest(connector_id, line("pump", "heat", 1.0, NOON_MS - 1_000))
        (row,) = [row for row in await site.resources(connector_id) if row.alias == "heat"]
        assert (row.last_value, row.last_ms) == (2.0, NOON_MS)
