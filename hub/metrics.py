"""What a hub says of itself to Prometheus, and its route."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.access import Access
from hub.hub import Hub
from hub.report import PairReport, report
from hub.store.sqlite import DATABASE_NAME
from shared.disk import disk_use
from shared.errors import Refused
from shared.limits import SECOND_MS
from shared.metrics import METRICS_PATH, SHARED_MEASURES, Filled, Measure, Metrics, is_from_this_machine, refuse
from shared.notices.measures import NOTICE_MEASURES, put_notices

_PAIR = ("pair",)
MEASURES: Final = (
    *SHARED_MEASURES,
    Measure("pairhub_draining", "gauge", "1 while the hub is about to end and takes no links"),
    Measure("pairhub_sites", "gauge", "Sites by whether they may link", ("state",)),
    Measure("pairhub_sites_linked", "gauge", "Sites of which at least one connector is linked"),
    Measure("pairhub_links", "gauge", "Links that are up"),
    Measure("pairhub_windows", "gauge", "Pairing windows that are open", ("state",)),
    Measure("pairhub_pairs", "gauge", "Pairs by how many of their two sides are linked", ("sides_linked",)),
    Measure("pairhub_pair_linked", "gauge", "1 while this side of a pair is linked", ("pair", "side")),
    Measure(
        "pairhub_relayed_bytes_total", "counter", "Bytes passed on between the sides of a pair since the start", _PAIR
    ),
    Measure("pairhub_copies", "gauge", "Copies kept of what is not acknowledged yet", _PAIR),
    Measure("pairhub_copies_bytes", "gauge", "Bytes of these copies", _PAIR),
    Measure("pairhub_copies_bytes_max", "gauge", "The cap on all copies (setting copy_bytes_max)"),
    Measure("pairhub_oldest_copy_seconds", "gauge", "Age of the oldest copy; nothing where there is none", _PAIR),
    Measure("pairhub_repair_open", "gauge", "1 for each open repair of the hub", ("code",)),
    *NOTICE_MEASURES,
)


def metrics_route(hub: Hub, access: Access, metrics: Metrics) -> Route:
    """Return the route; it wants the operator token, unless `metrics_open` lets this machine in."""

    async def scrape(request: Request) -> Response:
        try:
            if not (hub.settings.metrics_open and is_from_this_machine(request)):
                access.require_operator_token(request)
        except Refused as refused:
            return refuse(refused)
        return metrics.respond(request, await fill(hub))

    return Route(METRICS_PATH, scrape, methods=["GET"])


async def fill(hub: Hub) -> Filled:
    """Read everything; raises StorageFailed."""
    found = await report(hub)
    filled = Filled(MEASURES)
    filled.put("pairhub_build_info", 1, version("pairhub"))
    figures = hub.store.figures()
    filled.put("pairhub_database_commits_total", figures.commits)
    filled.put("pairhub_database_write_queue_units", figures.waiting)
    filled.put("pairhub_database_failing", figures.failing)
    use = await asyncio.to_thread(disk_use, hub.settings.data_dir / DATABASE_NAME)
    filled.put("pairhub_database_bytes", use.database_bytes)
    filled.put("pairhub_disk_free_bytes", use.free_bytes)
    filled.put("pairhub_draining", hub.draining)
    revoked = sum(site.revoked for site in found.sites)
    filled.put("pairhub_sites", len(found.sites) - revoked, "enrolled")
    filled.put("pairhub_sites", revoked, "revoked")
    filled.put("pairhub_sites_linked", sum(site.links > 0 for site in found.sites))
    filled.put("pairhub_links", len(hub.links))
    claimed = sum(window.claimed for window in found.windows)
    filled.put("pairhub_windows", len(found.windows) - claimed, "waiting")
    filled.put("pairhub_windows", claimed, "claiming")
    for sides in (0, 1, 2):
        count = sum(pair.source_linked + pair.target_linked == sides for pair in found.pairs)
        filled.put("pairhub_pairs", count, str(sides))
    filled.put("pairhub_copies_bytes_max", hub.settings.copy_bytes_max)
    for code in sorted({repair.code for repair in found.repairs}):
        filled.put("pairhub_repair_open", 1, code)
    put_notices(filled, found.notices)
    for pair in found.pairs:
        _put_pair(filled, pair, found.time_ms)
    return filled


def _put_pair(filled: Filled, pair: PairReport, now_ms: int) -> None:
    filled.put("pairhub_pair_linked", pair.source_linked, pair.pair_id, "source")
    filled.put("pairhub_pair_linked", pair.target_linked, pair.pair_id, "target")
    filled.put("pairhub_relayed_bytes_total", pair.relayed_bytes, pair.pair_id)
    filled.put("pairhub_copies", pair.copies, pair.pair_id)
    filled.put("pairhub_copies_bytes", pair.copy_bytes, pair.pair_id)
    age_ms = None if pair.oldest_ms is None else max(0, now_ms - pair.oldest_ms)
    filled.put("pairhub_oldest_copy_seconds", None if age_ms is None else age_ms / SECOND_MS, pair.pair_id)
