"""The account by resource and the gaps of two real sites, on pages, in API, status and /metrics (N4)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from connector.connectors import Pair
from connector.flow import FlowMeter
from connector.resource_accounts import room
from connector.status import ConnectorStatus, site_status
from shared.core import engine
from shared.core.completion import PairState
from shared.core.overflow import DROP_OLDEST
from shared.limits import DAY_MS, MINUTE_MS
from shared.rig.client import operator_token
from shared.sealing import Side
from tests.connector.visitors import Two, Visitor, two_sites, until
from tests.core.stores import CONNECTOR, PAIR, open_store
from web.formats import rough_duration


async def api(found: Visitor, path: str, method: str = "GET", **more: Any) -> httpx2.Response:
    """Ask as the local command line does."""
    headers = {"Authorization": f"Bearer {operator_token(found.site.settings.data_dir)}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        return await http.request(method, f"{found.running.url}{path}", **more)


async def status_of(found: Visitor, connector_id: str) -> ConnectorStatus:
    status = await site_status(found.site)
    return next(each for each in status.connectors if each.connector_id == connector_id)


async def post(two: Two, source_id: str, resource: str, count: int) -> None:
    first_ms = two.source.site.clock.wall_ms() - 10_000
    lines = [
        msgspec.json.encode({"device": "pump-1", "resource": resource, "timestamp": first_ms + at, "value": at})
        for at in range(count)
    ]
    outcome = await two.source.site.ingest(source_id, b"\n".join(lines))
    assert outcome.accepted == count


async def test_n4_every_reading_of_a_resource_is_accounted_for_at_both_sides_and_its_gaps_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_LEDGER_EVERY_MS", 100)
    monkeypatch.setattr(FlowMeter, "per_minute", lambda *_: 10.0)
    async with two_sites(tmp_path, outbox_bytes_max=1_100_000) as two:
        source_id = (await two.source.create("Pump house")).split("/")[-1]
        source = f"/connectors/{source_id}"
        await two.source.post(f"{source}/devices", identity="pump-1")
        for alias in ("flow", "level", "pressure"):
            await two.source.post(f"{source}/resources", alias=alias, format="number", is_synced="on")
        assert "No account yet" in await two.source.get(f"{source}/account")
        await two.source.post(f"{source}/resources/pressure", format="number", overflow="refuse_new")
        target_id = await two.pair(source_id)
        target = f"/connectors/{target_id}"
        await _create_there(two, target_id, "flow", "pressure")
        await post(two, source_id, "pressure", 20)
        await post(two, source_id, "flow", 5)
        await post(two, source_id, "level", 3)

        async def compared() -> ConnectorStatus | None:
            found = await status_of(two.target, target_id)
            cuts = {each.resource: each.stated_by_source for each in found.resource_accounts}
            done = all(cuts.get(name) is not None and cuts[name].applied_here == count for name, count in _APPLIED)  # type: ignore[union-attr]
            return found if done and found.stated_by_source is not None else None

        found: ConnectorStatus = await until(compared, "both books to be compared at one cut")
        assert found.account is not None
        assert found.stated_by_source is not None
        assert found.stated_by_source.applied == found.stated_by_source.applied_here == found.account.applied == 25
        await _source_shows(two, source, source_id)
        await _target_shows(two, target)
        await _target_measures(two, target_id)
        await _target_differs(two, target)
        await _gaps_are_found(two, source_id, target_id)
        await _choices_are_checked(two, source_id)
        await _each_answer_is_of_one_instant(two, source_id)


_APPLIED = (("flow", 5), ("pressure", 20))


@pytest.mark.parametrize(
    ("waiting_bytes", "waiting", "sealed_bytes", "sealed", "lasts_ms"),
    [
        (400_000, 2_000, 0, 0, 3_000_000 * MINUTE_MS),  # 600,000,000 bytes, at 200 bytes a minute
        (400_000, 2_000, 9_000, 1_000, 3_000_000 * MINUTE_MS),  # so many that wait tell it best
        (400_000, 999, 9_000, 1_000, 600_000_000 * MINUTE_MS // 9),
        (600_400_001, 1_000, 0, 0, 0),
        (400_000, 999, 0, 0, None),
    ],
)
def test_n4_the_space_for_what_waits_lasts_as_long_as_it_takes_readings_to_fill_what_is_free(
    waiting_bytes: int, waiting: int, sealed_bytes: int, sealed: int, lasts_ms: int | None
) -> None:
    store = open_store("flow", "level")
    store._connection.execute("UPDATE resource SET remote_sync = 0 WHERE alias = 'level'")
    store._connection.execute(
        "INSERT INTO stream (connector_id, tail_bytes, outbox_bytes, tail_count, outbox_count, kept_bytes,"
        " sealed_bytes, sealed_count) VALUES (?, 100, ?, 9, ?, 7, ?, ?)",
        (CONNECTOR, waiting_bytes - 100, waiting - 9, sealed_bytes, sealed),
    )
    (streamed,) = store._connection.execute("SELECT resource_id FROM resource WHERE alias = 'flow'").fetchone()
    pair = Pair(CONNECTOR, PAIR, Side.SOURCE, PairState.PAIRED, b"", b"", "F", "s", "there", "D", b"", 0, 0, 0, True)
    per_minute = {streamed: 1.0}

    found = room(store._connection, pair, 600_400_000, DROP_OLDEST, lambda each: per_minute.get(each, 1_000.0))
    assert (found.bytes_waiting, found.bytes_kept, found.lasts_ms) == (waiting_bytes, 7, lasts_ms)
    quiet = room(store._connection, pair, 600_400_000, DROP_OLDEST, lambda _: 0.0)
    assert quiet.lasts_ms is None


async def _create_there(two: Two, target_id: str, *aliases: str) -> None:
    async def told() -> bool:
        known = {row.alias for row in await two.target.site.resources(target_id)}
        return known.issuperset(aliases)

    await until(told, "the target to know the source's resources")
    for alias in aliases:
        await two.target.site.create_resource_like_peer(target_id, alias)


async def _source_shows(two: Two, source: str, source_id: str) -> None:
    await two.source.site.write(lambda c: c.execute("UPDATE stream SET sealed_count = 1000, sealed_bytes = 2500"))
    page = await two.source.get(f"{source}/account")
    assert "flow 5 5 0 0 0 drop the oldest readings balances" in page
    assert "level 3 0 3 0 0 drop the oldest readings balances" in page
    assert "pressure 20 20 0 0 0 refuse new readings balances" in page
    assert "28 25 3 0 0 balances" in page
    assert "Outbox full refuse new readings Gaps 0" in await two.source.get(f"{source}/resources/pressure")
    found = await status_of(two.source, source_id)
    assert found.room is not None
    lasts_ms = round((1_100_000 - found.backlog.bytes) / (3 * 10.0 * 2.5) * MINUTE_MS)
    assert found.room.lasts_ms == lasts_ms
    assert f"At the present rate the space lasts for {rough_duration(lasts_ms / 1_000)} . Then: drop the oldest" in page
    assert {each.resource: each.own.accepted for each in found.resource_accounts} == {
        "flow": 5,
        "level": 3,
        "pressure": 20,
    }
    first = (await api(two.source, f"/api/v1/connectors/{source_id}/account/resources?limit=2")).json()
    rest = (await api(two.source, f"/api/v1/connectors/{source_id}/account/resources?after={first['next']}")).json()
    assert [row["resource"] for row in first["rows"] + rest["rows"]] == ["flow", "level", "pressure"]
    measures = (await api(two.source, "/metrics")).text
    assert 'resource="pressure"} 20.0' in measures
    assert measured(measures, "pairhub_outbox_lasts_seconds") == lasts_ms / 1_000


async def _target_shows(two: Two, target: str) -> None:
    page = await two.target.get(f"{target}/account")
    assert "pressure 20 20 0 0 0 at the common cut both sides count the same as applied: 20 balances" in page
    assert "at the common cut both sides count the same as applied: 25" in page
    assert "Room for an outage" not in page


def measured(text: str, name: str) -> float:
    """Return the sum of a measure over its labels."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name}{{"))


