"""Quarantine (page 11): what could not be applied, why, and the buttons to act (N5, G7)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.cursors import decode_cursor, encode_cursor
from connector.pages.frame import Desk, Parts, Visit, done, frame_parts, problem
from connector.pages.situation import Situation
from connector.pair_runner import QuarantineState
from connector.quarantine import QuarantineRow
from shared.errors import Refused
from web import contexts as c
from web import formats, paths

_ROWS: Final = 50


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen = await visit.look()
    after = visit.asked("after", 100)
    stream = "page=quarantine" if not after else ""  # somebody who leafs is not to lose his place
    shell = await visit.shell(c.Section.GAPS, seen, stream=stream)
    return visit.respond(c.QuarantinePage(shell, await _list(visit, seen, after)))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries."""
    seen = await visit.look()
    return (*frame_parts(await visit.shell(c.Section.GAPS, seen)), await _list(visit, seen, ""))


async def _list(visit: Visit, seen: Situation, after: str) -> c.QuarantineList:
    id_, desk = visit.connector_id, visit.site.quarantine
    rows = await desk.rows(id_, after=decode_cursor(after, int) if after else 0, limit=_ROWS + 1)
    total = await desk.total(id_)
    own, _ = await visit.site.account(id_)
    runner = visit.site.runtime(id_).runner
    room = runner.room if runner is not None else QuarantineState()
    here = paths.fill(paths.QUARANTINE, connector_id=id_)
    more = f"{here}?{urlencode({'after': encode_cursor(rows[_ROWS - 1].quarantine_id)})}" if len(rows) > _ROWS else None
    return c.QuarantineList(
        connector_id=id_,
        peer_site_name=_peer(seen),
        things=tuple(_thing(row) for row in rows[:_ROWS]),
        total_count=total.rows,
        total_reading_count=total.readings,
        elsewhere_count=own.quarantined if own is not None and seen.role is c.Role.SOURCE else 0,
        next_url=more,
        can_retry=visit.may("edit") and seen.is_paired,
        can_discard=visit.may("manage") and seen.is_paired,
        bytes_used=total.segment_bytes,
        bytes_max=visit.site.settings.quarantine_bytes_max,
        is_full=room.is_full,
        is_full_there=room.is_full_there,
    )


def _thing(row: QuarantineRow) -> c.QuarantinedThing:
    count = row.count if row.kind == "segment" else None
    return c.QuarantinedThing(row.quarantine_id, count, row.reason, row.arrived_ms, row.tried_ms, row.body_bytes)


# --- forms ------------------------------------------------------------------------------------------------------------


def _id(visit: Visit) -> int:
    text = visit.named("quarantine_id")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refused("not_found", what="thing in quarantine")
    return int(text)


def _back(visit: Visit, toast: c.Toast) -> Response:
    return visit.redirect(paths.fill(paths.QUARANTINE, connector_id=visit.connector_id), toast)


async def retry(visit: Visit) -> Response:
    """Try one again."""
    reason = await visit.site.quarantine.retry(visit.connector_id, _id(visit))
    return _back(visit, problem(f"It still cannot be applied: {reason}.") if reason else done("Applied."))


async def retry_all(visit: Visit) -> Response:
    """Try all of it again."""
    applied = await visit.site.quarantine.retry_all(visit.connector_id)
    if not applied:
        return _back(visit, problem("None of it can be applied yet; the reasons are in the list."))
    return _back(visit, done(f"{formats.count(applied)} applied."))


def _readings(count: int) -> str:
    return f"{formats.count(count)} {'reading' if count == 1 else 'readings'}"


def _said(seen: Situation) -> str:
    return f"what {_peer(seen)} said, which is passed over for good"


def _peer(seen: Situation) -> str:
    return seen.pair.peer_site_name if seen.pair is not None else "the other site"


async def ask_discard(visit: Visit) -> Response:
    """Ask before something goes, and say what goes with it."""
    id_, quarantine_id = visit.connector_id, _id(visit)
    rows = await visit.site.quarantine.rows(id_, after=quarantine_id - 1, limit=1)
    if not rows or rows[0].quarantine_id != quarantine_id:
        raise Refused("not_found", what="thing in quarantine")
    row, seen = rows[0], await visit.look()
    if row.kind == "segment":
        lost = f"{_readings(row.count)}, for good: they become a gap that both sides show"
    else:
        lost = _said(seen)
    page = c.ConfirmPage(
        await visit.shell(c.Section.GAPS, seen),
        f"Discard no. {quarantine_id}?",
        "Export its bytes first if somebody may want to look into them. This gives up:",
        "Discard",
        paths.fill(paths.QUARANTINE_DISCARD, connector_id=id_, quarantine_id=str(quarantine_id)),
        paths.fill(paths.QUARANTINE, connector_id=id_),
        (lost,),
        {"confirmed": "yes"},
    )
    return visit.respond(page)


async def discard(visit: Visit) -> Response:
    """Discard one."""
    if (await visit.form()).get("confirmed") != "yes":
        return await ask_discard(visit)
    await visit.site.quarantine.discard(visit.connector_id, _id(visit))
    return _back(visit, done("Discarded. What was lost stands under Gaps, at both sides."))


async def discard_all(visit: Visit) -> Response:
    """Discard all that is there, once that is confirmed."""
    id_ = visit.connector_id
    if visit.request.method == "POST" and (await visit.form()).get("confirmed") == "yes":
        discarded = await visit.site.quarantine.discard_all(id_)
        return _back(
            visit, done(f"{formats.count(discarded)} discarded. What was lost stands under Gaps, at both sides.")
        )
    total, seen = await visit.site.quarantine.total(id_), await visit.look()
    lost = []
    if total.rows > total.entries:
        lost.append(f"{_readings(total.readings)}, for good: they become gaps that both sides show")
    if total.entries:
        lost.append(_said(seen))
    page = c.ConfirmPage(
        await visit.shell(c.Section.GAPS, seen),
        "Discard all of it?",
        f"{formats.count(total.rows)} in quarantine. To discard all of it gives up:",
        "Discard all",
        paths.fill(paths.QUARANTINE_DISCARD_ALL, connector_id=id_),
        paths.fill(paths.QUARANTINE, connector_id=id_),
        tuple(lost),
        {"confirmed": "yes"},
    )
    return visit.respond(page)


async def content(visit: Visit) -> Response:
    """Answer the bytes of one, its seal opened, for support."""
    quarantine_id = _id(visit)
    body = await visit.site.quarantine.content(visit.connector_id, quarantine_id)
    name = f'attachment; filename="quarantine-{visit.connector_id}-{quarantine_id}.bin"'
    return Response(body, media_type="application/octet-stream", headers={"Content-Disposition": name})


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["quarantine"] = lambda: parts
    return [
        desk.show(paths.QUARANTINE, show),
        desk.act(paths.QUARANTINE_RETRY_ALL, retry_all, "edit"),
        desk.show(paths.QUARANTINE_DISCARD_ALL, discard_all, "manage"),
        desk.act(paths.QUARANTINE_DISCARD_ALL, discard_all, "manage"),
        desk.act(paths.QUARANTINE_RETRY, retry, "edit"),
        desk.show(paths.QUARANTINE_DISCARD, ask_discard, "manage"),
        desk.act(paths.QUARANTINE_DISCARD, discard, "manage"),
        desk.show(paths.QUARANTINE_CONTENT, content, "manage"),
    ]
