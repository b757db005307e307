"""Who may report for which device: locks, publish-as patterns and the device of a key, over HTTP and MQTT alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio

from connector.serve import RunningSite, running_site
from connector.settings import SiteSettings
from connector.site import Site
from shared.trust import trust_for
from tests.connector.mqtt_broker import MOSQUITTO, broker, until_status
from tests.connector.site_stage import NOON_MS, SetClock, line, make_connector, stored


class Door:
    """A served site with a pump, a gateway that may report for `boiler-*`, and programs that post."""

    def __init__(self, running: RunningSite, connector_id: str, http: httpx2.AsyncClient) -> None:
        self.running = running
        self.connector_id = connector_id
        self.http = http

    @property
    def site(self) -> Site:
        return self.running.site

    async def post(self, body: Any, key: str | None = None, **headers: str) -> Any:
        """Post readings; return what was told."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        answer = await self.http.post(f"/connectors/{self.connector_id}/readings", content=content, headers=headers)
        return answer.json()

    async def key(self, device: str | None) -> str:
        """Make a key, bound to a device."""
        wish = {"name": f"for {device}", "connector_id": self.connector_id, "device": device}
        return str((await self.http.post("/keys", json=wish)).json()["secret"])

    async def lock(self, device: str, *, locked: bool) -> None:
        await self.site.editing.lock(self.connector_id, [device], locked=locked, who="ann")


@pytest_asyncio.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    settings = SiteSettings(port=0, data_dir=tmp_path / "site", site_name="plant")
    async with running_site(settings, SetClock()) as running:
        connector_id = await make_connector(running.site, creates_devices=True)
        await running.site.create_device(connector_id, "gateway")
        await running.site.editing.add_publish_as(connector_id, "gateway", "boiler-*", who="ann")
        headers = {"Authorization": f"Bearer {(tmp_path / 'site' / 'operator.token').read_text().strip()}"}
        base = running.url + "/api/v1"
        async with httpx2.AsyncClient(
            base_url=base, headers=headers, trust_env=False, verify=trust_for(base), timeout=30
        ) as http:
            yield Door(running, connector_id, http)


def told_of(told: Any) -> list[tuple[Any, str]]:
    return [(refusal["at"] or refusal["line"], refusal["code"]) for refusal in told["refusals"]]


async def test_w12_a_locked_device_is_refused_line_by_line_from_the_lock_on_until_it_is_unlocked(door: Door) -> None:
    both = b"\n".join([line("pump", "flow", 1.0, NOON_MS), line("fan", "flow", 1.0, NOON_MS), line("pump", "on", True)])
    await door.lock("pump", locked=True)
    told = await door.post(both)
    assert (told["accepted"], told["refused"]) == (1, 2)
    assert told_of(told) == [(1, "device_locked"), (3, "device_locked")]
    assert "'pump' is locked" in told["refusals"][0]["message"]
    batch = {"identity": "pump", "payload": [{"values": {"flow": 2}}]}
    assert told_of(await door.post(batch)) == [("payload[0].values.flow", "device_locked")]
    assert await stored(door.site, door.connector_id, "flow") == []
    await door.lock("pump", locked=False)
    assert (await door.post(both))["accepted"] == 2


async def test_a_gateway_reports_for_itself_and_what_its_patterns_name_and_for_nobody_else(door: Door) -> None:
    lines = b"\n".join(line(device, "flow", 1.0, NOON_MS) for device in ("gateway", "boiler-1", "pump", "stranger"))
    told = await door.post(lines, **{"X-Report-As": "gateway"})
    assert (told["accepted"], told_of(told)) == (2, [(3, "not_publish_as"), (4, "not_publish_as")])
    assert "'gateway' may not report for 'pump'" in told["refusals"][0]["message"]
    listed = await door.http.get(f"/connectors/{door.connector_id}/devices")
    assert "stranger" not in listed.text  # nor was it made on the way
    payload = [{"device": device, "timestamp": NOON_MS + 1, "values": {"flow": 1}} for device in ("boiler-2", "pump")]
    told = await door.post({"identity": "gateway", "payload": [*payload, {"values": {"flow": 2}}]})
    assert (told["accepted"], told_of(told)) == (2, [("payload[1].values.flow", "not_publish_as")])
    # Nobody in particular asks: an operator's program may report for all.
    assert (await door.post(lines))["accepted"] == 2


