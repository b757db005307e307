"""What a backlog may take of the link is set per connector: by API and by page, or once for the whole site (G6)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from connector.resources import NewResource
from shared.core.repair_kinds import REPAIRS
from tests.connector.api_walk import walking
from tests.connector.site_stage import NOON_MS, line
from tests.connector.visitors import Two, two_sites, until, visitor


async def test_g6_a_connector_has_its_own_drain_budget_or_that_of_the_site(tmp_path: Path) -> None:
    async with walking(tmp_path) as walk:
        made = (await walk.ask("create_connector", {"name": "yard"})).json()
        connector_id, change = made["connector_id"], {"name": "yard", "creates_devices": True}
        assert made["drain_bytes_per_s"] is None
        for bytes_per_s in (None, 0, 250_000):
            body = {**change, "drain_bytes_per_s": bytes_per_s}
            answer = (await walk.ask("change_connector", body, connector_id=connector_id)).json()
            assert answer["drain_bytes_per_s"] == bytes_per_s
        kept = (await walk.ask("change_connector", change, connector_id=connector_id)).json()
        assert kept["drain_bytes_per_s"] == 250_000  # left out, it stays
        refused = await walk.ask(
            "change_connector", {**change, "drain_bytes_per_s": -1}, connector_id=connector_id, status=422
        )
        assert "0 to" in refused.json()["message"]


async def test_g6_the_page_sets_the_budget_and_says_what_the_site_says(tmp_path: Path) -> None:
    async with visitor(tmp_path, drain_bytes_per_s=400_000) as found:
        path = await found.create("Pump house")
        runtime = found.site.runtime((await found.site.connectors())[0].connector_id)
        assert runtime.drain_bytes_per_s == 400_000
        assert "400000 bytes/s" in await found.get(f"{path}/settings")

        await found.post(f"{path}/settings", name="Pump house", drain_bytes_per_s=" 250000 ")
        assert runtime.drain_bytes_per_s == 250_000
        assert 'value="250000"' in (await found.http.get(f"{path}/settings")).text
        wrong = await found.post(f"{path}/settings", 422, name="Pump house", drain_bytes_per_s="fast")
        assert "whole number of bytes per second" in wrong
        await found.post(f"{path}/settings", name="Pump house", drain_bytes_per_s="0")
        assert runtime.drain_bytes_per_s == 0
        await found.post(f"{path}/settings", name="Pump house", drain_bytes_per_s="")
        assert runtime.drain_bytes_per_s == 400_000


async def test_g9_a_budget_or_a_want_of_credit_that_holds_a_backlog_back_is_said_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in ("no_credit", "drain_budget"):
        monkeypatch.setitem(REPAIRS, code, replace(REPAIRS[code], raise_after_ms=0, clear_after_ms=0))
    monkeypatch.setattr("hub.links.CREDIT_BYTES", 1_000)
    async with two_sites(tmp_path, live_seconds=5.0) as two:
        source, target = two.source.site, two.target.site
        path = await two.source.create("Pump house")
        source_id = path.split("/")[-1]
        await source.change_connector(source_id, "Pump house", creates_devices=True)
        target_id = await two.pair(source_id)
        assert await _live_age_ms(two, source_id) == 5_000
        for site, connector_id in ((source, source_id), (target, target_id)):
            await site.create_resource(connector_id, NewResource(alias="note", format="string"))
        await source.set_remote_sync(source_id, "note", on=True)
        target.reserve.reserve_bytes = 2**60  # more than there is: it takes no segment
        text = os.urandom(4_000).hex()  # at 1 byte/s, more than an hour
        assert (await source.ingest(source_id, line("pump", "note", text, NOON_MS))).accepted == 1
        await two.source.post(f"{path}/settings", name="Pump house", creates_devices="on", drain_bytes_per_s="1")
        said = ("riverside takes nothing more at present", "The drain budget holds the backlog back")

        async def raised() -> bool:
            page = await two.source.get("/repairs")
            return all(words in page for words in said) and "At 1 B a second" in page

        await until(raised, "both to be said")
        target.reserve.reserve_bytes = 0

        async def cleared() -> bool:
            return "no repairs" in await two.source.get(path)

        await until(cleared, "both to be taken back")


async def _live_age_ms(two: Two, source_id: str) -> int:
    """What the engine of a pair takes for live: the site's `live_seconds`."""
    runner = two.source.site.runtime(source_id).runner
    assert runner is not None
    return await runner.run(lambda engine, store, now_ms: (engine.outbox.limits.live_age_ms, []))
