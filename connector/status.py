"""What a site says about itself to programs: the JSON of `status`, and of its connectors and windows."""

from __future__ import annotations

from typing import Any

from connector.connectors import Connector
from connector.site import Site
from shared.core.window import Window


async def site_status(site: Site) -> dict[str, Any]:
    """Return the state of the whole site."""
    return {
        "site_id": site.identity.site_id,
        "site_name": site.identity.site_name,
        "hub_url": site.hub_url,
        "enrolled": bool(site.identity.enrolment),
        "enrolment_problem": site.enrolment.problem,
        "storage_problem": site.storage_problem,
        "clock_in_doubt": site.guard.in_doubt,
        "time_ms": site.clock.wall_ms(),
        "connectors": [await connector_status(site, connector) for connector in await site.connectors()],
    }


async def connector_status(site: Site, connector: Connector) -> dict[str, Any]:
    """Return the state of one connector: its link, pair, account and backlog."""
    runtime = site.runtime(connector.connector_id)
    view = runtime.view
    pair = runtime.pair
    own, stated = await site.account(connector.connector_id)
    return {
        "connector_id": connector.connector_id,
        "name": connector.name,
        "role": connector.role,
        "disabled": connector.disabled,
        "creates_devices": connector.creates_devices,
        "link": {
            "state": view.state.value,
            "since_ms": view.since_ms,
            "round_trip_ms": round(view.round_trip_ms, 3),
            "peer_linked": view.peer_linked,
            "problem": view.problem,
            "bytes_sent": view.bytes_sent,
            "bytes_received": view.bytes_received,
        },
        "pair": None
        if pair is None
        else {
            "pair_id": pair.pair_id.hex(),
            "state": pair.state.value,
            "side": pair.side.word,
            "accepted": pair.accepted,
            "fingerprint": pair.fingerprint,
            "peer_site": pair.peer_site_name,
            "peer_connector": pair.peer_connector_id,
            "paired_ms": pair.paired_ms,
        },
        "account": own,
        "stated_by_source": stated,
        "backlog": await site.backlog(connector.connector_id),
    }


def window_status(site: Site, connector_id: str, window: Window | None) -> dict[str, Any]:
    """Return a pairing window with what the other side has to be told."""
    if window is None:
        return {"state": "idle"}
    return {
        "state": window.state.value,
        "site_name": site.identity.site_name,
        "connector_id": connector_id,
        "code": window.code,
        "expires_ms": window.expires_ms,
        "attempts_left": window.attempts_left,
        "filed": site.runtime(connector_id).source.filed,
    }
