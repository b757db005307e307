"""This site's standing at its hub: enrolled or not, by which hub, and what stands in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from connector.hub_client import HubClient
from connector.identity import Identity, enrolled
from shared.clock import Clock
from shared.database import Database
from shared.errors import LinkLost, PairhubError, Refused
from shared.limits import SECOND_MS

_log = logging.getLogger(__name__)


class Enrolment:
    """Enrols once, shows the certificate to a hub that lost its disk, and enrols anew where even its key is new."""

    def __init__(
        self,
        database: Database,
        identity: Identity,
        hub: HubClient | None,
        token: str,
        clock: Clock,
        ring: Callable[[], None],
    ) -> None:
        """`token` comes from the hub's operator, empty where enrolment is open; `ring` is called on changes."""
        self.identity = identity
        self.hub = hub
        self.problem = ""
        self.is_refused = False
        """Whether the problem is the hub's word; else it was not reached."""
        self.is_answered = False
        """Whether the hub has said yes or no since the start."""
        self._database = database
        self._token = token
        self._clock = clock
        self._ring = ring
        self._one_at_a_time = asyncio.Lock()

    async def ensure(self, *, forgotten: bool = False) -> None:
        """Enrol where that was never done; `forgotten`: the hub says it does not know us. Raises Refused, LinkLost."""
        if self.hub is None:
            return
        async with self._one_at_a_time:
            if self.identity.enrolment and not forgotten:
                return
            if self.identity.enrolment:
                try:
                    await self.hub.present(self.identity)
                    return
                except Refused as refused:
                    _log.info("the hub does not take our certificate: %s", refused)
            await self._enrol(self.hub)

    async def enrol(self, token: str) -> None:
        """Enrol with this token, now; raises Refused('no_hub', or the hub's reason), LinkLost."""
        if self.hub is None:
            raise Refused("no_hub")
        async with self._one_at_a_time:
            self._token = token
            await self._enrol(self.hub)

    async def _enrol(self, hub: HubClient) -> None:
        try:
            answer = await hub.enrol(self.identity, self._token, self._clock.wall_ms() / SECOND_MS)
        except PairhubError as error:
            self.problem, self.is_refused = str(error), not isinstance(error, LinkLost)
            self.is_answered |= self.is_refused
            self._ring()
            raise
        self.problem, self.is_refused, self.is_answered = "", False, True

        def after(outcome: Identity | BaseException) -> None:
            # With the commit, whoever has left meanwhile: the token may have been good for once.
            if isinstance(outcome, Identity):
                self.identity = outcome
                self._ring()

        await self._database.write(
            lambda c: enrolled(c, self.identity, bytes.fromhex(answer.certificate), answer.hub_key), after
        )
