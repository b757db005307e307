"""For programs: whether the hub lives, what it does, and new enrolment tokens.

The operator token in `<data_dir>/operator.token` opens the last two; whoever can read that file runs the hub anyway.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.access import Access, address_of
from hub.hub import Hub
from hub.report import report
from hub.requests import json_answer, read_json
from hub.tokens import make_site_token
from shared.errors import StorageFailed


class NewTokenRequest(msgspec.Struct, frozen=True):
    """Ask for an enrolment token."""

    site_name: str


class Api:
    """The routes for programs. What they raise becomes JSON (hub.pages)."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub = hub
        self._access = access

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
        self._access.require_operator_token(request)
        return json_answer(await report(self._hub))

    async def make_token(self, request: Request) -> Response:
        """Make an enrolment token."""
        self._access.require_operator_token(request)
        asked = await read_json(request, NewTokenRequest)
        made = await make_site_token(self._hub, asked.site_name, who="local command line", where=address_of(request))
        return json_answer(made, 201)
