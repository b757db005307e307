"""The load under which chaos happens: readings at a steady pace, edits from both sides, lookups.

A device does not give up: a request without an answer, or with a refusal, is sent again until it is answered that each
of its readings is accepted or was before. Everything about a request follows from its number, so that only numbers are
remembered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shared.errors import REFUSALS, PairhubError
from shared.rig.chaos.plant import DEVICES, RESOURCES, Machine, Plant, device_name
from shared.rig.client import ApiClient, ApiRefused

READINGS_PER_S: Final = 2_000
_TIMES: Final = 25
BATCH_READINGS: Final = _TIMES * len(RESOURCES)
BATCH_MS: Final = 1_000 * BATCH_READINGS // READINGS_PER_S
_SENDERS: Final = 8
_AGAIN_S: Final = 0.25
_EDIT_EVERY_S: Final = 0.2
_LOOKUP_EVERY_S: Final = 0.1
_SPARE_DEVICES: Final = 6
# Final for a device with a wrong clock; here it is the source's that is wrong for a while.
_PASSING: Final = frozenset({"too_far_ahead"})

Reading = tuple[str, str, int, float]


def batch(number: int, start_ms: int) -> Iterator[Reading]:
    """Yield the readings of a request: one device, all resources, consecutive times."""
    device = device_name(number % DEVICES)
    for at in range(_TIMES):
        time_ms = start_ms + number * BATCH_MS + at * BATCH_MS // _TIMES
        for place, resource in enumerate(RESOURCES):
            yield device, resource, time_ms, value(number % DEVICES, place, time_ms)


def value(device: int, resource: int, time_ms: int) -> float:
    """Return what a series has at a time: any number, but the same each time it is asked."""
    return ((time_ms * 2_654_435_761 + device * 97 + resource * 31) % 1_048_576) / 64


@dataclass(slots=True)
class Done:
    """What the load did.

    `asked` and `accepted` tell of each request when it was first sent, and when all of it was answered as accepted
    (monotonic seconds). `refusals` are requests and lines by code; all of them were sent again. `unanswered` are requests of
    readings whose connection was lost, or could not be made; they were sent again.
    """

    asked: dict[int, float] = field(default_factory=dict)
    accepted: dict[int, float] = field(default_factory=dict)
    edits: int = 0
    edits_refused: int = 0
    lookups: int = 0
    lookups_failed: int = 0
    lookups_wrong: int = 0
    unanswered: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def under_way(self, at_s: float) -> int:
        """Return how many requests had been sent, and not yet answered as accepted, at a moment."""
        return sum(self.asked[number] <= at_s <= answered_s for number, answered_s in self.accepted.items())


class Load:
    """Runs until `stop`; `finish` waits until every request that began is answered."""

    def __init__(self, plant: Plant, chance: random.Random) -> None:
        self._plant = plant
        self._chance = chance
        self.start_ms = int(time.time() * 1_000)
        self.done = Done()
        self._due: asyncio.Queue[int] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._beside: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._send()) for _ in range(_SENDERS)]
        self._beside = [
            asyncio.create_task(self._pace()),
            asyncio.create_task(self._edit(self._plant.source)),
            asyncio.create_task(self._edit(self._plant.target)),
            asyncio.create_task(self._look_up()),
        ]

    async def stop(self) -> None:
        """Begin nothing new."""
        await _end(self._beside)

    async def finish(self, timeout_s: float) -> None:
        """Wait until all requests are answered; raises TimeoutError. A sender that failed raises its error."""
        joined = asyncio.ensure_future(self._due.join())
        try:
            await asyncio.wait({joined, *self._tasks}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks:
                if task.done():
                    task.result()
            if not joined.done():
                raise TimeoutError(f"{self._due.qsize()} requests were not answered within {timeout_s:.0f} s")
        finally:
            await _end([*self._tasks, joined])

    async def end(self) -> None:
        """Wait for nothing any more."""
        await _end([*self._tasks, *self._beside])

    def failed(self) -> BaseException | None:
        """Return what ended a part of the load that should go on."""
        for task in (*self._tasks, *self._beside):
            if task.done() and not task.cancelled() and task.exception() is not None:
                return task.exception()
        return None

    # --- readings -----------------------------------------------------------------------------------------------------

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        number = 0
        while True:
            await asyncio.sleep(max(0.0, began + number * BATCH_MS / 1_000 - loop.time()))
            self._due.put_nowait(number)
            number += 1

    async def _send(self) -> None:
        while True:
            number = await self._due.get()
            body = b"\n".join(
                msgspec.json.encode({"device": device, "resource": resource, "timestamp": time_ms, "value": reading})
                for device, resource, time_ms, reading in batch(number, self.start_ms)
            )
            self.done.asked[number] = time.monotonic()
            while True:
                if await self._accepted(body):
                    break
                await asyncio.sleep(_AGAIN_S)
            self.done.accepted[number] = time.monotonic()
            self._due.task_done()

    async def _accepted(self, body: bytes) -> bool:
        source = self._plant.source
        try:
            answer = await source.client().post(f"/connectors/{source.connector_id}/readings", body)
        except ApiRefused as refused:
            self.done.refusals[refused.code or str(refused.status)] += 1
            return False
        except PairhubError:
            self.done.unanswered += 1
            return False
        for refusal in answer["refusals"]:
            self._note_refused(refusal)
        return bool(answer["accepted"] + answer["repeated"] == BATCH_READINGS)

    def _note_refused(self, refusal: dict[str, Any]) -> None:
        """Count a line that was not taken; raises PairhubError where it never will be, for then it is never answered."""
        code = refusal["code"]
        self.done.refusals[code] += 1
        if code not in _PASSING and not REFUSALS[code][1]:
            raise PairhubError(f"the source refuses a reading for good: {refusal}")

    # --- edits and lookups --------------------------------------------------------------------------------------------

    async def _edit(self, site: Machine) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0, 2 * _EDIT_EVERY_S))
            try:
                await self._one_edit(site.client(), f"/connectors/{site.connector_id}/devices")
            except ApiRefused:
                self.done.edits_refused += 1  # the device is there already, or is gone: the other side was first
            except PairhubError:
                continue
            else:
                self.done.edits += 1

    async def _one_edit(self, client: ApiClient, devices: str) -> None:
        chance = self._chance
        device = f"{devices}/{device_name(chance.randrange(DEVICES))}"
        spare = f"spare-{chance.randrange(_SPARE_DEVICES)}"
        tag = {"name": chance.choice("abc"), "value": str(chance.randrange(4))}
        match chance.randrange(7):
            case 0 | 1:
                await client.post(f"{device}/tags", tag)
            case 2:
                await client.ask("DELETE", f"{device}/tags", tag)
            case 3:
                await client.ask("PATCH", device, {"name": f"name {chance.randrange(1_000)}"})
            case 4:
                await client.ask("PATCH", device, {"description": f"text {chance.randrange(1_000)}"})
            case 5:
                await client.post(devices, {"identity": spare, "name": f"made {chance.randrange(1_000)}"})
            case _:
                await client.ask("DELETE", f"{devices}/{spare}")

    async def _look_up(self) -> None:
        target = self._plant.target
        while True:
            await asyncio.sleep(_LOOKUP_EVERY_S)
            identity = device_name(self._chance.randrange(DEVICES))
            try:
                found: Any = await target.client().get(
                    f"/connectors/{target.connector_id}/devices/{identity}?from=peer"
                )
            except PairhubError:
                self.done.lookups_failed += 1
                continue
            self.done.lookups += 1
            if found["device"]["identity"] != identity:
                self.done.lookups_wrong += 1


async def _end(tasks: list[Any]) -> None:
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
