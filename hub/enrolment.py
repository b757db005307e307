"""How sites join (SECURITY, joining a hub): nonce, enrolment by token, and coming back by certificate."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.access import address_of
from hub.blocked import Door
from hub.hub import Hub
from hub.requests import json_answer, read_json, site_name_of
from hub.store.rows import Site
from shared.certificates import Enrolment, pack, read_enrolment, sign
from shared.errors import Refused
from shared.joining import (
    ENROL_PATH,
    LINK_PATH,
    NONCE_PATH,
    PRESENT_PATH,
    EnrolAnswer,
    EnrolRequest,
    NonceAnswer,
    PresentRequest,
    token_digest,
)
from shared.messages import PROTOCOL_HIGHEST, PROTOCOL_LOWEST


class Joining:
    """The HTTP side of the connector endpoint. What its handlers raise becomes JSON (hub.pages)."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """The routes to serve."""
        return [
            Route(NONCE_PATH, self.nonce, methods=["GET"]),
            Route(ENROL_PATH, self.enrol, methods=["POST"]),
            Route(PRESENT_PATH, self.present, methods=["POST"]),
            Route(LINK_PATH, self.plain_link, methods=["GET"]),
        ]

    async def nonce(self, request: Request) -> Response:
        """Give a nonce for one assertion."""
        del request
        hub = self._hub
        answer = NonceAnswer(
            hub.nonces.make(hub.now_ms()),
            hub.hub_key.hex(),
            hub.wall_ms(),
            hub.settings.open_enrolment,
            (PROTOCOL_LOWEST, PROTOCOL_HIGHEST),
        )
        return json_answer(answer)

    async def enrol(self, request: Request) -> Response:
        """Take a site in."""
        site_name = ""
        try:
            asked = await read_json(request, EnrolRequest)
            site_name = asked.site_name
            return json_answer(await self._enrol(asked))
        except Refused as refused:
            self._hub.block(Door.ENROLMENT, refused.code, address_of(request), site_name)
            raise

    async def _enrol(self, asked: EnrolRequest) -> EnrolAnswer:
        hub = self._hub
        name, hub_key, identity_key = site_name_of(asked.site_name), _key(asked.hub_key), _key(asked.identity_key)
        proven = hub.admission.check(asked.proof, hub_key, hub.now_ms())
        if proven.site_id != asked.site_id or proven.connector_id:
            raise Refused("assertion_refused", why="it is not for this enrolment")
        enrolment = Enrolment(_site_id(asked.site_id), name, hub_key, identity_key, hub.wall_ms())
        packed = pack(enrolment, [sign(hub.key, enrolment)])
        site = Site(enrolment.site_id, name, hub_key, identity_key, packed, enrolment.enrolled_ms)
        digest = None if hub.settings.open_enrolment else token_digest(asked.token) or b""
        try:
            stored = await hub.store.enrol_site(site, token_digest=digest, now_ms=hub.wall_ms())
        except Refused as refused:
            raise (
                Refused("token_required") if refused.code == "token_unknown" and not asked.token else refused
            ) from None
        hub.on_site(stored)
        return EnrolAnswer(stored.certificate.hex(), hub.hub_key.hex())

    async def present(self, request: Request) -> Response:
        """Take a site in again that this hub enrolled before it lost its disk."""
        try:
            site = await self._present(await read_json(request, PresentRequest))
        except Refused as refused:
            self._hub.block(Door.ENROLMENT, refused.code, address_of(request))
            raise
        return json_answer({"site_id": site.site_id, "site_name": site.site_name})

    async def _present(self, asked: PresentRequest) -> Site:
        packed = _hex(asked.certificate, "certificate")
        enrolled = read_enrolment(packed, self._hub.hub_key)
        site = Site(
            enrolled.site_id,
            enrolled.site_name,
            enrolled.hub_key,
            enrolled.identity_key,
            packed,
            enrolled.enrolled_ms,
        )
        self._hub.on_site(await self._hub.store.restore_site(site))
        return site

    async def plain_link(self, request: Request) -> Response:
        """Answer a link request that came without its upgrade: some proxy took it off."""
        refused = Refused("browser_origin" if "origin" in request.headers else "upgrade_missing")
        self._hub.block(Door.LINK, refused.code, address_of(request))
        raise refused


def _site_id(text: str) -> str:
    try:
        if str(UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise Refused("invalid", what="The site ID", why="it is not a UUID")


def _key(text: str) -> bytes:
    key = _hex(text, "key")
    if len(key) != 32:
        raise Refused("invalid", what="The key", why="it has to have 32 bytes")
    return key


def _hex(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Refused("invalid", what=f"The {what}", why="it is not hex") from error
