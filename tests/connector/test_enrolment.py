"""A site's standing at its hub: what the hub granted is known from the moment that it is stored."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import cast

from connector.enrolment import Enrolment
from connector.hub_client import HubClient
from connector.identity import Identity, load_or_create
from shared.clock import SystemClock
from shared.database import Database
from shared.joining import EnrolAnswer


class _Hub:
    """Takes a token once."""

    def __init__(self) -> None:
        self.enrolled = 0

    async def enrol(self, identity: Identity, token: str, now_s: float) -> EnrolAnswer:
        self.enrolled += 1
        return EnrolAnswer(b"certificate".hex(), "ab" * 32)


async def test_who_enrols_a_site_and_leaves_while_that_is_stored_has_enrolled_it(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "site.db", files("connector") / "sql")
    try:
        identity = await database.write(lambda c: load_or_create(c, "plant"))
        hub = _Hub()
        enrolment = Enrolment(database, identity, cast("HubClient", hub), "", SystemClock(), lambda: None)
        enrolling = asyncio.ensure_future(enrolment.enrol("good for once"))
        await asyncio.sleep(0)  # the hub has answered, the disk has not
        enrolling.cancel()
        await asyncio.wait([enrolling])
        await database.write(lambda _: None)
        assert enrolment.identity.enrolment == b"certificate"
        await enrolment.ensure()
        assert hub.enrolled == 1
    finally:
        await database.close()
