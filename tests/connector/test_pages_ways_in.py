"""The page of ways in, as somebody without scripts walks it: lines that work as copied, this machine, MQTT subscriptions."""

import re
import shlex
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from connector.pages.mqtt_forms import read_values, write_values
from connector.resources import NewResource
from shared.errors import Refused
from tests.connector.mqtt_broker import broker, until_status
from tests.connector.test_pages_site import with_key
from tests.connector.visitors import Visitor, text_of, two_sites, until, visitor
from tests.e2e.stage import free_port

FORM: dict[str, Any] = {
    "name": "line 1",
    "host": "127.0.0.1",
    "enabled": "on",
    "qos": "1",
    "retained": "ignore",
    "template": "plant/{device}/{resource}",
    "payload": "plain",
    "value_path": "$",
    "timestamp_unit": "ms",
}


def lines_to_copy(html: str) -> list[str]:
    """Return what the copy buttons of a page copy."""
    return [unescape(found) for found in re.findall(r'data-copy="([^"]*)"', html)]


async def run_line(found: Visitor, line: str, key: str) -> Any:
    """Post as a shell and curl would with this line."""
    words = shlex.split(line.replace("$PAIRHUB_API_KEY", key))
    assert words[0] == "curl"
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    return (await found.http.post(words[-1], content=words[words.index("-d") + 1], headers=headers)).json()


