"""What a site makes of something at its hub's address whose answer never ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connector import hub_client
from connector.hub_client import HubClient
from connector.hub_way import hub_way
from shared.errors import LinkLost
from shared.settings import SettingWrong
from tests.raw_server import raw_server, without_end


@asynccontextmanager
async def endless(head: bytes, piece: bytes) -> AsyncIterator[str]:
    """Answer with `head` and then with `piece` for ever, for the time of a block; yield the address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await without_end(writer, piece)

    async with raw_server(answer) as port:
        yield f"http://127.0.0.1:{port}"


async def words_of(url: str) -> str:
    client = HubClient(hub_way(url))
    try:
        async with asyncio.timeout(5):
            with pytest.raises(LinkLost) as lost:
                await client.nonce()
    finally:
        await client.close()
    return str(lost.value)


@pytest.mark.parametrize("status", [b"200 OK", b"502 Bad Gateway"])
async def test_g8_an_answer_without_end_is_cut_off_at_its_deadline_and_at_its_bound(
    monkeypatch: pytest.MonkeyPatch, status: bytes
) -> None:
    head = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    monkeypatch.setattr(hub_client, "HUB_ANSWER_DEADLINE_S", 0.3)
    async with endless(head, b"1\r\n{\r\n") as url:
        assert "no whole answer within 0.3 s" in await words_of(url)
    monkeypatch.setattr(hub_client, "HUB_ANSWER_DEADLINE_S", 30.0)
    async with endless(head, b"40000\r\n" + b"x" * 0x40000 + b"\r\n") as url:
        assert "more than 1048576 bytes" in await words_of(url)


@pytest.mark.parametrize(
    ("url", "proxy", "name"),
    [
        ("http://192.168.1..10:8470", "", "hub_url"),
        (f"https://{'x' * 64}.example", "", "hub_url"),
        ("http://hub.example", "http://proxy..example:3128", "hub_proxy"),
    ],
)
def test_a_hub_or_proxy_whose_host_no_resolver_takes_is_refused_as_a_setting(url: str, proxy: str, name: str) -> None:
    with pytest.raises(SettingWrong) as wrong:
        hub_way(url, None, proxy)
    assert wrong.value.name == name
