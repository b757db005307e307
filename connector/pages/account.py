"""The account of a pair, in all and by resource, compared at a common cut; and the room of the outbox (G1, N4)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import gaps
from connector.pages.frame import Desk, Parts, Visit, frame_parts
from connector.pages.overview import account_card, compared, dropped_of
from connector.pages.resource_forms import overflow_words
from connector.pages.situation import Situation
from connector.resource_accounts import Books, ResourceAccount, cut_differences
from shared.limits import SECOND_MS
from web import contexts as c
from web import formats, paths

STREAM: Final = "page=account"


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen = await visit.look()
    shell = await visit.shell(c.Section.OVERVIEW, seen, stream=STREAM)
    return visit.respond(c.AccountPage(shell, *await _cards(visit, seen)))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries."""
    seen = await visit.look()
    shell = await visit.shell(c.Section.OVERVIEW, seen)
    cards = await _cards(visit, seen)
    return (*frame_parts(shell), *(card for card in cards if card is not None))


async def _cards(
    visit: Visit, seen: Situation
) -> tuple[c.AccountCard | None, c.ResourceAccounts | None, c.RoomCard | None]:
    books = await visit.site.books(seen.connector_id)
    if books.own is None:
        return None, None, None
    at_once = replace(seen, account=books.own, stated=books.stated, backlog=books.backlog)  # all of one instant
    return account_card(visit, at_once), await _resources(visit, seen, books), _room(visit, books)


async def _resources(visit: Visit, seen: Situation, books: Books) -> c.ResourceAccounts:
    def unit(connection: sqlite3.Connection) -> Mapping[str, gaps.ResourceGaps]:
        return gaps.by_resource(connection, seen.connector_id)

    named = await visit.site.database.read(unit)
    own_choice = {row.alias: row.overflow for row in seen.resources if row.match != "missing_here"}
    is_target = seen.role is c.Role.TARGET
    stated_ms = books.stated.stated_ms if books.stated is not None else None
    differences = cut_differences(books.resources) if is_target else {}
    spoke = "" if stated_ms is None else formats.rough_duration(max(0, visit.now_ms - stated_ms) / SECOND_MS)
    return c.ResourceAccounts(
        connector_id=seen.connector_id,
        is_target=is_target,
        rows=tuple(
            _row(
                visit,
                each,
                own_choice.get(each.resource),
                named.get(each.resource),
                differences.get(each.resource, 0),
                is_target=is_target,
            )
            for each in books.resources
        ),
        stated_text=f"the source spoke last {spoke} ago" if spoke else "",
    )


def _row(
    visit: Visit,
    each: ResourceAccount,
    choice: str | None,
    named: gaps.ResourceGaps | None,
    difference: int | None,
    *,
    is_target: bool,
) -> c.ResourceAccountRow:
    settings, own = visit.site.settings, each.own
    overflow = choice or settings.outbox_full
    return c.ResourceAccountRow(
        alias=each.resource,
        accepted_count=own.accepted,
        applied_count=own.applied,
        queued_count=own.queued,
        quarantined_count=own.quarantined,
        dropped=dropped_of(own, settings.retention_days),
        difference_count=own.accepted - own.applied - own.queued - own.quarantined - own.dropped
        or abs(difference or 0),
        is_compared=difference is not None,
        compared_text=_compared_text(each, difference) if is_target and each.resource else "",
        overflow_text=overflow_words(overflow) if each.resource and not is_target else "",
        gap_count=named.notices if named is not None else 0,
        is_defined=choice is not None,
    )


def _compared_text(each: ResourceAccount, difference: int | None) -> str:
    more = each.own.differs_by(each.stated_by_source)
    if more and not difference:
        return f"the source was restored, and counts {formats.count(more)} of these under no resource"
    return compared(each.own, each.stated_by_source, "the source")


def _room(visit: Visit, books: Books) -> c.RoomCard | None:
    room = books.room
    if room is None:
        return None
    return c.RoomCard(
        bytes_waiting=room.bytes_waiting,
        bytes_kept=room.bytes_kept,
        bytes_max=room.bytes_max,
        overflow_text=overflow_words(room.overflow) + ", where a resource does not say otherwise",
        per_minute=room.readings_per_minute,
        bytes_per_reading=room.bytes_per_reading,
        lasts_s=None if room.lasts_ms is None else room.lasts_ms / SECOND_MS,
        retention_s=visit.site.settings.retention_ms / SECOND_MS,
    )


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["account"] = lambda: parts
    return [desk.show(paths.ACCOUNT, show)]
