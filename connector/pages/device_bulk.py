"""Editing many devices at once from the list (W8, W12): those that were ticked, or all that the filters let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.editing import Edited, Grant, Subject
from connector.pages.device_filters import found_here, read_filters
from connector.pages.frame import Desk, Visit, done, problem
from shared.errors import Refused
from shared.limits import BULK_DEVICES_MAX, LOOKUP_PAGE_ROWS_MAX
from web import contexts as c
from web import paths

# A page of ticked devices and the fields of the form around them.
_FIELDS_MAX: Final = LOOKUP_PAGE_ROWS_MAX + 40
_SHOWN_REFUSED_MAX: Final = 3

Fields = Mapping[str, Sequence[str]]


def _one(fields: Fields, name: str) -> str:
    given = fields.get(name, ())
    return given[-1].strip() if given else ""


async def _chosen(visit: Visit, fields: Fields) -> list[str]:
    """Return the identities that the form is about; raises Refused('invalid') where it is about none, or too many."""
    if _one(fields, "everything") == "yes":
        asked = read_filters({name: values[-1] for name, values in fields.items()})
        connector_id, now_ms = visit.connector_id, visit.now_ms
        found = await visit.site.database.read(lambda connection: found_here(connection, connector_id, asked, now_ms))
    else:
        found = list(fields.get("identity", ()))
    if not found:
        raise Refused("invalid", what="Choice", why="no device is selected; tick the ones to edit first")
    if len(found) > BULK_DEVICES_MAX:
        raise Refused("too_many_devices", most=BULK_DEVICES_MAX)
    return found


async def edit(visit: Visit) -> Response:
    """Do to many devices what the button says; deletion asks first."""
    fields = await visit.form_lists(_FIELDS_MAX)
    asked = {name: _one(fields, name) for name in ("search", "tag", "status", "lock", "where", "sync", "sort", "way")}
    back = _list_url(visit, {name: value for name, value in asked.items() if value})
    try:
        chosen = await _chosen(visit, fields)
        action = _one(fields, "action")
        if action == "delete":
            return visit.respond(await _question(visit, chosen, fields, back))
        edited, words = await _do(visit, action, chosen, fields)
    except Refused as refused:
        if refused.code not in ("invalid", "too_many_devices"):
            raise
        return visit.redirect(back, problem(str(refused)))
    return visit.redirect(back, *_toasts(words, len(chosen), edited))


async def _do(visit: Visit, action: str, chosen: list[str], fields: Fields) -> tuple[Edited, str]:
    editing, connector_id, who = visit.site.editing, visit.connector_id, visit.person.name
    match action:
        case "add_tag" | "remove_tag":
            tag = (_one(fields, "tag_name"), _one(fields, "tag_value"))
            act = editing.add_tags if action == "add_tag" else editing.remove_tags
            words = f"Tag “{tag[0]}={tag[1]}” {'added to' if action == 'add_tag' else 'removed from'}"
            return await act(connector_id, chosen, [tag], who=who), words
        case "grant":
            subject, level = _subject(visit, fields), _level(_one(fields, "level"))
            words = f"{subject.name} may {level.level} in"
            return await editing.set_grant(connector_id, chosen, subject, level, who=who), words
        case "revoke":
            subject = _subject(visit, fields)
            words = f"Permission of {subject.name} taken from"
            return await editing.remove_grant(connector_id, chosen, subject, who=who), words
        case "lock" | "unlock":
            words = "Locked" if action == "lock" else "Unlocked"
            return await editing.lock(connector_id, chosen, locked=action == "lock", who=who), words
        case _:
            raise Refused("invalid", what="Action", why="the form names none that is known; load the page again")


def _subject(visit: Visit, fields: Fields) -> Subject:
    return Subject(
        "group" if _one(fields, "subject_kind") == "group" else "user",
        _one(fields, "subject"),
        visit.site.identity.site_id,
    )


def _level(word: str) -> Grant:
    match word:
        case "read" | "write" | "manage":
            return Grant(word)
        case _:
            raise Refused("invalid", what="Level", why="it is read, write or manage")


async def _question(visit: Visit, chosen: list[str], fields: Fields, back: str) -> c.ConfirmPage:
    seen = await visit.look()
    is_all = _one(fields, "everything") == "yes"
    named = ", ".join(chosen[:5]) + (f" and {len(chosen) - 5:,} more" if len(chosen) > 5 else "")
    peer = f" They go at {seen.pair.peer_site_name} too." if seen.is_paired and seen.pair else ""
    carried = {name: _one(fields, name) for name in ("search", "tag", "status", "lock", "where", "sync")}
    return c.ConfirmPage(
        shell=await visit.shell(c.Section.DEVICES, seen),
        title=f"Delete {len(chosen):,} {'device' if len(chosen) == 1 else 'devices'}?",
        text=f"{named}. Tags, permissions, state and history go with them.{peer} This cannot be undone.",
        confirm_label="Delete",
        action_url=paths.fill(paths.DEVICES_DELETE, connector_id=visit.connector_id),
        cancel_url=back,
        consequences=(
            "Readings that name a deleted device are refused, unless the connector creates unknown devices.",
        ),
        fields={name: text for name, text in carried.items() if text}
        | ({"everything": "yes", "expected": str(len(chosen))} if is_all else {"identities": "\n".join(chosen)}),
    )


async def delete(visit: Visit) -> Response:
    """Delete what was confirmed. Where the filters let other devices through by now, ask again."""
    fields = {name: [value] for name, value in (await visit.form()).items()}
    asked = {name: _one(fields, name) for name in ("search", "tag", "status", "lock", "where", "sync")}
    back = _list_url(visit, {name: value for name, value in asked.items() if value})
    if (named := _one(fields, "identities")) and _one(fields, "everything") != "yes":
        fields["identity"] = named.split("\n")
        fields["identity"] = [name.rstrip("\r") for name in fields["identity"]]
    try:
        chosen = await _chosen(visit, fields)
    except Refused as refused:
        return visit.redirect(back, problem(str(refused)))
    if _one(fields, "everything") == "yes" and _one(fields, "expected") != str(len(chosen)):
        return visit.respond(await _question(visit, chosen, fields, back))
    edited = await visit.site.editing.delete_devices(visit.connector_id, chosen, who=visit.person.name)
    return visit.redirect(_list_url(visit, {}), *_toasts("Deleted", len(chosen), edited))


def _toasts(words: str, count: int, edited: Edited) -> list[c.Toast]:
    good = count - len(edited.refused)
    said = [done(f"{words} {good:,} {'device' if good == 1 else 'devices'}.")] if good else []
    if edited.refused:
        shown = [f"{name}: {why}" for name, why in list(edited.refused.items())[:_SHOWN_REFUSED_MAX]]
        more = len(edited.refused) - len(shown)
        said.append(
            problem(f"Refused for {len(edited.refused):,}. " + " ".join(shown) + (f" And {more:,} more." * bool(more)))
        )
    return said


def _list_url(visit: Visit, fields: Mapping[str, str]) -> str:
    url = paths.fill(paths.DEVICES, connector_id=visit.connector_id)
    fields = {name: text for name, text in fields.items() if (name, text) != ("sort", "identity")}
    return f"{url}?{urlencode(fields)}" if fields else url


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of these forms."""
    return [desk.act(paths.DEVICES_BULK, edit, "edit"), desk.act(paths.DEVICES_DELETE, delete, "edit")]
