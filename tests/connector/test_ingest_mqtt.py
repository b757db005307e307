"""MQTT against a real mosquitto: what messages become, restarts of either side, and what the broker keeps meanwhile."""

from __future__ import annotations

import gc
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from connector.ingest.mqtt_rows import Subscription
from connector.ingest.mqtt_settings import MqttSettings
from connector.site import Site
from shared.errors import Refused
from shared.rig.client import ApiClient, operator_token, until
from shared.rig.daemons import Daemon
from tests.connector.mqtt_broker import MOSQUITTO, Broker, broker, make_certificates, until_status
from tests.connector.site_stage import NOON_MS, lone_site, make_connector, stored
from tests.e2e.stage import free_port

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed; ./run test installs it")

TIMED: dict[str, Any] = {
    "template": "plant/{device}/{resource}",
    "payload": "json",
    "value_path": "$.v",
    "timestamp_path": "$.at",
}


@dataclass
class Plant:
    """A site with a connector beside a broker."""

    site: Site
    connector_id: str
    broker: Broker

    async def subscribe(self, **settings: Any) -> Subscription:
        """Subscribe and wait until the broker has it."""
        settings = {"name": "line 1", "host": "localhost", "port": self.broker.port, **settings}
        made = await self.site.mqtt.create(self.connector_id, MqttSettings(**settings), "")
        await until_status(self.site.mqtt, made.subscription_id, "the subscription", state="connected")
        return made

    async def has(self, resource: str, count: int) -> list[tuple[int, Any]]:
        """Wait until a series of the pump has so many readings."""

        async def enough() -> bool:
            return len(await stored(self.site, self.connector_id, resource)) >= count

        await until(enough, what=f"{count} readings of {resource}")
        return await stored(self.site, self.connector_id, resource)


@asynccontextmanager
async def plant_with(folder: Path, *lines: str) -> AsyncIterator[Plant]:
    async with broker(folder, *lines) as running, lone_site(folder) as site:
        yield Plant(site, await make_connector(site), running)


@pytest_asyncio.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant_with(tmp_path) as made:
        yield made


def timed(value: Any, at: int) -> bytes:
    return msgspec.json.encode({"v": value, "at": NOON_MS + at})


async def test_plain_messages_become_readings_and_what_is_wrong_is_named_with_its_topic(plant: Plant) -> None:
    made = await plant.subscribe(template="plant/{device}/{resource}", topics=["plant/#"])
    await plant.broker.publish(
        ("plant/pump/flow", "21.5"),
        ("plant/pump/on", "ON"),
        ("plant/pump/note", "Grüße 😀"),
        ("plant/pump/flow", "wet"),
        ("plant/pump/level", "101"),
        ("plant/ghost/flow", "1"),
        ("plant/pump", "1"),
        ("plant/pump/flow", b"\xff"),
    )
    status = await until_status(plant.site.mqtt, made.subscription_id, "all messages", messages=8, refused=5)
    assert (status.accepted, status.state) == (3, "connected")
    assert sorted((refused.topic, refused.code) for refused in status.last_refusals) == [
        ("plant/ghost/flow", "unknown_device"),
        ("plant/pump", "topic_not_mapped"),
        ("plant/pump/flow", "payload_unreadable"),
        ("plant/pump/flow", "payload_unreadable"),
        ("plant/pump/level", "not_allowed"),
    ]
    assert all(refused.message for refused in status.last_refusals)
    assert [value for _, value in await stored(plant.site, plant.connector_id, "flow")] == [21.5]
    assert [value for _, value in await stored(plant.site, plant.connector_id, "on")] == [1]
    assert [value for _, value in await stored(plant.site, plant.connector_id, "note")] == ["Grüße 😀"]


async def test_a_restart_of_the_broker_loses_nothing_and_the_subscription_comes_back(plant: Plant) -> None:
    made = await plant.subscribe(**TIMED)
    await plant.broker.publish(("plant/pump/flow", timed(1.0, 1)))
    await plant.has("flow", 1)
    await plant.broker.stop()
    status = await until_status(plant.site.mqtt, made.subscription_id, "the loss", state="reconnecting")
    assert status.why
    assert status.next_attempt_ms is not None
    await plant.broker.start()
    # Published before we are back: the broker wrote our session down and keeps it for us.
    await plant.broker.publish(("plant/pump/flow", timed(2.0, 2)))
    assert await plant.has("flow", 2) == [(NOON_MS + 1, 1.0), (NOON_MS + 2, 2.0)]
    await until_status(plant.site.mqtt, made.subscription_id, "the return", state="connected", why="")


