"""A connector as tests need it: speaks the link protocol over real sockets, with keys of its own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hub.serve import RunningHub
from shared.certificates import public_bytes
from shared.joining import (
    ENROL_PATH,
    LINK_PATH,
    NONCE_PATH,
    PRESENT_PATH,
    EnrolAnswer,
    EnrolRequest,
    NonceAnswer,
    PresentRequest,
    make_assertion,
)
from shared.limits import FRAME_BYTES_MAX
from shared.messages import AnyFrame, Hello, HelloBack, PairKnown, PresentPair, decode_frame, encode_frame
from shared.trust import trust_for
from tests.hub.builders import TestPair, TestSite

F = TypeVar("F")
WAIT_S = 10.0


class Denied(Exception):
    """The hub said no: HTTP status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


class SiteClient:
    """One site at one hub."""

    def __init__(self, site: TestSite, url: str) -> None:
        self.site = site
        self.url = url
        self.certificate = ""

    async def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        """Make a request; return the decoded JSON, or raise Denied."""
        content = msgspec.json.encode(body) if body is not None else None
        async with httpx2.AsyncClient(
            base_url=self.url, trust_env=False, verify=trust_for(self.url), timeout=WAIT_S
        ) as http:
            response = await http.request(method, path, content=content, headers=headers)
        answer = msgspec.json.decode(response.content)
        if response.status_code >= 400:
            raise Denied(response.status_code, answer["code"])
        return answer

    async def nonce(self) -> NonceAnswer:
        return msgspec.convert(await self.ask("GET", NONCE_PATH), NonceAnswer)

    def assertion(self, connector_id: str, nonce: NonceAnswer) -> str:
        return make_assertion(
            self.site.hub_key,
            site_id=self.site.site_id,
            connector_id=connector_id,
            hub_key=nonce.hub_key,
            nonce=nonce.nonce,
            token_id=secrets.token_hex(8),
            now_s=time.time(),
        )

    async def enrol(self, token: str = "", **changes: Any) -> EnrolAnswer:
        proof = self.assertion("", await self.nonce())
        keys = (public_bytes(self.site.hub_key).hex(), public_bytes(self.site.identity_key).hex())
        request = EnrolRequest(token, self.site.site_id, self.site.name, *keys, proof)
        answer = await self.ask("POST", ENROL_PATH, msgspec.structs.replace(request, **changes))
        self.certificate = answer["certificate"]
        return msgspec.convert(answer, EnrolAnswer)

    async def present(self) -> None:
        await self.ask("POST", PRESENT_PATH, PresentRequest(self.certificate))

    @asynccontextmanager
    async def linked(
        self,
        connector_id: str,
        *,
        start_id: bytes = b"start-1",
        hello: Hello | None = None,
        greets: bool = True,
        assertion: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[Wire]:
        """A live link; greeted, unless it is not to say hello."""
        if assertion is None:
            assertion = self.assertion(connector_id, await self.nonce())
        address = self.url.replace("http", "ws", 1) + LINK_PATH
        given = {"Authorization": f"Bearer {assertion}", "Pairhub-Start": start_id.hex()} | (headers or {})
        try:
            async with connect(
                address,
                additional_headers=given,
                compression=None,
                max_size=FRAME_BYTES_MAX,
                proxy=None,
                close_timeout=1,
            ) as socket:
                wire = Wire(socket)
                if greets:
                    await wire.say(hello or Hello(1, 1, start_id))
                yield wire
        except InvalidStatus as error:
            code = msgspec.json.decode(bytes(error.response.body or b"{}")).get("code", "")
            raise Denied(error.response.status_code, code) from error


class Wire:
    """Frames over one link."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, *frames: AnyFrame) -> None:
        for frame in frames:
            await self.socket.send(encode_frame(frame))

    async def hear_any(self) -> AnyFrame:
        async with asyncio.timeout(WAIT_S):
            return decode_frame(await self.socket.recv())

    async def hear(self, kind: type[F]) -> F:
        """Wait for a frame of a kind, passing over others."""
        while True:
            frame = await self.hear_any()
            if isinstance(frame, kind):
                return frame

    async def close_code(self) -> tuple[int, str]:
        """Wait until the hub closes; return code and reason."""
        with pytest.raises(ConnectionClosed) as caught:
            await self.hear(type(None))
        frame = caught.value.rcvd
        return (frame.code, frame.reason) if frame is not None else (1006, "")

    async def show(self, pair: TestPair) -> PairKnown:
        """Present a pair and wait until it is known."""
        await self.say(PresentPair(pair.packed))
        return await self.hear(PairKnown)


async def enrolled(running: RunningHub, name: str) -> SiteClient:
    """A site that enrolled at an open hub."""
    client = SiteClient(TestSite(name), running.url)
    await client.enrol()
    return client


@asynccontextmanager
async def both_linked(pair: TestPair, url: str) -> AsyncIterator[tuple[Wire, Wire]]:
    """Both sides of a pair, linked and known."""
    source, target = SiteClient(pair.source, url), SiteClient(pair.target, url)
    async with source.linked(pair.source_connector) as left, target.linked(pair.target_connector) as right:
        await left.hear(HelloBack)
        await left.show(pair)
        await right.hear(HelloBack)
        await right.show(pair)
        yield left, right
