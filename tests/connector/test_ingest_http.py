"""Readings over HTTP: the answer's counts, refusals of whole requests, and which keys may post."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from connector.access import ACTIONS, KEY_SCOPES
from connector.serve import RunningSite, running_site
from connector.settings import SiteSettings
from shared.limits import INGEST_BODY_BYTES_MAX, INGEST_LINES_MAX
from shared.trust import trust_for
from tests.connector.site_stage import NOON_MS, SetClock, line, make_connector, stored


class Door:
    """A served site with a connector, and a program that asks it."""

    def __init__(self, running: RunningSite, connector_id: str, http: httpx2.AsyncClient) -> None:
        self.running = running
        self.connector_id = connector_id
        self.http = http

    async def post(
        self, body: bytes | AsyncIterator[bytes], token: str | None = None, **headers: str
    ) -> httpx2.Response:
        """Post readings."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.post(f"/api/v1/connectors/{self.connector_id}/readings", content=body, headers=headers)


@pytest_asyncio.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    settings = SiteSettings(port=0, data_dir=tmp_path / "site", site_name="plant")
    async with running_site(settings, SetClock()) as running:
        connector_id = await make_connector(running.site)
        token = (tmp_path / "site" / "operator.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(
            base_url=running.url, headers=headers, trust_env=False, verify=trust_for(running.url), timeout=30
        ) as http:
            yield Door(running, connector_id, http)


async def test_the_answer_counts_and_names_every_refusal_by_its_line(door: Door) -> None:
    body = b"\n".join(
        [
            line("pump", "flow", 1.5, NOON_MS),
            b"oops",
            line("pump", "flow", 1.5, NOON_MS),
            line("pump", "flow", 2.5, NOON_MS),
            line("pump", "on", True, "2025-11-20T15:00:00+01:00"),
            line("ghost", "flow", 1, NOON_MS),
            line("pump", "note", "Grüße 😀", NOON_MS),
        ]
    )
    answer = await door.post(body)
    assert answer.status_code == 200
    told = answer.json()
    assert {name: told[name] for name in ("accepted", "repeated", "refused")} == {
        "accepted": 3,
        "repeated": 1,
        "refused": 3,
    }
    assert [(refusal["line"], refusal["code"]) for refusal in told["refusals"]] == [
        (2, "not_json"),
        (4, "timestamp_taken"),
        (6, "unknown_device"),
    ]
    assert all(refusal["message"] for refusal in told["refusals"])
    assert await stored(door.running.site, door.connector_id, "note") == [(NOON_MS, "Grüße 😀")]
    batch = b'{"identity": "pump", "payload": [{"timestamp": 0, "values": {"flow": 1, "heat": 2}}]}'
    told = (await door.post(batch, **{"Content-Type": "application/json"})).json()
    assert (told["accepted"], told["refused"]) == (1, 1)
    assert [refusal["at"] for refusal in told["refusals"]] == ["payload[0].values.heat"]
    shown = await door.http.get(f"/api/v1/connectors/{door.connector_id}/readings?device=pump&resource=on")
    assert shown.json()["readings"] == [[NOON_MS, True]]


async def test_creates_devices_is_switched_on_and_off(door: Door) -> None:
    one = f"/api/v1/connectors/{door.connector_id}"
    for at, creates, accepted in ((0, False, 0), (1, True, 1), (2, False, 1)):
        changed = await door.http.patch(one, json={"name": "m", "creates_devices": creates})
        assert changed.json()["creates_devices"] is creates
        told = (await door.post(line("fan", "flow", 1.0, NOON_MS + at))).json()
        assert (told["accepted"], told["refused"]) == (accepted, 1 - accepted)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
