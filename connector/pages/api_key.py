"""The page of the API key: make the one key, see it once, revoke it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.pages.frame import Desk, Visit, done, problem
from connector.people import KeyRow
from shared.errors import Refused
from web import contexts as c
from web import paths
from web.front_door import public_url

EXPIRES_DAYS_MAX: Final = 3_660


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return await _respond(visit, c.ApiKeyCard(_facts(visit)))


async def create(visit: Visit) -> Response:
    """Make the key and show its secret, which no later page can."""
    form = await visit.form()
    name = form.get("name", "")
    try:
        secret = await visit.desk.access.create_key(name, _days(form))
    except Refused as refused:
        if refused.code == "exists":
            toast = problem("There is a key already. Revoke it first.")
            return await _respond(visit, c.ApiKeyCard(_facts(visit)), refused.status, toast)
        if refused.code != "invalid":
            raise
        field = "name" if refused.facts["what"] == "Name" else ""
        card = c.ApiKeyCard(None, name=name[:200], errors={field: str(refused)})
        return await _respond(visit, card, refused.status)
    return await _respond(visit, c.ApiKeyCard(_facts(visit), c.NewApiKey(secret, await _post_url(visit))))


def _days(form: Mapping[str, str]) -> int | None:
    text = form.get("expires_days", "")
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= EXPIRES_DAYS_MAX:
        raise Refused("invalid", what="Expires", why=f"it takes 1 to {EXPIRES_DAYS_MAX} days, or never")
    return int(text)


async def _post_url(visit: Visit) -> str:
    """Return where programs post readings: the first connector that takes them."""
    found = [connector for connector in await visit.site.connectors() if connector.role != "target"]
    connector_id = found[0].connector_id if found else "CONNECTOR-ID"
    return f"{public_url(visit.request)}/api/v1/connectors/{connector_id}/readings"


def _facts(visit: Visit) -> c.ApiKeyFacts | None:
    row = _row(visit)
    if row is None:
        return None
    key = row.key
    return c.ApiKeyFacts(key.name, key.hint, tuple(sorted(key.scopes)), key.created_ms, row.used_ms, key.expires_ms)


def _row(visit: Visit) -> KeyRow | None:
    return next(iter(visit.desk.access.keys()), None)


async def ask_revoke(visit: Visit) -> Response:
    """Ask before the key is closed."""
    row = _row(visit)
    if row is None:
        return visit.redirect(paths.API_KEY)
    page = c.ConfirmPage(
        shell=await visit.shell(c.Section.API_KEY),
        title=f"Revoke the key “{row.key.name}”?",
        text="Programs that use it are refused from this moment on.",
        confirm_label="Revoke key",
        action_url=paths.API_KEY_REVOKE,
        cancel_url=paths.API_KEY,
        consequences=("Readings that were accepted stay.", "A new key can be created at once."),
        fields={"key_id": row.key.key_id},
    )
    return visit.respond(page)


async def revoke(visit: Visit) -> Response:
    """Close the key that the confirmation named."""
    key_id = (await visit.form()).get("key_id", "")
    row = _row(visit)
    if row is None or row.key.key_id != key_id:
        return visit.redirect(paths.API_KEY_REVOKE if row else paths.API_KEY)
    await visit.desk.access.revoke_key(key_id)
    return visit.redirect(paths.API_KEY, done(f"The key “{row.key.name}” is revoked."))


async def _respond(visit: Visit, card: c.ApiKeyCard, status: int = 200, *toasts: c.Toast) -> Response:
    return visit.respond(c.ApiKeyPage(await visit.shell(c.Section.API_KEY, toasts=toasts), card), status)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    return [
        desk.show(paths.API_KEY, show, "manage"),
        desk.act(paths.API_KEY, create, "manage"),
        desk.show(paths.API_KEY_REVOKE, ask_revoke, "manage"),
        desk.act(paths.API_KEY_REVOKE, revoke, "manage"),
    ]
