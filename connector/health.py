"""Health for machines: `/healthz` says that the process runs, `/readyz` that it does its work, or why not."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from connector.pages.samples import Samples
from connector.pages.situation import look
from connector.site import Site
from shared.core.health import FlowState
from shared.errors import Refused, StorageFailed

_NO_STORE = {"Cache-Control": "no-store"}
# Words for probes. A peer that is off line is its own site's problem; what waits for it is safe here.
_NOT_READY = {
    FlowState.CONNECTING: "its link to the hub is not up yet",
    FlowState.RECONNECTING: "its link to the hub is down",
    FlowState.OFFLINE: "its link to the hub is down",
    FlowState.HUB_SILENT: "the hub does not answer on its link",
    FlowState.STALLED: "stalled: linked, but nothing is applied",
}


def health_routes(site: Site, samples: Samples) -> list[BaseRoute]:
    """Return both routes; they ask for no log-in and say no more than a probe needs."""

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    async def ready(_: Request) -> Response:
        reasons = await not_ready(site, samples)
        urgent = sorted({repair.finding.code for repair in site.repairs.open() if repair.is_urgent})
        body = {"status": "not ready" if reasons else "ok", "reasons": reasons, "urgent_repairs": urgent}
        return JSONResponse(body, 503 if reasons else 200, headers=_NO_STORE)

    return [Route("/healthz", alive, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]


async def not_ready(site: Site, samples: Samples) -> list[str]:
    """Return why this site does not do its work now, one sentence each."""
    reasons = []
    if site.storage_problem:
        reasons.append("the disk refuses to store")
    if site.repairs.read_problem:
        reasons.append("the database cannot be read")
    try:
        for connector_id in list(site.runtimes):
            try:
                seen = await look(site, samples, connector_id)
            except Refused:
                continue  # deleted meanwhile
            if seen.pair is not None and seen.link.state in _NOT_READY:
                reasons.append(f"connector {connector_id}: {_NOT_READY[seen.link.state]}")
    except StorageFailed:
        if not site.repairs.read_problem:
            reasons.append("the database cannot be read")
    return reasons
