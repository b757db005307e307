"""The list of connectors, and the form that creates one (page 3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.connectors import Connector
from connector.pages.frame import Desk, Parts, Visit, done, problem
from connector.pages.remote_sync import pairing_state
from connector.pages.site_hub import has_to_enrol
from connector.pages.situation import Situation, look
from shared.errors import PairhubError, Refused, StorageFailed
from shared.limits import SECOND_MS
from web import contexts as c
from web import formats, pairing_text, paths

_TEXT_MAX: Final = 200

# Refusals that are about one field of the form; the rest concern the form as a whole.
_FIELD_OF_CODE: Final[Mapping[str, str]] = {
    "no_such_window": "peer_connector_id",
    "window_expired": "code",
    "window_closed": "code",
    "wrong_code": "code",
    "mistyped_code": "code",
    "same_connector": "peer_connector_id",
    "source_paired": "peer_connector_id",
    "exists": "name",
}
_FIELD_OF_WHAT: Final[Mapping[str, str]] = {"Name": "name", "Connector ID": "peer_connector_id"}


# --- the list ---------------------------------------------------------------------------------------------------------


async def show(visit: Visit) -> Response:
    """Answer the list."""
    shell = await visit.shell(c.Section.CONNECTORS, stream="page=connectors")
    return visit.respond(c.ConnectorsPage(shell, await _table(visit), has_to_enrol(visit.site)))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream of the list carries."""
    shell = await visit.shell(c.Section.CONNECTORS)
    return (await _table(visit), shell.link, shell.counts)


async def updates(visit: Visit) -> Response:
    """Answer the update stream of the list, which belongs to no connector."""
    return visit.stream("", parts)


async def _table(visit: Visit) -> c.ConnectorTable:
    counts = await visit.site.database.read(_counts)
    rows = []
    for connector in await visit.site.connectors():
        try:
            seen = await look(visit.site, visit.desk.samples, connector.connector_id)
        except Refused:
            continue  # deleted meanwhile
        rows.append(await _row(visit, seen, counts.get(connector.connector_id, (0, 0))))
    return c.ConnectorTable(tuple(rows))


