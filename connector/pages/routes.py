"""All routes of the pages, in the order in which they are tried, and the one update stream that each page may have."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from connector.pages import (
    account,
    api_key,
    api_reference,
    changes,
    connectors,
    device,
    device_bulk,
    device_forms,
    device_import,
    devices,
    entrance,
    gaps,
    mqtt,
    overview,
    parting,
    quarantine,
    remote_sync,
    repair_list,
    replays,
    resource,
    resource_edit,
    resources,
    settings,
    sharing,
    site_hub,
    ways_in,
)
from connector.pages.frame import Desk, Visit
from shared.errors import Refused
from web import paths


def page_routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of all pages. Those of fixed words come before those that take any connector ID."""
    return [
        desk.show(paths.HOME, home),
        *entrance.routes(desk),
        *api_key.routes(desk),
        *api_reference.routes(desk),
        *site_hub.routes(desk),
        *repair_list.routes(desk),
        *connectors.routes(desk),
        *overview.routes(desk),
        desk.show(paths.UPDATES, updates),
        *settings.routes(desk),
        *sharing.routes(desk),
        *remote_sync.routes(desk),
        *parting.routes(desk),
        *devices.routes(desk),
        *device_bulk.routes(desk),
        *device.routes(desk),
        *device_forms.routes(desk),
        *device_import.routes(desk),
        *changes.routes(desk),
        *resources.routes(desk),
        *resource.routes(desk),
        *resource_edit.routes(desk),
        *ways_in.routes(desk),
        *mqtt.routes(desk),
        *account.routes(desk),
        *gaps.routes(desk),
        *quarantine.routes(desk),
        *replays.routes(desk),
    ]


async def home(visit: Visit) -> Response:
    """Lead to the one connector of the site, or to the list."""
    found = await visit.site.connectors()
    if len(found) == 1:
        return RedirectResponse(paths.fill(paths.OVERVIEW, connector_id=found[0].connector_id), 303)
    return RedirectResponse(paths.CONNECTORS, 303)


async def updates(visit: Visit) -> Response:
    """Answer the update stream of the page that the query names."""
    make_parts = visit.desk.streams.get(visit.asked("page"))
    if make_parts is None:
        raise Refused("not_found", what="page")
    parts = make_parts()
    await parts(visit)  # a refusal is an answer of its own, not a stream that ends at once
    return visit.stream(visit.connector_id, parts)
