"""What a site asks a hub over HTTP: a nonce, enrolment, presentation; and the opening of a link's WebSocket."""

from __future__ import annotations

import secrets
from typing import TypeVar

import httpx2
import msgspec
import websockets
from websockets.asyncio.client import connect

from connector.hub_watch import HubWatch
from connector.hub_way import HubWay, without_password
from connector.identity import Identity
from connector.link_socket import LinkSocket
from shared.certificates import public_bytes
from shared.errors import LinkLost, Refused, refused_there
from shared.foreign import read_json
from shared.http_answers import answer_to, body_of
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
from shared.limits import (
    FRAME_BYTES_MAX,
    HANDSHAKE_DEADLINE_S,
    HUB_ANSWER_BYTES_MAX,
    HUB_ANSWER_DEADLINE_S,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
)
from shared.trust import trust_for

A = TypeVar("A")


class HubClient:
    """HTTP requests to one hub: nonce, enrolment, presentation."""

    def __init__(self, way: HubWay) -> None:
        self.hub_url = way.url
        self.is_reachable = True
        """Whether the hub answered when it was asked last."""
        self.watch = HubWatch(self.nonce)
        self._way = way
        self._http = httpx2.AsyncClient(
            base_url=way.url,
            timeout=HANDSHAKE_DEADLINE_S,
            trust_env=False,
            proxy=way.proxy or None,
            verify=way.tls if way.tls is not None else trust_for(way.url),
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def nonce(self) -> NonceAnswer:
        """Ask for a nonce; raises LinkLost where the hub cannot be reached, or something else answers in its place."""
        try:
            answer = self._read(await self._ask("GET", NONCE_PATH), NonceAnswer)
        except LinkLost:
            self.is_reachable = False
            raise
        self.is_reachable = True
        return answer

    async def enrol(self, identity: Identity, token: str, now_s: float) -> EnrolAnswer:
        """Enrol the site; raises Refused with the hub's reason, LinkLost."""
        nonce = await self.nonce()
        request = EnrolRequest(
            token,
            identity.site_id,
            identity.site_name,
            public_bytes(identity.hub_private).hex(),
            public_bytes(identity.identity_private).hex(),
            self._assertion(identity, "", nonce, now_s),
        )
        answer = self._read(await self._ask("POST", ENROL_PATH, request), EnrolAnswer)
        if not _is_hex(answer.certificate):
            raise self._stranger()
        return answer

    async def present(self, identity: Identity) -> None:
        """Show the enrolment certificate to a hub that lost its disk; raises Refused, LinkLost."""
        await self._ask("POST", PRESENT_PATH, PresentRequest(identity.enrolment.hex()))

    async def open(self, identity: Identity, connector_id: str, start_id: bytes, now_s: float) -> LinkSocket:
        """Open an authenticated WebSocket; raises Refused with the hub's reason, LinkLost."""
        nonce = await self.nonce()
        if identity.hub_key and nonce.hub_key != identity.hub_key:
            raise Refused("certificate_refused", why="the hub has another key than the one this site enrolled with")
        assertion = self._assertion(identity, connector_id, nonce, now_s)
        try:
            socket = await connect(
                self._way.link_address + LINK_PATH,
                additional_headers={"Authorization": f"Bearer {assertion}", "Pairhub-Start": start_id.hex()},
                compression=None,
                max_size=FRAME_BYTES_MAX,
                proxy=self._way.proxy or None,
                ssl=self._way.tls,
                open_timeout=HANDSHAKE_DEADLINE_S,
                ping_interval=PING_INTERVAL_S,
                ping_timeout=PING_TIMEOUT_S,
                close_timeout=2,
                create_connection=LinkSocket,
            )
            assert isinstance(socket, LinkSocket)
            return socket
        except websockets.InvalidStatus as error:
            raise _refusal(error.response.status_code, bytes(error.response.body or b"")) from error
        except (OSError, TimeoutError, websockets.WebSocketException) as error:
            raise self._way.failure(error) from error

    def _assertion(self, identity: Identity, connector_id: str, nonce: NonceAnswer, now_s: float) -> str:
        return make_assertion(
            identity.hub_private,
            site_id=identity.site_id,
            connector_id=connector_id,
            hub_key=nonce.hub_key,
            nonce=nonce.nonce,
            token_id=secrets.token_hex(8),
            now_s=now_s,
        )

    def _read(self, body: bytes, kind: type[A]) -> A:
        try:
            return read_json(body, kind)
        except msgspec.DecodeError as error:
            raise self._stranger() from error

    def _stranger(self) -> LinkLost:
        return LinkLost(
            f"what answered at {without_password(self.hub_url)} is not a Pairhub hub:"
            " a page of a guest network, a proxy or another program stands there"
        )

    async def _ask(self, method: str, path: str, body: msgspec.Struct | None = None) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        try:
            async with answer_to(
                self._http, method, path, deadline_s=HUB_ANSWER_DEADLINE_S, content=content, headers=headers
            ) as response:
                answer = await body_of(response, HUB_ANSWER_BYTES_MAX)
        except (httpx2.HTTPError, OSError) as error:
            raise self._way.failure(error) from error
        if response.status_code >= 400:
            raise _refusal(response.status_code, answer)
        return answer


def _is_hex(text: str) -> bool:
    try:
        return bool(bytes.fromhex(text))
    except ValueError:
        return False


class _Answer(msgspec.Struct):
    code: str = ""
    facts: dict[str, str] = {}


def _refusal(status: int, body: bytes) -> Refused | LinkLost:
    try:
        answer = read_json(body, _Answer)
    except msgspec.DecodeError:  # a proxy's page
        return LinkLost(f"the hub, or something before it, answered {status} in a way this site does not understand")
    return refused_there(answer.code, answer.facts)