async def test_n1_each_line_of_the_page_posts_a_reading_as_it_is_copied(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        page = await found.get(f"{path}/ways-in")
        assert "Device and resource are made up: create a resource and create a device first." in page
        assert "A reading of an unknown device is refused" in page

        identity = """it's "a" $pump `1`"""
        await found.post(f"{path}/devices", identity=identity)
        only = NewResource(alias="mode", format="string", allowed={"any": ["it's off"]})
        await found.site.create_resource(path.split("/")[2], only)
        page = (await found.http.get(f"{path}/ways-in")).text
        assert "Device and resource are your first ones." in text_of(page)
        key = (await with_key(found))["Authorization"].split()[1]
        address, *lines, replay = lines_to_copy(page)
        assert address == f"{found.running.url}/api/v1{path}/readings"
        assert len(lines) == 3
        for line in lines:
            answer = await run_line(found, line, key)
            assert (answer["accepted"], answer["refused"]) == (1, 0), (line, answer)
        words = shlex.split(replay)
        assert words[:3] == ["pairhub", "replay", "series.csv"]
        assert words[words.index("--device") + 1] == identity
        assert words[-2:] == ["--url", found.running.url]


async def test_the_device_of_this_machine_is_switched_on_set_and_off_by_the_page(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        id_ = path.split("/")[2]
        for typed in ("0.01", "0", "often", "nan", ""):
            answer = await found.http.post(f"{path}/ways-in/host", data={"is_on": "on", "every_s": typed})
            assert answer.status_code == 422, typed
            assert re.search(r'id="field-host-every-error">.*?Every: it', answer.text, re.DOTALL), typed
        assert "host" not in await found.get(f"{path}/devices")

        for every_s in ("60", "0.1"):
            way = await found.post(f"{path}/ways-in/host", is_on="on", every_s=every_s)
            assert f"This machine is reported every {every_s} s." in await found.get(way)

        async def reported() -> bool:
            return "just now , host" in await found.get(f"{path}/resources")

        await until(reported, "readings of this machine")
        await found.post(f"{path}/ways-in/host")
        assert "This machine is not reported any more." in await found.get(f"{path}/ways-in")
        assert await found.site.host.every_s(id_) == 0
        assert "host This machine" in await found.get(f"{path}/devices")


async def test_n1_a_subscription_is_tried_made_watched_changed_and_deleted_by_the_pages(tmp_path: Path) -> None:
    passwords, tool = tmp_path / "passwords", shutil.which("mosquitto_passwd")
    assert tool is not None, "mosquitto_passwd is missing; ./run test installs it"
    passwords.write_text("plant:secret\n", encoding="utf-8")
    subprocess.run([tool, "-U", str(passwords)], check=True)  # noqa: ASYNC221
    async with (
        broker(tmp_path, "allow_anonymous true", f"password_file {passwords}") as mosquitto,
        visitor(tmp_path) as found,
    ):
        path = await found.create("Pump house")
        await found.post(f"{path}/devices", identity="pump-1")
        await found.post(f"{path}/resources", alias="flow", format="number")
        assert "No subscription" in await found.get(f"{path}/ways-in")
        typed = {**FORM, "port": str(mosquitto.port), "user_name": "plant"}
        await mosquitto.publish(("plant/pump-1/flow", "4.25"), retain=True)

        # Without its password the broker says no, in words; nothing is stored.
        assert "The MQTT broker cannot be used" in await found.post(f"{path}/ways-in/mqtt-test", 200, **typed)
        tried = await found.http.post(f"{path}/ways-in/mqtt-test", data={**typed, "password": "secret"})
        assert "would become: Device Resource Value Time pump-1 flow 4.25 when it arrives" in text_of(tried.text)
        assert 'value="127.0.0.1"' in tried.text
        assert await found.site.mqtt.subscriptions(path.split("/")[2]) == []

        one = await found.post(f"{path}/ways-in/mqtt", **typed, password="secret")
        subscription_id = one.rpartition("/")[2]
        await until_status(found.site.mqtt, subscription_id, "the subscription", state="connected")
        await mosquitto.publish(("plant/pump-1/flow", "4.5"), ("plant/pump-1/flow", "much"), ("plant/nobody/flow", "1"))
        await until_status(found.site.mqtt, subscription_id, "messages", messages=4, accepted=1, refused=2, ignored=1)
        listed = await found.get(f"{path}/ways-in")
        assert f"line 1 127.0.0.1:{mosquitto.port} plant/+/+ connected since" in listed
        assert re.search(r"4 1 2 last: .*? just now", listed)
        shown = await found.http.get(one)
        assert "secret" not in shown.text
        assert "plant/pump-1/flow" in text_of(shown.text)
        assert "'much' is not a number" in text_of(shown.text)
        assert "One is stored; leave this empty to keep it." in text_of(shown.text)

        # An empty password keeps the stored one, for trying and for saving.
        again = await found.post(f"{path}/ways-in/mqtt-test", 200, **typed, subscription_id=subscription_id)
        assert "would become: Device Resource Value Time pump-1" in again
        await found.post(one, **{**typed, "name": "line 2"})
        await until_status(found.site.mqtt, subscription_id, "the changed one", state="connected")
        await found.post(one, **{**typed, "name": "line 2", "forget_password": "on"})
        assert not (await found.site.mqtt.subscription(path.split("/")[2], subscription_id)).password

        assert "Delete the subscription “line 2”?" in await found.get(f"{one}/delete")
        assert await found.post(f"{one}/delete") == f"{one}/delete"
        assert await found.post(f"{one}/delete", confirmed="yes") == f"{path}/ways-in"
        assert "No subscription" in await found.get(f"{path}/ways-in")
        await found.get(one, 404)


async def test_what_is_wrong_with_a_subscription_is_said_beside_its_field_and_what_was_typed_stays(
    tmp_path: Path,
) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        typed = {**FORM, "port": str(free_port())}
        one = await found.post(f"{path}/ways-in/mqtt", **{**typed, "enabled": "off"})
        for field, value, words in (
            ("name", "", "Name: it takes 1 to 128"),
            ("name", "line 1", "There is a MQTT subscription of that name"),
            ("host", "mqtt://broker", "Broker: it takes the name or address of the broker, without mqtt://"),
            ("port", "http", "Port: it is a whole number"),
            ("port", "99999", "Port: it takes 1 to 65535"),
            ("qos", "2", "Quality of service: Invalid enum value 2"),
            ("payload", "xml", "Payload: Invalid enum value"),
            ("template", "plant/{thing}", "Topic template: it takes {device}, {resource} and {gateway}"),
            ("device", "pump-1", "Device: it comes from {device} in the template, or is fixed here"),
            ("resource", "flow", "Resource: it comes from"),
            ("topics", "plant/#/x", "Filters: 'plant/#/x': + and # fill a whole level"),
            ("values", "t", "Several values: line 1 is not like temperature = $.t"),
            ("values", "t = $.t", "Resource: it comes from"),
            ("timestamp_path", "$.at", "Path of the time: it is found in JSON"),
            ("ca", "no PEM", "Certificates: certificates serve TLS only"),
            ("password", "x" * 1_025, "Password: it takes at most 1024"),
        ):
            answer = await found.http.post(f"{path}/ways-in/mqtt", data={**typed, "name": "line 2", field: value})
            assert answer.status_code in (409, 422), field
            place = "resource" if words.startswith("Resource") else field
            found_error = re.search(rf'id="mqtt-{place}-error">(.*?)</p>', answer.text, re.DOTALL)
            assert found_error is not None, field
            assert words in text_of(found_error[1]), field
            assert f'value="{typed["port"]}"' in answer.text or field == "port"
            assert "x" * 1_025 not in answer.text
        assert len(await found.site.mqtt.subscriptions(path.split("/")[2])) == 1
        assert "127.0.0.1" in await found.get(one)
        assert "off switched off" in await found.get(f"{path}/ways-in")

        # A broker that is away: why, on the list and on its page.
        await found.post(one, **typed)
        await until_status(found.site.mqtt, one.rpartition("/")[2], "it to try again", state="reconnecting")
        assert "reconnecting [Errno" in await found.get(f"{path}/ways-in")


async def test_g19_w11_a_target_names_its_source_and_offers_no_way_in(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        path = await two.source.create("Pump house")
        target = f"/connectors/{await two.pair(path.split('/')[2])}"
        answer = await two.target.http.get(f"{target}/ways-in")
        page = text_of(answer.text)
        assert "Readings come from hillside" in page
        assert "Over HTTP" not in page
        assert "MQTT" not in page
        assert f'action="{target}' not in answer.text
        assert (await two.target.post(f"{target}/ways-in/host", 409, is_on="on", every_s="5")).count("hillside")
        for way in ("mqtt", "mqtt-test"):
            refused = await two.target.post(f"{target}/ways-in/{way}", 409, **FORM, port="1883")
            assert "hillside" in refused
        answer = await two.target.http.get(f"{target}/ways-in/mqtt-new")
        assert answer.headers["location"] == f"{target}/ways-in"
        assert "Over HTTP" in await two.source.get(f"{path}/ways-in")


def test_values_of_several_aliases_read_back_as_they_were_written() -> None:
    for values in ({}, {"t": "$.t", "p": "$.list[0].x"}, {"a=b": "$.t"}, {" a": "$.t"}, {"a\nb": "$.t"}, {"{": "$.t"}):
        assert read_values(write_values(values)) == values
    for text in ("t", "= $.t", "t =", "t = $.a\nt = $.b", "{", '{"t": 1}', '{"t": ' + "[" * 20_000):
        with pytest.raises(Refused):
            read_values(text)
