"""What a backlog may take of the link is set per connector: by API and by page, or once for the whole site (G6)."""

from __future__ import annotations

from pathlib import Path

from tests.connector.api_walk import walking
from tests.connector.visitors import visitor


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
