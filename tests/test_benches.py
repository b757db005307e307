"""The benches at their smallest: they run, lose nothing, and print the fields that the documents name.

All but one are started at once and mostly wait: what they measure here is no figure of anything.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

Bench = Callable[[str], dict[str, Any]]

_WORDS: Final = {
    "live": ("--readings", "50", "--per-s", "50"),
    "lookup": ("--devices", "60", "--lookups", "50"),
    "idle": ("--links", "20", "--settle-s", "0.2", "--watch-s", "0.5"),
    "drain": ("--behind", "1500000"),
    "pairs": ("--pairs", "3", "--seconds", "0.5"),
    "stream": ("--readings", "1000", "--outage", "300", "--series", "SERIES"),
}
# Beside so many others an answer may come too late to be a live one, which is all that a bench of lookups counts.
_AT_ONCE: Final = tuple(name for name in _WORDS if name != "lookup")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Run each bench as a user would; a call returns what one of them printed."""
    series = tmp_path_factory.mktemp("series")
    write_series(series)
    running = {name: started(name, [each.replace("SERIES", str(series)) for each in _WORDS[name]]) for name in _AT_ONCE}

    def printed(name: str) -> dict[str, Any]:
        process = running.get(name) or running.setdefault(name, started(name, _WORDS[name]))
        out, _ = process.communicate(timeout=150)
        assert process.returncode == 0
        found: dict[str, Any] = orjson.loads(out)
        return found

    yield printed
    for process in running.values():
        process.terminate()
        process.communicate(timeout=30)


def started(name: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a bench."""
    return subprocess.Popen([sys.executable, "-m", "pairhub", "bench", name, *words, "--json"], stdout=subprocess.PIPE)


def write_series(folder: Path) -> None:
    """Write a series of 299 readings, the first of them twice."""
    rows = [f"2015-09-01 11:{at // 60:02}:{at % 60:02},{70 + at % 7}" for at in range(300)]
    (folder / "speed.csv").write_text("\n".join(["timestamp,value", *rows, rows[-1]]), encoding="utf-8")


@pytest.mark.e2e
def test_bench_live_times_readings_one_at_a_time(bench: Bench) -> None:
    found = bench("live")
    assert found["lost"] == 0
    assert 0 <= found["p50_ms"] <= found["p99_ms"]
    assert found["p50_ms"] < found["sent_p50_ms"]


@pytest.mark.e2e
def test_bench_idle_weighs_quiet_links(bench: Bench) -> None:
    found = bench("idle")
    assert found["links"] == 20
    assert found["hub_rss_mib"] > 0


@pytest.mark.e2e
def test_bench_drain_times_live_readings_lookups_and_edits_beside_a_backlog(bench: Bench) -> None:
    found = bench("drain")
    for what in "live", "lookup", "edit":
        assert 0 <= found[f"{what}_p50_ms"] <= found[f"{what}_p99_ms"]
    first_per_s, last_per_s = found["streams_per_s"]
    assert min(first_per_s, last_per_s) <= found["stream_per_s"] <= max(first_per_s, last_per_s)
    assert found["drain_ratio"] == pytest.approx(found["drain_per_s"] / found["stream_per_s"], abs=0.001)
    assert found["first_live_s"] > 0
    assert found["hub_restart_s"] > 0
    assert set(found["rss_mib"]) == {"source", "hub", "target"}


@pytest.mark.e2e
def test_bench_pairs_sends_on_all_pairs_and_loses_nothing(bench: Bench) -> None:
    found = bench("pairs")
    assert (found["pairs"], found["lost"], found["wanted_per_s"]) == (3, 0, 1_500)
    assert 0 < found["live_p50_ms"] <= found["live_p99_ms"]
    assert found["readings_per_s"] > 0


@pytest.mark.e2e
def test_bench_stream_measures_speed_and_weighs_an_outage_and_real_series(bench: Bench) -> None:
    found = bench("stream")
    assert (found["readings"], found["lost"], found["duplicated"]) == (1_000, 0, 0)
    assert 0 < found["readings_per_s"] <= found["accepted_per_s"]
    assert set(found["bytes_per_reading"]) == {"outbox", "hub", "wire"}
    outage, series = found["outage"], found["series"]
    assert (outage["readings"], series["readings"]) == (300, 299)  # the first of a series only opens it
    for each in outage, series:
        assert 0 < each["outbox"] < 500  # a page of each table and index that was empty before
        assert each["hub"] == 0  # fewer than a segment's worth wait at the source


@pytest.mark.e2e
def test_bench_lookup_times_one_device_and_a_page(bench: Bench) -> None:
    found = bench("lookup")
    assert found["devices"] == 60
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["page_p50_ms"] > 0
