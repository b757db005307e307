"""The overview of one connector (page 2): is it paired, does it flow, what waits, and where is every reading."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.accounts import Account
from connector.health_facts import site_facts
from connector.pages.frame import Desk, Parts, Visit, frame_parts
from connector.pages.remote_sync import pair_facts, pairing_state
from connector.pages.repairs import shown
from connector.pages.samples import BEAT_S, KEPT_S, Sample, beats, rates
from connector.pages.situation import Situation
from shared.core.entries import (
    CAUSE_BYTE_CAP,
    CAUSE_DESTINATION_RESTORED,
    CAUSE_DEVICE_REPLACED,
    CAUSE_DISCARDED,
    CAUSE_HELD_TOO_LONG,
    CAUSE_ORIGIN_RESTORED,
    CAUSE_PARTED,
    CAUSE_RETENTION,
)
from shared.core.health import clock_doubt
from shared.limits import DAY_MS, RETENTION_MS, SECOND_MS
from shared.sealing import Side
from web import contexts as c
from web import formats, paths

STREAM: Final = "page=overview"
# The rate of now is the mean of so many last intervals, so that it does not jump with every sample.
_NOW_INTERVALS: Final = 3


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen = await visit.look()
    return visit.respond(await _page(visit, seen))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream of the page carries."""
    page = await _page(visit, await visit.look())
    cards = (page.pairing, page.repairs, page.backlog, page.rates, page.heartbeat, page.account)
    return (*frame_parts(page.shell), *(card for card in cards if card is not None))


async def _page(visit: Visit, seen: Situation) -> c.OverviewPage:
    samples = visit.desk.samples.of(seen.connector_id)
    held = await visit.site.database.read(lambda connection: _held(connection, seen.connector_id))
    return c.OverviewPage(
        shell=await visit.shell(c.Section.OVERVIEW, seen, stream=STREAM),
        pairing=_pairing(visit, seen, await pairing_state(visit.site, seen)),
        repairs=c.RepairsCard(shown(seen.repairs)),
        backlog=_backlog(visit, seen, held) if seen.is_paired else None,
        rates=_rates(seen, samples),
        heartbeat=_heartbeat(visit, seen, samples) if seen.is_paired else None,
        account=account_card(visit, seen),
    )


def _pairing(visit: Visit, seen: Situation, state: c.PairingState) -> c.PairingCard:
    return c.PairingCard(
        connector_id=seen.connector_id,
        site_name=visit.site.identity.site_name,
        role=seen.role,
        state=state,
        link=seen.link,
        pair=pair_facts(visit.site, seen) if seen.pair is not None else None,
    )


# --- what waits -------------------------------------------------------------------------------------------------------


def _held(connection: sqlite3.Connection, connector_id: str) -> int:
    """Return the bytes of what this destination holds for want of a device or resource."""
    row = connection.execute(
        "SELECT COALESCE(SUM(LENGTH(body)), 0) FROM held WHERE connector_id = ?", (connector_id,)
    ).fetchone()
    return int(row[0])


