"""Settings, tab Remote-Sync (page 4): opening a pairing window, watching the claim, and the facts of a pair."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import segno
from msgspec.structs import replace
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.connectors import Pair
from connector.pages.frame import Desk, Parts, Visit, done, frame_parts, problem
from connector.pages.situation import Situation
from connector.site import Site
from shared.core.completion import PairState
from shared.core.window import Window, WindowState
from shared.errors import PairhubError, Refused
from shared.limits import MINUTE_MS, SECOND_MS
from shared.sealing import Side
from web import contexts as c
from web import pairing_text, paths

STREAM: Final = "page=remote_sync"
# The hub files a window within milliseconds; after this long the page says that it is waited for.
_FILING_S: Final = 1.5
_SHOWING_PROBLEM: Final = (c.PairingState.FAILED, c.PairingState.OPENING, c.PairingState.PENDING)


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen = await visit.look()
    return visit.respond(await _page(visit, seen))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream of the page carries."""
    visit.desk.access.check(visit.person, "manage")  # the code is not for everybody
    page = await _page(visit, await visit.look())
    return (*frame_parts(page.shell), page.card, page.guards)


async def _page(visit: Visit, seen: Situation, problem_text: str = "") -> c.RemoteSyncPage:
    refusal = part_first(seen)
    return c.RemoteSyncPage(
        shell=await visit.shell(c.Section.SETTINGS, seen, stream=STREAM),
        card=await _card(visit, seen, problem_text),
        guards=c.PairGuards(
            connector_id=seen.connector_id,
            disable_refusal=refusal,
            delete_refusal=refusal,
        ),
    )


def part_first(seen: Situation) -> str:
    """Say why a paired connector can be neither disabled nor deleted (W5); empty where it can.

    A target whose pairing is not complete may still go; its source rolls the pair back then.
    """
    if seen.pair is None or (seen.role is c.Role.TARGET and not seen.is_paired):
        return ""
    return f"Paired with {seen.pair.peer_site_name}, which depends on it. Parting needs both sides."


# --- the card ---------------------------------------------------------------------------------------------------------


async def _card(visit: Visit, seen: Situation, problem_text: str) -> c.RemoteSyncCard:
    site = visit.site
    window = await site.window(seen.connector_id)
    state = _state(site, seen, window)
    view = site.runtime(seen.connector_id).view
    card = c.RemoteSyncCard(
        connector_id=seen.connector_id,
        role=seen.role,
        state=state,
        window_s=int(site.settings.window_minutes * MINUTE_MS / SECOND_MS),
        problem=problem_text or (view.problem if state in _SHOWING_PROBLEM else ""),
        enable_refusal=_enable_refusal(site, seen),
    )
    if seen.pair is not None:
        facts = pair_facts(site, seen)
        talk = seen.talk
        card = replace(card, peer_asks_to_part=talk.theirs is not None, asked_to_part=talk.mine is not None)
        return replace(card, pair=facts, claim=_pending_claim(seen.pair) if state is c.PairingState.PENDING else None)
    if window is None:
        parted = (await site.runtime(seen.connector_id).parting.seen()).parted
        return replace(card, parted_from=parted.peer_site_name) if parted is not None else card
    if window.open:
        claimant = site.runtime(seen.connector_id).source.claimant
        return replace(card, window=_window(site, seen, window), claim=c.Claim(claimant, started_ms=None))
    return replace(card, ended_ms=window.expires_ms if window.state is WindowState.EXPIRED else None)


async def pairing_state(site: Site, seen: Situation) -> c.PairingState:
    """Return where a connector stands between alone and paired."""
    return _state(site, seen, await site.window(seen.connector_id))


def _state(site: Site, seen: Situation, window: Window | None) -> c.PairingState:
    if seen.pair is not None:
        return c.PairingState.PAIRED if seen.pair.state is PairState.PAIRED else c.PairingState.PENDING
    runtime = site.runtime(seen.connector_id)
    if window is None or window.state is WindowState.CANCELLED:
        # A target whose pairing was rolled back has no window of its own.
        return c.PairingState.FAILED if seen.role is c.Role.TARGET else c.PairingState.IDLE
    match window.state:
        case WindowState.WAITING:
            return c.PairingState.WAITING if runtime.source.filed else c.PairingState.OPENING
        case WindowState.CLAIMING:
            return c.PairingState.CLAIMING
        case WindowState.EXPIRED:
            return c.PairingState.EXPIRED
        case WindowState.CLOSED:
            return c.PairingState.CLOSED
        case WindowState.USED:
            return c.PairingState.FAILED


def _enable_refusal(site: Site, seen: Situation) -> str:
    if seen.role is c.Role.TARGET:
        return "This connector is a target. Delete it and create it again with the new code, or create another source."
    if seen.connector.disabled:
        return "This connector is disabled. Enable it first, under General."
    if not site.hub_url:
        return "This site has no hub yet. Start it with the address of one, as in --hub-url http://127.0.0.1:8470."
    return site.enrolment.problem


