"""Repairs of a hub (N2): on the operator's page, in the API and for probes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hub.serve import running_hub
from shared.errors import StorageFailed
from shared.rig.client import ApiClient, operator_token
from tests.connector.visitors import text_of
from tests.hub.test_pages import DATA, a_browser, set_up, settings


async def test_n2_a_hub_says_what_needs_its_operator_and_probes_hear_what_is_urgent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = replace(settings(tmp_path), disk_warn_bytes=2**62)
    async with running_hub(low) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        text = text_of((await browser.get("/operator")).text)
        assert "Repairs 1 open The disk is nearly full" in text
        assert "What to do: Free space, or give the disk more" in text
        async with ApiClient(running.url, operator_token(tmp_path / DATA)) as client:
            assert [each["code"] for each in (await client.get("/status"))["repairs"]] == ["disk_low"]
        ready = await browser.get("/readyz")
        assert (ready.status_code, ready.json()["urgent_repairs"]) == (200, [])
        (low_disk,) = ready.json()["repairs"]
        assert re.fullmatch(r"[\d.]+ .iB are free; the warning begins below [\d.]+ .iB.", low_disk["cause"])

        async def refuse() -> None:
            raise StorageFailed("the disk is full")

        monkeypatch.setattr(running.hub.store, "check", refuse)
        ready = await browser.get("/readyz")
        assert (ready.status_code, ready.json()["urgent_repairs"]) == (503, ["storage_failed"])
        assert "Repairs 2 open The disk refused to store The disk is full." in text_of(
            (await browser.get("/operator")).text
        )

        monkeypatch.undo()
        running.hub.settings = replace(low, disk_warn_bytes=0)
        await running.hub.repairs.look()
        assert (await browser.get("/readyz")).json()["status"] == "ready"