def _counts(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Return (devices, resources) of each connector."""
    rows = connection.execute(
        "SELECT connector_id, (SELECT COUNT(*) FROM device WHERE device.connector_id = connector.connector_id),"
        " (SELECT COUNT(*) FROM resource WHERE resource.connector_id = connector.connector_id) FROM connector"
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def _row(visit: Visit, seen: Situation, counts: tuple[int, int]) -> c.ConnectorRow:
    pair, view = seen.pair, visit.site.runtime(seen.connector_id).view
    # The peer is heard of now, or was when it left; before this start, nobody wrote it down.
    last_seen_ms = visit.now_ms if view.peer_linked else seen.track.peer_left_ms
    return c.ConnectorRow(
        connector_id=seen.connector_id,
        name=seen.connector.name,
        role=seen.role,
        link=seen.link,
        peer_site_name=pair.peer_site_name if pair else None,
        peer_connector_id=pair.peer_connector_id if pair else None,
        device_count=counts[0],
        resource_count=counts[1],
        last_seen_ms=last_seen_ms if pair else None,
        is_enabled=not seen.connector.disabled,
        note=await _note(visit, seen),
    )


async def _note(visit: Visit, seen: Situation) -> str:
    match await pairing_state(visit.site, seen):
        case c.PairingState.OPENING | c.PairingState.WAITING | c.PairingState.CLAIMING:
            window = await visit.site.window(seen.connector_id)
            left_ms = window.expires_ms - visit.now_ms if window else 0
            return f"window open, {formats.rough_duration(left_ms / SECOND_MS)} left"
        case c.PairingState.PENDING:
            return "pairing, not complete yet"
        case c.PairingState.FAILED:
            return "the pairing was not completed"
        case _:
            return ""


# --- the form ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Typed:
    """The form as it was typed, the pasted text read where fields are empty."""

    name: str
    is_target: bool
    site_name: str
    connector_id: str
    code: str
    pasted: str

    @classmethod
    def of(cls, form: Mapping[str, str]) -> _Typed:
        pasted = form.get("pasted", "")[: pairing_text.PASTED_LENGTH_MAX]
        found = pairing_text.parse(pasted)
        return cls(
            name=form.get("name", "").strip()[:_TEXT_MAX],
            is_target=form.get("is_target") == "on",
            site_name=(form.get("peer_site_name", "").strip() or found.site_name)[:_TEXT_MAX],
            connector_id=(form.get("peer_connector_id", "").strip() or found.connector_id)[:_TEXT_MAX],
            code=(form.get("code", "").strip() or found.code)[:_TEXT_MAX],
            pasted=pasted,
        )

    def missing(self) -> dict[str, str]:
        """Return what is not there of what a target needs."""
        if not self.is_target:
            return {}
        needed = {
            "peer_site_name": (self.site_name, "Type the site name that the source shows."),
            "peer_connector_id": (self.connector_id, "Type the connector ID that the source shows."),
            "code": (self.code, "Type the code that the source shows."),
        }
        return {field: words for field, (value, words) in needed.items() if not value}

    def context(self, errors: Mapping[str, str]) -> c.ConnectorForm:
        """Return the form to show again."""
        return c.ConnectorForm(
            self.name, self.is_target, self.site_name, self.connector_id, self.code, self.pasted, errors
        )


async def show_form(visit: Visit) -> Response:
    """Answer the empty form."""
    return visit.respond(c.ConnectorFormPage(await visit.shell(c.Section.CONNECTORS), c.ConnectorForm()))


async def create(visit: Visit) -> Response:
    """Create a connector; a target finishes the pairing first (W3), and is not there where that is refused."""
    typed = _Typed.of(await visit.form())
    errors = typed.missing()
    if errors:
        return await _again(visit, typed, errors, 422)
    name = typed.name or await _free_name(visit, typed)
    try:
        connector = await _create(visit, typed, name)
    except StorageFailed:
        raise
    except PairhubError as error:
        refused = error if isinstance(error, Refused) else Refused("hub_not_reachable")
        return await _again(visit, typed, {_field(refused): str(refused)}, refused.status)
    if typed.is_target:
        words = f"“{connector.name}” is paired with {typed.site_name}. Compare the fingerprint with the other side."
        return visit.redirect(paths.fill(paths.REMOTE_SYNC, connector_id=connector.connector_id), done(words))
    words = f"Connector “{connector.name}” created."
    return visit.redirect(paths.fill(paths.OVERVIEW, connector_id=connector.connector_id), done(words))


async def _create(visit: Visit, typed: _Typed, name: str) -> Connector:
    if not typed.is_target:
        return await visit.site.create_connector(name)
    return await visit.site.create_target(
        name, site_name=typed.site_name, source_connector=typed.connector_id, code=typed.code
    )


async def _free_name(visit: Visit, typed: _Typed) -> str:
    """Return a name that is not taken, for a form whose name was left empty."""
    wish = f"From {typed.site_name}" if typed.is_target else "Connector"
    taken = {connector.name for connector in await visit.site.connectors()}
    return next(
        name for number in range(1, len(taken) + 2) if (name := f"{wish} {number}" if number > 1 else wish) not in taken
    )


def _field(refused: Refused) -> str:
    if refused.code == "invalid":
        return _FIELD_OF_WHAT.get(str(refused.facts.get("what", "")), "")
    return _FIELD_OF_CODE.get(refused.code, "")


async def _again(visit: Visit, typed: _Typed, errors: Mapping[str, str], status: int) -> Response:
    toasts = (problem("Nothing was created; see what is marked."),)
    page = c.ConnectorFormPage(await visit.shell(c.Section.CONNECTORS, toasts=toasts), typed.context(errors))
    return visit.respond(page, status)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of list and form."""
    return [
        desk.show(paths.CONNECTORS, show),
        desk.show(paths.CONNECTORS_UPDATES, updates),
        desk.show(paths.CONNECTOR_NEW, show_form, "manage"),
        desk.act(paths.CONNECTORS, create, "manage"),
    ]
