"""Settings, tab General (page 3): name, unknown devices, switching off, deleting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.pages.frame import Desk, Parts, Visit, done, frame_parts
from connector.pages.remote_sync import part_first
from connector.pages.situation import Situation
from shared.errors import Refused
from web import contexts as c
from web import paths

STREAM: Final = "page=settings"
_BUDGET: Final = "drain_bytes_per_s"


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return visit.respond(await _page(visit, await visit.look()))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries: the frame only, so that nobody's typing is replaced."""
    shell = await visit.shell(c.Section.SETTINGS, await visit.look())
    return frame_parts(shell)


async def _page(
    visit: Visit, seen: Situation, typed: Mapping[str, str] | None = None, errors: c.Errors | None = None
) -> c.SettingsPage:
    connector = seen.connector
    refusal = part_first(seen)
    creates = connector.creates_devices if typed is None else typed.get("allows_creation") == "on"
    general = c.GeneralSettings(
        connector_id=connector.connector_id,
        name=connector.name if typed is None else typed.get("name", "")[:200],
        description=None,
        role=seen.role,
        is_enabled=not connector.disabled,
        created_ms=connector.created_ms,
        allows_creation=creates,
        drain_bytes_per_s=_typed_budget(connector.drain_bytes_per_s) if typed is None else typed.get(_BUDGET, "")[:20],
        drain_by_settings=visit.site.settings.drain_bytes_per_s,
        disable_refusal=refusal,
        delete_refusal=refusal,
        errors=errors or {},
    )
    return c.SettingsPage(await visit.shell(c.Section.SETTINGS, seen, stream=STREAM), general)


def _typed_budget(bytes_per_s: int | None) -> str:
    return "" if bytes_per_s is None else str(bytes_per_s)


def _read_budget(typed: str) -> int | None:
    """Return the budget that was typed; raises ValueError where it is no number."""
    typed = typed.strip()
    return int(typed) if typed else None


async def save(visit: Visit) -> Response:
    """Change the name, whether readings make devices, and what a backlog may take of the link."""
    form = await visit.form()
    seen = await visit.look()
    # The form of a target does not ask: nothing is taken from devices there.
    creates = seen.connector.creates_devices if seen.role is c.Role.TARGET else form.get("allows_creation") == "on"
    budget = seen.connector.drain_bytes_per_s
    try:
        if seen.role is not c.Role.TARGET and _BUDGET in form:
            budget = _read_budget(form[_BUDGET])
            await visit.site.set_drain_budget(visit.connector_id, budget)
    except (ValueError, Refused):
        errors = {_BUDGET: "Give a whole number of bytes per second, 0 for no bound, or leave it empty."}
        return visit.respond(await _page(visit, seen, form, errors), 422)
    try:
        await visit.site.change_connector(visit.connector_id, form.get("name", ""), creates_devices=creates)
    except Refused as refused:
        if refused.code not in ("invalid", "exists"):
            raise
        return visit.respond(await _page(visit, seen, form, {"name": str(refused)}), refused.status)
    return visit.redirect(_url(visit), done("Saved."))


async def disable(visit: Visit) -> Response:
    """Switch the connector off; refused where it is paired (W5)."""
    return await _switch(visit, disabled=True, words="The connector is disabled and takes no readings.")


async def enable(visit: Visit) -> Response:
    """Switch the connector on again."""
    return await _switch(visit, disabled=False, words="The connector is enabled.")


async def _switch(visit: Visit, *, disabled: bool, words: str) -> Response:
    try:
        await visit.site.disable_connector(visit.connector_id, disabled=disabled)
    except Refused as refused:
        return await _kept(visit, refused)
    return visit.redirect(_url(visit), done(words))


async def ask_delete(visit: Visit) -> Response:
    """Ask before the connector is deleted."""
    seen = await visit.look()
    name = seen.connector.name
    page = c.ConfirmPage(
        shell=await visit.shell(c.Section.SETTINGS, seen),
        title=f"Delete “{name}”?",
        text="Its devices, resources and history go with it. This cannot be undone.",
        confirm_label="Delete connector",
        action_url=paths.fill(paths.DELETE, connector_id=visit.connector_id),
        cancel_url=_url(visit),
        consequences=(
            "Programs that post readings to it get an error.",
            "Other connectors of this site are not touched.",
        ),
        fields={"confirmed": "yes"},
    )
    return visit.respond(page)


async def delete(visit: Visit) -> Response:
    """Delete the connector, once that was confirmed; refused where it is paired (W5)."""
    seen = await visit.look()
    if (await visit.form()).get("confirmed") != "yes":
        return visit.redirect(paths.fill(paths.DELETE, connector_id=visit.connector_id))
    try:
        await visit.site.delete_connector(visit.connector_id)
    except Refused as refused:
        return await _kept(visit, refused)
    return visit.redirect(paths.CONNECTORS, done(f"Connector “{seen.connector.name}” deleted."))


async def _kept(visit: Visit, refused: Refused) -> Response:
    """Say why a paired connector stays, on the page where it was asked for."""
    if refused.code != "still_paired":
        raise refused
    page = await _page(visit, await visit.look(), errors={"": str(refused)})
    return visit.respond(page, refused.status)


def _url(visit: Visit) -> str:
    return paths.fill(paths.SETTINGS, connector_id=visit.connector_id)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["settings"] = lambda: parts
    return [
        desk.show(paths.SETTINGS, show),
        desk.act(paths.SETTINGS, save, "manage"),
        desk.act(paths.DISABLE, disable, "manage"),
        desk.act(paths.ENABLE, enable, "manage"),
        desk.show(paths.DELETE, ask_delete, "manage"),
        desk.act(paths.DELETE, delete, "manage"),
    ]