async def test_too_many_lines_are_refused_as_a_whole(door: Door, content_type: str) -> None:
    body = b"\n".join([line("pump", "flow", 1)] * (INGEST_LINES_MAX + 1))
    answer = await door.post(body, **{"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_lines")
    assert await stored(door.running.site, door.connector_id, "flow") == []


@pytest.mark.parametrize("length", ["stated", "unstated"])
async def test_a_body_that_is_too_large_is_refused_as_a_whole(door: Door, length: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(INGEST_BODY_BYTES_MAX // 65_536 + 1):
            yield b" " * 65_536

    answer = await door.post(b" " * (INGEST_BODY_BYTES_MAX + 1) if length == "stated" else chunks())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert (await door.post(line("pump", "flow", 1.0, NOON_MS))).json()["accepted"] == 1


@pytest.mark.parametrize("body", [b"", b"\n\n"])
async def test_nothing_is_taken_from_an_empty_body(door: Door, body: bytes) -> None:
    answer = await door.post(body)
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 0, "repeated": 0, "refused": 0, "refusals": []}


async def test_a_connector_that_is_not_there_or_disabled_takes_nothing(door: Door) -> None:
    missing = await door.http.post("/api/v1/connectors/AAAA-AAAA/readings", content=line("pump", "flow", 1))
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    await door.http.post(f"/api/v1/connectors/{door.connector_id}/disable")
    disabled = await door.post(line("pump", "flow", 1))
    assert (disabled.status_code, disabled.json()["code"]) == (409, "connector_disabled")


async def test_a_key_may_post_readings_and_read_but_neither_edit_nor_manage(door: Door) -> None:
    key = await door.running.access.create_key("gateway", None)
    assert {"read", "readings"} == KEY_SCOPES
    assert (await door.post(line("pump", "flow", 1.0, NOON_MS), key)).json()["accepted"] == 1
    headers = {"Authorization": f"Bearer {key}"}
    one = f"/api/v1/connectors/{door.connector_id}"
    answers: dict[str, Any] = {
        "read": await door.http.get(one, headers=headers),
        "edit": await door.http.post(one + "/devices", json={"identity": "x"}, headers=headers),
        "manage": await door.http.post("/api/v1/connectors", json={"name": "x"}, headers=headers),
    }
    assert set(answers) | {"readings", "audit"} == set(ACTIONS)
    assert answers["read"].status_code == 200
    for action in ("edit", "manage"):
        assert (answers[action].status_code, answers[action].json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("token", ["nonsense", "phk_" + "A" * 50])
async def test_without_a_key_nothing_is_taken(door: Door, token: str) -> None:
    answer = await door.post(line("pump", "flow", 1.0, NOON_MS), token)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert await stored(door.running.site, door.connector_id, "flow") == []


async def test_a_revoked_or_expired_key_is_refused(door: Door) -> None:
    revoked = await door.running.access.create_key("gone", None)
    assert (await door.post(b"", revoked)).status_code == 200
    (row,) = door.running.access.keys()
    await door.running.access.revoke_key(row.key.key_id)
    assert (await door.post(b"", revoked)).status_code == 401
    key = await door.running.access.create_key("short", 1)
    assert (await door.post(b"", key)).status_code == 200
    clock = door.running.site.clock
    assert isinstance(clock, SetClock)
    clock.now_ms += 86_400_001
    assert (await door.post(b"", key)).status_code == 401


async def test_a_strange_query_is_refused_in_words(door: Door) -> None:
    one = f"/api/v1/connectors/{door.connector_id}/readings?device=pump&resource=flow"
    for query in ("&from=noon", "&to=²", "&limit=x", "&from=2025-11-20"):
        answer = await door.http.get(one + query)
        assert answer.status_code == 422, query
        assert answer.json()["message"]


async def test_huge_and_hostile_bodies_never_fail_the_server(door: Door) -> None:
    for body in (
        b"\x00" * 1_000,
        b'{"x":' + b"[" * 100_000,
        b'{"device":' + b'"' + b"\\u0000" * 1_000 + b'"' + b',"resource":"flow","value":1}',
        b'{"device":"pump","resource":"flow","value":1,"timestamp":"' + b"9" * 10_000 + b'"}',
        b'{"device":"pump","resource":"flow","value":' + b"9" * 10_000 + b"}",
        b'{"device":"pump","resource":"flow","value":1,"timestamp":' + b"9" * 10_000 + b"}",
        b'{"value":1e400}' * 100,
    ):
        answer = await door.post(body)
        assert answer.status_code == 200, body[:60]
        assert answer.json()["accepted"] == 0
        assert answer.json()["refused"] >= 1
    for body in (b"[" * 100_000, b'{"identity":"pump","payload":' + b"[" * 100_000):
        answer = await door.post(body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), body[:60]


async def test_the_short_way_in_answers_every_request_as_the_long_way_does(door: Door) -> None:
    site, access = door.running.site, door.running.access
    await site.create_device(door.connector_id, "gateway")
    bound = await access.create_key("d", None, connector_id=door.connector_id, device="pump")
    reader = await access.create_key("r", None, frozenset({"read"}))
    good = line("pump", "flow", 1.0, NOON_MS)
    # A path with a letter written in another way leads through everything that is there for pages.
    quoted = f"%{ord(door.connector_id[0]):02X}{door.connector_id[1:]}"
    missing = [f"{'%41' if way == quoted else 'A'}AAA-AAAA" for way in (door.connector_id, quoted)]
    requests: list[tuple[bytes, dict[str, str]]] = [
        (good, {}),
        (good + b"\noops\n", {"Content-Type": "application/x-ndjson"}),
        (b"[1]", {"Content-Type": "application/json"}),
        (b"[", {"Content-Type": "application/json"}),
        (b"", {}),
        (good, {"X-Report-As": "nobody"}),
        (good, {"Authorization": f"Bearer {bound}"}),
        (good, {"Authorization": f"Bearer {bound}", "X-Report-As": "gateway"}),
        (line("gateway", "flow", 1.0, NOON_MS), {"Authorization": f"bearer  {bound}"}),
        (good, {"Authorization": f"Bearer {reader}"}),
        (good, {"Authorization": "Bearer pho_wrong"}),
        (good, {"Authorization": "Bearer phk_wrong"}),
        (good, {"Authorization": "Basic cHVtcA=="}),
        (good, {"Authorization": ""}),
        (good, {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}),
        (b" " * (INGEST_BODY_BYTES_MAX + 1), {}),
        (good, {"Host": "elsewhere.example"}),
    ]
    await door.post(good)
    seen: set[int] = set()
    for body, headers in requests + [
        (body, {"Content-Type": "application/x-ndjson"} | more) for body, more in requests
    ]:
        answers = [
            await door.http.post(f"/api/v1/connectors/{way}/readings?x=1", content=body, headers=headers)
            for way in (door.connector_id, quoted)
        ]
        told = [(each.status_code, dict(each.headers) | {"date": ""}, each.content) for each in answers]
        assert told[0] == told[1], (body[:100], headers)
        seen.add(answers[0].status_code)
    nowhere = [await door.http.post(f"/api/v1/connectors/{way}/readings", content=good) for way in missing]
    assert nowhere[0].status_code == nowhere[1].status_code == 404
    assert nowhere[0].json() == nowhere[1].json()
    assert {200, 401, 403, 413} <= seen
