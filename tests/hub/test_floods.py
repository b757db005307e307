"""Hostile peers over real sockets: each is thrown out, and the others do not notice (SECURITY, floods)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from hub.serve import RunningHub, running_hub
from shared.joining import ENROL_PATH, LINK_PATH
from shared.messages import HelloBack, Sealed
from shared.sealing import Kind
from tests.hub.client import Denied, SiteClient, both_linked, enrolled
from tests.hub.test_links import a_pair, settings
from tests.hub.test_relay import sealed

WAIT_S = 15.0


async def dial(running: RunningHub) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(running.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def upgraded(client: SiteClient, connector_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw socket behind an accepted upgrade, for frames that no library would send."""
    assertion = client.assertion(connector_id, await client.nonce())
    address = urlsplit(client.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        f"GET {LINK_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {assertion}\r\nPairhub-Start: aa\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head
    return reader, writer


def raw_frame(opcode: int, *, final: bool, payload: bytes = b"") -> bytes:
    """A masked WebSocket frame with an all-zero mask (RFC 6455, 5.2)."""
    assert len(payload) < 126
    return bytes([(0x80 if final else 0) | opcode, 0x80 | len(payload)]) + bytes(4) + payload


async def thrown_out(reader: asyncio.StreamReader) -> None:
    """Wait until the hub has cut a connection."""
    async with asyncio.timeout(WAIT_S):
        try:
            while await reader.read(65_536):
                pass
        except ConnectionError:
            pass


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"GET /" + b"x" * 100_000])
async def test_a_request_that_is_never_finished_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("shared.serving.HANDSHAKE_DEADLINE_S", 0.3)
    async with running_hub(settings(tmp_path)) as running:
        reader, writer = await dial(running)
        writer.write(sent)
        await thrown_out(reader)
        writer.close()


async def test_a_request_of_values_in_values_is_refused_and_no_mistake_of_the_hub(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        with pytest.raises(Denied) as denied:
            await plant.ask("POST", ENROL_PATH, msgspec.Raw(b'{"later":' + b"[" * 3_000))
        assert denied.value.code == "invalid"
        assert [record.message for record in caplog.records if record.exc_info] == []


async def test_an_upgrade_without_a_hello_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.links.HANDSHAKE_DEADLINE_S", 0.3)
    async with running_hub(settings(tmp_path)) as running:
        reader, writer = await upgraded(await enrolled(running, "plant"), "SRC1-SRC1")
        await thrown_out(reader)
        writer.close()
        assert running.hub.links == {}


@pytest.mark.parametrize(
    "flood",
    [
        raw_frame(0x9, final=True, payload=b"ping") * 2_000,
        raw_frame(0x2, final=False) + raw_frame(0x0, final=False) * 5_000,
    ],
    ids=["pings", "empty fragments"],
)
async def test_a_flood_of_small_frames_is_cut_off_and_others_go_on(tmp_path: Path, flood: bytes) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            reader, writer = await upgraded(SiteClient(pair.source, running.url), "BAD1-BAD1")
            writer.write(flood)
            await left.say(sealed(1))
            await right.hear(Sealed)
            await thrown_out(reader)
            writer.close()


async def test_a_message_that_does_not_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.serving.MESSAGE_DEADLINE_S", 0.3)
    async with running_hub(settings(tmp_path)) as running:
        reader, writer = await upgraded(await enrolled(running, "plant"), "SRC1-SRC1")
        writer.write(raw_frame(0x2, final=True, payload=b"x" * 100)[:50])
        await thrown_out(reader)
        writer.close()


async def test_a_peer_that_never_reads_is_cut_off_and_its_partner_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.serving.SEND_DEADLINE_S", 0.5)
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            right.socket.transport.pause_reading()
            call = sealed(0, kind=Kind.CALL, lane=0, body=b"x" * 1_000_000)
            async with asyncio.timeout(WAIT_S):
                while (pair.target.site_id, pair.target_connector) in running.hub.links:
                    await left.say(call)
            async with SiteClient(pair.target, running.url).linked(pair.target_connector) as again:
                await again.hear(HelloBack)
                await again.show(pair)
                await left.say(sealed(1))
                while (frame := await again.hear(Sealed)) != sealed(1):
                    assert frame == call
