"""Readings: taken in, and their history."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from connector import history, history_damage
from connector.api.operations import ONE, Call, Operation, Query
from connector.api.paging import after_of, cursor, limit_of, paged
from connector.readings import Outcome, RefusedLine, read_time
from shared.errors import Refused
from shared.limits import INGEST_BODY_BYTES_MAX
from web.authorize import Principal

NDJSON: Final = "application/x-ndjson"
_READINGS_SHOWN_MAX: Final = 100_000


class Taken(msgspec.Struct, frozen=True):
    """What became of the lines: `accepted` are on the disk, `repeated` were there with the same value."""

    accepted: int
    repeated: int
    refused: int
    refusals: list[RefusedLine]


async def post_readings(call: Call) -> Taken:
    """Take readings: one JSON object a line, a list of them, or batches (connector.ingest.bodies)."""
    body = await call.bytes(INGEST_BODY_BYTES_MAX)
    content_type = call.request.headers.get("content-type", "")
    reporters = reporters_of(call.principal, call.connector_id, call.request.headers.get("x-report-as", ""))
    return taken(await call.site.ingest(call.connector_id, body, content_type, reporters))


def taken(outcome: Outcome) -> Taken:
    """Return the answer that says what became of the lines."""
    return Taken(outcome.accepted, outcome.repeated, outcome.refused, outcome.refusals)


class Readings(msgspec.Struct, frozen=True):
    """History: [ms since 1970, value] each, oldest first; `next` goes on after it.

    `damaged` are the spans (first and last ms) of readings that were asked for and are left out: the disk gave them back
    damaged.
    """

    device: str
    resource: str
    readings: list[tuple[int, float | str | bool]]
    next: str | None = None
    damaged: list[tuple[int, int]] = []


def reporters_of(principal: Principal, connector_id: str, named: str) -> tuple[str, ...]:
    """Return who reports: the device of the key, or the gateway that the request names for itself; nobody in particular else.

    Raises Refused('forbidden') for a device of another connector, or one that poses as another.
    """
    named, bound = named.strip(), principal.device
    if not bound:
        return (named,) if named else ()
    if principal.connector_id != connector_id:
        raise Refused("forbidden", why="the API key is bound to a device of another connector")
    if named not in ("", bound):
        raise Refused("forbidden", why=f"the API key is bound to the device '{bound}' and cannot report as another")
    return (bound,)


async def list_readings(call: Call) -> Readings:
    """Return the history of one resource of one device, oldest first, from `from` (included) to `to` (excluded)."""
    connector_id, device, resource = call.connector_id, call.asked("device"), call.asked("resource")
    call.site.runtime(connector_id)
    from_ms, to_ms = _moment(call.asked("from"), 0), _moment(call.asked("to"), history.FAR_MS)
    limit, after = limit_of(call, _READINGS_SHOWN_MAX), after_of(call, int)
    if after is not None:
        from_ms = max(from_ms, after + 1)

    def unit(connection: sqlite3.Connection) -> tuple[list[tuple[int, Any]], list[tuple[int, int]]]:
        series_id = history.find_series(connection, connector_id, device, resource)
        if series_id is None:
            return [], []
        found = history.between(connection, series_id, from_ms, to_ms, limit + 1)
        until_ms = found[limit][0] if len(found) > limit else to_ms
        return found, history_damage.spans(connection, series_id, from_ms, until_ms)

    found, damaged = await call.site.database.read(unit)
    more = cursor(call, found[limit - 1][0]) if len(found) > limit else None
    return Readings(device, resource, found[:limit], more, damaged)


def _moment(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    return int(text) if text.isascii() and text.isdigit() else read_time(text, 1 << 62)


_READINGS: Final = ONE + "/readings"

OPERATIONS: Final = (
    Operation(
        "POST",
        _READINGS,
        "readings",
        "Take readings in: one JSON object a line, a JSON list of them, or batches of one device",
        post_readings,
        body=bytes,
        media=(NDJSON, "application/json"),
        answer=Taken,
        errors=(
            "too_many_lines",
            "too_many_reporters",
            "target_not_writable",
            "connector_disabled",
            "parted_meanwhile",
            "outbox_full",
            "disk_reserve",
        ),
    ),
    Operation(
        "GET",
        _READINGS,
        "read",
        "The history of one resource of one device, oldest first",
        list_readings,
        query=(
            Query("device", "its identity"),
            Query("resource", "its alias"),
            Query("from", "the first moment, ms since 1970 or ISO 8601 with a zone"),
            Query("to", "the moment before which it ends"),
            *paged(1_000, _READINGS_SHOWN_MAX),
        ),
        answer=Readings,
        errors=("bad_time", "before_1970"),
    ),
)
