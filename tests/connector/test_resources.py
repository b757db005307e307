"""Definitions of resources (W9): changed, deleted, switched together, kept for a time; and what is known of each."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

import pytest

from connector import history
from connector.device_queries import DeviceQuery, list_devices
from connector.edit_rows import sweep as sweep_edits
from connector.flow import WINDOW_MS, FlowMeter
from connector.resources import NewResource, ResourceChange, ResourceRow
from connector.site import Site
from shared.errors import Refused
from shared.limits import DAY_MS, HISTORY_RETENTION_MS, MINUTE_MS
from tests.connector.site_stage import NOON_MS, SetClock, line, lone_site, make_connector, stored


async def row(site: Site, connector_id: str, alias: str) -> ResourceRow:
    return next(each for each in await site.resources(connector_id) if each.alias == alias)


async def test_what_readings_are_checked_against_can_be_changed_and_the_format_only_before_the_first(
    tmp_path: Path,
) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        desk = site.resource_desk
        await desk.change(connector_id, "flow", ResourceChange(format="string", unit="", retention_ms=7 * DAY_MS))
        changed = await row(site, connector_id, "flow")
        assert (changed.format, changed.unit, changed.retention_ms) == ("string", "", 7 * DAY_MS)
        assert (await site.ingest(connector_id, line("pump", "flow", "much"))).accepted == 1

        with pytest.raises(Refused, match="has readings, so its format stays"):
            await desk.change(connector_id, "flow", ResourceChange(format="number"))
        with pytest.raises(Refused, match="Allowed"):
            await desk.change(connector_id, "flow", ResourceChange(allowed={"low": 1, "high": 2}))
        with pytest.raises(Refused, match="1 to 36,525 days, or 0 for ever"):
            await desk.change(connector_id, "flow", ResourceChange(retention_ms=DAY_MS - 1))

        with pytest.raises(Refused, match="Allowed"):
            await desk.change(connector_id, "level", ResourceChange(allowed={"low": 10**320}))
        await desk.change(connector_id, "level", ResourceChange(allowed={"low": 0, "high": 10}, settable=True))
        outcome = await site.ingest(connector_id, line("pump", "level", 11))
        assert (outcome.accepted, outcome.refusals[0].code) == (0, "not_allowed")


async def test_a_deleted_resource_takes_its_readings_with_it_and_comes_back_empty(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        await site.ingest(connector_id, line("pump", "flow", 1.5))
        await site.ingest(connector_id, line("pump", "note", "kept"))

        await site.resource_desk.delete(connector_id, "flow")
        while await site.database.write(lambda c: sweep_edits(c, NOON_MS, 1)):
            pass
        assert await site.database.read(lambda c: c.execute("SELECT value FROM reading").fetchall()[0][0]) == "kept"
        assert await site.database.read(lambda c: c.execute("SELECT COUNT(*) FROM reading").fetchone()[0]) == 1

        refused = await site.ingest(connector_id, line("pump", "flow", 2.5))
        assert refused.refusals[0].code == "unknown_resource"
        await site.create_resource(connector_id, NewResource(alias="flow", format="string"))
        await site.ingest(connector_id, line("pump", "flow", "other", NOON_MS))
        assert await stored(site, connector_id, "flow") == [(NOON_MS, "other")]
        with pytest.raises(Refused, match="no such resource"):
            await site.resource_desk.delete(connector_id, "heat")


async def test_many_are_switched_together_or_none(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        assert await site.resource_desk.switch(connector_id, ["flow", "level", "flow"], on=True) == 2
        assert await site.resource_desk.switch(connector_id, ["flow", "note"], on=True) == 1
        with pytest.raises(Refused, match="no such resource"):
            await site.resource_desk.switch(connector_id, ["flow", "heat"], on=False)
        found = {each.alias: each.remote_sync for each in await site.resources(connector_id)}
        assert found == {"flow": True, "level": True, "mode": False, "note": True, "on": False}


async def test_a_list_names_the_newest_reading_of_any_device_and_its_device(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site, creates_devices=True)
        for device, value, at_ms in (("pump", 1.0, NOON_MS - 5), ("fan", 2.0, NOON_MS - 1), ("mill", 3.0, NOON_MS - 9)):
            await site.ingest(connector_id, line(device, "flow", value, at_ms))

        found = await row(site, connector_id, "flow")

        assert (found.devices, found.last_value, found.last_ms, found.last_device) == (3, 2.0, NOON_MS - 1, "fan")
        assert (found.per_minute, found.waiting, found.lag_ms) == (3.0, 0, None)
        other = await row(site, connector_id, "on")
        assert (other.devices, other.last_value, other.last_device, other.per_minute) == (0, None, "", 0.0)


async def test_a_device_is_on_line_by_the_clock_as_it_is_now_although_it_was_set_back(tmp_path: Path) -> None:
    clock = SetClock(NOON_MS + DAY_MS)
    async with lone_site(tmp_path, clock) as site:
        connector_id = await make_connector(site)
        await site.ingest(connector_id, line("pump", "flow", 1.5))

        async def found(status: Literal["online", "offline"]) -> list[int | None]:
            query = DeviceQuery(status=status)
            page = await site.database.read(lambda c: list_devices(c, connector_id, query, clock.now_ms))
            assert [row.online for row in page.rows] == [status == "online"] * len(page.rows)
            return [row.last_seen_ms for row in page.rows]

        assert await found("online") == [NOON_MS + DAY_MS]
        clock.now_ms = NOON_MS
        assert (await found("online"), await found("offline")) == ([], [NOON_MS + DAY_MS])
        await site.ingest(connector_id, line("pump", "flow", 2.5))
        assert (await found("online"), await found("offline")) == ([NOON_MS], [])


async def test_readings_are_kept_for_as_long_as_their_resource_says(tmp_path: Path) -> None:
    clock = SetClock()
    async with lone_site(tmp_path, clock) as site:
        connector_id = await make_connector(site)
        desk = site.resource_desk
        await desk.change(connector_id, "flow", ResourceChange(retention_ms=2 * DAY_MS))
        await desk.change(connector_id, "note", ResourceChange(retention_ms=0))
        old_ms, young_ms = NOON_MS - 3 * DAY_MS, NOON_MS - DAY_MS
        for resource, value in (("flow", 1.0), ("level", 1.0), ("note", "x")):
            for at_ms in (old_ms - HISTORY_RETENTION_MS, old_ms, young_ms):
                await site.ingest(connector_id, line("pump", resource, value, at_ms))

        await sweep(site)

        kept = {name: [at for at, _ in await stored(site, connector_id, name)] for name in ("flow", "level", "note")}
        assert kept == {
            "flow": [young_ms],
            "level": [old_ms, young_ms],
            "note": [old_ms - HISTORY_RETENTION_MS, old_ms, young_ms],
        }


async def sweep(site: Site, limit: int = 1) -> None:
    """Housekeeping in the smallest bites there are."""
    after: int | None = 0
    bites = 0
    while after is not None:
        assert (bites := bites + 1) < 100

        def unit(connection: sqlite3.Connection, after: int = after) -> int | None:
            return history.forget_expired(connection, site.clock.wall_ms(), after=after, limit=limit)

        after = await site.database.write(unit)


# --- rates --------------------------------------------------------------------------------------------------------------


def test_a_rate_is_per_minute_of_the_last_five_or_of_as_many_as_have_been_seen() -> None:
    flow = FlowMeter()
    for at in range(12):
        flow.note(7, 10, NOON_MS + at * 5_000)
    assert flow.per_minute(7, NOON_MS + 55_000) == 120.0
    assert flow.per_minute(7, NOON_MS + 2 * MINUTE_MS) == 60.0
    assert flow.per_minute(7, NOON_MS + WINDOW_MS) == 20.0  # the first ten seconds are out
    assert flow.per_minute(7, NOON_MS + WINDOW_MS + 2 * MINUTE_MS) == 0.0
    assert flow.per_minute(8, NOON_MS) == 0.0


def test_a_clock_set_back_makes_no_rate_of_the_future() -> None:
    flow = FlowMeter()
    flow.note(7, 10, NOON_MS)
    assert flow.per_minute(7, NOON_MS - 10 * MINUTE_MS) == 0.0
