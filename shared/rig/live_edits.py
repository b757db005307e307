"""One edit after the other at one site, and when the other has it: what `bench drain` measures the delay of edits with.

*Made* is the moment the answer of the edit is read here; *there* the first answer of the other site that has it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

import msgspec

from shared.errors import PairhubError
from shared.rig.client import until
from shared.rig.daemons import Daemon
from shared.rig.live_readings import LIVE_DEVICE
from shared.rig.plain_http import Asker, answer, connect, head_of

# Asked so often for what was edited: a question takes a millisecond or two, and the delay is measured as finely.
_ASKED_EVERY_S: Final = 0.004
# An edit that is not there by then, for the hub is away, counts with this; the next one begins.
_GIVEN_UP_AFTER_S: Final = 5.0


class EditLine:
    """Edits of a device's description at a steady pace, as long as `run` goes on; one at a time."""

    def __init__(self, made_at: tuple[Daemon, str], seen_at: tuple[Daemon, str], per_s: float) -> None:
        """`made_at` and `seen_at` are daemons with the connector at each."""
        self._made_at = made_at
        self._seen_at = seen_at
        self._per_s = per_s
        self._delays_s: list[tuple[float, float]] = []  # when made (perf_counter), and until it was there

    async def run(self) -> None:
        """Go on until cancelled; raises PairhubError where an edit is refused."""
        site, connector_id = self._made_at
        reader, writer = await connect(site)
        path = f"/api/v1/connectors/{connector_id}/devices/{LIVE_DEVICE}"
        head = head_of(site, "PATCH", path) + "Content-Type: application/json\r\n"
        seen_site, seen_id = self._seen_at
        asker = await Asker.open(seen_site, f"/api/v1/connectors/{seen_id}/devices/{LIVE_DEVICE}")
        at = 0
        try:
            while True:
                began_s = time.perf_counter()
                words = f"edit {at} of the bench"
                body = msgspec.json.encode({"description": words})
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                status, said = await answer(reader)
                if status != 200:
                    raise PairhubError(f"an edit was not taken: {status} {said[:200]!r}")
                await self._until_there(asker, words.encode())
                at += 1
                await asyncio.sleep(max(0.0, began_s + 1 / self._per_s - time.perf_counter()))
        finally:
            writer.close()
            asker.close()

    async def _until_there(self, asker: Asker, words: bytes) -> None:
        made_s = time.perf_counter()

        async def is_there() -> bool:
            return words in await asker.ask()

        with suppress(PairhubError):  # not in time: counted with what it was given
            await until(
                is_there, timeout_s=_GIVEN_UP_AFTER_S, every_s=_ASKED_EVERY_S, what="the edit on the other side"
            )
        self._delays_s.append((made_s, time.perf_counter() - made_s))

    def delays_ms(self, since_s: float, until_s: float) -> list[float]:
        """Return the delays of edits made in a span (perf_counter)."""
        return [1_000 * took_s for made_s, took_s in self._delays_s if since_s <= made_s < until_s]