async def test_what_this_site_cannot_take_stays_with_the_broker_even_through_a_restart(tmp_path: Path) -> None:
    async with broker(tmp_path) as running:
        async with lone_site(tmp_path) as site:
            plant = Plant(site, await make_connector(site), running)
            made = await plant.subscribe(**TIMED)
            await site.disable_connector(plant.connector_id, disabled=True)
            await running.publish(*[("plant/pump/flow", timed(float(at), at)) for at in range(100)])
            status = await until_status(site.mqtt, made.subscription_id, "the wait", state="waiting")
            assert "disabled" in status.why
        # Stopped with messages in memory that were not stored: none was acknowledged, so all come again.
        async with lone_site(tmp_path) as site:
            back = Plant(site, plant.connector_id, running)
            await until_status(site.mqtt, made.subscription_id, "the wait", state="waiting")
            await site.disable_connector(plant.connector_id, disabled=False)
            assert await back.has("flow", 100) == [(NOON_MS + at, float(at)) for at in range(100)]
            await until_status(site.mqtt, made.subscription_id, "the end", state="connected", accepted=100)


async def test_what_comes_while_the_site_is_down_waits_at_the_broker(tmp_path: Path) -> None:
    async with broker(tmp_path) as running:
        async with lone_site(tmp_path) as site:
            plant = Plant(site, await make_connector(site), running)
            made = await plant.subscribe(**TIMED)
            assert made.settings.client_id.startswith("pairhub-")
        await running.publish(*[("plant/pump/flow", timed(float(at), at)) for at in range(50)])
        await running.stop()  # and the broker restarts as well
        await running.start()
        async with lone_site(tmp_path) as site:
            back = Plant(site, plant.connector_id, running)
            assert await back.has("flow", 50) == [(NOON_MS + at, float(at)) for at in range(50)]


async def test_a_daemon_killed_amid_messages_has_them_all_once_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    daemon = Daemon(
        "site", "plant", {"port": port, "site_name": "plant"}, tmp_path / "site", f"http://127.0.0.1:{port}"
    )
    async with broker(tmp_path) as running:
        await daemon.start()
        try:
            async with ApiClient(daemon.url, operator_token(daemon.data_dir)) as client:
                made = await client.post("/connectors", {"name": "m", "creates_devices": True})
                here = f"/connectors/{made['connector_id']}"
                await client.post(here + "/resources", {"alias": "flow", "format": "number"})
                wish = {"name": "line 1", "host": "localhost", "port": running.port, **TIMED}
                await client.post(here + "/mqtt", wish)

                async def connected() -> bool:
                    return bool((await client.rows(here + "/mqtt"))[0]["status"]["state"] == "connected")

                await until(connected, what="the subscription")
                await running.publish(*[("plant/pump/flow", timed(float(at), at)) for at in range(300)])
            await daemon.kill()
            await running.publish(*[("plant/pump/flow", timed(float(at), at)) for at in range(300, 350)])
            await daemon.start()
            async with ApiClient(daemon.url, operator_token(daemon.data_dir)) as client:

                async def complete() -> Any:
                    try:
                        found = await client.get(here + "/readings?device=pump&resource=flow")
                    except Refused:
                        return None
                    return found["readings"] if len(found["readings"]) >= 350 else None

                found = await until(complete, what="all readings")
                assert found == [[NOON_MS + at, float(at)] for at in range(350)]
        finally:
            await daemon.stop()


async def test_retained_messages_are_ignored_or_taken_as_set(plant: Plant) -> None:
    await plant.broker.publish(("plant/pump/flow", timed(1.0, 1)), retain=True)
    ignoring = await plant.subscribe(**TIMED)
    await until_status(plant.site.mqtt, ignoring.subscription_id, "the retained message", messages=1, ignored=1)
    assert await stored(plant.site, plant.connector_id, "flow") == []
    await plant.subscribe(**{**TIMED, "name": "line 2", "retained": "take"})
    assert await plant.has("flow", 1) == [(NOON_MS + 1, 1.0)]


