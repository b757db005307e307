"""For programs: whether the hub lives, what it does, and new enrolment tokens.

The operator token in `<data_dir>/operator.token` opens the last two; whoever can read that file runs the hub anyway.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.hub import Hub
from hub.keys import write_secret
from hub.links import refusal_response
from hub.report import report
from hub.requests import json_answer, read_json, site_name_of
from hub.store.rows import Token
from shared.errors import Refused, StorageFailed
from shared.joining import make_enrolment_token, token_digest
from shared.limits import ENROLMENT_TOKEN_LIFE_MS

OPERATOR_TOKEN_NAME = "operator.token"  # noqa: S105  # a file name


class NewTokenRequest(msgspec.Struct, frozen=True):
    """Ask for an enrolment token."""

    site_name: str


class NewTokenAnswer(msgspec.Struct, frozen=True):
    """The token, to be seen once."""

    token: str
    site_name: str
    expires_ms: int


async def make_site_token(hub: Hub, site_name: str, *, who: str, where: str) -> NewTokenAnswer:
    """Make an enrolment token for a site name; raises Refused, StorageFailed."""
    name = site_name_of(site_name)
    token = make_enrolment_token(secrets.token_bytes(16))
    digest = token_digest(token)
    assert digest is not None
    now_ms = hub.wall_ms()
    hint = f"{token[:8]}…{token[-4:]}"
    row = Token(secrets.token_hex(8), digest, name, hint, now_ms, now_ms + ENROLMENT_TOKEN_LIFE_MS)
    await hub.store.add_token(row)
    await hub.store.add_audit(at_ms=now_ms, who=who, where=where, action="token.make", what=f"for site '{name}'")
    hub.on_change()
    return NewTokenAnswer(token, name, row.expires_ms)


def operator_token(data_dir: Path) -> str:
    """Return the token in the data directory; make one where there is none. Raises StorageFailed."""
    path = data_dir / OPERATOR_TOKEN_NAME
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        token = "pho_" + secrets.token_hex(32)
        write_secret(path, token.encode() + b"\n")
        return token
    except (OSError, UnicodeDecodeError) as error:
        raise StorageFailed(f"cannot read {path}: {error}") from error


class Api:
    """The routes for programs."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """The routes to serve."""
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/api/v1/status", self.status),
            Route("/api/v1/enrolment-tokens", self.make_token, methods=["POST"]),
        ]

    async def healthz(self, request: Request) -> Response:
        """The process runs."""
        del request
        return json_answer({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """The hub takes links: its store works, and it is not about to end."""
        del request
        if self._hub.draining:
            return json_answer({"status": "draining"}, 503)
        try:
            await self._hub.store.check()
        except StorageFailed:
            return json_answer({"status": "store failed"}, 503)
        return json_answer({"status": "ready", "links": len(self._hub.links)})

    async def status(self, request: Request) -> Response:
        """The whole state."""
        try:
            self._authorize(request)
            return json_answer(await report(self._hub))
        except Refused as refused:
            return refusal_response(refused)
        except StorageFailed as error:
            return refusal_response(Refused("storage_failed", why=str(error)))

    async def make_token(self, request: Request) -> Response:
        """Make an enrolment token."""
        try:
            self._authorize(request)
            asked = await read_json(request, NewTokenRequest)
            where = request.client.host if request.client else ""
            return json_answer(
                await make_site_token(self._hub, asked.site_name, who="operator token", where=where), 201
            )
        except Refused as refused:
            return refusal_response(refused)
        except StorageFailed as error:
            return refusal_response(Refused("storage_failed", why=str(error)))

    def _authorize(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        expected = operator_token(self._hub.settings.data_dir)
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), expected.encode()):
            raise Refused("not_signed_in")