def assert_accounted(text: str) -> None:
    """Hold the measures of a site against each other: each reading is in one place."""
    places = ("applied_total", "tail_readings", "outbox_readings", "held_readings", "quarantined_readings")
    of_resources = ("applied_total", "queued_readings", "quarantined_readings")
    for name, parts in (("pairhub", places), ("pairhub_resource", of_resources)):
        found = sum(measured(text, f"{name}_{part}") for part in (*parts, "dropped_total"))
        assert measured(text, f"{name}_accepted_total") == found > 0


async def _target_measures(two: Two, target_id: str) -> None:
    """What a scrape of the target finds is its account: what arrived, and where that is."""
    text = (await api(two.target, "/metrics")).text
    assert_accounted(text)
    assert measured(text, "pairhub_accepted_total") == measured(text, "pairhub_applied_total") == 25
    assert measured(text, "pairhub_resource_applied_total") == 25
    assert f'pairhub_resource_applied_total{{connector="{target_id}",pair=' in text
    assert 'resource="pressure"} 20.0' in text
    assert "pairhub_backlog_readings{" not in text  # what waits is the source's to say


async def _target_differs(two: Two, target: str) -> None:
    """A target's books add up by themselves; where they differ from what the source stated, its result says so."""
    for more, words in (
        (-1, "hillside counts 1 more as applied than this side has"),
        (2, "hillside has not heard of 1 that are applied here"),
    ):

        def spoil(connection: sqlite3.Connection, more: int = more) -> None:
            of_resource = " WHERE resource = 'pressure'"
            for table, which in (("peer_ledger", ""), ("peer_resource_ledger", of_resource)):
                connection.execute(f"UPDATE {table} SET applied_here = applied_here + ?{which}", (more,))

        await two.target.site.write(spoil)
        page = await two.target.get(f"{target}/account")
        assert words in page
        assert "25 25 0 0 0 1 not explained" in page
        assert f"20 20 0 0 0 at the common cut {words.replace('hillside', 'the source')} 1 not explained" in page


