"""`pairhub replay`: a CSV file through the public API, at once and at pace, with bad rows, repeats and real series."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connector.serve import RunningSite, running_site
from connector.settings import SiteSettings
from shared.errors import PairhubError
from shared.rig.client import ApiClient, operator_token
from shared.rig.replay import Progress, Replay, Report, Wish
from shared.rig.replay_progress import BarProgress, LineProgress
from tests.connector.site_stage import NOON_MS, SetClock, make_connector, stored

NAB = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "nab"


class Heard(Progress):
    """Keeps what a replay says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, line: str) -> None:
        self.lines.append(line)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[RunningSite, str, ApiClient]]:
    settings = SiteSettings(port=0, data_dir=folder / "site", site_name="plant")
    async with running_site(settings, SetClock()) as running:
        connector_id = await make_connector(running.site)
        async with ApiClient(running.url, operator_token(folder / "site")) as client:
            yield running, connector_id, client


def write(folder: Path, text: str) -> Path:
    path = folder / "series.csv"
    path.write_text(text, encoding="utf-8")
    return path


async def replay(wish: Wish, client: ApiClient, heard: Progress | None = None, now_ms: int = NOON_MS) -> Report:
    return await Replay(wish, client, heard or Progress(), lambda: now_ms).run()


async def test_a_file_is_replayed_once_however_often_bad_rows_named_and_skipped(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "timestamp,value\n"
        "2025-11-20 10:00:00,1.5\n"
        "yesterday,2\n"
        "2025-11-20T11:00:05+01:00,2.5\n"
        "2025-11-20 10:00:10,NaN\n"
        "\n"
        "2025-11-20 10:00:15\n"
        "2025-11-20 10:00:20,much\n"
        f"{NOON_MS},3\n"
        f"{NOON_MS + 90_000_000},4\n",
    )
    async with served(tmp_path) as (running, connector_id, client):
        wish, heard = Wish(path, "pump", "flow", speed=0), Heard()
        report = await replay(wish, client, heard)
        assert (report.accepted, report.repeated, report.refused, report.bad) == (3, 0, 1, 4)
        assert [row["line"] for row in report.bad_rows] == [3, 5, 7, 8]
        assert [(refusal["line"], refusal["code"]) for refusal in report.refusals] == [(10, "too_far_ahead")]
        assert [line.split(" ")[1] for line in heard.lines] == ["3", "5", "7", "8", "10"]
        ten_ms = NOON_MS - 4 * 3_600_000
        expected = [(ten_ms, 1.5), (ten_ms + 5_000, 2.5), (NOON_MS, 3.0)]
        assert await stored(running.site, connector_id, "flow") == expected
        again = await replay(wish, client)
        assert (again.accepted, again.repeated) == (0, 3)
        assert again.done == again.rows == 8
        assert await stored(running.site, connector_id, "flow") == expected


async def test_device_and_resource_are_made_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, f"{NOON_MS},true\n{NOON_MS + 1},false\n")
    async with served(tmp_path) as (running, connector_id, client):
        wish = Wish(path, "fan", "running", speed=0)
        with pytest.raises(PairhubError, match="--create"):
            await replay(wish, client)
        assert [row["identity"] for row in await client.rows(f"/connectors/{connector_id}/devices")] == ["pump"]
        for accepted in (2, 0):
            assert (await replay(replace(wish, create=True), client)).accepted == accepted
        made = [row for row in await client.rows(f"/connectors/{connector_id}/resources") if row["alias"] == "running"]
        assert [row["format"] for row in made] == ["boolean"]
        assert await stored(running.site, connector_id, "running", "fan") == [(NOON_MS, 1), (NOON_MS + 1, 0)]


async def test_readings_go_out_at_the_pace_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"{NOON_MS + at},{at}\n" for at in (0, 10_000, 20_000, 20_001)))
    async with served(tmp_path) as (_, _, client):
        times: list[float] = []

        class Watch(Progress):
            def moved(self, report: Report) -> None:
                times.append(time.monotonic())

        started_s = time.monotonic()
        report = await replay(Wish(path, "pump", "flow", speed=40), client, Watch())
        assert report.accepted == 4
        assert len(times) == 3  # what falls due together goes together
        assert times[1] - started_s >= 0.25
        assert times[2] - started_s >= 0.5
        assert report.seconds < 5


@pytest.mark.parametrize(("speed", "expected"), [(1.0, (0, 100)), (0.0, (-100, 0))])
async def test_times_are_shifted_to_now(tmp_path: Path, speed: float, expected: tuple[int, int]) -> None:
    path = write(tmp_path, "2013-07-04 00:00:00,1\n2013-07-04 00:00:00.100,2\n")
    async with served(tmp_path) as (running, connector_id, client):
        await replay(Wish(path, "pump", "flow", speed=speed, shift_to_now=True), client)
        found = await stored(running.site, connector_id, "flow")
        assert tuple(at - NOON_MS for at, _ in found) == expected


async def test_what_cannot_be_replayed_is_said_in_words(tmp_path: Path) -> None:
    empty = write(tmp_path, "timestamp,value\n")
    async with served(tmp_path) as (running, _, client):
        for wish, words in (
            (Wish(tmp_path / "none.csv", "pump", "flow"), "cannot be read"),
            (Wish(empty, "pump", "flow"), "holds no readings"),
            (Wish(empty, "pump", "flow", speed=-1), "--speed"),
        ):
            with pytest.raises(PairhubError, match=words):
                await replay(wish, client)
        await running.site.create_connector("second")
        path = write(tmp_path, f"{NOON_MS},1\n")
        with pytest.raises(PairhubError, match="Name the connector"):
            await replay(Wish(path, "pump", "flow"), client)


def test_progress_is_a_bar_with_rate_on_a_terminal_and_lines_elsewhere() -> None:
    report = Report("f", "K7", "pump", "flow", rows=1_000, sent=500, seconds=2.0)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    bar = BarProgress(stream)
    bar.started(report)
    bar.moved(report)
    bar.said("line 3 skipped: [odd]")
    bar.close()
    shown = stream.getvalue()
    assert "500/1000" in shown
    assert "250/s" in shown
    assert "line 3 skipped: [odd]" in shown
    lines: list[str] = []
    plain = LineProgress(lines.append)
    plain.started(report)
    plain.moved(report)
    assert lines == ["Replaying 1,000 readings as pump / flow into K7"]  # the next comes after five seconds


@pytest.mark.skipif(not NAB.is_dir(), reason="shared/data is not there: no real series to replay")
async def test_a_real_series_arrives_complete(tmp_path: Path) -> None:
    path = NAB / "rds_cpu_utilization_cc0c53.csv"
    with path.open(encoding="utf-8") as file:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
    async with served(tmp_path) as (running, connector_id, client):
        report = await replay(Wish(path, "rds", "cpu", speed=0, create=True), client)
        assert (report.accepted + report.repeated, report.bad) == (len(rows), 0)
        assert [value for _, value in await stored(running.site, connector_id, "cpu", "rds")] == [
            value for at, value in sorted(dict(reversed(rows)).items())
        ]
