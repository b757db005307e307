"""The forms of a device's page (W8, G20): each edits one thing, here and for the other side."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.editing import Edited, Grant, Subject
from connector.pages import device
from connector.pages.frame import Desk, Visit, done
from shared.errors import Refused
from shared.limits import DAY_MS
from web import contexts as c
from web import paths

# Which field of a form a refusal is about, by what it names.
_FIELD_OF_WHAT: Final = {
    "Name": "name",
    "Description": "description",
    "Tag name": "name",
    "Tag value": "value",
    "Subject": "name",
    "Until": "expires",
    "Pattern": "pattern",
    "Configuration": "configuration",
}
_BESIDE_FIELDS: Final = ("invalid", "too_many")


async def _edit(visit: Visit, form: str, act: Awaitable[Edited | None], typed: dict[str, str], words: str) -> Response:
    """Carry an edit out; what is wrong comes back beside its field, with what was typed."""
    try:
        edited = await act
        for refused in edited.refused.values() if edited is not None else ():
            raise refused
    except Refused as refused:
        if refused.code not in _BESIDE_FIELDS:
            raise
        field = _FIELD_OF_WHAT.get(str(refused.facts.get("what", "")), "")
        if form == "configuration":
            field = "configuration"
        page = await device.page_of(visit, form, typed, {field: str(refused)})
        return visit.respond(page, refused.status)
    return _edited(visit, words)


def _edited(visit: Visit, words: str) -> Response:
    pair = visit.site.pair(visit.connector_id)
    if pair is None:
        return visit.redirect(_here(visit), done(words + "."))
    is_there = visit.site.runtime(visit.connector_id).view.peer_linked
    way = (
        f"on its way to {pair.peer_site_name}." if is_there else f"waiting until {pair.peer_site_name} can be reached."
    )
    return visit.redirect(_here(visit), done(f"{words} here, {way}"))


def _here(visit: Visit) -> str:
    return paths.fill(paths.DEVICE, connector_id=visit.connector_id, device=visit.named("device"))


async def _fields(visit: Visit) -> dict[str, str]:
    return dict(await visit.form())


async def rename(visit: Visit) -> Response:
    """Change name and description."""
    form = await _fields(visit)
    name, description = form.get("name", "").strip(), form.get("description", "")
    identity = visit.named("device")
    act = visit.site.editing.rename(visit.connector_id, identity, name or identity, description, who=visit.person.name)
    return await _edit(visit, "facts", act, form, "Saved")


async def lock(visit: Visit) -> Response:
    """Lock or unlock."""
    locked = (await visit.form()).get("locked") == "yes"
    act = visit.site.editing.lock(visit.connector_id, [visit.named("device")], locked=locked, who=visit.person.name)
    return await _edit(visit, "facts", act, {}, "Locked" if locked else "Unlocked")


async def add_tag(visit: Visit) -> Response:
    """Add a tag."""
    form = await _fields(visit)
    tag = (form.get("name", ""), form.get("value", ""))
    act = visit.site.editing.add_tags(visit.connector_id, [visit.named("device")], [tag], who=visit.person.name)
    return await _edit(visit, "tags", act, form, f"Tag “{tag[0].strip()}” added")


async def remove_tag(visit: Visit) -> Response:
    """Take a tag away."""
    form = await _fields(visit)
    tag = (form.get("name", ""), form.get("value", ""))
    act = visit.site.editing.remove_tags(visit.connector_id, [visit.named("device")], [tag], who=visit.person.name)
    return await _edit(visit, "tags", act, form, f"Tag “{tag[0]}” removed")


def _subject(visit: Visit, form: dict[str, str]) -> Subject:
    kind: Any = "group" if form.get("kind") == "group" else "user"
    return Subject(kind, form.get("name", "").strip(), form.get("site_id") or visit.site.identity.site_id)


def _devices(visit: Visit, form: dict[str, str]) -> list[str] | None:
    return None if form.get("scope") == "all" else [visit.named("device")]


async def grant(visit: Visit) -> Response:
    """Give a user or group a permission."""
    form = await _fields(visit)
    subject = _subject(visit, form)

    async def act() -> Edited:
        return await visit.site.editing.set_grant(
            visit.connector_id, _devices(visit, form), subject, _grant(form), who=visit.person.name
        )

    return await _edit(visit, "grants", act(), form, f"Permission of {subject.name} set")


def _grant(form: dict[str, str]) -> Grant:
    level = form.get("level", "")
    if level not in ("read", "write", "manage"):
        raise Refused("invalid", what="Level", why="it is read, write or manage")
    return Grant(level, _end_of_day_ms(form.get("expires", "").strip()))  # type: ignore[arg-type]


def _end_of_day_ms(text: str) -> int | None:
    """Return the end of a day, UTC, as ms since 1970; None for no day."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("invalid", what="Until", why="it is a date such as 2027-01-31") from None
    return round(day.timestamp() * 1000) + DAY_MS


