"""The pages of resources as a browser without scripts meets them (W9): list, one resource, its forms and files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from connector.resources import NewResource
from shared.limits import HOUR_MS, MINUTE_MS
from tests.connector.site_stage import NOON_MS, SetClock, line
from tests.connector.visitors import Visitor, visitor


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[tuple[Visitor, str]]:
    """A site at noon whose connector makes devices by itself; yields the path of the connector."""
    async with visitor(folder, clock=SetClock()) as found:
        connector = await found.site.create_connector("pumps", creates_devices=True)
        for new in (
            NewResource(alias="flow", format="number", unit="l/s"),
            NewResource(alias="a/b", format="number", unit="bar"),
            NewResource(alias="mode", format="string"),
            NewResource(alias="on", format="boolean"),
        ):
            await found.site.create_resource(connector.connector_id, new)
        yield found, f"/connectors/{connector.connector_id}"


async def post(found: Visitor, path: str, resource: str, rows: Iterable[tuple[int, Any]], device: str = "pump") -> None:
    body = b"\n".join(line(device, resource, value, at_ms) for at_ms, value in rows)
    assert not (await found.site.ingest(path.split("/")[2], body)).refused


async def test_w9_the_list_is_searched_and_sorted_by_its_address(tmp_path: Path) -> None:
    async with site(tmp_path) as (found, path):
        await post(found, path, "on", [(NOON_MS - 5, True)])
        await post(found, path, "flow", [(NOON_MS - at, 1.0) for at in range(60)])

        async def order(query: str) -> list[str]:
            html = (await found.http.get(f"{path}/resources{query}")).text
            return sorted(("flow", "a~2Fb", "mode", "on"), key=lambda alias: html.index(f'/resources/{alias}"'))

        assert await order("") == ["a~2Fb", "flow", "mode", "on"]
        assert await order("?sort=-alias") == ["on", "mode", "flow", "a~2Fb"]
        assert (await order("?sort=-rate"))[:2] == ["flow", "on"]
        assert (await order("?sort=-last"))[:2] == ["flow", "on"]
        text = await found.get(f"{path}/resources?search=bar")
        assert "1 of 4 resources match “bar”" in text
        assert "mode" not in text
        assert "Nothing matches" in await found.get(f"{path}/resources?search=nothing")


async def test_w9_selected_resources_are_switched_together_and_the_search_stays(tmp_path: Path) -> None:
    async with site(tmp_path) as (found, path):
        fields = {"alias": ["flow", "mode"], "is_synced": "on", "query": "search=o&sort=-alias&evil=1"}
        answer = await found.http.post(f"{path}/remote-sync/switch", data=fields)
        assert answer.headers["location"] == f"{path}/resources?search=o&sort=-alias"
        assert "Remote-Sync of 2 resources is on" in await found.get(answer.headers["location"])
        rows = await found.site.resources(path.split("/")[2])
        assert {row.alias for row in rows if row.remote_sync} == {"flow", "mode"}
        await found.post(f"{path}/remote-sync/switch", is_synced="off")
        assert "select resources first" in await found.get(f"{path}/resources")


async def test_w9_a_resource_shows_its_devices_a_summary_and_raw_readings_page_by_page(tmp_path: Path) -> None:
    async with site(tmp_path) as (found, path):
        await post(found, path, "flow", [(NOON_MS - at * 1_000, float(at)) for at in range(1, 121)])
        await post(found, path, "flow", [(NOON_MS - MINUTE_MS, 7.5)], device="fan")

        page = await found.get(f"{path}/resources/flow")
        assert "120 readings, from 1 to 120 l/s; the last is 1 l/s." in page
        assert "20 Nov 2025, 13:59:59.000 1 20 Nov 2025, 13:59:58.000 2" in page
        assert "Time (UTC)" in page
        older = (await found.http.get(f"{path}/resources/flow")).text.split("before=")[1].split("&")[0].split("#")[0]
        assert older == str(NOON_MS - 50_000)
        second = await found.get(f"{path}/resources/flow?before={older}")
        assert "13:59:09.000 51" in second
        assert "13:59:10.000 50" not in second
        assert "1 reading, from 7.5 to 7.5 l/s" in await found.get(f"{path}/resources/flow?device=fan")
        assert "No reading in this range." in await found.get(
            f"{path}/resources/flow?range=custom&from=2025-11-19T10:00&to=2025-11-19T11:00"
        )
        berlin = await found.get(f"{path}/resources/flow", Cookie=f"{cookies(found)}; tz=Europe/Berlin")
        assert "14:59:59.000" in berlin
        assert "Time (CET)" in berlin
        assert "such as 2026-11-20T14:00" in await found.get(f"{path}/resources/flow?range=custom&from=yesterday")
        assert "after the first one" in await found.get(
            f"{path}/resources/flow?range=custom&from=2025-11-20T12:00&to=2025-11-20T11:00"
        )
        assert "No reading of a/b yet" in await found.get(f"{path}/resources/a~2Fb")
        await found.get(f"{path}/resources/nothing", 404)


def cookies(found: Visitor) -> str:
    return "; ".join(f"{name}={value}" for name, value in found.http.cookies.items())


async def test_w9_states_are_told_apart_and_their_chart_is_in_bands(tmp_path: Path) -> None:
    async with site(tmp_path) as (found, path):
        await post(
            found, path, "mode", [(NOON_MS - 9_000, "idle"), (NOON_MS - 5_000, "busy"), (NOON_MS - 4_000, "busy")]
        )
        html = (await found.http.get(f"{path}/resources/mode?range=1h")).text
        chart = json.loads(html.split('data-chart="')[1].split('"')[0].replace("&#34;", '"'))
        assert chart["states"] == [[NOON_MS - 9_000, NOON_MS - 5_000, "idle"], [NOON_MS - 5_000, NOON_MS, "busy"]]
        assert chart["points"] == []
        assert chart["to_ms"] - chart["from_ms"] == HOUR_MS + 1_000


async def test_w9_a_range_is_exported_in_utc_whole_and_in_order(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("connector.pages.resource_edit._EXPORT_ROWS", 7)
    async with site(tmp_path) as (found, path):
        wanted = [(NOON_MS - at * 1_000, at / 3) for at in range(40, 0, -1)]
        await post(found, path, "flow", wanted)
        await post(found, path, "mode", [(NOON_MS - 1, 'say "hi",\nthen go')])

        answer = await found.http.get(f"{path}/resources/flow/export?device=pump&range=1h&format=csv")
        assert answer.headers["content-disposition"] == 'attachment; filename="pump-flow.csv"'
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert rows[0] == ["timestamp", "value"]
        assert rows[1] == ["2025-11-20T13:59:20.000Z", str(40 / 3)]
        assert [float(row[1]) for row in rows[1:]] == [value for _, value in wanted]
        told = (await found.http.get(f"{path}/resources/flow/export?device=pump&range=1h&format=json")).json()
        assert [row["value"] for row in told] == [value for _, value in wanted]
        text = (await found.http.get(f"{path}/resources/mode/export?device=pump&format=csv")).text
        assert list(csv.reader(io.StringIO(text, newline="")))[1][1] == 'say "hi",\nthen go'
        empty = await found.http.get(
            f"{path}/resources/flow/export?device=pump&range=custom&from=2025-11-01T00:00&to=2025-11-02T00:00&format=json"
        )
        assert empty.json() == []
        await found.get(f"{path}/resources/flow/export?device=nobody", 404)


async def test_w9_a_definition_is_changed_and_what_is_wrong_stands_beside_its_field(tmp_path: Path) -> None:
    async with site(tmp_path) as (found, path):
        await post(found, path, "flow", [(NOON_MS, 1.0)])
        page = f"{path}/resources/flow"
        await found.post(page, unit="m³/h", allowed="0..50", is_settable="on", retention_days="30")
        text = await found.get(page)
        assert "Format number m³/h Allowed 0 to 50 Settable by people History kept for 30 days" in text
        assert "Its format, number, stays: there are readings." in text
        assert "has readings, so its format stays" in await found.post(page, 409, format="string", unit="")
        refused = await found.post(page, 422, unit="", allowed="fifty..", retention_days="30")
        assert "“fifty” is not a number" in refused
        assert "a number of days, or 0 for ever" in await found.post(page, 422, unit="", retention_days="long")
        await found.post(page, unit="", retention_days="0")
        assert "kept for ever" in await found.get(page)


async def test_w9_a_resource_is_deleted_after_a_question_that_names_what_is_lost(tmp_path: Path) -> None:
    async with site(tmp_path) as (found, path):
        await post(found, path, "flow", [(NOON_MS, 1.0)])
        question = await found.get(f"{path}/resources/flow/delete")
        assert "all of its readings of 1 device here, for good" in question
        assert "Please confirm" in await found.post(f"{path}/resources/flow/delete", 200)
        await found.get(f"{path}/resources/flow")

        assert await found.post(f"{path}/resources/flow/delete", confirmed="yes") == f"{path}/resources"

        assert "Resource “flow” deleted." in await found.get(f"{path}/resources")
        await found.get(f"{path}/resources/flow", 404)
