"""The list of devices and the page of one, as somebody without scripts walks them: W7, W8, W12."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from connector.editing import NewDevice
from hub.serve import running_hub
from hub.settings import HubSettings
from shared.core.judge import PeerRights
from tests.connector.test_pages_paired import path_of, shows, standalone
from tests.connector.visitors import Visitor, two_sites, visitor

RIGHTS = PeerRights.__struct_fields__


async def many(found: Visitor, connector_id: str, count: int) -> None:
    """Add devices `d-0000`, ... with a tag each."""
    new = [
        NewDevice(identity=f"d-{at:04}", name=f"Device {count - at}", tags=[("floor", str(at % 7))])
        for at in range(count)
    ]
    edited = await found.site.editing.create_devices(connector_id, new, who="admin")
    assert not edited.refused


async def rows_of(found: Visitor, path: str) -> list[str]:
    """Return the identities that a list shows, in its order."""
    html = (await found.http.get(path)).text
    return re.findall(r'class="row-link mono" href="[^"]*">([^<]+)</a>', html)


async def test_w12_ten_thousand_devices_are_found_by_filter_order_and_page(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        connector_id = await standalone(found)
        await many(found, connector_id, 10_000)
        listed = f"{path_of(connector_id)}/devices"

        assert await rows_of(found, listed) == [f"d-{at:04}" for at in range(50)]
        assert "10,000 devices" in await found.get(listed)
        html = (await found.http.get(listed)).text
        following = re.findall(r'href="([^"]+)" rel="next"', html)[0].replace("&amp;", "&")
        assert await rows_of(found, following) == [f"d-{at:04}" for at in range(50, 100)]
        assert "First page" in await found.get(following)

        assert (await rows_of(found, f"{listed}?way=desc"))[0] == "d-9999"
        assert (await rows_of(found, f"{listed}?sort=name"))[0] == "d-9999", "Device 1"
        assert await rows_of(found, f"{listed}?search=d-012") == [f"d-{at:04}" for at in range(120, 130)]
        assert "1,428 match" in await found.get(f"{listed}?tag=floor%3D4")
        assert "10,000 match" in await found.get(f"{listed}?tag=floor&status=never&lock=unlocked")
        assert "No device matches" in await found.get(f"{listed}?lock=locked")
        assert "it is not one that this list gave" in await found.get(f"{listed}?after=nonsense", 422)


async def test_w12_many_devices_are_tagged_locked_and_deleted_at_once(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        connector_id = await standalone(found)
        await many(found, connector_id, 60)
        listed, bulk = f"{path_of(connector_id)}/devices", f"{path_of(connector_id)}/devices-bulk"

        async def do(**fields: object) -> str:
            response = await found.http.post(bulk, data=fields)
            assert response.status_code == 303, response.text[:300]
            return await found.get(response.headers["location"])

        assert "no device is selected" in await do(action="lock")
        text = await do(action="add_tag", identity=["d-0001", "d-0002", "ghost"], tag_name="vendor", tag_value="acme")
        assert "Tag “vendor=acme” added to 2 devices." in text
        assert "Refused for 1." in text
        assert await rows_of(found, f"{listed}?tag=vendor%3Dacme") == ["d-0001", "d-0002"]
        assert "no device is selected" in await do(action="lock", everything="yes", where="there")
        only_there = f"{path_of(connector_id)}/devices-export?format=json&where=there"
        assert (await found.http.get(only_there)).json() == []
        await do(action="lock", everything="yes", tag="floor=3")
        assert len(await rows_of(found, f"{listed}?lock=locked")) == len(range(3, 60, 7))
        await do(action="grant", identity=["d-0001"], subject_kind="group", subject="night shift", level="write")
        assert "night shift at hillside" in await found.get(f"{listed}/d-0001")

        asked = await found.http.post(bulk, data={"action": "delete", "identity": ["d-0001", "d-0002"]})
        assert "Delete 2 devices?" in asked.text
        assert "60 devices" in await found.get(listed), "nothing is deleted before it is confirmed"
        await found.post(f"{path_of(connector_id)}/devices-delete", identities="d-0001\r\nd-0002")
        assert "58 devices" in await found.get(listed)


async def test_w12_a_file_is_previewed_then_imported_and_exported_to_the_same(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        connector_id = await standalone(found)
        page = f"{path_of(connector_id)}/devices-import"
        text = 'identity,name,tags\npump-1,Pump 1,floor=2;floor=3\n"",Nameless,\npump-2,Pump 2,\n'

        seen = await found.http.post(page, files={"file": ("devices.csv", text.encode(), "text/csv")})
        assert seen.status_code == 200
        assert "new" in seen.text
        assert "1 to" in seen.text
        assert await rows_of(found, f"{path_of(connector_id)}/devices") == []
        await found.post(page, text=text, apply="yes")

        listed = await found.get(f"{path_of(connector_id)}/devices")
        assert "2 devices" in listed
        assert "1 rows were refused" in listed
        exported = (await found.http.get(f"{path_of(connector_id)}/devices-export?format=csv")).text
        again = await found.http.post(page, data={"text": exported})
        assert "as they are" in again.text
        assert await found.get(f"{path_of(connector_id)}/devices-export?format=json&search=pump-2")
        assert "it is empty" in await found.post(page, 422, text=" ")


async def test_w8_each_part_of_a_device_is_edited_and_its_history_kept(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        connector_id = await standalone(found)
        device = f"{path_of(connector_id)}/devices/pump-1"
        await found.post(f"{path_of(connector_id)}/devices", identity="pump-1")
        await found.post(device, name="Pump one", description="By the gate")
        await found.post(f"{device}/lock", locked="yes")
        site_id = found.site.identity.site_id
        grant: dict[str, Any] = {
            "kind": "user",
            "name": "ann",
            "site_id": site_id,
            "level": "manage",
            "scope": "device",
        }
        await found.post(f"{device}/grants", **grant, expires="2031-01-31")
        await found.post(f"{device}/grants", **grant | {"scope": "all", "name": "bob"}, expires="")
        await found.post(f"{device}/publish-as", pattern="hall-*")
        await found.post(f"{device}/configuration", configuration='{"interval_s": 5}')

        text = await found.get(device)
        for words in (
            "Name Pump one",
            "By the gate",
            "locked",
            "ann at hillside until",
            "bob at hillside all devices of this connector",
            "hall-*",
            '"interval_s": 5',
            "permission of user ann not there manage admin hillside",
            "device not there there admin hillside",
        ):
            assert words in text
        assert "it is a date such as" in await found.post(f"{device}/grants", 422, **grant, expires="soon")
        assert "JSON object" in await found.post(f"{device}/configuration", 422, configuration="[1]")
        await found.post(f"{device}/grants/remove", kind="user", name="ann", site_id=site_id, scope="device")
        await found.post(f"{device}/publish-as/remove", pattern="hall-*")
        await found.post(f"{device}/lock", locked="no")
        assert "ann at hillside" not in await found.get(device)

        assert "Delete “pump-1”?" in await found.get(f"{device}/delete")
        await found.post(f"{device}/delete", confirmed="yes")
        await found.get(device, 404)
        assert "pump-1 there deleted admin" in await found.get(f"{path_of(connector_id)}/changes")


async def test_w8_n7_a_value_set_at_the_target_is_followed_and_a_conflict_is_settled_by_a_person(
    tmp_path: Path,
) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        source = path_of(source_id)
        await two.source.post(f"{source}/devices", identity="fan")
        await two.source.post(
            f"{source}/resources", alias="mode", format="string", allowed="auto, off", is_settable="on"
        )
        target_id = await two.pair(source_id)
        target = path_of(target_id)
        await shows(two.target, f"{target}/devices/fan", "Edits applied on both")
        await two.target.post(f"{target}/resources/mode/create-here")
        await shows(two.target, f"{target}/devices/fan", "Set")

        await two.source.post(f"{source}/sharing/rights", edit_devices="on", edit_tags="on", look_up="on")
        await two.target.post(f"{target}/devices/fan/set", alias="mode", value="off")
        text = await shows(two.target, f"{target}/devices/fan", "refused The other site does not let this one edit")
        await two.target.post(f"{target}/devices/fan/refusals")
        assert "Put away" not in await two.target.get(f"{target}/devices/fan")
        await two.source.post(f"{source}/sharing/rights", set_values="on", edit_devices="on", look_up="on")
        await two.target.post(f"{target}/sharing/policies", devices="target")
        await shows(two.source, f"{source}/changes", "conflict policy for devices all – target")

        await two.target.post(f"{target}/devices/fan/set", alias="mode", value="auto")
        await shows(two.source, f"{source}/devices/fan", "mode – auto")
        await shows(two.target, f"{target}/devices/fan", "mode, value set – auto admin riverside")

        # Both rename while they cannot hear of each other.
        await two.hub.stop()
        await two.source.post(f"{source}/devices/fan", name="Fan by source", description="")
        await two.target.post(f"{target}/devices/fan", name="Fan by target", description="")
        assert "pending" in await two.source.get(f"{source}/devices/fan")
        assert await rows_of(two.source, f"{source}/devices?sync=pending") == ["fan"]
        port = int(two.hub.url.rpartition(":")[2])
        async with running_hub(HubSettings(port=port, data_dir=tmp_path / "hub", open_enrolment=True)):
            text = await shows(two.source, f"{source}/changes", "Restore “Fan by source”")
            assert "Stands, by admin at riverside Fan by target" in text
            assert await rows_of(two.source, f"{source}/devices?sync=conflict") == ["fan"]
            (settle,) = set(re.findall(r"/changes/(\d+)", (await two.source.http.get(f"{source}/devices/fan")).text))

            back = await two.source.post(f"{source}/changes/{settle}", act="restore", back="//evil.example/")
            assert back == f"{source}/changes"

            await shows(two.target, f"{target}/devices/fan", "Name Fan by source")
            assert "Restore “" not in await shows(two.source, f"{source}/devices/fan", "Edits applied on both")

        # Two people who each take a right, or choose a policy, at the same time: none undoes what the other did.
        await two.source.site.editing.set_peer_rights(source_id, dict.fromkeys(RIGHTS, True), who="admin")
        shown = {f"was-{name}": "on" for name in RIGHTS}
        for taken in ("edit_tags", "replay"):
            chosen = {name: "on" for name in RIGHTS if name != taken}
            await two.source.http.post(f"{source}/sharing/rights", data=shown | chosen)
        rights = await two.source.site.editing.peer_rights(source_id)
        assert [name for name in RIGHTS if not getattr(rights, name)] == ["edit_tags", "replay"]
        taken_each = [{name: False} for name in ("edit_grants", "set_values", "look_up", "edit_devices")]
        url = f"/api/v1{source}/peer-rights"
        await asyncio.gather(*(two.source.http.put(url, json=each) for each in taken_each))
        rights = await two.source.site.editing.peer_rights(source_id)
        assert [name for name in RIGHTS if getattr(rights, name)] == ["edit_configuration", "edit_resources"]
        shown = {"was-tags": "newer", "was-grants": "newer"}
        for chosen in ({"tags": "source", "grants": "newer"}, {"tags": "newer", "grants": "target"}):
            await two.source.http.post(f"{source}/sharing/policies", data=shown | chosen)
        policies = await two.source.site.editing.policies(source_id)
        assert (policies["tags"], policies["grants"]) == ("source", "target")