async def revoke(visit: Visit) -> Response:
    """Take a permission away."""
    form = await _fields(visit)
    subject = _subject(visit, form)
    act = visit.site.editing.remove_grant(visit.connector_id, _devices(visit, form), subject, who=visit.person.name)
    return await _edit(visit, "grants", act, form, f"Permission of {subject.name} taken away")


async def add_pattern(visit: Visit) -> Response:
    """Let the device report for others."""
    form = await _fields(visit)
    pattern = form.get("pattern", "").strip()
    act = visit.site.editing.add_publish_as(visit.connector_id, visit.named("device"), pattern, who=visit.person.name)
    return await _edit(visit, "publish_as", _nothing(act), form, f"It may report for “{pattern}”")


async def remove_pattern(visit: Visit) -> Response:
    """Take a pattern away."""
    form = await _fields(visit)
    pattern = form.get("pattern", "")
    act = visit.site.editing.remove_publish_as(
        visit.connector_id, visit.named("device"), pattern, who=visit.person.name
    )
    return await _edit(visit, "publish_as", _nothing(act), form, f"It may no longer report for “{pattern}”")


async def configure(visit: Visit) -> Response:
    """Set the configuration."""
    form = await _fields(visit)
    text = form.get("configuration", "").strip() or "{}"
    act = visit.site.editing.set_configuration(visit.connector_id, visit.named("device"), text, who=visit.person.name)
    return await _edit(visit, "configuration", _nothing(act), form, "Configuration saved")


async def _nothing(act: Awaitable[None]) -> Edited | None:
    await act
    return None


async def set_value(visit: Visit) -> Response:
    """Set a value for a resource; the device shows how far it has come."""
    form = await _fields(visit)
    alias, text = form.get("alias", ""), form.get("value", "").strip()
    seen = await visit.look()
    formats = {row.alias: row.format for row in seen.resources}
    value = _typed(formats.get(alias, "string"), text)
    await visit.site.editing.set_value(visit.connector_id, visit.named("device"), alias, value, who=visit.person.name)
    return _edited(visit, f"{alias} set to {text}")


def _typed(format_: str, text: str) -> float | bool | str:
    if format_ == "boolean":
        return text == "true"
    if format_ == "number":
        try:
            return float(text.replace(",", "."))
        except ValueError:
            raise Refused("invalid", what="Value", why=f"“{text[:40]}” is no number") from None
    return text


async def dismiss_refusals(visit: Visit) -> Response:
    """Put away that the other side refused edits; the history keeps them."""
    await visit.site.editing.dismiss_refused(visit.connector_id, visit.named("device"))
    return visit.redirect(_here(visit))


async def ask_delete(visit: Visit) -> Response:
    """Ask before the device is deleted."""
    seen, identity = await visit.look(), visit.named("device")
    peer = f" It goes at {seen.pair.peer_site_name} too." if seen.is_paired and seen.pair else ""
    page = c.ConfirmPage(
        shell=await visit.shell(c.Section.DEVICES, seen),
        title=f"Delete “{identity}”?",
        text=f"Its tags, permissions, state and history go with it.{peer} This cannot be undone.",
        confirm_label="Delete device",
        action_url=paths.fill(paths.DEVICE_DELETE, connector_id=visit.connector_id, device=identity),
        cancel_url=_here(visit),
        consequences=("Readings that name it are refused, unless the connector creates unknown devices.",),
        fields={"confirmed": "yes"},
    )
    return visit.respond(page)


async def delete(visit: Visit) -> Response:
    """Delete the device, once that was confirmed."""
    identity = visit.named("device")
    if (await visit.form()).get("confirmed") != "yes":
        return visit.redirect(paths.fill(paths.DEVICE_DELETE, connector_id=visit.connector_id, device=identity))
    edited = await visit.site.editing.delete_devices(visit.connector_id, [identity], who=visit.person.name)
    for refused in edited.refused.values():
        raise refused
    return visit.redirect(
        paths.fill(paths.DEVICES, connector_id=visit.connector_id), done(f"Device “{identity}” deleted.")
    )


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of the forms."""
    forms = (
        (paths.DEVICE, rename),
        (paths.DEVICE_LOCK, lock),
        (paths.DEVICE_TAGS, add_tag),
        (paths.DEVICE_TAG_REMOVE, remove_tag),
        (paths.DEVICE_GRANTS, grant),
        (paths.DEVICE_GRANT_REMOVE, revoke),
        (paths.DEVICE_PUBLISH_AS, add_pattern),
        (paths.DEVICE_PUBLISH_AS_REMOVE, remove_pattern),
        (paths.DEVICE_CONFIGURATION, configure),
        (paths.DEVICE_SET, set_value),
        (paths.DEVICE_REFUSALS, dismiss_refusals),
        (paths.DEVICE_DELETE, delete),
    )
    return [desk.show(paths.DEVICE_DELETE, ask_delete, "edit"), *(desk.act(path, act, "edit") for path, act in forms)]
