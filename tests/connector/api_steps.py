"""A way through every operation of the API, in an order in which most of them have something to do."""

from __future__ import annotations

from typing import Any

from shared.rig.client import until
from tests.connector.api_walk import Walk
from tests.connector.site_stage import NOON_MS, line


async def walk_everything(walk: Walk) -> None:
    """Ask every operation at least once, and once in vain where that is cheap."""
    await walk.ask("get_status")
    await walk.ask("list_repairs", query={"cleared": "5"})
    await walk.ask("list_repairs", query={"cleared": "many"}, status=422)
    await walk.ask("send_test_notice")
    await walk.ask("get_diagnostics")
    assert (await walk.ask("enrol", {"token": ""}, status=409)).json()["code"] == "no_hub"
    await walk.ask("confirm_clock")
    await _backups(walk)
    made = (await walk.ask("create_connector", {"name": "boilers"})).json()
    connector_id = made["connector_id"]
    await _connectors(walk, connector_id)
    await _pairing(walk, connector_id)
    await _resources(walk, connector_id)
    await _devices(walk, connector_id)
    await _readings(walk, connector_id)
    await _host(walk, connector_id)
    await _mqtt(walk, connector_id)
    await _programs(walk)
    await walk.ask("delete_connector", connector_id=connector_id)


async def _backups(walk: Walk) -> None:
    await walk.ask("download_backup", status=404)
    await walk.ask("make_backup", {"passphrase": "short"}, status=422)
    await walk.ask("make_backup", {"passphrase": "a horse, a battery"})
    await walk.ask("make_backup", {}, status=409)

    async def made() -> bool:
        return bool((await walk.ask("get_backup")).json()["state"] == "done")

    await until(made, what="the backup to be made")
    assert (await walk.ask("download_backup")).content.startswith(b"pairhub sealed file")


async def _connectors(walk: Walk, connector_id: str) -> None:
    await walk.ask("create_connector", {"name": "boilers"}, status=409)
    await walk.ask("create_connector", {"nam": "boilers"}, status=422)
    await walk.ask("list_connectors")
    await walk.ask("get_connector", connector_id=connector_id)
    await walk.ask("get_connector", connector_id="AAAA-AAAA", status=404)
    await walk.ask("change_connector", {"name": "boilers 2", "creates_devices": True}, connector_id=connector_id)
    await walk.ask("disable", connector_id=connector_id)
    await walk.ask("enable", connector_id=connector_id)
    await walk.ask("get_account", connector_id=connector_id)
    await walk.ask("list_gaps", connector_id=connector_id)
    await walk.ask("export_gaps", connector_id=connector_id)
    await walk.ask("list_resource_accounts", connector_id=connector_id)


async def _pairing(walk: Walk, connector_id: str) -> None:
    claim = {"site_name": "other", "connector_id": "DYMQ-V82X", "code": "7KQ2-M9XF-3"}
    await walk.ask("get_window", connector_id=connector_id)
    opened = await walk.ask("open_window", connector_id=connector_id, status=409)
    await walk.ask("close_window", connector_id=connector_id)
    await walk.ask("accept", connector_id=connector_id, status=404)
    await walk.ask("refuse", connector_id=connector_id, status=404)
    created = await walk.ask("create_target", {"name": "t", **claim}, status=409)
    claimed = await walk.ask("claim", claim, connector_id=connector_id, status=409)
    assert {answer.json()["code"] for answer in (opened, created, claimed)} == {"no_hub"}
    await walk.ask("get_part", connector_id=connector_id)
    for name, body in (
        ("ask_to_part", {"flush": True}),
        ("take_ask_back", None),
        ("agree_to_part", {}),
        ("decline_to_part", None),
    ):
        await walk.ask(name, body, connector_id=connector_id, status=409)


async def _resources(walk: Walk, connector_id: str) -> None:
    for alias in ("flow/in", "level"):
        await walk.ask(
            "create_resource",
            {"alias": alias, "format": "number", "unit": "l/s", "allowed": {"low": 0, "high": 9}},
            connector_id=connector_id,
        )
    await walk.ask("create_resource", {"alias": "level", "format": "number"}, connector_id=connector_id, status=409)
    here: dict[str, Any] = {"connector_id": connector_id, "alias": "flow/in"}
    await walk.ask("list_resources", connector_id=connector_id)
    await walk.ask("get_resource", **here)
    await walk.ask("change_resource", {"unit": "l/min", "settable": True}, **here)
    await walk.ask("set_remote_sync", {"on": True}, **here)
    await walk.ask("switch_many", {"aliases": ["flow/in", "level"], "on": False}, connector_id=connector_id)
    await walk.ask("create_here", **here, status=404)
    await walk.ask("delete_resource", connector_id=connector_id, alias="level")


