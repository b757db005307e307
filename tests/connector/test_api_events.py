"""The event stream of the API: readings as they become durable, changes, and what happens to slow or unwanted clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from connector import reading_feed
from connector.api import events
from connector.backup import belongings
from connector.catalogue import Catalogue
from connector.reading_feed import Listener, ReadingFeed
from connector.serve import running_site
from connector.settings import SiteSettings
from shared.backup import take
from shared.columns import Columns
from shared.limits import EVENT_QUEUE_READINGS_MAX, EVENT_STREAMS_PER_KEY_MAX
from shared.restore import restore
from tests.connector.api_walk import Walk, walking
from tests.connector.site_stage import NOON_MS, line, make_connector
from tests.connector.visitors import two_sites


class Told:
    """What a stream told: (event, data, id)."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, timeout_s: float = 10.0) -> tuple[str, Any, str]:
        """Return the next event, comments left out."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(timeout_s):
            async for text in self._lines:
                if text == "" and "data" in fields:
                    data = fields["data"]
                    return fields.get("event", ""), json.loads(data) if data[0] in "{[" else data, fields.get("id", "")
                name, _, value = text.partition(": ")
                if name:
                    fields[name] = value
        raise AssertionError("the stream ended")

    async def ends(self, timeout_s: float = 10.0) -> bool:
        """Wait for the end."""
        async with asyncio.timeout(timeout_s):
            async for _ in self._lines:
                pass
        return True


@asynccontextmanager
async def listening(http: httpx2.AsyncClient, path: str, **headers: str) -> AsyncIterator[Told]:
    """Open a stream, and wait until it listens."""
    async with http.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        lines = response.aiter_lines()
        async with asyncio.timeout(10):
            assert await anext(lines) == ": open"
        yield Told(lines)


async def post(walk: Walk, connector_id: str, *lines: bytes) -> None:
    await walk.ask("post_readings", b"\n".join(lines), connector_id=connector_id)


async def test_n1_a_stream_tells_new_readings_of_the_devices_and_the_resource_asked_for(tmp_path: Path) -> None:
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        await walk.ask("create_device", {"identity": "fan"}, connector_id=connector_id)
        path = f"/api/v1/connectors/{connector_id}/events?kinds=readings&device=pu*&resource=on"
        async with listening(walk.http, path) as told:
            await post(
                walk,
                connector_id,
                line("pump", "on", True, NOON_MS),
                line("fan", "on", True, NOON_MS),
                line("pump", "flow", 1.5, NOON_MS),
                line("pump", "on", "oops", NOON_MS + 1),
                line("pump", "on", False, NOON_MS + 2),
            )
            name, data, _ = await told.next()
            assert (name, data["device"], data["resource"]) == ("readings", "pump", "on")
            assert data["readings"] == [[NOON_MS, True], [NOON_MS + 2, False]]
            # What is there already is not new; the next thing told is the one after it.
            await post(walk, connector_id, line("pump", "on", True, NOON_MS))
            await post(walk, connector_id, line("pump", "on", True, NOON_MS + 3))
            assert (await told.next())[1]["readings"] == [[NOON_MS + 3, True]]


async def test_n1_a_handful_of_readings_passes_by_tasks_and_overtakes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        made: list[str] = []
        make = events._event

        def noted(name: str, *rest: Any) -> Any:
            made.append(name)
            return make(name, *rest)

        monkeypatch.setattr(events, "_event", noted)
        path = f"/api/v1/connectors/{connector_id}/events?kinds=readings,changes&device=pump"
        async with listening(walk.http, path) as told:
            await walk.ask("create_device", {"identity": "fan"}, connector_id=connector_id)
            await post(walk, connector_id, line("pump", "flow", 0.5, NOON_MS))
            assert (await told.next())[1]["readings"] == [[NOON_MS, 0.5]]
            assert made == []
            times_ms = [
                NOON_MS + at for at in range(1, 1_800)
            ]  # more than one event takes, so that they go the long way
            many = asyncio.ensure_future(post(walk, connector_id, *(line("pump", "flow", 1.5, at) for at in times_ms)))
            await post(walk, connector_id, line("pump", "on", True, NOON_MS))
            await many
            await post(walk, connector_id, line("pump", "flow", 2.5, NOON_MS + 9_000))
            heard: list[int] = []
            while NOON_MS + 9_000 not in heard:
                _, data, _ = await told.next()
                heard += [at for at, _ in data["readings"] if data["resource"] == "flow"]
            assert heard == [*times_ms, NOON_MS + 9_000]
            assert "readings" in made


async def test_w8_changes_are_told_once_and_resumed_after_the_last_one_seen(tmp_path: Path) -> None:
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        here: dict[str, Any] = {"connector_id": connector_id, "identity": "pump"}
        path = f"/api/v1/connectors/{connector_id}/events?kinds=changes,devices"
        async with listening(walk.http, path) as told:
            await walk.ask("add_tag", {"name": "floor", "value": "2"}, **here)
            name, change, seen = await told.next()
            assert (name, change["identity"], change["field"]) == ("change", "pump", 'tag/["floor","2"]')
            assert (seen, change["who"]) == (str(change["change_id"]), "local command line")
            assert (await told.next())[:2] == ("device", {"identity": "pump", "fields": ['tag/["floor","2"]']})
        await walk.ask("change_device", {"name": "Pump"}, **here)
        await walk.ask("create_device", {"identity": "fan"}, connector_id=connector_id)
        async with listening(walk.http, path + "&device=pump", **{"Last-Event-ID": seen}) as told:
            name, change, _ = await told.next()
            assert (name, change["field"], change["after"]) == ("change", "name", '"Pump"')
            assert (await told.next())[0] == "device"


async def test_w8_a_client_that_saw_later_changes_than_a_restored_site_has_is_told_and_hears_the_next(
    tmp_path: Path,
) -> None:
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        here: dict[str, Any] = {"connector_id": connector_id, "identity": "pump"}
        path = f"/api/v1/connectors/{connector_id}/events?kinds=changes"
        async with listening(walk.http, path, **{"Last-Event-ID": "5000"}) as told:
            name, data, seen = await told.next()
            assert (name, data) == ("missed", {"readings": 0, "changes": 0, "unknown": True})
            await walk.ask("add_tag", {"name": "floor", "value": "2"}, **here)
            name, change, _ = await told.next()
            assert (name, change["field"]) == ("change", 'tag/["floor","2"]')
        # With the ID of that event it comes back to where it was, and is told once only.
        async with listening(walk.http, path, **{"Last-Event-ID": seen}) as told:
            assert (await told.next())[:2] == ("change", change)
        await walk.running.site.database.write(
            lambda c: c.execute("DELETE FROM change WHERE change_id = ?", (int(seen),))
        )
        # The same holds where the last that it saw, and who knows what after it, is too old to be kept.
        async with listening(walk.http, path, **{"Last-Event-ID": seen}) as told:
            assert (await told.next())[:2] == ("missed", data)
            assert (await told.next())[:2] == ("change", change)


async def test_n6_a_client_hears_that_it_missed_changes_although_a_restored_site_has_made_as_many_since(
    tmp_path: Path,
) -> None:
    backup, data_dir = tmp_path / "backup.zip", tmp_path / "site"
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        here: dict[str, Any] = {"connector_id": connector_id, "identity": "pump"}
        path = f"/api/v1/connectors/{connector_id}/events?kinds=changes"

        async def tag(walk: Walk, *values: str) -> None:
            for value in values:
                await walk.ask("add_tag", {"name": "floor", "value": value}, **here)

        await asyncio.to_thread(take, belongings(data_dir), backup, version="1")
        async with listening(walk.http, path) as told:
            await tag(walk, "1", "2")
            _, seen = [(await told.next())[2] for _ in range(2)]
    await asyncio.to_thread(restore, belongings(data_dir), backup, replace=True)
    async with walking(tmp_path) as walk:
        values = [str(value) for value in range(3, 7)]
        await tag(walk, *values)
        async with listening(walk.http, path, **{"Last-Event-ID": seen}) as told:
            assert (await told.next())[:2] == ("missed", {"readings": 0, "changes": 0, "unknown": True})
            heard = [(await told.next())[1]["field"] for _ in values]
            assert heard == [f'tag/["floor","{value}"]' for value in values]


async def test_n4_a_stream_at_the_target_tells_what_is_applied_and_the_account(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source = (await two.source.create("Pump house")).split("/")[2]
        target = await two.pair(source)
        for visitor, connector_id in ((two.source, source), (two.target, target)):
            await visitor.post(f"/connectors/{connector_id}/resources", alias="flow", format="number", is_synced="on")
        await two.source.post(f"/connectors/{source}/devices", identity="pump")
        path = f"/api/v1/connectors/{target}/events?kinds=readings,account"
        async with listening(two.target.http, path) as told:
            await two.source.http.post(
                f"/api/v1/connectors/{source}/readings", content=line("pump", "flow", 2.5, NOON_MS)
            )
            found: dict[str, Any] = {}
            while "readings" not in found or not (found.get("account", {}).get("own") or {}).get("applied"):
                name, data, _ = await told.next()
                found[name] = data
        assert found["readings"] == {"device": "pump", "resource": "flow", "readings": [[NOON_MS, 2.5]]}


async def test_a_stream_more_than_a_key_may_have_is_refused_in_words(tmp_path: Path) -> None:
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        path = f"/api/v1/connectors/{connector_id}/events"
        opened = [listening(walk.http, path) for _ in range(EVENT_STREAMS_PER_KEY_MAX)]
        for stream in opened:
            await stream.__aenter__()
        refused = await walk.ask("stream_events", connector_id=connector_id, status=429)
        assert refused.json()["code"] == "too_many_streams"
        for stream in opened:
            await stream.__aexit__(None, None, None)
        await walk.ask("stream_events", query={"kinds": "news"}, connector_id=connector_id, status=422)


async def test_a_slow_client_is_told_how_much_it_missed_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_feed, "EVENT_QUEUE_READINGS_MAX", 1_000)
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        async with listening(walk.http, f"/api/v1/connectors/{connector_id}/events?kinds=readings") as told:
            await post(walk, connector_id, *(line("pump", "flow", 1.0, NOON_MS + at) for at in range(1_500)))
            await post(walk, connector_id, line("pump", "flow", 2.0, NOON_MS + 9_000))
            events_told = [await told.next(), await told.next()]
        assert {name: data for name, data, _ in events_told} == {
            "missed": {"readings": 1_500, "changes": 0, "unknown": False},
            "readings": {"device": "pump", "resource": "flow", "readings": [[NOON_MS + 9_000, 2.0]]},
        }


async def test_a_site_that_stops_ends_its_streams(tmp_path: Path) -> None:
    serving = running_site(SiteSettings(port=0, data_dir=tmp_path, site_name="plant"))
    running = await serving.__aenter__()
    connector_id = await make_connector(running.site)
    headers = {"Authorization": f"Bearer {(tmp_path / 'operator.token').read_text().strip()}"}
    async with (
        httpx2.AsyncClient(base_url=running.url, headers=headers, trust_env=False) as http,
        listening(http, f"/api/v1/connectors/{connector_id}/events") as told,
    ):
        async with asyncio.timeout(5):
            await serving.__aexit__(None, None, None)
        assert await told.ends()


async def test_a_revoked_key_loses_its_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENT_BEAT_S", 0.05)
    async with walking(tmp_path) as walk:
        connector_id = await make_connector(walk.running.site)
        access = walk.running.access
        key = await access.create_key("dashboard", None)
        path = f"/api/v1/connectors/{connector_id}/events"
        async with listening(walk.http, path, Authorization=f"Bearer {key}") as told:
            await access.revoke_key(access.keys()[0].key.key_id)
            assert (await told.next())[:2] == ("end", "not_signed_in")
            assert await told.ends()


def columns(count: int) -> Columns:
    """Readings of one series."""
    return Columns([("pump", "flow", "number")], np.array([count]), np.arange(count, dtype=np.int64), np.zeros(count))


def test_a_listener_that_does_not_keep_up_hears_how_much_it_missed_and_goes_on() -> None:
    listener = Listener(lambda _device, _resource: True, lambda: None)
    listener.offer(columns(EVENT_QUEUE_READINGS_MAX), [True])
    listener.offer(columns(7), [True])
    assert (listener.take_missed(), listener.take_missed()) == (7, 0)
    heard = listener.take()
    assert heard is not None
    assert len(heard.readings) == EVENT_QUEUE_READINGS_MAX
    listener.offer(columns(3), [True])
    assert (listener.take_missed(), listener.take() is not None) == (0, True)


class Transactions:
    """Stands for the store."""

    def __init__(self) -> None:
        self.commits = 0
        self.undone: list[int] = []


def test_nothing_is_told_before_its_commit_nor_after_it_was_undone() -> None:
    feed, store = ReadingFeed(), Transactions()
    feed.follow(store)
    listener = Listener(lambda _device, _resource: True, lambda: None)
    with feed.listening("c", listener):
        feed.note("c", columns(1))
        feed.publish()
        assert listener.take() is None
        store.commits += 1
        feed.publish()
        assert listener.take() is not None
        feed.note("c", columns(2))
        store.undone.append(store.commits)
        store.commits += 1
        feed.publish()
        assert (listener.take(), listener.take_missed()) == (None, 0)
        feed.note("c", columns(5))
        noted = feed.noted
        feed.note("c", columns(3))
        feed.discard(
            noted
        )  # the unit of work that stored the last ones is undone, the others of its transaction are not
        store.commits += 1
        feed.publish()
        heard = listener.take()
        assert heard is not None
        assert len(heard.readings) == 5
        assert (listener.take(), listener.take_missed()) == (None, 0)


def test_a_device_made_in_the_same_transaction_keeps_no_reading_from_being_told() -> None:
    catalogue, store = Catalogue(), Transactions()
    catalogue.feed.follow(store)
    listener = Listener(lambda _device, _resource: True, lambda: None)
    with catalogue.feed.listening("c", listener):
        catalogue.feed.note("c", columns(4))
        catalogue.forget()  # as for any object that is new
        store.commits += 1
        catalogue.feed.publish()
        assert listener.take() is not None
        assert listener.take_missed() == 0
