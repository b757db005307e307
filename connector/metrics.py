"""What a site says of itself to Prometheus, and its route."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib.metadata import version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.access import Access
from connector.account_metrics import ACCOUNT_MEASURES, gaps_by_cause, put_books, put_gaps
from connector.pages.samples import Samples
from connector.pages.situation import Situation, look
from connector.site import Site
from shared.core.health import FlowState
from shared.core.link_state import LinkState
from shared.disk import disk_use
from shared.errors import Refused
from shared.limits import SECOND_MS
from shared.metrics import METRICS_PATH, SHARED_MEASURES, Filled, Measure, Metrics, is_from_this_machine, refuse
from shared.notices.measures import NOTICE_MEASURES, put_notices
from shared.sealing import Side

_ONE = ("connector",)
_PAIR = ("connector", "pair")
MEASURES: Final = (
    *SHARED_MEASURES,
    Measure("pairhub_site_enrolled", "gauge", "1 once the site is enrolled at its hub"),
    Measure("pairhub_clock_in_doubt", "gauge", "1 while the clock is in doubt and nothing expires"),
    Measure("pairhub_connectors", "gauge", "Connectors by role", ("role",)),
    Measure("pairhub_link_up", "gauge", "1 while the link to the hub is up", _ONE),
    Measure("pairhub_link_state", "gauge", "1 for the state that pages show, 0 for the others", ("connector", "state")),
    Measure("pairhub_link_round_trip_seconds", "gauge", "Last round trip to the hub", _ONE),
    Measure("pairhub_link_sent_bytes_total", "counter", "Bytes sent on links since the start", _ONE),
    Measure("pairhub_link_received_bytes_total", "counter", "Bytes received on links since the start", _ONE),
    Measure("pairhub_link_faults_total", "counter", "Frames dropped because they did not open or made no sense", _PAIR),
    Measure("pairhub_peer_linked", "gauge", "1 while the other side of the pair is linked to the hub", _PAIR),
    Measure("pairhub_pair_round_trip_seconds", "gauge", "Last question through the whole pair and back", _PAIR),
    Measure("pairhub_readings_taken_total", "counter", "Readings taken from devices since the start", _ONE),
    Measure(
        "pairhub_accepted_total", "counter", "Account: readings accepted into the stream (a target: arrived)", _PAIR
    ),
    Measure("pairhub_applied_total", "counter", "Account: readings made durable at the destination, once", _PAIR),
    Measure("pairhub_tail_readings", "gauge", "Account: accepted, durable, not yet sealed", _PAIR),
    Measure("pairhub_outbox_readings", "gauge", "Account: sealed, without a word from the destination", _PAIR),
    Measure("pairhub_held_readings", "gauge", "Account: arrived, waiting for a device or resource", _PAIR),
    Measure("pairhub_quarantined_readings", "gauge", "Account: genuine, arrived, could not be applied", _PAIR),
    Measure("pairhub_dropped_total", "counter", "Account: readings that never arrive, by cause", (*_PAIR, "cause")),
    Measure("pairhub_backlog_readings", "gauge", "Readings that wait for the other side", _PAIR),
    Measure("pairhub_backlog_bytes", "gauge", "Bytes that wait for the other side", _PAIR),
    Measure("pairhub_backlog_bytes_max", "gauge", "The cap on them (setting outbox_bytes_max)", _PAIR),
    Measure(
        "pairhub_oldest_unapplied_seconds",
        "gauge",
        "Age of the oldest reading not yet applied, at either side; 0 for none",
        _PAIR,
    ),
    Measure("pairhub_retention_seconds", "gauge", "How long readings wait before they are given up"),
    Measure(
        "pairhub_stalled_seconds", "gauge", "How long nothing was applied although something waits; 0: it moves", _PAIR
    ),
    *ACCOUNT_MEASURES,
    Measure("pairhub_repairs", "gauge", "Problems on the overview that want a person", _ONE),
    Measure(
        "pairhub_repair_open", "gauge", "1 for each open repair; connector is empty for the site", ("connector", "code")
    ),
    *NOTICE_MEASURES,
)


def metrics_route(site: Site, access: Access, samples: Samples, metrics: Metrics) -> Route:
    """Return the route; it wants the operator token or a key of scope `read`, unless `metrics_open` lets this machine in."""

    async def scrape(request: Request) -> Response:
        try:
            if not (site.settings.metrics_open and is_from_this_machine(request)):
                await access.require(request, "read")
        except Refused as refused:
            return refuse(refused)
        return metrics.respond(request, await fill(site, samples))

    return Route(METRICS_PATH, scrape, methods=["GET"])


async def fill(site: Site, samples: Samples) -> Filled:
    """Read everything; raises StorageFailed."""
    filled = Filled(MEASURES)
    filled.put("pairhub_build_info", 1, version("pairhub"))
    figures = site.database.figures()
    filled.put("pairhub_database_commits_total", figures.commits)
    filled.put("pairhub_database_write_queue_units", figures.waiting)
    filled.put("pairhub_database_failing", figures.failing)
    use = await asyncio.to_thread(disk_use, site.database.path)
    filled.put("pairhub_database_bytes", use.database_bytes)
    filled.put("pairhub_disk_free_bytes", use.free_bytes)
    filled.put("pairhub_site_enrolled", bool(site.identity.enrolment))
    filled.put("pairhub_clock_in_doubt", site.guard.in_doubt)
    filled.put("pairhub_retention_seconds", site.settings.retention_ms / SECOND_MS)
    roles: dict[str, int] = {"standalone": 0, "source": 0, "target": 0}
    for connector_id in list(site.runtimes):
        try:
            seen = await look(site, samples, connector_id)
        except Refused:
            continue  # deleted meanwhile
        roles[seen.connector.role] += 1
        _put_link(filled, site, seen)
        lost = await site.database.read(lambda c, id_=connector_id: gaps_by_cause(c, id_))  # type: ignore[misc]
        put_gaps(filled, connector_id, lost)
        if seen.is_paired and seen.pair is not None:
            books = await site.books(connector_id)
            _put_pair(filled, site, replace(seen, account=books.own, backlog=books.backlog))
            put_books(filled, (connector_id, seen.pair.pair_id.hex()), books)
    for role, count in roles.items():
        filled.put("pairhub_connectors", count, role)
    for scope, code in sorted({(repair.finding.scope, repair.finding.code) for repair in site.repairs.open()}):
        filled.put("pairhub_repair_open", 1, scope, code)
    put_notices(filled, site.notices.status())
    return filled


def _put_link(filled: Filled, site: Site, seen: Situation) -> None:
    connector_id = seen.connector_id
    view = site.runtime(connector_id).view
    is_up = view.state is LinkState.LINKED
    filled.put("pairhub_link_up", is_up, connector_id)
    for state in FlowState:
        filled.put("pairhub_link_state", seen.link.state is state, connector_id, state.value)
    round_trip_ms = view.round_trip_ms if is_up else 0.0
    filled.put("pairhub_link_round_trip_seconds", round_trip_ms / SECOND_MS if round_trip_ms else None, connector_id)
    filled.put("pairhub_link_sent_bytes_total", view.bytes_sent, connector_id)
    filled.put("pairhub_link_received_bytes_total", view.bytes_received, connector_id)
    filled.put("pairhub_readings_taken_total", site.ingestion.taken.get(connector_id, 0), connector_id)
    filled.put("pairhub_repairs", len(seen.repairs), connector_id)


def _put_pair(filled: Filled, site: Site, seen: Situation) -> None:
    pair, account, runtime = seen.pair, seen.account, site.runtime(seen.connector_id)
    assert pair is not None
    ids = (seen.connector_id, pair.pair_id.hex())
    filled.put("pairhub_link_faults_total", runtime.runner.faults if runtime.runner is not None else 0, *ids)
    filled.put("pairhub_peer_linked", runtime.view.peer_linked, *ids)
    filled.put("pairhub_stalled_seconds", seen.link.stalled_for_s or 0, *ids)
    canary_ms = seen.track.canary_ms
    filled.put("pairhub_pair_round_trip_seconds", None if canary_ms is None else canary_ms / SECOND_MS, *ids)
    if account is not None:
        for name in ("accepted", "applied"):
            filled.put(f"pairhub_{name}_total", getattr(account, name), *ids)
        for name in ("tail", "outbox", "held", "quarantined"):
            filled.put(f"pairhub_{name}_readings", getattr(account, name), *ids)
        for cause, count in account.dropped_by_cause.items():
            filled.put("pairhub_dropped_total", count, *ids, cause)
    backlog, now_ms = seen.backlog, site.clock.wall_ms()
    age_ms = max(0, now_ms - backlog.oldest_ms) if backlog.oldest_ms is not None else 0
    filled.put("pairhub_oldest_unapplied_seconds", age_ms / SECOND_MS, *ids)
    if pair.side is Side.SOURCE:
        filled.put("pairhub_backlog_readings", backlog.count, *ids)
        filled.put("pairhub_backlog_bytes", backlog.bytes, *ids)
        filled.put("pairhub_backlog_bytes_max", site.settings.outbox_bytes_max, *ids)