async def _devices(walk: Walk, connector_id: str) -> None:
    for identity in ("roof/pump 1", "export"):
        await walk.ask("create_device", {"identity": identity}, connector_id=connector_id)
    await walk.ask("create_device", {"identity": "export"}, connector_id=connector_id, status=409)
    here: dict[str, Any] = {"connector_id": connector_id, "identity": "roof/pump 1"}
    await walk.ask("list_devices", connector_id=connector_id)
    await walk.ask("get_device", **here)
    await walk.ask("get_device", connector_id=connector_id, identity="nobody", status=404)
    await walk.ask("change_device", {"name": "Pump", "locked": False, "configuration": {"a": [1]}}, **here)
    too_deep = b'{"configuration": {"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
    assert "nested too deep" in (await walk.ask("change_device", too_deep, **here, status=422)).text
    await walk.ask("add_tag", {"name": "floor", "value": "2"}, **here)
    await walk.ask("remove_tag", {"name": "floor", "value": "2"}, **here)
    subject = {"kind": "user", "subject": "ann"}
    await walk.ask("set_grant", {**subject, "level": "write"}, **here)
    await walk.ask("set_grant", {**subject, "level": "all"}, **here, status=422)
    await walk.ask("remove_grant", subject, **here)
    await walk.ask("set_grant_of_all", {**subject, "level": "read"}, connector_id=connector_id)
    await walk.ask("list_grants_of_all", connector_id=connector_id)
    await walk.ask("remove_grant_of_all", subject, connector_id=connector_id)
    await walk.ask("add_publish_as", {"pattern": "roof/*"}, **here)
    await walk.ask("remove_publish_as", {"pattern": "roof/*"}, **here)
    await walk.ask("set_value", {"value": 4.5}, **here, alias="flow/in")
    await walk.ask("set_value", {"value": 99}, **here, alias="flow/in", status=422)
    await walk.ask("dismiss_refused", **here)
    await walk.ask("get_device", **here)
    await _many_devices(walk, connector_id)
    await _edits(walk, connector_id)


async def _many_devices(walk: Walk, connector_id: str) -> None:
    made = await walk.ask(
        "create_many", {"devices": [{"identity": "fan 1"}, {"identity": "export"}]}, connector_id=connector_id
    )
    assert [refused["code"] for refused in made.json()["refused"]] == ["exists"]
    edit = {"select": {"filter": {"search": "fan"}}, "action": {"do": "add_tags", "tags": [["hall", "3"]]}}
    assert (await walk.ask("edit_many", edit, connector_id=connector_id)).json()["selected"] == 1
    await walk.ask("edit_many", {**edit, "select": {}}, connector_id=connector_id, status=422)
    exported = await walk.ask("export_many", query={"format": "json"}, connector_id=connector_id)
    csv = await walk.ask("export_many", connector_id=connector_id)
    kind = {"Content-Type": "text/csv"}
    for body, headers in ((exported.content, {}), (csv.content, kind)):
        told = await walk.ask("import_many", body, headers=headers, connector_id=connector_id)
        assert (told.json()["same"], told.json()["refused"]) == (3, 0)
    await walk.ask("delete_device", connector_id=connector_id, identity="fan 1")


async def _edits(walk: Walk, connector_id: str) -> None:
    await walk.ask("list_changes", connector_id=connector_id)
    await walk.ask("list_conflicts", connector_id=connector_id)
    here: dict[str, Any] = {"connector_id": connector_id, "conflict_id": "1"}
    await walk.ask("restore_conflict", **here, status=404)
    await walk.ask("dismiss_conflict", **here, status=404)
    await walk.ask("get_policies", connector_id=connector_id)
    told = await walk.ask("set_policy", {"policy": "source"}, connector_id=connector_id, class_name="tags")
    assert told.json()["policies"]["tags"] == "source"
    await walk.ask("get_peer_rights", connector_id=connector_id)
    await walk.ask("set_peer_rights", {"edit_tags": False}, connector_id=connector_id, status=409)
    await walk.ask("create_there", connector_id=connector_id, alias="flow/in", status=409)
    await walk.ask("list_requests", connector_id=connector_id)


