"""What the hub does by itself: notice that its database is gone, let old copies go, forget old log-ins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from hub.hub import Hub, OpenStore
from shared.core.intervals import IntervalSet
from shared.errors import StorageFailed
from shared.supervision import end_if_cancelled
from web.sessions import SessionLimits

_log = logging.getLogger(__name__)
_WATCH_EVERY_S = 1.0
_EXPIRE_EVERY = 5  # looks at the store
_SAMPLE_EVERY = 5
_FORGET_EVERY = 3_600


async def keep_house(hub: Hub, open_store: OpenStore, after_replacing: Callable[[], Awaitable[None]]) -> None:
    """Run until cancelled. Whatever fails is logged and looked at again; it never ends the hub.

    `after_replacing` is called once a lost store was replaced, to leave tokens and address in the new directory.
    """
    looks = 0
    bare = False  # whether the directory of a new store still lacks its tokens
    while True:
        await asyncio.sleep(_WATCH_EVERY_S)
        looks += 1
        try:
            if hub.store.lost():
                _log.error(
                    "The hub's database is gone. Starting with an empty one; sites will come back by themselves."
                )
                await hub.replace_store(await open_store())
                bare = True
            if bare:
                await after_replacing()
                bare = False
            await hub.write_revocations()
            if looks % _SAMPLE_EVERY == 0:
                hub.sample_rates()
            if looks % _EXPIRE_EVERY == 0:
                await expire_copies(hub)
            if looks % _FORGET_EVERY == 0:
                limits = SessionLimits()
                now_ms = hub.wall_ms()
                await hub.store.delete_stale_sessions(now_ms - limits.absolute_ms, now_ms - limits.idle_ms)
        except StorageFailed as error:
            end_if_cancelled(error)
            _log.warning("Housekeeping: %s", error)
        except Exception as error:  # noqa: BLE001  # as above
            end_if_cancelled(error)
            _log.exception("Housekeeping failed, and is tried again")


async def expire_copies(hub: Hub) -> None:
    """Let copies go that are too old or too many; their origins keep what they hold themselves, and hear of it."""
    before_ms = hub.now_ms() - hub.settings.copy_ms
    while dropped := await hub.pairs.let_go(before_ms=before_ms, stored_bytes_max=hub.settings.copy_bytes_max):
        for one in dropped:
            count = sum(len(IntervalSet(epoch.numbers)) for epoch in one.epochs)
            _log.info("Dropped %d copies (age or cap)", count, extra={"pair": one.pair_id.hex()})
        hub.on_change()
