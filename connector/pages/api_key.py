"""The page of API keys: for programs by what they may do, for a device to post its readings; seen once, revoked one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.access import ACTIONS, KEY_SCOPES
from connector.pages.frame import Desk, Visit, done
from connector.pages.post_examples import line_of_one, readings_url, sample_of
from connector.people import KeyRow
from shared.errors import Refused
from web import contexts as c
from web import paths

EXPIRES_DAYS_MAX: Final = 3_660
# A site may have thousands of keys; a page shows the newest that match what is looked for.
_SHOWN_MAX: Final = 200
_TEXT_MAX: Final = 300
_SCOPES: Final[Mapping[str, str]] = {
    "readings": "Post readings",
    "read": "Read everything",
    "edit": "Edit devices, tags, permissions and values",
    "manage": "Manage connectors, pairing, resources and keys",
    "audit": "Read the audit log",
}
_FIELD_OF_WHAT: Final = {"Name": "name", "Expires": "expires_days", "Scopes": "scopes", "Device": "device"}


async def show(visit: Visit) -> Response:
    """Answer the page; the query may fill in for which device a key is to be."""
    form = await _form(visit, visit.request.query_params)
    return await _respond(visit, form)


async def create(visit: Visit) -> Response:
    """Make a key and show its secret, which no later page can."""
    typed = await visit.form()
    name, scopes = typed.get("name", "").strip(), _chosen(typed)
    is_of_device = typed.get("kind") == "device"
    connector_id, device = (typed.get("connector_id", ""), typed.get("device", "")) if is_of_device else ("", "")
    try:
        if is_of_device and not device:
            raise Refused("invalid", what="Device", why="type the identity of the device")
        secret = await visit.desk.access.create_key(
            name,
            _days(typed),
            None if is_of_device else scopes,
            connector_id=connector_id if is_of_device else None,
            device=device if is_of_device else None,
        )
    except Refused as refused:
        if refused.code not in ("invalid", "exists", "not_found"):
            raise
        form = await _form(visit, typed, _error(refused))
        return await _respond(visit, form, status=422 if refused.code == "not_found" else refused.status)
    example = ""
    if is_of_device or "readings" in scopes:
        example = await _example(visit, connector_id, device, secret)
    return await _respond(visit, await _form(visit, {}), c.NewApiKey(name, secret, example))


def _chosen(typed: Mapping[str, str]) -> frozenset[str]:
    return frozenset(scope for scope in ACTIONS if typed.get(f"scope-{scope}") == "on")


def _days(typed: Mapping[str, str]) -> int | None:
    text = typed.get("expires_days", "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > len(str(EXPIRES_DAYS_MAX)) or not 1 <= int(text) <= EXPIRES_DAYS_MAX:
        raise Refused("invalid", what="Expires", why=f"it takes 1 to {EXPIRES_DAYS_MAX} days, or never")
    return int(text)


def _error(refused: Refused) -> c.Errors:
    """Return what is wrong beside the field that it is about."""
    by_code = {"exists": "name", "not_found": "device"}
    field = by_code.get(refused.code) or _FIELD_OF_WHAT.get(str(refused.facts.get("what")), "")
    return {field: str(refused)}


async def _example(visit: Visit, connector_id: str, device: str, secret: str) -> str:
    """Return a line that posts with the key: to its connector, or to the first that takes readings."""
    if not connector_id:
        connector_id = next((id_ for id_, _ in await _takers(visit)), "")
    if not connector_id:
        return ""
    sample = await visit.site.database.read(lambda connection: sample_of(connection, connector_id, device))
    return line_of_one(readings_url(visit.request, connector_id), sample, secret)


async def _takers(visit: Visit) -> tuple[tuple[str, str], ...]:
    """Return (ID, name) of the connectors that take readings: a target takes none (G19)."""
    found = await visit.site.connectors()
    return tuple((each.connector_id, each.name) for each in found if each.role != "target")


async def _form(visit: Visit, typed: Mapping[str, str], errors: c.Errors | None = None) -> c.ApiKeyForm:
    """Return the form: as it was typed where something is wrong, else as it is offered."""
    chosen = _chosen(typed) if errors else KEY_SCOPES
    return c.ApiKeyForm(
        scopes=tuple(c.ScopeChoice(name, label, name in chosen) for name, label in _SCOPES.items()),
        connectors=await _takers(visit),
        name=typed.get("name", "")[:_TEXT_MAX],
        kind="device" if typed.get("kind") == "device" else "program",
        connector_id=typed.get("connector_id", "")[:_TEXT_MAX],
        device=typed.get("device", "")[:_TEXT_MAX],
        expires_days=typed.get("expires_days", "")[:_TEXT_MAX] if errors else "90",
        errors=errors or {},
        is_open=bool(errors) or "kind" in typed,
    )


# --- the list ---------------------------------------------------------------------------------------------------------


async def _list(visit: Visit) -> c.ApiKeyList:
    names = {each.connector_id: each.name for each in await visit.site.connectors()}
    find = visit.asked("find").strip()
    present = [row for row in reversed(visit.desk.access.keys()) if _matches(row, find)]
    rows = tuple(_row(visit, row, names) for row in present[:_SHOWN_MAX])
    return c.ApiKeyList(rows, len(present), find)


def _matches(row: KeyRow, find: str) -> bool:
    return any(find.lower() in text.lower() for text in (row.key.name, row.key.device or "", row.key.hint))


def _row(visit: Visit, row: KeyRow, names: Mapping[str, str]) -> c.ApiKeyRow:
    key = row.key
    return c.ApiKeyRow(
        key_id=key.key_id,
        name=key.name,
        hint=key.hint,
        scopes=tuple(sorted(key.scopes)),
        created_ms=key.created_ms,
        last_used_ms=row.used_ms,
        expires_ms=key.expires_ms,
        is_expired=key.expires_ms is not None and key.expires_ms <= visit.now_ms,
        connector_name=names.get(key.connector_id or "", key.connector_id or ""),
        device=key.device or "",
    )


def _stored(visit: Visit) -> KeyRow | None:
    key_id = str(visit.request.path_params["key_id"])
    present = visit.desk.access.keys()
    return next((row for row in present if row.key.key_id == key_id), None)


async def ask_revoke(visit: Visit) -> Response:
    """Ask before a key is closed."""
    row = _stored(visit)
    if row is None:
        return visit.redirect(paths.API_KEY)
    page = c.ConfirmPage(
        shell=await visit.shell(c.Section.API_KEY),
        title=f"Revoke the key “{row.key.name}”?",
        text="Programs that use it are refused from this moment on.",
        confirm_label="Revoke key",
        action_url=paths.fill(paths.API_KEY_REVOKE, key_id=row.key.key_id),
        cancel_url=paths.API_KEY,
        consequences=("Readings that were accepted stay.", "A new key can be created at once."),
        fields={"confirmed": "yes"},
    )
    return visit.respond(page)


async def revoke(visit: Visit) -> Response:
    """Close a key, once that was confirmed."""
    row = _stored(visit)
    if row is None:
        return visit.redirect(paths.API_KEY)
    if (await visit.form()).get("confirmed") != "yes":
        return visit.redirect(paths.fill(paths.API_KEY_REVOKE, key_id=row.key.key_id))
    await visit.desk.access.revoke_key(row.key.key_id)
    return visit.redirect(paths.API_KEY, done(f"The key “{row.key.name}” is revoked."))


async def _respond(
    visit: Visit, form: c.ApiKeyForm, new_key: c.NewApiKey | None = None, *, status: int = 200
) -> Response:
    page = c.ApiKeysPage(await visit.shell(c.Section.API_KEY), await _list(visit), form, new_key)
    return visit.respond(page, status)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    return [
        desk.show(paths.API_KEY, show, "manage"),
        desk.act(paths.API_KEY, create, "manage"),
        desk.show(paths.API_KEY_REVOKE, ask_revoke, "manage"),
        desk.act(paths.API_KEY_REVOKE, revoke, "manage"),
    ]