async def test_a_key_of_a_device_speaks_for_that_device_only(door: Door) -> None:
    pump, gateway = await door.key("pump"), await door.key("gateway")
    lines = b"\n".join(line(device, "flow", 1.0, NOON_MS) for device in ("pump", "boiler-1", "gateway"))
    told = await door.post(lines, pump)
    assert (told["accepted"], told_of(told)) == (1, [(2, "not_publish_as"), (3, "not_publish_as")])
    assert told_of(await door.post(lines, gateway)) == [(1, "not_publish_as")]
    # A batch in the name of a gateway does not lend its patterns to the key of another device.
    batch = {"identity": "gateway", "payload": [{"device": "boiler-1", "timestamp": 1, "values": {"flow": 1}}]}
    assert told_of(await door.post(batch, pump)) == [("payload[0].values.flow", "not_publish_as")]
    assert (await door.post(batch, gateway))["accepted"] == 1
    assert (await door.post(lines, pump, **{"X-Report-As": "gateway"}))["code"] == "forbidden"
    other = await door.site.create_connector("other")
    answer = await door.http.post(
        f"/connectors/{other.connector_id}/readings", content=lines, headers={"Authorization": f"Bearer {pump}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    reading = await door.http.get("/connectors", headers={"Authorization": f"Bearer {pump}"})
    assert reading.status_code == 403
    await door.lock("gateway", locked=True)  # a locked gateway reports for nobody
    assert told_of(await door.post(line("boiler-1", "flow", 2.0, 7), gateway)) == [(1, "device_locked")]


async def test_keys_are_made_listed_and_revoked_and_a_device_has_to_be_there(door: Door) -> None:
    secret = await door.key("pump")
    wish = {"name": "ghost", "connector_id": door.connector_id, "device": "ghost"}
    assert (await door.http.post("/keys", json=wish)).json()["code"] == "not_found"
    again = {"name": "for pump", "connector_id": door.connector_id, "device": "pump"}
    assert (await door.http.post("/keys", json=again)).json()["code"] == "exists"
    (shown,) = (await door.http.get("/keys")).json()["rows"]
    assert (shown["device"], shown["scopes"], shown["connector_id"]) == ("pump", ["readings"], door.connector_id)
    assert secret not in str(shown)
    await door.http.delete(f"/keys/{shown['key_id']}")
    assert (await door.post(b"", secret))["code"] == "not_signed_in"


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed; ./run test installs it")
async def test_locks_and_patterns_hold_for_mqtt_too(door: Door, tmp_path: Path) -> None:
    async with broker(tmp_path) as running:
        wish = {"name": "line 1", "host": "localhost", "port": running.port, "password": "never-shown"}
        here = f"/connectors/{door.connector_id}/mqtt"
        made = (await door.http.post(here, json={**wish, "template": "{gateway}/{device}/{resource}"})).json()
        subscription_id = made["subscription_id"]
        assert made["has_password"]
        mqtt = door.site.mqtt
        await until_status(mqtt, subscription_id, "the subscription", state="connected")
        await door.lock("boiler-9", locked=True)  # it is not there yet: nothing happens
        await door.post(line("boiler-9", "flow", 1.0, NOON_MS))
        await door.lock("boiler-9", locked=True)
        await running.publish(
            ("gateway/boiler-1/flow", "1"),
            ("gateway/pump/flow", "2"),
            ("pump/pump/flow", "3"),
            ("gateway/boiler-9/flow", "4"),
        )
        status = await until_status(mqtt, subscription_id, "all messages", messages=4, refused=2, accepted=2)
        assert sorted((refused.topic, refused.code) for refused in status.last_refusals) == [
            ("gateway/boiler-9/flow", "device_locked"),
            ("gateway/pump/flow", "not_publish_as"),
        ]
        shown = await door.http.get(here)
        assert shown.json()["rows"][0]["status"]["refused"] == 2
        assert "never-shown" not in shown.text
        changed = await door.http.put(f"{here}/{subscription_id}", json={**wish, "topics": ["x/+"], "password": None})
        assert (changed.status_code, changed.json()["code"]) == (422, "invalid")
        assert (await door.http.post(here + "/test", json={**wish, "template": "x/{device}/{resource}"})).json()[
            "connected"
        ]
        assert (await door.http.delete(f"{here}/{subscription_id}")).status_code == 204
        assert (await door.http.get(here)).json()["rows"] == []
