"""Lookups across the pair (G10): what this site answers, and how it asks, with the last good copy to fall back on."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import msgspec

from connector import devices, edit_queries
from connector.calls import Calls, read_answer
from connector.device_queries import DevicePage, DeviceQuery, DeviceRow, find_device, list_devices
from connector.devices import ValueRow
from connector.edit_rows import peer_rights
from connector.lookup_copies import LookupCopies
from shared.clock import Clock
from shared.core.fields import Grant, Subject
from shared.database import Database
from shared.errors import Refused
from shared.foreign import read_packed

T = TypeVar("T")
LIST_DEVICES: Final = "devices.list"
GET_DEVICE: Final = "devices.get"


class GetQuestion(msgspec.Struct, frozen=True):
    """Which device."""

    identity: str


class DeviceAnswer(msgspec.Struct, frozen=True):
    """A device with its values and permissions. `grants_for_all` are those on all devices of the connector."""

    device: DeviceRow
    values: list[ValueRow]
    grants: list[tuple[Subject, Grant]] = []
    grants_for_all: list[tuple[Subject, Grant]] = []
    publish_as: list[str] = []
    configuration: str = "{}"


_ENCODER: Final = msgspec.msgpack.Encoder()
_QUERIES: Final = msgspec.msgpack.Decoder(DeviceQuery)
_GET_QUESTIONS: Final = msgspec.msgpack.Decoder(GetQuestion)
_PAGES: Final = msgspec.msgpack.Decoder(DevicePage)
_ANSWERS: Final = msgspec.msgpack.Decoder(DeviceAnswer)


def read_device(connection: sqlite3.Connection, connector_id: str, identity: str, now_ms: int) -> DeviceAnswer:
    """Return one device as both sides look it up; raises Refused('not_found')."""
    device_id, row, configuration = find_device(connection, connector_id, identity, now_ms)
    return DeviceAnswer(
        row,
        devices.list_values(connection, connector_id, identity) if row.resources else [],
        edit_queries.grants_of(connection, connector_id, device_id),
        edit_queries.grants_of(connection, connector_id, 0),
        edit_queries.list_publish_as(connection, connector_id, identity),
        configuration,
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer comes from: `live` with its round trip, or a `copy` with its age; `none` with the reason why not.

    `age_ms` is None where nobody can know it: the clock was set back since.
    """

    kind: Literal["live", "copy", "none"]
    round_trip_ms: float = 0.0
    age_ms: int | None = 0
    why: str = ""


class Lookups:
    """Answers the peer's questions and asks it ours."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.copies = LookupCopies(database)
        self._database = database
        self._clock = clock

    def answer(self, connector_id: str, method: str, body: bytes) -> bytes | Callable[[], Awaitable[bytes]]:
        """Answer a question of the other side from this connector's tables: one by key at once, others when awaited.

        Raises Refused('not_found', 'invalid'), or 'look_up_not_allowed' where peer rights say so (G18); StorageFailed;
        msgspec.MsgspecError where the question is malformed.
        """
        now_ms = self._clock.wall_ms()
        if method == LIST_DEVICES:
            query = read_packed(_QUERIES, body)
            return lambda: self._answer_list(connector_id, query, now_ms)
        if method == GET_DEVICE:
            identity = read_packed(_GET_QUESTIONS, body).identity
            found = self._database.glance(
                lambda c: _allowed(c, connector_id) and read_device(c, connector_id, identity, now_ms)
            )
            return _ENCODER.encode(found)
        raise Refused("invalid", what="Question", why="it is not known here")

    async def _answer_list(self, connector_id: str, query: DeviceQuery, now_ms: int) -> bytes:
        page = await self._database.read(
            lambda c: _allowed(c, connector_id) and list_devices(c, connector_id, query, now_ms)
        )
        return _ENCODER.encode(page)

    async def list_devices(
        self, connector_id: str, calls: Calls | None, question: DeviceQuery
    ) -> tuple[DevicePage | None, Origin]:
        """Ask the other side for devices; None where it cannot be reached and there is no copy."""
        return await self._ask(connector_id, calls, LIST_DEVICES, _ENCODER.encode(question), _PAGES)

    async def get_device(
        self, connector_id: str, calls: Calls | None, identity: str
    ) -> tuple[DeviceAnswer | None, Origin]:
        """Ask the other side for one device; None where it has none, or cannot be reached and there is no copy."""
        return await self._ask(connector_id, calls, GET_DEVICE, _ENCODER.encode(GetQuestion(identity)), _ANSWERS)

    async def _ask(
        self, connector_id: str, calls: Calls | None, method: str, body: bytes, answers: msgspec.msgpack.Decoder[T]
    ) -> tuple[T | None, Origin]:
        question = method.encode() + b"\0" + body
        now_ms = self._clock.wall_ms()
        try:
            if calls is None:
                raise Refused("no_route")
            answer = await calls.ask(method, body)
            found = read_answer(answers, answer.body)  # before it is kept: what cannot be read is no good copy
        except Refused as refused:
            if refused.code == "not_found":
                return None, Origin("none", why=str(refused))
            copy = await self.copies.find(connector_id, question)
            if copy is None:
                return None, Origin("none", why=str(refused))
            try:
                found = read_packed(answers, copy[0])
            except msgspec.DecodeError:  # kept by another release
                return None, Origin("none", why=str(refused))
            age_ms = now_ms - copy[1]
            return found, Origin("copy", age_ms=age_ms if age_ms >= 0 else None, why=str(refused))
        self.copies.keep(connector_id, question, answer.body, now_ms)
        return found, Origin("live", round_trip_ms=answer.round_trip_ms)


def _allowed(connection: sqlite3.Connection, connector_id: str) -> bool:
    """Return true where the other side may look up (G18); raises Refused('look_up_not_allowed')."""
    if not peer_rights(connection, connector_id).look_up:
        raise Refused("look_up_not_allowed")
    return True
