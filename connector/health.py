"""Health for machines: `/healthz` says that the process runs, `/readyz` that it does its work, or why not."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from connector.pages.samples import Samples
from connector.pages.situation import Situation, look
from connector.site import Site
from shared.core.health import FlowState
from shared.errors import Refused, StorageFailed
from shared.notices.repair_status import PublicRepair, public_repairs

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
        found = await readiness(site, samples)
        return Response(
            msgspec.json.encode(found),
            503 if found.reasons else 200,
            headers=_NO_STORE,
            media_type="application/json",
        )

    return [Route("/healthz", alive, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]


class ConnectorHealth(msgspec.Struct, frozen=True):
    """How a connector moves (G9) that is paired or has repairs: `state` as pages name it, the last round trip through the
    whole pair and the age of the oldest reading that waits; null where none came back, or none waits.
    """

    connector_id: str
    state: str
    canary_ms: float | None
    oldest_unapplied_s: float | None
    repairs: list[PublicRepair]


class Readiness(msgspec.Struct, frozen=True):
    """The answer of `/readyz`: why the site does not do its work, one sentence each; `repairs` are of it as a whole."""

    status: str
    reasons: list[str]
    urgent_repairs: list[str]
    repairs: list[PublicRepair]
    connectors: list[ConnectorHealth]


async def readiness(site: Site, samples: Samples) -> Readiness:
    """Return whether this site does its work now, or why not, without a name."""
    reasons = []
    if site.storage_problem:
        reasons.append("the disk refuses to store")
    if site.repairs.read_problem:
        reasons.append("the database cannot be read")
    connectors: list[ConnectorHealth] = []
    try:
        for connector_id in list(site.runtimes):
            try:
                seen = await look(site, samples, connector_id)
            except Refused:
                continue  # deleted meanwhile
            health = _connector_health(site, seen)
            if seen.pair is not None or health.repairs:
                connectors.append(health)
            if seen.pair is not None and seen.link.state in _NOT_READY:
                reasons.append(f"connector {connector_id}: {_NOT_READY[seen.link.state]}")
    except StorageFailed:
        if not site.repairs.read_problem:
            reasons.append("the database cannot be read")
    site.repairs.observe_site()
    return Readiness(
        status="not ready" if reasons else "ok",
        reasons=reasons,
        urgent_repairs=sorted({repair.finding.code for repair in site.repairs.open() if repair.is_urgent}),
        repairs=public_repairs(site.repairs.of_site()),
        connectors=connectors,
    )


def _connector_health(site: Site, seen: Situation) -> ConnectorHealth:
    own = (repair for repair in site.repairs.open(seen.connector_id) if repair.finding.scope)
    return ConnectorHealth(
        seen.connector_id,
        seen.link.state.value,
        seen.link.canary_ms,
        seen.link.oldest_unapplied_s,
        public_repairs(own),
    )
