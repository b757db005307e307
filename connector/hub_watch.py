"""Finds out when a hub that could not be reached is there again (DESIGN G9): all connectors of a site share the looking."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from shared.errors import LinkLost, Refused
from shared.limits import HUB_LOOK_DEADLINE_S, HUB_LOOK_EVERY_S
from shared.supervision import end_if_cancelled


class HubWatch:
    """Looks at a hub now and then while somebody waits for it, so that nobody sits out a long pause once it is back."""

    def __init__(self, look: Callable[[], Awaitable[object]]) -> None:
        """`look` asks the hub something small; it raises LinkLost where the hub does not answer."""
        self._look = look
        self._back = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._waiting = 0

    async def wait(self, timeout_s: float) -> bool:
        """Wait until the hub answers, or for so long; return whether it did."""
        if self._looking is None or self._looking.done():
            self._back.clear()
            self._looking = asyncio.ensure_future(self._look_until_back())
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._back.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._looking.cancel()
        return True

    async def _look_until_back(self) -> None:
        while True:
            # Not all sites in step: a hub that comes back is looked at by all of them.
            await asyncio.sleep(HUB_LOOK_EVERY_S * (0.5 + secrets.randbelow(1_000) / 1_000))
            try:
                async with asyncio.timeout(HUB_LOOK_DEADLINE_S):
                    await self._look()
            except (LinkLost, TimeoutError) as error:
                end_if_cancelled(error)
                continue
            except Refused:  # it is there, and needs somebody to do something: not to be looked at in haste
                return
            self._back.set()
            return