async def _readings(walk: Walk, connector_id: str) -> None:
    body = b"\n".join([line("roof/pump 1", "flow/in", 1.5, NOON_MS), line("x", "y", 1, NOON_MS)])
    taken = (await walk.ask("post_readings", body, connector_id=connector_id)).json()
    assert (taken["accepted"], taken["refused"]) == (1, 1)
    await walk.ask("ask_replay", {"from_ms": NOON_MS}, connector_id=connector_id, status=409)
    assert (await walk.ask("list_replays", connector_id=connector_id)).json() == {"rows": [], "next": None}
    assert (await walk.ask("list_quarantine", connector_id=connector_id)).json() == {"rows": [], "next": None}
    assert (await walk.ask("retry_quarantine", connector_id=connector_id)).json() == {"applied": 0}
    await walk.ask("discard_quarantine", connector_id=connector_id, status=409)
    for name in ("retry_quarantined", "discard_quarantined", "get_quarantined_content"):
        await walk.ask(name, connector_id=connector_id, quarantine_id="1", status=409)
    for name, status in (("get_replay", 404), ("cancel_replay", 409)):
        await walk.ask(name, connector_id=connector_id, replay_id="0" * 16, status=status)
    series = {"device": "roof/pump 1", "resource": "flow/in"}
    found = (await walk.ask("list_readings", query=series, connector_id=connector_id)).json()
    assert found["readings"] == [[NOON_MS, 1.5]]
    await walk.ask("get_device", connector_id=connector_id, identity="roof/pump 1")
    await walk.ask("stream_events", query={"kinds": "news"}, connector_id=connector_id, status=422)


async def _programs(walk: Walk) -> None:
    assert "manage" in (await walk.ask("get_asker")).json()["actions"]
    secret = (await walk.ask("create_key", {"name": "editor", "scopes": ["read", "edit"]})).json()["secret"]
    asker = await walk.ask("get_asker", headers={"Authorization": f"Bearer {secret}"})
    assert asker.json() == {"name": "API key editor", "kind": "api_key", "role": "", "actions": ["read", "edit"]}
    await walk.ask("create_key", {"name": "x", "scopes": ["all"]}, status=422)
    (key,) = (await walk.ask("list_keys")).json()["rows"]
    await walk.ask("revoke_key", key_id=key["key_id"])
    await walk.ask("revoke_key", key_id=key["key_id"], status=404)
    first = (await walk.ask("list_audit", query={"limit": "1"})).json()
    assert first["rows"][0]["what"] == f"DELETE /api/v1/keys/{key['key_id']}"


async def _host(walk: Walk, connector_id: str) -> None:
    await walk.ask("set_host", {"every_s": 60}, connector_id=connector_id)
    assert (await walk.ask("get_host", connector_id=connector_id)).json() == {"every_s": 60}
    await walk.ask("set_host", {"every_s": 0}, connector_id=connector_id)
    await walk.ask("set_host", {"every_s": 0.01}, connector_id=connector_id, status=422)


async def _mqtt(walk: Walk, connector_id: str) -> None:
    # Port 1 has no broker: what is tried is refused in words, and nothing is connected to.
    wish = {"name": "line 1", "host": "127.0.0.1", "port": 1, "template": "plant/{device}/{resource}", "enabled": False}
    made = (await walk.ask("create_subscription", {**wish, "password": "x"}, connector_id=connector_id)).json()
    await walk.ask("create_subscription", wish, connector_id=connector_id, status=409)
    await walk.ask("create_subscription", {**wish, "template": "a/{b}"}, connector_id=connector_id, status=422)
    here: dict[str, Any] = {"connector_id": connector_id, "subscription_id": made["subscription_id"]}
    await walk.ask("list_subscriptions", connector_id=connector_id)
    assert (await walk.ask("get_subscription", **here)).json()["has_password"]
    await walk.ask("change_subscription", {**wish, "name": "line 2"}, **here)
    assert not (await walk.ask("try_settings", wish, connector_id=connector_id)).json()["connected"]
    assert not (await walk.ask("try_subscription", **here)).json()["connected"]
    await walk.ask("delete_subscription", **here)
    await walk.ask("get_subscription", **here, status=404)
