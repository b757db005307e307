"""The benches at their smallest: they run, lose nothing, and print the fields that the documents name."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest


async def bench(*words: str) -> dict[str, Any]:
    """Run a bench as a user would and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pairhub", "bench", *words, "--json", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0
    found: dict[str, Any] = orjson.loads(out)
    return found


@pytest.mark.e2e
async def test_bench_live_times_readings_one_at_a_time() -> None:
    found = await bench("live", "--readings", "50", "--per-s", "50")
    assert found["lost"] == 0
    assert 0 <= found["p50_ms"] <= found["p99_ms"]
    assert found["p50_ms"] < found["sent_p50_ms"]


@pytest.mark.e2e
async def test_bench_lookup_times_one_device_and_a_page() -> None:
    found = await bench("lookup", "--devices", "60", "--lookups", "50")
    assert found["devices"] == 60
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["page_p50_ms"] > 0


@pytest.mark.e2e
async def test_bench_idle_weighs_quiet_links() -> None:
    found = await bench("idle", "--links", "20", "--settle-s", "0.2", "--watch-s", "0.5")
    assert found["links"] == 20
    assert found["hub_rss_mib"] > 0


@pytest.mark.e2e
async def test_bench_stream_weighs_an_outage_and_real_series_without_a_target(tmp_path: Path) -> None:
    rows = [f"2015-09-01 11:{at // 60:02}:{at % 60:02},{70 + at % 7}" for at in range(300)]
    (tmp_path / "speed.csv").write_text("\n".join(["timestamp,value", *rows, rows[-1]]), encoding="utf-8")
    found = await bench("stream", "--readings", "0", "--outage", "300", "--series", str(tmp_path))
    outage, series = found["outage"], found["series"]
    assert (outage["readings"], series["readings"]) == (300, 299)  # the first of a series only opens it
    for each in outage, series:
        assert 0 < each["outbox"] < 500  # a page of each table and index that was empty before
        assert each["hub"] == 0  # fewer than a segment's worth wait at the source
