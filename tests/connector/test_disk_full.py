"""A disk that is full while devices post: they are told so, and what was refused is not stored later either (N6)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import httpx2
import pytest

from connector.absorbing import Request
from connector.history import between, find_series
from connector.intake import Intake
from connector.lines import Line, Lines
from connector.offers import Answer, Offers
from connector.resources import NewResource, create_resource
from connector.serve import running_site
from connector.settings import SiteSettings
from shared.database import Database
from shared.errors import StorageFailed
from shared.trust import trust_for
from tests.connector.site_stage import NOON_MS, SetClock, line, lone_site, make_connector, stored
from tests.connector.test_pair_runner import CONNECTOR, linked


async def _set_pages_max(database: Database, count: int) -> None:
    await database._writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count={count}").fetchone())


async def test_n6_what_is_refused_for_a_full_disk_is_said_so_and_not_stored_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database.STORE_TRIED_EVERY_S", 0.02)
    settings = SiteSettings(port=0, data_dir=tmp_path / "site", site_name="plant")
    async with running_site(settings, SetClock()) as running:
        site = running.site
        connector_id = await make_connector(site)
        path = f"/api/v1/connectors/{connector_id}/readings"
        token = (tmp_path / "site" / "operator.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(
            base_url=running.url, headers=headers, trust_env=False, verify=trust_for(running.url), timeout=30
        ) as http:
            await _set_pages_max(site.database, 1)  # as many as there are
            large = [line("pump", "note", os.urandom(15_000).hex(), NOON_MS + at) for at in range(8)]
            refused = await http.post(path, content=b"\n".join(large))
            assert (refused.status_code, refused.json()["code"]) == (507, "storage_failed")
            assert "full" in site.storage_problem
            small = await http.post(path, content=line("pump", "flow", 1.0, NOON_MS))
            assert small.status_code == 507, "nothing is begun while the disk is known to be full"
            await _set_pages_max(site.database, 1_000_000)
            async with asyncio.timeout(10):
                await site.database.until_storing()
            taken = await http.post(path, content=line("pump", "note", "short", NOON_MS + 100))
            assert (taken.status_code, taken.json()["accepted"]) == (200, 1)
        assert await stored(site, connector_id, "note") == [(NOON_MS + 100, "short")]
        assert await stored(site, connector_id, "flow") == []


async def test_n6_readings_of_a_transaction_that_is_undone_are_not_stored_with_the_next(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        results = await asyncio.gather(
            site.ingest(connector_id, line("pump", "flow", 1.0, NOON_MS)),
            site.database.write(lambda connection: connection.execute("SELECT * FROM absent")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [StorageFailed, StorageFailed]
        assert (await site.ingest(connector_id, line("pump", "flow", 2.0, NOON_MS + 1))).accepted == 1
        assert await stored(site, connector_id, "flow") == [(NOON_MS + 1, 2.0)]


async def test_n6_what_was_answered_with_storage_failed_is_not_stored_with_the_next_where_requests_share_a_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path) as (runner, _):
        database, catalogue = runner._database, runner._catalogue

        def prepare(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE connector SET creates_devices = 1")
            for identity in ("pump", "fan"):
                insert = "INSERT INTO device (connector_id, identity, created_ms) VALUES (?, ?, 0)"
                connection.execute(insert, (CONNECTOR, identity))
            create_resource(connection, CONNECTOR, NewResource(alias="flow", format="number"), 0)

        await database.write(prepare)
        offers = Offers(Intake(CONNECTOR, catalogue, SetClock()), database, runner)

        async def posted(*devices: str) -> list[Answer]:
            """Post a reading without a time for each of these devices, all at once."""
            told: asyncio.Queue[Answer] = asyncio.Queue()
            for device in devices:
                offers.begin(Request.of(Lines.of([Line(device, "flow", 7.0)])), "nobody", told.put_nowait)
            return [await told.get() for _ in devices]

        def broken(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as meanwhile:
            find = catalogue.find
            meanwhile.setattr(catalogue, "find", lambda *key: broken() if key[2] == "fan" else find(*key))
            assert [type(answer) for answer in await posted("pump", "fan")] == [StorageFailed, StorageFailed]
        assert await posted("pump") == [[]]
        series_id = await database.read(lambda c: find_series(c, CONNECTOR, "pump", "flow"))
        assert series_id is not None
        assert len(await database.read(lambda c: between(c, series_id))) == 1
