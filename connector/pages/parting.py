"""Parting from a peer on purpose (page 4, G16): a page of its own that says what waits, and asks for the name typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.pages.frame import Desk, Parts, Visit, done, frame_parts, problem
from connector.pages.situation import Situation
from connector.parting import PartingSeen
from connector.parting_rows import Parted
from shared.core.entries import CAUSE_PARTED
from shared.errors import Refused
from web import contexts as c
from web import paths

STREAM: Final = "page=parting"


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return visit.respond(await _page(visit))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream of the page carries."""
    page = await _page(visit)
    return (*frame_parts(page.shell), page.card, page.forms)


async def _page(visit: Visit, errors: Mapping[str, str] | None = None, what: str = "") -> c.PartingPage:
    seen = await visit.look()
    found = await visit.site.runtime(visit.connector_id).parting.seen()
    stage = _stage(seen, found)
    peer = seen.pair.peer_site_name if seen.pair else found.parted.peer_site_name if found.parted else ""
    role = seen.role if seen.pair is not None or found.parted is None else c.Role(found.parted.side.word)
    return c.PartingPage(
        shell=await visit.shell(c.Section.SETTINGS, seen, stream=STREAM),
        card=_card(seen, found, stage, peer, role),
        forms=c.PartingForms(
            connector_id=seen.connector_id,
            connector_name=seen.connector.name,
            role=role,
            stage=stage,
            peer_site_name=peer,
            is_flush=what == "flush",
            errors=errors or {},
        ),
    )


def _stage(seen: Situation, found: PartingSeen) -> c.PartingStage:
    if seen.is_paired:
        return c.PartingStage(found.talk.state.value)
    if seen.pair is None and found.parted is not None:
        return c.PartingStage(found.parted.state.value)
    return c.PartingStage.ALONE


def _card(seen: Situation, found: PartingSeen, stage: c.PartingStage, peer: str, role: c.Role) -> c.PartingCard:
    theirs = found.talk.theirs
    return c.PartingCard(
        connector_id=seen.connector_id,
        role=role,
        stage=stage,
        peer_site_name=peer,
        queued_count=found.waits.queued,
        held_count=found.waits.held,
        quarantined_count=found.waits.quarantined,
        pending_edit_count=found.waits.pending_edits,
        asked_by=theirs.who if theirs else "",
        asked_ms=theirs.asked_ms if theirs else None,
        declined_ms=found.talk.declined_ms,
        parted=_facts(found.parted) if seen.pair is None and found.parted is not None else None,
    )


def _facts(parted: Parted) -> c.PartedFacts:
    return c.PartedFacts(
        at_ms=parted.parted_ms,
        is_flushed=parted.flush,
        accepted_count=parted.ledger.accepted,
        applied_count=parted.ledger.applied,
        dropped_count=parted.ledger.dropped.get(CAUSE_PARTED, 0),
        lost_edit_count=parted.pending_edits,
    )


# --- forms ------------------------------------------------------------------------------------------------------------


async def ask(visit: Visit) -> Response:
    """Ask the other side to part."""
    return await _choose(visit, agree=False)


async def agree(visit: Visit) -> Response:
    """Agree to what the other side asked: the pair is over."""
    return await _choose(visit, agree=True)


async def _choose(visit: Visit, *, agree: bool) -> Response:
    form = await visit.form()
    what, name = form.get("what", ""), form.get("name", "")
    errors: dict[str, str] = {}
    if what not in ("keep", "flush"):
        errors["what"] = "Choose what becomes of what was replicated."
    if name.strip() != (await visit.look()).connector.name:
        errors["name"] = "This is not the name of this connector."
    if errors:
        return visit.respond(await _page(visit, errors, what), 422)
    parting = visit.site.runtime(visit.connector_id).parting
    try:
        if agree:
            await parting.agree(flush=what == "flush")
            words = "Parted. This connector stands alone."
        else:
            await parting.ask(flush=what == "flush", who=visit.person.name)
            words = "Asked. The other side agrees or declines."
    except Refused as refused:  # somebody was faster, at this side or the other
        return visit.redirect(_url(visit), problem(str(refused)))
    return visit.redirect(_url(visit), done(words))


async def withdraw(visit: Visit) -> Response:
    """Take the ask back."""
    try:
        await visit.site.runtime(visit.connector_id).parting.withdraw()
    except Refused as refused:
        return visit.redirect(_url(visit), problem(str(refused)))
    return visit.redirect(_url(visit), done("Taken back. Everything stays as it is."))


async def decline(visit: Visit) -> Response:
    """Decline what the other side asked."""
    try:
        await visit.site.runtime(visit.connector_id).parting.decline()
    except Refused as refused:
        return visit.redirect(_url(visit), problem(str(refused)))
    return visit.redirect(_url(visit), done("Declined. Everything stays as it is."))


def _url(visit: Visit) -> str:
    return paths.fill(paths.PART, connector_id=visit.connector_id)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["parting"] = lambda: parts
    return [
        desk.show(paths.PART, show, "manage"),
        desk.act(paths.PART, ask, "manage"),
        desk.act(paths.PART_AGREE, agree, "manage"),
        desk.act(paths.PART_DECLINE, decline, "manage"),
        desk.act(paths.PART_WITHDRAW, withdraw, "manage"),
    ]
