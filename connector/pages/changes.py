"""Changes (page 11): conflicts with both values and the way out, and the history of all edits of a connector."""

from __future__ import annotations

import sqlite3
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import edit_queries
from connector.cursors import decode_cursor, encode_cursor
from connector.pages import edit_words
from connector.pages.frame import Desk, Parts, PartsOf, Visit, done, frame_parts
from connector.pages.situation import Situation
from shared.errors import Refused
from web import contexts as c
from web import paths

_ROWS: Final = 50


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen = await visit.look()
    conflicts, changes = await _cards(visit, seen)
    stream = urlencode({"page": "changes", **visit.request.query_params})
    page = c.ChangesPage(await visit.shell(c.Section.CHANGES, seen, stream=stream), conflicts, changes)
    return visit.respond(page)


async def _parts(visit: Visit) -> Parts:
    seen = await visit.look()
    return (*frame_parts(await visit.shell(c.Section.CHANGES, seen)), *await _cards(visit, seen))


async def _cards(visit: Visit, seen: Situation) -> tuple[c.ConflictsCard, c.ChangesCard]:
    after = visit.asked("after")
    before_id: int | None = decode_cursor(after, int) if after else None
    own, id_ = visit.site.identity, seen.connector_id

    def read(
        connection: sqlite3.Connection,
    ) -> tuple[list[edit_queries.ConflictRow], list[edit_queries.ChangeRow]]:
        return (
            edit_queries.list_conflicts(connection, id_, limit=500),
            edit_queries.list_changes(connection, id_, before_id=before_id, limit=_ROWS + 1),
        )

    conflicts, changes = await visit.site.database.read(read)
    here = paths.fill(paths.CHANGES, connector_id=id_)
    return (
        c.ConflictsCard(
            id_,
            tuple(edit_words.conflict(row, own, seen.pair) for row in conflicts),
            visit.may("edit"),
            here,
            shows_device=True,
        ),
        c.ChangesCard(
            id_,
            tuple(edit_words.change(row, own, seen.pair, is_paired=seen.is_paired) for row in changes[:_ROWS]),
            shows_device=True,
            next_url=_older(here, changes[_ROWS - 1].change_id) if len(changes) > _ROWS else None,
        ),
    )


def _older(here: str, change_id: int) -> str:
    return f"{here}?{urlencode({'after': encode_cursor(change_id)})}"


async def settle(visit: Visit) -> Response:
    """Restore what lost a conflict, or keep what stands."""
    form = await visit.form()
    text = str(visit.request.path_params["conflict_id"])
    if not text.isascii() or not text.isdigit():
        raise Refused("not_found", what="open conflict")
    editing, who = visit.site.editing, visit.person.name
    if form.get("act") == "restore":
        await editing.restore_conflict(visit.connector_id, int(text), who=who)
        words = "Restored; it goes to the other side as a new edit."
    else:
        await editing.dismiss_conflict(visit.connector_id, int(text), who=who)
        words = "Settled: what stands stays."
    # Only back to a page of this connector, whatever the form says.
    base = paths.fill(paths.OVERVIEW, connector_id=visit.connector_id)
    back = form.get("back", "")
    fits = back.startswith(base + "/") and "//" not in back
    return visit.redirect(back if fits else paths.fill(paths.CHANGES, connector_id=visit.connector_id), done(words))


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _parts


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["changes"] = live
    return [desk.show(paths.CHANGES, show), desk.act(paths.CONFLICT_SETTLE, settle, "edit")]
