"""Pages of lists that stay in step while rows come and go, and ETags that keep two writers apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from connector.cursors import encode_cursor
from tests.connector.api_walk import Walk, walking
from tests.connector.site_stage import NOON_MS, line


class Yard:
    """A connector with devices and a resource, asked by a program."""

    def __init__(self, walk: Walk, connector_id: str) -> None:
        self.walk = walk
        self.connector_id = connector_id

    async def ask(self, name: str, body: Any = None, **more: Any) -> Any:
        return await self.walk.ask(name, body, connector_id=self.connector_id, **more)

    async def pages(self, name: str, key: str, limit: int, meanwhile: Any = None, **query: str) -> list[Any]:
        """Return the key of all rows of a list, read page after page by the Link header's cursor."""
        found: list[Any] = []
        after: str | None = ""
        while after is not None:
            asked = {"limit": str(limit), **query, **({"after": after} if after else {})}
            answer = await self.ask(name, query=asked)
            page = answer.json()
            found += [row[key] for row in page["rows"]]
            assert len(page["rows"]) <= limit
            after = page["next"]
            assert ('rel="next"' in answer.headers.get("link", "")) == (after is not None)
            if meanwhile is not None:
                await meanwhile(len(found))
        return found


@pytest_asyncio.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with walking(tmp_path) as walk:
        made = (await walk.ask("create_connector", {"name": "yard"})).json()
        yard = Yard(walk, made["connector_id"])
        await yard.ask("create_many", {"devices": [{"identity": f"d{at:02}"} for at in range(9)]})
        await yard.ask("create_resource", {"alias": "flow", "format": "number"})
        yield yard


async def test_w7_pages_of_devices_neither_repeat_nor_skip_while_devices_come_and_go(yard: Yard) -> None:
    async def meanwhile(seen: int) -> None:
        if seen == 3:
            await yard.ask("delete_device", identity="d00")
            await yard.ask("delete_device", identity="d05")
            await yard.ask("create_device", {"identity": "d02a"})
            await yard.ask("create_device", {"identity": "d01a"})

    found = await yard.pages("list_devices", "identity", 3, meanwhile)
    assert found == ["d00", "d01", "d02", "d02a", "d03", "d04", "d06", "d07", "d08"]
    down = await yard.pages("list_devices", "identity", 4, descending="true", sort="name")
    assert down == sorted(down, reverse=True)
    assert len(down) == 9


async def test_every_list_comes_in_pages_that_follow_each_other(yard: Yard) -> None:
    for at in range(3):
        await yard.ask("create_resource", {"alias": f"r{at}", "format": "number"})
    assert await yard.pages("list_resources", "alias", 1) == ["flow", "r0", "r1", "r2"]
    changes = await yard.pages("list_changes", "change_id", 4)
    assert changes == sorted(changes, reverse=True)
    assert len(changes) == len(set(changes)) == 18  # existence and name of nine devices
    body = b"\n".join(line("d01", "flow", float(at), NOON_MS + at) for at in range(5))
    await yard.ask("post_readings", body)
    series = {"device": "d01", "resource": "flow", "limit": "2"}
    found: list[Any] = []
    after: str | None = ""
    while after is not None:
        page = (await yard.ask("list_readings", query={**series, **({"after": after} if after else {})})).json()
        found += page["readings"]
        after = page["next"]
    assert found == [[NOON_MS + at, float(at)] for at in range(5)]


async def test_a_cursor_of_another_list_order_or_hand_is_refused_in_words(yard: Yard) -> None:
    good = (await yard.ask("list_devices", query={"limit": "2"})).json()["next"]
    change = (await yard.ask("list_changes", query={"limit": "2"})).json()["next"]
    for name, query in (
        ("list_devices", {"after": "nonsense!"}),
        ("list_devices", {"after": encode_cursor(7)}),
        ("list_devices", {"after": good[:-4]}),
        ("list_devices", {"after": good, "sort": "name"}),
        ("list_changes", {"after": good}),
        ("list_gaps", {"after": good}),
        ("list_conflicts", {"after": change}),
        ("list_readings", {"after": good, "device": "d01", "resource": "flow"}),
    ):
        refused = await yard.ask(name, query=query, status=400)
        assert refused.json()["code"] == "cursor_unknown", name
    for limit in ("0", "501", "-1", "x"):
        await yard.ask("list_devices", query={"limit": limit}, status=422)


# By kind: the parts of its path, and two edits that do not go together.
RACES: dict[str, tuple[dict[str, str], str, dict[str, Any], dict[str, Any]]] = {
    "connector": (
        {},
        "change_connector",
        {"name": "a", "creates_devices": False},
        {"name": "b", "creates_devices": False},
    ),
    "device": ({"identity": "d01"}, "change_device", {"name": "A"}, {"name": "B"}),
    "resource": ({"alias": "flow"}, "change_resource", {"unit": "l/s"}, {"unit": "m3/h"}),
}


