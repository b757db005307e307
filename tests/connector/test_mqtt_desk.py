"""What becomes of a site's MQTT readers, and of the site, when subscriptions are corrected, saved twice or deleted."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from connector.ingest import mqtt_client, mqtt_rows
from connector.ingest.mqtt_settings import SECRET_CHARS_MAX, MqttSettings
from connector.site import Site
from shared.errors import Refused
from tests.connector.mqtt_broker import until_status
from tests.connector.site_stage import lone_site, make_connector
from tests.raw_server import raw_server, silent

GOOD = MqttSettings(name="line 1", host="127.0.0.1", template="plant/{device}/{resource}")


@pytest.fixture(autouse=True)
def quick_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of waiting for one that does not answer prove nothing."""
    monkeypatch.setattr(mqtt_client, "MQTT_ANSWER_S", 0.1)


def readers(subscription_id: str) -> list[asyncio.Task[None]]:
    """Return what reads for a subscription at this moment."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == f"mqtt {subscription_id}"]
    return [task for task in tasks if not task.done() and not task.cancelling()]


async def put_wrong_host(site: Site, connector_id: str) -> str:
    """Store a host that no resolver takes, as a release did that did not look so closely; return the subscription."""
    made = await site.mqtt.create(connector_id, msgspec.structs.replace(GOOD, enabled=False), "")
    wrong = msgspec.structs.replace(made.settings, host="192.168.1..10", enabled=True)

    def unit(connection: sqlite3.Connection) -> None:
        stored = mqtt_rows.get_subscription(connection, connector_id, made.subscription_id)
        mqtt_rows.replace_subscription(
            connection, mqtt_rows.Subscription(stored.subscription_id, connector_id, wrong, "")
        )

    await site.database.write(unit)
    return made.subscription_id


async def test_a_site_goes_on_when_a_mistyped_host_is_corrected_and_when_it_is_deleted(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        with pytest.raises(Refused) as refused:
            await site.mqtt.create(connector_id, msgspec.structs.replace(GOOD, host="192.168.1..10"), "")
        assert refused.value.facts["what"] == "host"
        with pytest.raises(Refused) as refused:
            await site.mqtt.create(connector_id, GOOD, "x" * (SECRET_CHARS_MAX + 1))
        assert refused.value.facts["what"] == "password"
        for corrected in (True, False):
            subscription_id = await put_wrong_host(site, connector_id)
            before = asyncio.all_tasks()
            if corrected:
                off = msgspec.structs.replace(GOOD, enabled=False)
                await site.mqtt.change(connector_id, subscription_id, off, None)
                forgetting = asyncio.all_tasks() - before
                await asyncio.wait(forgetting, timeout=5)
            await site.mqtt.delete(connector_id, subscription_id)
            forgetting = asyncio.all_tasks() - before
            assert forgetting
            _, late = await asyncio.wait(forgetting, timeout=5)
            assert not late
            # Among the site's own tasks, one that fails takes all others with it.
            assert not any(task.exception() for task in forgetting)
        assert (await site.create_connector("still here")).connector_id


async def test_a_stored_host_that_no_resolver_takes_is_named_and_its_reader_can_be_stopped(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        subscription_id = await put_wrong_host(site, connector_id)
    async with lone_site(tmp_path) as site:
        status = await until_status(site.mqtt, subscription_id, "the first attempt", state="reconnecting")
        assert "idna" in status.why
        async with asyncio.timeout(5):
            await site.mqtt.delete(connector_id, subscription_id)
        assert readers(subscription_id) == []


async def test_save_pressed_twice_leaves_one_reader_and_none_once_the_subscription_is_deleted(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site, raw_server(silent) as port:
        connector_id = await make_connector(site)
        settings = msgspec.structs.replace(GOOD, port=port)
        made = await site.mqtt.create(connector_id, settings, "")
        wishes = [msgspec.structs.replace(settings, template=f"{name}/{{device}}/{{resource}}") for name in "ab"]
        async with asyncio.TaskGroup() as tasks:
            for wish in wishes:
                tasks.create_task(site.mqtt.change(connector_id, made.subscription_id, wish, None))
        assert len(readers(made.subscription_id)) == 1
        # The broker's session may hold the filters of both, whichever of them came last.
        kept = await site.mqtt.subscription(connector_id, made.subscription_id)
        assert {*kept.former, *kept.settings.filters()} == {"plant/+/+", "a/+/+", "b/+/+"}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(site.mqtt.delete(connector_id, made.subscription_id))
            late = asyncio.ensure_future(site.mqtt.change(connector_id, made.subscription_id, settings, None))
            await asyncio.wait([late])
        assert isinstance(late.exception(), Refused)
        assert readers(made.subscription_id) == []
        assert await site.mqtt.subscriptions(connector_id) == []


async def test_a_subscription_that_is_made_while_its_connector_is_deleted_leaves_no_reader(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site, raw_server(silent) as port:
        connector_id = await make_connector(site)
        making = asyncio.ensure_future(site.mqtt.create(connector_id, msgspec.structs.replace(GOOD, port=port), ""))
        await site.delete_connector(connector_id)
        await asyncio.wait([making])
        left = [task for task in asyncio.all_tasks() if task.get_name().startswith("mqtt ") and not task.cancelling()]
        assert left == []