async def _each_answer_is_of_one_instant(two: Two, source_id: str) -> None:
    """Readings are accepted between any two reads of the database; yet no answer is made of two instants."""
    site, read, asking = two.source.site, two.source.site.database.read, asyncio.current_task()
    is_accepting = False

    async def reading(unit: Callable[[sqlite3.Connection], Any]) -> Any:
        nonlocal is_accepting
        found = await read(unit)
        if asyncio.current_task() is asking and not is_accepting:
            is_accepting = True
            await post(two, source_id, "level", 1)
            is_accepting = False
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(site.database, "read", reading)
        status = await status_of(two.source, source_id)
        text = await site.repairs.measures()
    own = status.account
    assert own is not None
    assert status.room is not None
    assert status.backlog.count == own.tail + own.outbox >= 1
    assert status.backlog.bytes == status.room.bytes_waiting
    assert_accounted(text)
    waiting = measured(text, "pairhub_tail_readings") + measured(text, "pairhub_outbox_readings")
    assert measured(text, "pairhub_backlog_readings") == waiting > own.queued


async def _gaps_are_found(two: Two, source_id: str, target_id: str) -> None:
    runner = two.source.site.runtime(source_id).runner
    assert runner is not None
    await runner.run(lambda engine, store, now_ms: (None, engine.on_deadline(store, now_ms + 31 * DAY_MS)))
    for found, connector_id in ((two.source, source_id), (two.target, target_id)):

        async def named(found: Visitor = found, connector_id: str = connector_id) -> bool:
            return "1 gap, 3 readings in all" in await found.get(f"/connectors/{connector_id}/gaps?resource=level")

        await until(named, "the gap to be named")
        assert "No gap like that" in await found.get(f"/connectors/{connector_id}/gaps?resource=flow")
        assert "it is a date and a time" in await found.get(f"/connectors/{connector_id}/gaps?from=soon")
        asked = f"/api/v1/connectors/{connector_id}/gaps"
        rows = (await api(found, f"{asked}?resource=level&cause=retention&device=pump-1")).json()["rows"]
        assert [(row["count"], row["rows"][0][:3]) for row in rows] == [(3, ["pump-1", "level", 3])]
        assert (await api(found, f"{asked}?cause=byte_cap")).json()["rows"] == []
        from_page = await found.http.get(f"/connectors/{connector_id}/gaps/export?format=csv&resource=level")
        from_api = await api(found, f"{asked}/export?resource=level")
        assert from_page.text == from_api.text
        assert ",retention,pump-1,level,3," in from_page.text
        assert (await api(found, f"{asked}/export?format=json")).json()[0]["rows"][0]["count"] == 3
    ledger = (await status_of(two.source, source_id)).resource_accounts
    assert {each.resource: each.own.dropped_by_cause for each in ledger}["level"] == {"retention": 3}
    assert 'pairhub_gap_readings_total{cause="retention"' in (await api(two.source, "/metrics")).text


async def _choices_are_checked(two: Two, source_id: str) -> None:
    way = f"/api/v1/connectors/{source_id}/resources/flow"
    refused = await api(two.source, way, "PATCH", json={"overflow": "burn"})
    assert refused.status_code == 422
    assert "it is drop_oldest, refuse_new, or empty for what the site does" in refused.text
    changed = await api(two.source, way, "PATCH", json={"overflow": "refuse_new"})
    assert changed.json()["overflow"] == "refuse_new"
