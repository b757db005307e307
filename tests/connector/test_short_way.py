"""The short way in for lines of readings: it is taken, answers as the long way does, and keeps requests in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio

from connector.api.readings_door import ReadingsDoor
from connector.serve import RunningSite, running_site
from connector.settings import SiteSettings
from shared.errors import StorageFailed
from shared.limits import INGEST_BODY_BYTES_MAX
from shared.rig.client import until
from tests.connector.site_stage import NOON_MS, SetClock, line, make_connector, stored

LINES = "application/x-ndjson"


class Way:
    """A served site with a connector, and sockets to it that say exactly what a test wants."""

    def __init__(self, running: RunningSite, connector_id: str, token: str) -> None:
        self.running = running
        self.connector_id = connector_id
        self.token = token
        self.path = f"/api/v1/connectors/{connector_id}/readings"

    def request(self, body: bytes, *more: str, path: str = "", version: str = "1.1", length: bool = True) -> bytes:
        """Lay a request out as bytes."""
        head = [
            f"POST {path or self.path} HTTP/{version}",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {self.token}",
            f"Content-Type: {LINES}",
            *([f"Content-Length: {len(body)}"] if length else []),
            *more,
        ]
        return "\r\n".join([*head, "", ""]).encode() + body

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", int(self.running.url.rpartition(":")[2]))

    async def ask(self, *pieces: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], Any]]:
        """Send pieces on one connection; return status, headers and body of so many answers."""
        async with asyncio.timeout(20):
            reader, writer = await self.connect()
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            found = [await _answer(reader) for _ in range(answers)]
            writer.close()
            await writer.wait_closed()
        return found


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in head[1:] if row)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, msgspec.json.decode(body) if body else None


@pytest_asyncio.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    settings = SiteSettings(port=0, data_dir=tmp_path / "site", site_name="plant")
    async with running_site(settings, SetClock()) as running:
        connector_id = await make_connector(running.site, creates_devices=True)
        yield Way(running, connector_id, (tmp_path / "site" / "operator.token").read_text().strip())


def _no_door(monkeypatch: pytest.MonkeyPatch) -> None:
    async def closed(*_: object) -> bytes:
        raise AssertionError("this request came the long way")

    monkeypatch.setattr(ReadingsDoor, "_answer", closed)


async def test_lines_of_a_program_never_meet_what_is_there_for_pages(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_door(monkeypatch)
    good, bad = line("pump", "flow", 1.5, NOON_MS), line("pump", "flow", "x", NOON_MS + 1)
    ((status, headers, told),) = await way.ask(way.request(good + b"\n" + bad + b"\noops"))
    assert (status, told["accepted"], told["refused"]) == (200, 1, 2)
    assert [(each["line"], each["code"]) for each in told["refusals"]] == [(2, "wrong_format"), (3, "not_json")]
    assert headers["x-content-type-options"] == "nosniff"
    assert {"date", "cache-control", "content-security-policy"} <= set(headers)
    assert await stored(way.running.site, way.connector_id, "flow") == [(NOON_MS, 1.5)]
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {way.token}"}, trust_env=False) as http:
        metrics = (await http.get(way.running.url + "/metrics")).text
    assert 'pairhub_http_requests_total{method="POST",status="200"} 1.0' in metrics


async def test_pipelined_requests_cut_anywhere_are_answered_in_order(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [
        b"\n".join([line("pump", "flow", float(at), NOON_MS + at * 10 + i) for i in range(at)]) for at in (3, 1, 2)
    ]
    requests = [way.request(body) for body in bodies]
    sent = b"".join([requests[0], way.request(b"", path="/api/v1/nowhere"), *requests[1:]])
    step = 97
    pieces = [sent[at : at + step] for at in range(0, len(sent), step)]
    found = await way.ask(*pieces, answers=4)
    assert [status for status, _, _ in found] == [200, 404, 200, 200]
    assert [told["accepted"] for _, _, told in (found[0], *found[2:])] == [3, 1, 2]
    found = await way.ask(sent, answers=4)
    assert [told["repeated"] for _, _, told in (found[0], *found[2:])] == [3, 1, 2]
    _no_door(monkeypatch)
    chunked = way.request(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(bodies[0]), bodies[0]), "Transfer-Encoding: chunked", length=False
    )
    assert (await way.ask(chunked[:-9], chunked[-9:]))[0][2]["repeated"] == 3


async def test_a_connection_ends_and_goes_on_as_the_client_wants(way: Way) -> None:
    body = line("pump", "flow", 1.5, NOON_MS)
    for request, announced in (
        (way.request(body, "Connection: close"), "close"),
        (way.request(body, version="1.0"), "close"),
        (way.request(body), None),
    ):
        ((status, headers, _),) = await way.ask(request)
        assert (status, headers.get("connection")) == (200, announced)
    expecting = way.request(body, "Expect: 100-continue")
    assert [status for status, _, _ in await way.ask(expecting, answers=2)] == [100, 200]


async def test_what_cannot_be_taken_is_refused_by_the_long_way_and_the_next_request_is_taken(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = way.running.site
    good = way.request(line("pump", "flow", 1.5, NOON_MS))
    endless = way.request(b"", "Transfer-Encoding: chunked", length=False)
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    ((status, _, told),) = await way.ask(endless, *[piece] * (INGEST_BODY_BYTES_MAX // 65_536 + 1))
    assert (status, told["code"]) == (413, "body_too_large")
    elsewhere = way.request(b"", path="/api/v1/connectors/AAAA-AAAA/readings")
    stranger = way.request(line("pump", "flow", 2.5, NOON_MS + 1), "X-Report-As: nobody")
    found = await way.ask(elsewhere + stranger + good, answers=3)
    assert [status for status, _, _ in found] == [404, 200, 200]
    assert [each["code"] for each in found[1][2]["refusals"]] == ["not_publish_as"]
    assert found[2][2]["accepted"] == 1

    def refuse(*_: object, **_more: object) -> None:
        raise StorageFailed("no room")

    with monkeypatch.context() as broken:
        broken.setattr(site.database, "begin", refuse)
        assert (await way.ask(good))[0][2]["code"] == "storage_failed"
    with monkeypatch.context() as broken:
        broken.setattr(site.ingestion, "begin", lambda *_: 1 // 0)
        assert (await way.ask(good))[0][0] == 500
    with monkeypatch.context() as broken:
        broken.setattr("connector.offers.Intake.offer", lambda *_, **__: 1 // 0)
        assert (await way.ask(good))[0][0] == 500
    assert (await way.ask(good))[0][2]["repeated"] == 1


async def test_requests_that_share_a_unit_of_work_each_hear_what_became_of_theirs(way: Way) -> None:
    """Many wait while the writer is held: good ones, one that makes a device, one of a gateway that may not."""
    site = way.running.site
    held = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = site.database.commits

    def hold(_: object) -> None:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(20)

    async def all_wait() -> bool:
        return (
            sum(len(offers._group._requests) for _, _, offers in site.ingestion._offers.values() if offers._group) == 22
        )

    holding = asyncio.ensure_future(site.database.write(hold))
    async with asyncio.TaskGroup() as tasks:
        good = [
            tasks.create_task(way.ask(way.request(line("pump", "flow", float(at), NOON_MS + at)))) for at in range(20)
        ]
        makes = tasks.create_task(way.ask(way.request(line("fan", "flow", 1.0, NOON_MS))))
        stranger = tasks.create_task(way.ask(way.request(line("pump", "flow", 1.0, 1), "X-Report-As: nobody")))
        await until(all_wait, what="all requests to wait for the writer", every_s=0.005)
        held.set()
    await holding
    assert [each.result()[0][2]["accepted"] for each in (*good, makes)] == [1] * 21
    assert [each["code"] for each in stranger.result()[0][2]["refusals"]] == ["not_publish_as"]
    assert len(await stored(site, way.connector_id, "flow")) == 20
    assert len(await stored(site, way.connector_id, "flow", "fan")) == 1
    assert site.database.commits - before <= 5
