"""The account by resource, gaps, and the room of the outbox for Prometheus."""

from __future__ import annotations

import sqlite3
from typing import Final

from connector.resource_accounts import Books
from shared.limits import METRICS_RESOURCES_MAX, SECOND_MS
from shared.metrics import Filled, Measure

_PAIR = ("connector", "pair")
_RESOURCE = (*_PAIR, "resource")
ACCOUNT_MEASURES: Final = (
    Measure(
        "pairhub_resource_accepted_total", "counter", "Account of a resource: accepted (a target: arrived)", _RESOURCE
    ),
    Measure("pairhub_resource_applied_total", "counter", "Account of a resource: applied", _RESOURCE),
    Measure("pairhub_resource_queued_readings", "gauge", "Account of a resource: tail, outbox and held", _RESOURCE),
    Measure("pairhub_resource_quarantined_readings", "gauge", "Account of a resource: quarantined", _RESOURCE),
    Measure(
        "pairhub_resource_dropped_total", "counter", "Account of a resource: dropped, by cause", (*_RESOURCE, "cause")
    ),
    Measure(
        "pairhub_gap_notices_total",
        "counter",
        "Notices of readings that never arrive, by cause",
        ("connector", "cause"),
    ),
    Measure(
        "pairhub_gap_readings_total",
        "counter",
        "Readings that those notices ever named, where somebody could count them",
        ("connector", "cause"),
    ),
    Measure(
        "pairhub_gap_readings_taken_back_total",
        "counter",
        "Of those, readings that arrived after all",
        ("connector", "cause"),
    ),
    Measure("pairhub_outbox_kept_bytes", "gauge", "Bytes that wait and may not be dropped at the cap", _PAIR),
    Measure(
        "pairhub_outbox_lasts_seconds",
        "gauge",
        "How long the outbox lasts with the other side away, at this rate",
        _PAIR,
    ),
)


def put_books(filled: Filled, ids: tuple[str, str], books: Books) -> None:
    """Fill in the accounts of resources, the largest first where there are too many; what is of none has an empty name."""
    largest = sorted(books.resources, key=lambda each: (-each.own.accepted, each.resource))
    for each in largest[:METRICS_RESOURCES_MAX]:
        names = (*ids, each.resource)
        filled.put("pairhub_resource_accepted_total", each.own.accepted, *names)
        filled.put("pairhub_resource_applied_total", each.own.applied, *names)
        filled.put("pairhub_resource_queued_readings", each.own.queued, *names)
        filled.put("pairhub_resource_quarantined_readings", each.own.quarantined, *names)
        for cause, count in each.own.dropped_by_cause.items():
            filled.put("pairhub_resource_dropped_total", count, *names, cause)
    if (room := books.room) is not None:
        filled.put("pairhub_outbox_kept_bytes", room.bytes_kept, *ids)
        filled.put("pairhub_outbox_lasts_seconds", None if room.lasts_ms is None else room.lasts_ms / SECOND_MS, *ids)


def put_gaps(filled: Filled, connector_id: str, found: dict[str, tuple[int, int, int]]) -> None:
    """Fill in notices, readings, and those that were taken back, by cause."""
    for cause, (notices, readings, taken_back) in found.items():
        filled.put("pairhub_gap_notices_total", notices, connector_id, cause)
        filled.put("pairhub_gap_readings_total", readings, connector_id, cause)
        filled.put("pairhub_gap_readings_taken_back_total", taken_back, connector_id, cause)


def gaps_by_cause(connection: sqlite3.Connection, connector_id: str) -> dict[str, tuple[int, int, int]]:
    """Return by cause the notices, the readings they ever named, and those of them that arrived after all."""
    rows = connection.execute(
        "SELECT cause, COUNT(*), COALESCE(SUM(count), 0) + SUM(taken_back), SUM(taken_back) FROM gap"
        " WHERE connector_id = ? GROUP BY cause",
        (connector_id,),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
