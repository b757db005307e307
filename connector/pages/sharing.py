"""Settings, tab Sharing: what the other side may do here (G18), and what decides conflicts of edits (G11)."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.pages.frame import Desk, Parts, PartsOf, Visit, done, frame_parts
from web import contexts as c
from web import paths

STREAM: Final = "page=sharing"
ON: Final = "on"
OFF: Final = "off"
# Before the name of a field: what the page showed. Only what a person chose otherwise is set, for somebody else may have
# set the rest meanwhile; a form that does not say so sets all that it names.
WAS: Final = "was-"
_RIGHTS: Final = (
    ("look_up", "Look up devices", "Live lookups from there; what it looked up before, it may still show."),
    ("edit_devices", "Edit devices", "Create, rename, lock and delete them."),
    ("edit_tags", "Edit tags", ""),
    ("edit_grants", "Edit permissions", "Who may do what with a device, and for which others a gateway may report."),
    ("edit_configuration", "Edit configuration", "Of devices, and what decides conflicts."),
    ("set_values", "Set values", "Of resources that are settable."),
    ("replay", "Ask for readings again", "Past ranges, from this side's history."),
    ("edit_resources", "Create resources", "The same as there, in one click."),
)
_CLASSES: Final = {
    "devices": "Names, locks, and whether a device exists",
    "tags": "Tags",
    "grants": "Permissions and publish-as patterns",
    "configuration": "Configuration",
    "values": "Values that were set",
}


async def show(visit: Visit) -> Response:
    """Answer the page."""
    seen = await visit.look()
    editing, id_ = visit.site.editing, visit.connector_id
    rights, policies = await editing.peer_rights(id_), await editing.policies(id_)
    page = c.SharingPage(
        shell=await visit.shell(c.Section.SETTINGS, seen, stream=STREAM),
        connector_id=id_,
        peer_site_name=seen.pair.peer_site_name if seen.is_paired and seen.pair is not None else "",
        rights=tuple(c.PeerRight(name, label, hint, getattr(rights, name)) for name, label, hint in _RIGHTS),
        policies=tuple(c.ConflictPolicy(name, label, policies[name]) for name, label in _CLASSES.items()),
        can_edit=visit.may("manage"),
    )
    return visit.respond(page)


async def save_rights(visit: Visit) -> Response:
    """Set what the other side may do from now on."""
    form = await visit.form()
    chosen = {name: form.get(name, OFF) for name, _, _ in _RIGHTS}
    named = {name: choice == ON for name, choice in chosen.items() if form.get(WAS + name) != choice}
    await visit.site.editing.set_peer_rights(visit.connector_id, named, who=visit.person.name)
    return visit.redirect(_url(visit), done("Saved. It holds for edits that arrive from now on."))


async def save_policies(visit: Visit) -> Response:
    """Set what decides conflicts, at both sides."""
    form = await visit.form()
    present = await visit.site.editing.policies(visit.connector_id)
    for name in _CLASSES:
        shown = form.get(WAS + name, present[name])
        if (chosen := form.get(name, shown)) not in (shown, present[name]):
            await visit.site.editing.set_policy(visit.connector_id, name, chosen, who=visit.person.name)
    return visit.redirect(_url(visit), done("Saved, for both sides."))


def _url(visit: Visit) -> str:
    return paths.fill(paths.SHARING, connector_id=visit.connector_id)


async def _parts(visit: Visit) -> Parts:
    return frame_parts(await visit.shell(c.Section.SETTINGS, await visit.look()))


def live() -> PartsOf:
    """Return what the update stream carries: the frame only, so that nobody's choice is undone."""
    return _parts


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["sharing"] = live
    return [
        desk.show(paths.SHARING, show),
        desk.act(paths.SHARING_RIGHTS, save_rights, "manage"),
        desk.act(paths.SHARING_POLICIES, save_policies, "manage"),
    ]