def _backlog(visit: Visit, seen: Situation, held_bytes: int) -> c.BacklogCard:
    account = seen.account or Account(0, 0, 0, 0, 0)
    is_target = seen.role is c.Role.TARGET
    expiring_ms = seen.backlog.oldest_held_ms if is_target else seen.backlog.oldest_waiting_ms
    oldest_ms = expiring_ms if is_target else seen.backlog.oldest_ms
    return c.BacklogCard(
        role=seen.role,
        tail_count=account.tail,
        outbox_count=account.outbox,
        held_count=account.held,
        queued_bytes=held_bytes if is_target else seen.backlog.bytes,
        oldest_age_s=_age_s(visit, oldest_ms),
        expiring_age_s=_age_s(visit, expiring_ms),
        retention_s=max(1, (RETENTION_MS if is_target else visit.site.settings.retention_ms) // SECOND_MS),
        bytes_max=visit.site.settings.outbox_bytes_max,
        expiry_suspended_reason=clock_doubt(site_facts(visit.site)),
    )


# --- what flows -------------------------------------------------------------------------------------------------------


def _rates(seen: Situation, samples: tuple[Sample, ...]) -> c.RatesCard:
    shown = []
    if seen.role is not c.Role.TARGET:
        shown.append(_rate("In from devices", rates(samples, "taken")))
    if seen.pair is not None and seen.is_paired:
        label = "Applied here" if seen.role is c.Role.TARGET else f"Applied at {seen.pair.peer_site_name}"
        shown.append(_rate(label, rates(samples, "applied")))
    return c.RatesCard(tuple(shown), KEPT_S, seen.last_applied_ms, seen.is_paired, _first_step(seen), seen.connector_id)


def _first_step(seen: Situation) -> str:
    if not seen.is_paired or seen.last_applied_ms is not None:
        return ""
    if seen.role is c.Role.TARGET:
        return "Create here what the source sends" if any(row.match == "missing_here" for row in seen.resources) else ""
    return "" if any(row.remote_sync for row in seen.resources) else "Switch Remote-Sync on for a resource"


def _rate(label: str, history: tuple[float, ...]) -> c.Rate:
    recent = history[-_NOW_INTERVALS:]
    return c.Rate(label, sum(recent) / len(recent) if recent else 0.0, history)


def _heartbeat(visit: Visit, seen: Situation, samples: tuple[Sample, ...]) -> c.HeartbeatCard:
    return c.HeartbeatCard(
        beats=beats(samples, visit.now_ms),
        beat_s=BEAT_S,
        canary_ms=seen.track.canary_ms,
        oldest_unapplied_s=_age_s(visit, seen.backlog.oldest_ms),
    )


def _age_s(visit: Visit, since_ms: int | None) -> float | None:
    return None if since_ms is None else max(0.0, (visit.now_ms - since_ms) / SECOND_MS)


# --- the account ------------------------------------------------------------------------------------------------------


def account_card(visit: Visit, seen: Situation) -> c.AccountCard | None:
    """Return the account table (G1): the source's books first; a target compares its own with what the source stated."""
    own, pair = seen.account, seen.pair
    if own is None or pair is None:
        return None
    days = visit.site.settings.retention_days
    mine = _side(own, visit.site.identity.site_name, seen.role, days)
    gaps_url = paths.fill(paths.GAPS, connector_id=seen.connector_id)
    resources_url = paths.fill(paths.ACCOUNT, connector_id=seen.connector_id)
    if pair.side is Side.SOURCE:
        return c.AccountCard((mine,), gaps_url=gaps_url, resources_url=resources_url)
    mine = msgspec.structs.replace(mine, cut_difference_count=own.differs_by(seen.stated))
    if seen.stated is None:
        return c.AccountCard((mine,), compared(own, None, pair.peer_site_name), gaps_url, resources_url)
    theirs = _side(seen.stated, pair.peer_site_name, c.Role.SOURCE, days, is_own=False)
    return c.AccountCard((theirs, mine), compared(own, seen.stated, pair.peer_site_name), gaps_url, resources_url)


def _side(account: Account, site_name: str, role: c.Role, days: float, *, is_own: bool = True) -> c.AccountSide:
    return c.AccountSide(
        site_name=site_name,
        role=role,
        accepted_count=account.accepted,
        applied_count=account.applied,
        queued_count=account.queued,
        quarantined_count=account.quarantined,
        dropped=dropped_of(account, days),
        unknown_count=None if account.unknown else 0,
        is_own=is_own,
        stated_ms=account.stated_ms,
    )


def dropped_of(account: Account, days: float) -> tuple[c.Dropped, ...]:
    """Return what was dropped, by cause in words."""
    return tuple(
        c.Dropped(cause_words(cause, days), count) for cause, count in sorted(account.dropped_by_cause.items())
    )


def compared(own: Account, stated: Account | None, source: str) -> str:
    """Say how our count of applied readings compares with the source's: at the cut that its statement speaks of."""
    if stated is None:
        return f"{source} has stated nothing yet"
    more = own.differs_by(stated)
    if more is None:
        return "compared with the next statement"
    if stated.applied_here is None:  # what was stated before this start is not known any more
        return "both sides count the same as applied"
    if more == 0:
        return f"at the common cut both sides count the same as applied: {formats.count(stated.applied)}"
    if more > 0:
        return f"at the common cut {source} has not heard of {formats.count(more)} that are applied here"
    return f"at the common cut {source} counts {formats.count(-more)} more as applied than this side has"


def cause_words(cause: str, retention_days: float) -> str:
    """Return the cause of a gap as people read it."""
    age = formats.rough_duration(retention_days * DAY_MS / SECOND_MS).replace(" d", " days")
    words = {
        CAUSE_RETENTION: f"older than {age}",
        CAUSE_BYTE_CAP: "over the size limit",
        CAUSE_DESTINATION_RESTORED: "destination restored from a backup",
        CAUSE_ORIGIN_RESTORED: "source restored from a backup",
        CAUSE_DISCARDED: "discarded by a person",
        CAUSE_PARTED: "given up when the pair parted",
        CAUSE_DEVICE_REPLACED: "their device was deleted, and another was made under its name",
        CAUSE_HELD_TOO_LONG: f"held for {age} without their device or resource",
    }
    return words.get(cause, cause.replace("_", " "))


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["overview"] = lambda: parts
    return [desk.show(paths.OVERVIEW, show)]