async def test_w8_w9_w12_of_two_writers_with_the_same_etag_one_is_refused(yard: Yard) -> None:
    for kind, (parts, name, *bodies) in RACES.items():
        etag = (await yard.ask(f"get_{kind}", **parts)).headers["etag"]
        both = [yard.ask(name, body, headers={"If-Match": etag}, status=-1, **parts) for body in bodies]
        answers = sorted(await asyncio.gather(*both), key=lambda answer: int(answer.status_code))
        assert [answer.status_code for answer in answers] == [200, 412], kind
        refused = answers[1]
        assert refused.json()["code"] == "changed_meanwhile"
        # The refusal brings the present ETag, with which the edit may be made on purpose.
        present = refused.headers["etag"]
        assert present.partition("-")[0] == answers[0].headers["etag"].partition("-")[0] != etag.partition("-")[0]
        await yard.ask(name, bodies[0], headers={"If-Match": present}, **parts)


async def test_an_etag_spares_the_answer_and_outlives_readings_for_edits(yard: Yard) -> None:
    here = {"identity": "d01"}
    etag = (await yard.ask("get_device", **here)).headers["etag"]
    assert (await yard.ask("get_device", headers={"If-None-Match": etag}, **here)).status_code == 304
    assert (await yard.ask("get_device", headers={"If-None-Match": f'"x", W/{etag}'}, **here)).status_code == 304
    await yard.ask("post_readings", line("d01", "flow", 1.0, NOON_MS))
    fresh = await yard.ask("get_device", headers={"If-None-Match": etag}, **here)
    assert fresh.status_code == 200, "there is a value now"
    assert fresh.headers["etag"] != etag
    # The reading is no reason to refuse an edit of somebody who has not seen it.
    await yard.ask("change_device", {"description": "By the gate"}, headers={"If-Match": etag}, **here)
    for condition in (etag, f"W/{etag}", '"none"'):
        await yard.ask("delete_device", headers={"If-Match": condition}, status=412, **here)
    await yard.ask("delete_device", headers={"If-Match": f'"none", {"*"}'}, status=412, **here)
    await yard.ask("delete_device", headers={"If-Match": "*"}, **here)
    await yard.ask("delete_device", headers={"If-Match": "*"}, status=404, **here)


async def test_w8_a_patch_changes_what_it_names_and_nothing_else(yard: Yard) -> None:
    here = {"identity": "d02"}
    body = {"name": "Gate", "description": "North", "configuration": {"rate": 5}}
    shown = (await yard.ask("change_device", body, **here)).json()
    assert (shown["device"]["name"], shown["configuration"]) == ("Gate", {"rate": 5})
    shown = (await yard.ask("change_device", {"locked": True}, **here)).json()
    assert shown["device"]["locked"] is True
    assert (shown["device"]["name"], shown["device"]["description"]) == ("Gate", "North")
    await yard.ask("change_device", {"description": "South", "name": ""}, **here, status=422)
    assert (await yard.ask("get_device", **here)).json()["device"]["description"] == "North"


async def test_w7_a_name_with_slashes_and_a_word_of_ours_are_devices_like_any_other(yard: Yard) -> None:
    for identity in ("roof/pump/tags", "export", "Grüße 😀 %2F", ".."):
        await yard.ask("create_device", {"identity": identity})
    assert (await yard.ask("get_device", identity="roof/pump/tags")).json()["device"]["identity"] == "roof/pump/tags"
    assert (await yard.ask("get_device", identity="Grüße 😀 %2F")).json()["device"]["identity"] == "Grüße 😀 %2F"
    one = f"/api/v1/connectors/{yard.connector_id}/devices/%65xport"
    assert (await yard.walk.http.get(one)).json()["device"]["identity"] == "export"


async def test_w8_bulk_edits_say_what_each_device_was_refused_and_do_the_others(yard: Yard) -> None:
    action = {"do": "lock"}
    told = await yard.ask("edit_many", {"select": {"identities": ["d01", "ghost", "d02"]}, "action": action})
    outcome = told.json()
    assert (outcome["selected"], outcome["changed"]) == (3, 2)
    assert [(one["identity"], one["code"]) for one in outcome["refused"]] == [("ghost", "not_found")]
    told = await yard.ask("edit_many", {"select": {"filter": {"lock": "locked"}}, "action": {"do": "delete"}})
    assert told.json()["selected"] == 2
    left = (await yard.ask("list_devices")).json()
    assert left["total"] == 7
