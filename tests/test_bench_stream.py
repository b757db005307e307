"""What `bench stream` says was lost or duplicated can be more than 0: a target and accounts are made up wrong here."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.rig.bench_stream import Stage
from shared.rig.client import ApiClient
from shared.rig.daemons import Daemon

PER_SERIES = 20
READINGS = 50 * PER_SERIES


class Site(ApiClient):
    """Has so many readings of each series, each time shown once as a history does, and applied so many."""

    def __init__(self, per_series: int, applied: int) -> None:
        super().__init__("http://nobody.invalid", "")
        self._per_series = per_series
        self._applied = applied

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        if path.endswith("/account"):
            return {"own": {"applied": self._applied}}
        (from_ms,) = parse_qs(urlsplit(path).query)["from"]
        return {"readings": [[at, 1.0] for at in range(int(from_ms), self._per_series)]}


@pytest.mark.parametrize(
    ("per_series", "applied", "applied_by_source", "expected"),
    [
        (PER_SERIES, READINGS, READINGS, (0, 0)),
        (PER_SERIES - 1, READINGS - 50, READINGS - 50, (50, 0)),
        (PER_SERIES, 3 * READINGS, 3 * READINGS, (0, 2 * READINGS)),
        (PER_SERIES, READINGS + 7, READINGS, (0, 7)),
        (PER_SERIES, READINGS, READINGS + 7, (0, 7)),
    ],
)
async def test_what_is_missing_is_lost_and_what_is_applied_beyond_what_is_there_is_duplicated(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    per_series: int,
    applied: int,
    applied_by_source: int,
    expected: tuple[int, int],
) -> None:
    stage = Stage(tmp_path)
    said = {"plant": applied_by_source, "office": applied}

    def client(self: Stage, site: Daemon) -> ApiClient:
        return Site(per_series, said[site.name])

    monkeypatch.setattr(Stage, "client", client)
    assert await stage.count_at_target(READINGS) == expected