async def test_changed_filters_are_left_and_a_deleted_subscription_leaves_no_session(plant: Plant) -> None:
    made = await plant.subscribe(template="old/{device}/{resource}")
    changed = await plant.site.mqtt.change(
        plant.connector_id,
        made.subscription_id,
        MqttSettings(name="line 1", host="localhost", port=plant.broker.port, template="new/{device}/{resource}"),
        None,
    )
    assert changed.settings.client_id == made.settings.client_id
    await until_status(plant.site.mqtt, made.subscription_id, "the change", state="connected")
    await plant.broker.publish(("old/pump/flow", "1"), ("new/pump/flow", "2"))
    assert [value for _, value in await plant.has("flow", 1)] == [2.0]
    assert plant.site.mqtt.status(made.subscription_id).messages == 1
    assert (await plant.site.mqtt.subscription(plant.connector_id, made.subscription_id)).former == ()
    log = plant.broker.folder / "mosquitto.log"
    before = log.read_text().count("c0,")  # a persistent session says c0 when it connects, a clean one c1
    await plant.site.mqtt.delete(plant.connector_id, made.subscription_id)

    async def forgotten() -> bool:
        text = log.read_text()
        return f"as {made.settings.client_id} (p2, c1" in text

    await until(forgotten, what="the broker to drop the session")
    assert before >= 2
    assert plant.site.mqtt.status(made.subscription_id).state == "off"
    assert await plant.site.mqtt.subscriptions(plant.connector_id) == []


async def test_tls_with_a_ca_of_ones_own_and_a_password_that_is_never_shown(tmp_path: Path) -> None:
    ca = make_certificates(tmp_path)
    passwords = tmp_path / "passwords"
    # What mosquitto_passwd writes needs its package; a plain file is turned into hashes by -U of the same one.
    passwords.write_text("plant:secret-9\n")
    tool = shutil.which("mosquitto_passwd")
    assert tool is not None
    subprocess.run([tool, "-U", str(passwords)], check=True)  # noqa: ASYNC221
    lines = (
        "allow_anonymous false",
        f"password_file {passwords}",
        f"cafile {ca}",
        f"certfile {tmp_path / 'server.pem'}",
        f"keyfile {tmp_path / 'server.key'}",
    )
    async with plant_with(tmp_path, *lines) as plant:
        settings = MqttSettings(
            name="line 1",
            host="localhost",
            port=plant.broker.port,
            tls=True,
            ca=ca.read_text(),
            user_name="plant",
            template="plant/{device}/{resource}",
        )
        mqtt = plant.site.mqtt
        for changed, password, words in (
            (settings, "wrong", "ot authori"),
            (msgspec.structs.replace(settings, ca=""), "secret-9", "certificate"),
            (msgspec.structs.replace(settings, port=free_port()), "secret-9", "refused"),
        ):
            trial = await mqtt.try_out(plant.connector_id, changed, password)
            assert not trial.connected
            assert words in trial.why
        gc.collect()  # a socket that a failed attempt left open would be complained about here
        assert (await mqtt.try_out(plant.connector_id, settings, "secret-9")).connected
        made = await mqtt.create(plant.connector_id, settings, "wrong")
        status = await until_status(mqtt, made.subscription_id, "the refusal", state="reconnecting")
        assert "ot authori" in status.why
        await mqtt.change(plant.connector_id, made.subscription_id, settings, "secret-9")
        await until_status(mqtt, made.subscription_id, "the connection", state="connected")
        kept = await mqtt.change(plant.connector_id, made.subscription_id, settings, None)
        assert kept.password == "secret-9"
        await until_status(mqtt, made.subscription_id, "the connection again", state="connected")


async def test_a_trial_shows_what_the_first_message_would_become(plant: Plant) -> None:
    settings = MqttSettings(name="x", host="localhost", port=plant.broker.port, **TIMED)
    await plant.broker.publish(("plant/pump/flow", timed(1.5, 1)), retain=True)
    trial = await plant.site.mqtt.try_out(plant.connector_id, settings, "")
    assert (trial.connected, trial.topic) == (True, "plant/pump/flow")
    assert [(line.device, line.resource, line.value, line.timestamp) for line in trial.readings] == [
        ("pump", "flow", 1.5, NOON_MS + 1)
    ]
    wrong = msgspec.structs.replace(settings, value_path="$.w")
    assert "nothing at '$.w'" in (await plant.site.mqtt.try_out(plant.connector_id, wrong, "")).refusal
    assert await stored(plant.site, plant.connector_id, "flow") == []
