"""For programs: whether the hub lives, what it does, its audit, and new enrolment tokens.

The operator token in `<data_dir>/operator.token` opens what begins with `/api`: who can read it runs the hub anyway.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.access import Access, address_of
from hub.hub import Hub
from hub.report import report
from hub.requests import json_answer, read_json
from hub.tokens import make_site_token
from shared.errors import Refused, StorageFailed
from shared.limits import AUDIT_API_ROWS_MAX, AUDIT_ROWS_MAX, REPAIRS_KEPT_MAX
from shared.notices.repair_status import public_repairs, repair_status

_CLEARED_SHOWN: Final = 100


class NewTokenRequest(msgspec.Struct, frozen=True):
    """Ask for an enrolment token."""

    site_name: str


class AuditAnswer(msgspec.Struct, frozen=True):
    """One entry of the audit; `chain` is the digest in hex that covers it and all entries before it."""

    number: int
    at_ms: int
    who: str
    where: str
    action: str
    what: str
    chain: str


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
            Route("/api/v1/audit", self.audit),
            Route("/api/v1/repairs", self.repairs),
            Route("/api/v1/notices/test", self.test_notice, methods=["POST"]),
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
            failing = self._hub.store.figures().problem
        except StorageFailed as failed:
            failing = str(failed)
        self._hub.repairs.observe(storage_problem=failing)
        repairs = self._hub.repairs.open()
        urgent = sorted(repair.finding.code for repair in repairs if repair.is_urgent)
        said = {"urgent_repairs": urgent, "repairs": public_repairs(repairs)}
        if failing:
            return json_answer({"status": "store failed"} | said, 503)
        return json_answer({"status": "ready", "links": len(self._hub.links)} | said)

    async def status(self, request: Request) -> Response:
        """The whole state."""
        self._access.require_operator_token(request)
        return json_answer(await report(self._hub))

    async def audit(self, request: Request) -> Response:
        """The audit, newest first: `rows` entries with a number below `before`."""
        self._access.require_operator_token(request)
        before = _whole(request, "before", None, 2**63 - 1)
        rows_max = _whole(request, "rows", AUDIT_ROWS_MAX, AUDIT_API_ROWS_MAX) or AUDIT_ROWS_MAX
        found = await self._hub.store.audit(rows_max=rows_max, before=before)
        rows = [
            AuditAnswer(row.number, row.at_ms, row.who, row.where, row.action, row.what, row.chain.hex())
            for row in found
        ]
        more = len(rows) == rows_max and rows[-1].number > 1
        return json_answer({"rows": rows, "next_before": rows[-1].number if more else None})

    async def repairs(self, request: Request) -> Response:
        """What needs a person, what needed one lately (`cleared` of them at most), and how notices fare."""
        self._access.require_operator_token(request)
        limit = _whole(request, "cleared", _CLEARED_SHOWN, REPAIRS_KEPT_MAX) or _CLEARED_SHOWN
        cleared = await self._hub.repairs.cleared(limit)
        await self._hub.repairs.look()
        found = {
            "open": [repair_status(repair) for repair in self._hub.repairs.open()],
            "cleared": [repair_status(repair) for repair in cleared],
            "notices": self._hub.repairs.channels(),
        }
        return json_answer(found)

    async def test_notice(self, request: Request) -> Response:
        """Send a test notice by webhook and e-mail, where they are set, and say what became of each."""
        self._access.require_operator_token(request)
        return json_answer(await self._hub.repairs.test_notice())

    async def make_token(self, request: Request) -> Response:
        """Make an enrolment token."""
        self._access.require_operator_token(request)
        asked = await read_json(request, NewTokenRequest)
        made = await make_site_token(self._hub, asked.site_name, who="local command line", where=address_of(request))
        return json_answer(made, 201)


def _whole(request: Request, name: str, otherwise: int | None, most: int) -> int | None:
    """Return a parameter that is a whole number from 1; raises Refused('invalid')."""
    text = request.query_params.get(name)
    if text is None:
        return otherwise
    if text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most:
        return int(text)
    raise Refused("invalid", what=f"The parameter '{name}'", why=f"it takes a whole number from 1 to {most}")