def _window(site: Site, seen: Situation, window: Window) -> c.PairingWindow:
    name = site.identity.site_name
    return c.PairingWindow(
        site_name=name,
        connector_id=seen.connector_id,
        code=window.code,
        opened_ms=window.opened_ms,
        expires_ms=window.expires_ms,
        attempts_left_count=window.attempts_left,
        qr_data_uri=_qr(pairing_text.write(name, seen.connector_id, window.code)),
    )


@lru_cache(maxsize=8)
def _qr(text: str) -> str:
    return str(segno.make(text, error="m").svg_data_uri(scale=4, border=1))


def _pending_claim(pair: Pair) -> c.Claim:
    return c.Claim(
        peer_site_name=pair.peer_site_name,
        peer_connector_id=pair.peer_connector_id,
        fingerprint=pair.fingerprint,
        started_ms=pair.agreed_ms,
        # Only the source decides when to give up (SECURITY, pairing, step 4).
        expires_ms=pair.roll_back_ms if pair.side is Side.SOURCE else None,
        needs_accept=not pair.accepted,
    )


def pair_facts(site: Site, seen: Situation) -> c.PairFacts:
    """Return the facts of a pair; the connector has one."""
    pair = seen.pair
    assert pair is not None
    return c.PairFacts(
        pair_id=pair.pair_id.hex(),
        role=c.Role(pair.side.word),
        peer_site_name=pair.peer_site_name,
        peer_connector_id=pair.peer_connector_id,
        fingerprint=pair.fingerprint,
        paired_since_ms=pair.paired_ms if pair.paired_ms is not None else pair.agreed_ms,
        key_day=datetime.fromtimestamp(site.clock.wall_ms() / SECOND_MS, UTC).date().isoformat(),
        hub_url=site.hub_url,
        link=seen.link,
    )


# --- forms ------------------------------------------------------------------------------------------------------------


async def enable(visit: Visit) -> Response:
    """Open a window (W1); where that is refused, the page says why."""
    try:
        await visit.site.enable_remote_sync(visit.connector_id)
    except Refused as refused:
        if refused.code == "not_found":
            raise
        return visit.respond(await _refused_page(visit, refused), refused.status)
    with suppress(TimeoutError):
        async with asyncio.timeout(_FILING_S):
            await _filed(visit)
    return visit.redirect(_url(visit))


async def _filed(visit: Visit) -> None:
    """Wait until the hub has filed the window, so that the next page shows the code, also where no script updates it."""
    source = visit.site.runtime(visit.connector_id).source

    def is_filed() -> bool:
        return source.filed

    if is_filed():
        return
    async for _ in visit.site.bell(visit.connector_id).ticks():
        if is_filed():
            return


async def _refused_page(visit: Visit, refused: PairhubError) -> c.RemoteSyncPage:
    page = await _page(visit, await visit.look(), str(refused))
    toasts = c.Toasts((*page.shell.toasts.toasts, problem(str(refused))))
    return replace(page, shell=replace(page.shell, toasts=toasts))


async def close(visit: Visit) -> Response:
    """Close the window early, or put one that is over away."""
    await visit.site.close_window(visit.connector_id)
    return visit.redirect(_url(visit), done("The window is closed; its code is worthless now."))


async def accept(visit: Visit) -> Response:
    """Accept who claimed: the target's next message completes the pair."""
    return await _judge(visit, visit.site.accept_claimant, "Accepted; the pair is complete within seconds.")


async def refuse(visit: Visit) -> Response:
    """Refuse who claimed: both sides forget the pair."""
    words = "Refused; both sides forget this pair. The code is worthless now."
    return await _judge(visit, visit.site.refuse_claimant, words)


async def _judge(visit: Visit, act: Callable[[str], Awaitable[None]], words: str) -> Response:
    try:
        await act(visit.connector_id)
    except Refused as refused:  # it was given up meanwhile, or somebody else was faster
        return visit.redirect(_url(visit), problem(str(refused)))
    return visit.redirect(_url(visit), done(words))


async def cancel(visit: Visit) -> Response:
    """Give up a pending target: its connector goes, as nothing is in it yet."""
    seen = await visit.look()
    if seen.is_paired or seen.role is not c.Role.TARGET:
        return visit.redirect(_url(visit), problem(str(Refused("still_paired"))))
    await visit.site.delete_connector(visit.connector_id)
    return visit.redirect(paths.CONNECTORS, done(f"The pairing was given up and “{seen.connector.name}” deleted."))


def _url(visit: Visit) -> str:
    return paths.fill(paths.REMOTE_SYNC, connector_id=visit.connector_id)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["remote_sync"] = lambda: parts
    return [
        desk.show(paths.REMOTE_SYNC, show, "manage"),
        desk.act(paths.REMOTE_SYNC_ENABLE, enable, "manage"),
        desk.act(paths.REMOTE_SYNC_CLOSE, close, "manage"),
        desk.act(paths.REMOTE_SYNC_ACCEPT, accept, "manage"),
        desk.act(paths.REMOTE_SYNC_REFUSE, refuse, "manage"),
        desk.act(paths.REMOTE_SYNC_CANCEL, cancel, "manage"),
    ]
