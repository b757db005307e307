"""The pages of one site without a hub: connectors, settings, devices, resources, key, errors and health."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.connector.visitors import ShiftedClock, Visitor, text_of, visitor

HOUR_MS = 3_600_000
MAY_POST = {"kind": "program", "scope-read": "on", "scope-readings": "on"}


async def with_key(found: Visitor) -> dict[str, str]:
    """Make a key by the page and return the header that a program sends."""
    response = await found.http.post("/api-key", data={"name": "historian", "expires_days": "30", **MAY_POST})
    key = re.search(r"phk_\w+", response.text)
    assert key is not None
    return {"Authorization": f"Bearer {key[0]}"}


# --- connectors ---------------------------------------------------------------------------------------------------------


async def test_home_leads_to_the_list_or_to_the_only_connector(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        assert (await found.http.get("/")).headers["location"] == "/connectors"
        assert "No connector yet" in await found.get("/connectors")

        path = await found.create("Pump house")
        assert (await found.http.get("/")).headers["location"] == path

        await found.create("Workshop")
        assert (await found.http.get("/")).headers["location"] == "/connectors"


async def test_a_connector_is_created_listed_and_shown(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")

        assert "Connector “Pump house” created." in await found.get(path)
        listed = await found.get("/connectors")
        assert f"Pump house {path.split('/')[-1]} Standalone none not paired 0 0 never" in listed


async def test_a_name_that_is_taken_is_said_beside_its_field(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        await found.create("Pump house")
        response = await found.http.post("/connectors", data={"name": "Pump house"})

        assert response.status_code == 409
        assert re.search(r'id="field-name-error">.*?There is a connector of that name already\.', response.text)
        assert len(await found.site.connectors()) == 1


async def test_a_connector_without_a_name_gets_one(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        await found.create("")
        await found.create("")

        assert [each.name for each in await found.site.connectors()] == ["Connector", "Connector 2"]


async def test_a_target_needs_all_three_fields(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        text = await found.post("/connectors", 422, is_target="on", pasted="Site name: hillside\nCode: 1\n")

        assert "Type the connector ID that the source shows." in text
        assert "Type the code" not in text
        assert await found.site.connectors() == []


async def test_a_target_that_cannot_be_paired_leaves_no_connector(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        fields = {"peer_site_name": "hillside", "peer_connector_id": "AAAA-AAAA", "code": "0000-0000-0"}
        text = await found.post("/connectors", 409, is_target="on", **fields)
        assert "This site knows no hub." in text

        text = await found.post("/connectors", 422, is_target="on", **(fields | {"peer_connector_id": "not an ID"}))
        assert "Connector ID: it is 8 letters and digits" in text
        assert await found.site.connectors() == []


async def test_settings_rename_and_let_readings_make_devices(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        await found.create("Workshop")
        assert "Name: it takes 1 to 128" in await found.post(f"{path}/settings", 422, name=" ")
        assert "There is a connector of that name" in await found.post(f"{path}/settings", 409, name="Workshop")

        await found.post(f"{path}/settings", name="Pumps", allows_creation="on")

        connector = (await found.site.connectors())[0]
        assert (connector.name, connector.creates_devices) == ("Pumps", True)
        assert "checked" in (await found.http.get(f"{path}/settings")).text


async def test_a_connector_is_disabled_enabled_and_deleted(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        await found.post(f"{path}/disable")
        assert "It is disabled now" in await found.get(f"{path}/settings")
        assert "disabled" in await found.get("/connectors")
        await found.post(f"{path}/enable")

        assert "Delete “Pump house”?" in await found.get(f"{path}/delete")
        assert await found.post(f"{path}/delete") == f"{path}/delete"
        assert await found.post(f"{path}/delete", confirmed="yes") == "/connectors"

        assert "Connector “Pump house” deleted." in await found.get("/connectors")
        await found.get(path, 404)


async def test_remote_sync_says_why_it_is_not_offered(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")

        assert "This site has no hub yet." in await found.get(f"{path}/remote-sync")
        assert "This site knows no hub." in await found.post(f"{path}/remote-sync/enable", 409)


# --- devices ------------------------------------------------------------------------------------------------------------


async def test_devices_are_added_found_and_tagged(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        assert "No device yet" in await found.get(f"{path}/devices")
        way = await found.post(f"{path}/devices", identity="roof/pump~1", name="Pump 1", description="Old")
        assert way == f"{path}/devices/roof~2Fpump~7E1"

        await found.post(f"{way}/tags", name="floor", value="2")
        assert "Tag “floor” added." in await found.get(way)
        await found.post(f"{way}/tags", name="floor", value="3")

        assert "roof/pump~1 Pump 1 floor 2 floor 3 offline never 0 this site only" in await found.get(f"{path}/devices")
        page = await found.get(way)
        assert "floor 2 this site only" in page
        assert "1 matches “floor=3”" in await found.get(f"{path}/devices?search=floor%3D3")
        assert "No device matches" in await found.get(f"{path}/devices?search=boiler")

        await found.post(f"{way}/tags/remove", name="floor", value="2")
        assert "floor 2" not in (await found.get(way)).partition("Tags")[2]


async def test_refused_devices_and_tags_come_back_with_what_was_typed(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        way = await found.post(f"{path}/devices", identity="pump-1")
        response = await found.http.post(f"{path}/devices", data={"identity": "pump-1", "name": "Again"})
        assert response.status_code == 409
        assert "There is a device of that name already." in response.text
        assert 'value="Again"' in response.text
        assert "Identity: it takes 1 to 256" in await found.post(f"{path}/devices", 422, identity="")

        response = await found.http.post(f"{way}/tags", data={"name": "\x07", "value": "loud"})
        assert response.status_code == 422
        assert re.search(r'id="field-tag-name-error">.*?Tag name: it takes 1 to 256', response.text)
        assert 'value="loud"' in response.text


async def test_a_device_that_is_not_there_is_a_page_that_says_so(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")

        assert "There is no such device." in await found.get(f"{path}/devices/nobody", 404)


async def test_names_with_markup_are_shown_and_do_nothing(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("<b>Pump</b>")
        way = await found.post(f"{path}/devices", identity='"><script>alert(1)</script>')

        for page in ("/connectors", path, f"{path}/devices", way):
            response = await found.http.get(page)
            assert response.status_code == 200
            assert "<script>alert" not in response.text
            assert "<b>Pump" not in response.text


# --- resources and readings ---------------------------------------------------------------------------------------------


async def test_readings_that_a_program_posts_show_on_the_pages(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        await found.post(f"{path}/devices", identity="pump-1")
        await found.post(f"{path}/resources", alias="pressure", format="number", unit="bar", allowed="0..16")
        await found.post(f"{path}/resources", alias="mode", format="string", allowed="idle, running")
        body = "\n".join(
            (
                '{"device": "pump-1", "resource": "pressure", "value": 4.25}',
                '{"device": "pump-1", "resource": "pressure", "value": 99}',
                '{"device": "pump-1", "resource": "mode", "value": "running"}',
            )
        )
        answer = await found.http.post(f"/api/v1{path}/readings", content=body, headers=await with_key(found))
        assert (answer.json()["accepted"], answer.json()["refused"]) == (2, 1)

        page = await found.get(f"{path}/resources")
        assert "pressure number bar 0 to 16" in page
        assert "4.25 bar just now , pump-1 1.0 – 0 0" in page
        assert "one of idle, running" in page
        device = await found.get(f"{path}/devices/pump-1")
        assert "pressure 4.25 bar – just now" in device
        assert "online" in await found.get(f"{path}/devices")


async def test_resources_are_checked_and_switched(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        for fields, words in (
            ({"alias": "", "format": "number"}, "Alias: it takes 1 to 128"),
            ({"alias": "x", "format": "colour"}, "Format: it is number, string or boolean"),
            ({"alias": "x", "format": "number", "allowed": "low..high"}, "Allowed: “low” is not a number"),
            ({"alias": "x", "format": "number", "allowed": "9..1"}, "Allowed: it is a range of numbers"),
            ({"alias": "x", "format": "boolean", "allowed": "yes"}, "Allowed: a boolean is true or false"),
        ):
            assert words in await found.post(f"{path}/resources", 422, **fields)

        await found.post(f"{path}/resources", alias="a/b", format="number", is_synced="on")
        assert "There is a resource of that name" in await found.post(
            f"{path}/resources", 409, alias="a/b", format="number"
        )
        assert (await found.site.resources(path.split("/")[2]))[0].remote_sync
        await found.post(f"{path}/resources/a~2Fb/remote-sync", is_synced="off")
        assert not (await found.site.resources(path.split("/")[2]))[0].remote_sync
        assert "Remote-Sync of “a/b” is off" in await found.get(f"{path}/resources")


async def test_the_device_of_this_machine_fills_the_pages(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        connector = await found.site.create_connector("This machine", host_every_s=60)
        path = f"/connectors/{connector.connector_id}"

        assert "cpu number %" in await found.get(f"{path}/resources")
        assert "host This machine" in await found.get(f"{path}/devices")


# --- keys ---------------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_revoked_after_a_question(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        assert "No key yet" in await found.get("/api-key")
        header = await with_key(found)
        secret = header["Authorization"].split()[1]

        page = await found.get("/api-key")
        assert secret not in page
        assert re.search(rf"historian phk_\S+{secret[-4:]} read readings any never", page)
        assert (await found.http.get(f"/api/v1{path}/resources", headers=header)).status_code == 200
        assert "any just now" in await found.get("/api-key")

        await found.post("/api-key", 200, name="dashboard", **{"scope-read": "on"})
        kept, going = sorted(found.running.access.keys(), key=lambda row: row.key.name)
        way = f"/api-key/{going.key.key_id}/revoke"
        assert "Revoke the key “historian”?" in await found.get(way)
        assert await found.post(way) == way
        assert await found.post(way, confirmed="yes") == "/api-key"
        assert (await found.http.get(f"/api/v1{path}/resources", headers=header)).status_code == 401
        assert found.running.access.keys() == [kept]
        page = await found.get("/api-key")
        assert "The key “historian” is revoked." in page
        assert "1 key Name" in page


async def test_what_is_wrong_with_a_key_is_said_beside_its_field(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        connector_id = (await found.create("Pump house")).split("/")[2]
        await found.post("/api-key", 200, name="taken", **MAY_POST)
        of_device = {"kind": "device", "connector_id": connector_id}
        for fields, status, place, words in (
            ({"name": "", **MAY_POST}, 422, "field-key-name-error", "Name: it takes 1 to 128"),
            ({"name": "taken", **MAY_POST}, 409, "field-key-name-error", "There is a key of that name already"),
            ({"name": "x", "expires_days": "-1", **MAY_POST}, 422, "field-expires-error", "it takes 1 to 3660 days"),
            ({"name": "x", "kind": "program"}, 422, "scopes-error", "they are one or more of read, readings, edit"),
            ({"name": "x", "device": "", **of_device}, 422, "field-key-device-error", "type the identity"),
            ({"name": "x", "device": "nobody", **of_device}, 422, "field-key-device-error", "no such device"),
        ):
            response = await found.http.post("/api-key", data=fields)
            assert response.status_code == status, fields
            assert re.search(rf'id="{place}">.*?{words}', response.text, re.DOTALL), fields
        assert len(found.running.access.keys()) == 1


async def test_n1_the_key_of_a_device_posts_readings_of_that_device_only_and_has_scopes_as_chosen(
    tmp_path: Path,
) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        for identity in ("pump-1", "pump-2"):
            await found.post(f"{path}/devices", identity=identity)
        await found.post(f"{path}/resources", alias="pressure", format="number")
        fields = {"name": "pump", "kind": "device", "connector_id": path.split("/")[2], "device": "pump-1"}
        made = await found.http.post("/api-key", data={**fields, "scope-manage": "on", "expires_days": ""})
        key = re.search(r"phk_\w+", made.text)
        assert key is not None
        header = {"Authorization": f"Bearer {key[0]}"}
        refusals = []
        for identity in ("pump-1", "pump-2"):
            line = f'{{"device": "{identity}", "resource": "pressure", "value": 4}}'
            answer = await found.http.post(f"/api/v1{path}/readings", content=line, headers=header)
            refusals.append([refusal["code"] for refusal in answer.json()["refusals"]])
        assert refusals == [[], ["not_publish_as"]]
        assert (await found.http.get(f"/api/v1{path}/resources", headers=header)).status_code == 403
        assert "readings pump-1 of Pump house just now never" in await found.get("/api-key")
        assert "1 key with “pump-1” Name" in await found.get("/api-key?find=pump-1")
        assert "No such key" in await found.get("/api-key?find=pump-2")


async def test_an_expired_key_is_a_stranger(tmp_path: Path) -> None:
    clock = ShiftedClock()
    async with visitor(tmp_path, clock=clock) as found:
        header = await with_key(found)
        clock.ahead_ms = 31 * 24 * HOUR_MS

        assert (await found.http.get("/api/v1/status", headers=header)).status_code == 401


async def test_a_session_ends_after_hours_without_use(tmp_path: Path) -> None:
    clock = ShiftedClock()
    async with visitor(tmp_path, clock=clock) as found:
        await found.get("/connectors")
        clock.ahead_ms = 13 * HOUR_MS

        assert (await found.http.get("/connectors")).status_code == 303


# --- the rest -----------------------------------------------------------------------------------------------------------


async def test_a_clock_that_jumps_is_a_repair_with_its_fix(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        guard = found.site.guard
        guard.on_tick(1_000, 0)
        guard.on_tick(1_000 + 5 * HOUR_MS, 0)

        page = await found.get(path)
        assert "1 repair" in page
        assert "The clock is in doubt It jumped forward by 5 h. Nothing expires while it is in doubt" in page
        assert "What to do: Set this machine's clock" in page


async def test_a_hub_that_refuses_the_site_is_a_repair(tmp_path: Path) -> None:
    async with visitor(tmp_path, hub_url="http://127.0.0.1:9") as found:
        path = await found.create("Pump house")
        found.site.enrolment.problem = "This hub asks for an enrolment token. Get one from its operator."
        found.site.enrolment.is_refused = True

        assert "This site is not enrolled at its hub" in await found.get(path)
        assert "asks for an enrolment token" in await found.get(f"{path}/remote-sync")


async def test_what_is_not_there_is_a_page_for_people_and_json_for_programs(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        page = await found.get("/nonsense", 404)
        assert "This page does not exist" in page
        assert "Show all connectors" in page
        assert "There is no such connector." in await found.get("/connectors/AAAA-AAAA/devices", 404)
        await found.get("/connectors/AAAA-AAAA/updates?page=overview", 404)

        for path in ("/api/v1/nonsense", "/api/v1/connectors/AAAA-AAAA"):
            answer = await found.http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_our_own_mistake_is_a_page_with_what_to_look_for(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:

        async def broken() -> None:
            raise KeyError("inside")

        found.site.connectors = broken  # type: ignore[assignment, method-assign]
        response = await found.http.get("/connectors")

        assert response.status_code == 500
        assert "inside" not in response.text
        assert re.search(r"look for [0-9a-f]{10}", text_of(response.text))
        assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_a_body_beyond_its_bound_is_refused(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")

        assert (await found.http.post(f"{path}/devices", data={"identity": "x" * 2_200_000})).status_code == 413
        assert (await found.http.post("/login", data={"user_name": "x" * 2_200_000})).status_code == 413

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(3):  # fields that are each within the bound of one
                yield b"field=" + b"x" * 800_000 + b"&"

        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await found.http.post(f"{path}/devices", content=endless(), headers=kind)
        assert answer.status_code == 413


async def test_health_says_that_the_process_runs_and_readiness_why_it_does_not_work(tmp_path: Path) -> None:
    async with visitor(tmp_path, set_up=False) as found:
        assert (await found.http.get("/healthz")).json() == {"status": "ok"}
        nothing: dict[str, Any] = {"reasons": [], "urgent_repairs": [], "repairs": [], "connectors": []}
        assert (await found.http.get("/readyz")).json() == {"status": "ok"} | nothing

        found.site.database._error = "database or disk is full: /var/lib/pairhub/site.db"
        answer = await found.http.get("/readyz")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["the disk refuses to store"])
        (repair,) = answer.json()["repairs"]
        assert (repair["code"], repair["urgent"], repair["count"]) == ("storage_failed", True, 1)
        assert repair["cause"] == "What exactly is the matter stands on the page Repairs, and in the log."
        assert repair["fix"].startswith("Free space or replace the disk;")
        assert "site.db" not in answer.text


async def test_pages_are_for_no_cache_and_no_frame(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        headers = (await found.http.get("/connectors")).headers

        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
