"""Lookups across the pair (G10): what this site answers, and how it asks, with the last good copy to fall back on."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from connector import devices
from connector.calls import Calls
from connector.devices import DevicePage, DeviceRow, ValueRow
from connector.lookup_copies import LookupCopies
from shared.clock import Clock
from shared.database import Database
from shared.errors import Refused

LIST_DEVICES: Final = "devices.list"
GET_DEVICE: Final = "devices.get"


class ListQuestion(msgspec.Struct, frozen=True):
    """Which devices: `search` in identity, name and tags; `limit` rows from `offset`."""

    search: str = ""
    limit: int = 50
    offset: int = 0


class GetQuestion(msgspec.Struct, frozen=True):
    """Which device."""

    identity: str


class DeviceAnswer(msgspec.Struct, frozen=True):
    """A device with its values."""

    device: DeviceRow
    values: list[ValueRow]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer comes from: `live` with its round trip, or a `copy` with its age; `none` with the reason why not."""

    kind: Literal["live", "copy", "none"]
    round_trip_ms: float = 0.0
    age_ms: int = 0
    why: str = ""


class Lookups:
    """Answers the peer's questions and asks it ours."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.copies = LookupCopies(database)
        self._database = database
        self._clock = clock

    async def answer(self, connector_id: str, method: str, body: bytes) -> bytes:
        """Answer a question of the other side from this connector's tables; raises Refused('not_found', 'invalid')."""
        now_ms = self._clock.wall_ms()
        if method == LIST_DEVICES:
            asked = msgspec.msgpack.decode(body, type=ListQuestion)
            page = await self._database.read(
                lambda c: devices.list_devices(
                    c, connector_id, now_ms, search=asked.search, limit=asked.limit, offset=asked.offset
                )
            )
            return msgspec.msgpack.encode(page)
        if method == GET_DEVICE:
            identity = msgspec.msgpack.decode(body, type=GetQuestion).identity

            def unit(connection: sqlite3.Connection) -> DeviceAnswer:
                row = devices.get_device(connection, connector_id, identity, now_ms)
                return DeviceAnswer(row, devices.list_values(connection, connector_id, identity))

            return msgspec.msgpack.encode(await self._database.read(unit))
        raise Refused("invalid", what="Question", why="it is not known here")

    async def list_devices(
        self, connector_id: str, calls: Calls | None, question: ListQuestion
    ) -> tuple[DevicePage | None, Origin]:
        """Ask the other side for devices; None where it cannot be reached and there is no copy."""
        body, origin = await self._ask(connector_id, calls, LIST_DEVICES, msgspec.msgpack.encode(question))
        return (msgspec.msgpack.decode(body, type=DevicePage) if body is not None else None), origin

    async def get_device(
        self, connector_id: str, calls: Calls | None, identity: str
    ) -> tuple[DeviceAnswer | None, Origin]:
        """Ask the other side for one device; None where it has none, or cannot be reached and there is no copy."""
        body, origin = await self._ask(connector_id, calls, GET_DEVICE, msgspec.msgpack.encode(GetQuestion(identity)))
        return (msgspec.msgpack.decode(body, type=DeviceAnswer) if body is not None else None), origin

    async def _ask(
        self, connector_id: str, calls: Calls | None, method: str, body: bytes
    ) -> tuple[bytes | None, Origin]:
        question = method.encode() + b"\0" + body
        now_ms = self._clock.wall_ms()
        try:
            if calls is None:
                raise Refused("no_route")
            answer = await calls.ask(method, body)
        except Refused as refused:
            if refused.code == "not_found":
                return None, Origin("none", why=str(refused))
            copy = await self.copies.find(connector_id, question)
            if copy is None:
                return None, Origin("none", why=str(refused))
            return copy[0], Origin("copy", age_ms=max(0, now_ms - copy[1]), why=str(refused))
        self.copies.keep(connector_id, question, answer.body, now_ms)
        return answer.body, Origin("live", round_trip_ms=answer.round_trip_ms)
