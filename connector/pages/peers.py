"""Asking the other side for a page (W7, G10): with little patience, and saying where the answer comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from connector.calls import Calls
from connector.connectors import Pair
from connector.device_queries import DevicePage, DeviceQuery
from connector.lookups import DeviceAnswer, Origin
from connector.pages.situation import Situation
from connector.site import Site
from shared.limits import SECOND_MS
from web import contexts as c

T = TypeVar("T")
# A page waits no longer than this for the other side; then it shows the last good copy.
PATIENCE_S: Final = 1.5
_OWN: Final = c.AnswerOrigin(c.AnswerKind.OWN)


async def ask_devices(site: Site, seen: Situation, question: DeviceQuery) -> tuple[DevicePage | None, c.AnswerOrigin]:
    """Return the other side's devices and where they come from; None with this site's own origin where there are none."""
    lookups = site.lookups
    return await _ask(site, seen, lambda calls: lookups.list_devices(seen.connector_id, calls, question))


async def ask_device(site: Site, seen: Situation, identity: str) -> tuple[DeviceAnswer | None, c.AnswerOrigin]:
    """Return what the other side knows of one device, as `ask_devices` does."""
    lookups = site.lookups
    return await _ask(site, seen, lambda calls: lookups.get_device(seen.connector_id, calls, identity))


async def _ask(
    site: Site, seen: Situation, ask: Callable[[Calls | None], Awaitable[tuple[T | None, Origin]]]
) -> tuple[T | None, c.AnswerOrigin]:
    if not seen.is_paired or seen.pair is None:
        return None, _OWN
    try:
        async with asyncio.timeout(PATIENCE_S):
            found, origin = await ask(site.runtime(seen.connector_id).calls)
    except TimeoutError:
        found, origin = await ask(None)  # with nobody to ask, it is the last good copy
    return found, _said(origin, seen.pair)


def _said(origin: Origin, pair: Pair) -> c.AnswerOrigin:
    match origin.kind:
        case "live":
            return c.AnswerOrigin(c.AnswerKind.LIVE, pair.peer_site_name, origin.round_trip_ms)
        case "copy":
            age_s = None if origin.age_ms is None else origin.age_ms / SECOND_MS
            return c.AnswerOrigin(c.AnswerKind.LAST_GOOD, pair.peer_site_name, age_s=age_s)
        case "none":
            return _OWN
