"""A stream of server-sent events: readings as they become durable, changes, devices that changed, and the account."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import anyio
import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from connector import edit_queries
from connector.api.account import BothAccounts
from connector.api.operations import ONE, Call, Operation, Query
from connector.edit_queries import ChangeRow
from connector.reading_feed import Heard, Listener
from shared.core.fields import pattern_matches
from shared.errors import PairhubError, Refused
from shared.limits import EVENT_BEAT_S, EVENT_STREAMS_PER_KEY_MAX
from shared.short_way import DIRECT_BODY_KEY, DirectBody

KINDS: Final = ("readings", "changes", "devices", "account")
_NUMBERED: Final = frozenset(("changes", "devices"))  # of which a client that comes back gets what it missed
EVENT_STREAM: Final = "text/event-stream"
_SEND_TIMEOUT_S: Final = 30.0
# Changes are looked up, and the account is told, at most this often.
_LOOK_S: Final = 0.2
_ACCOUNT_S: Final = 1.0
_CHANGES_MAX: Final = 500
_READINGS_PER_EVENT_MAX: Final = 1_000


class ReadingsEvent(msgspec.Struct, frozen=True):
    """New readings of one series, [ms since 1970, value] each."""

    device: str
    resource: str
    readings: list[tuple[int, Any]]


class DevicesEvent(msgspec.Struct, frozen=True):
    """A device whose fields changed; ask for it to see how it is."""

    identity: str
    fields: list[str]


class Missed(msgspec.Struct, frozen=True):
    """How much this stream left out because its client did not keep up, or was away for too long.

    `unknown`: there is more that cannot be counted, for the last change that the client saw is not here any more: it is
    too old, or this site was restored to a time before it.
    """

    readings: int = 0
    changes: int = 0
    unknown: bool = False


async def stream_events(call: Call) -> Response:
    """Answer a stream of server-sent events.

    `readings` carry the very readings, at the source as they are accepted, at the target as they are applied. `changes`
    have the number of the change as event ID: a client that comes back with Last-Event-ID gets those that it missed, or
    hears that nobody can say which (`missed` with `unknown`).
    `devices` name the devices that changed, `account` has the accounts as they are now. `missed` says what was left out.
    A comment comes every 10 seconds.
    """
    call.site.runtime(call.connector_id)
    kinds = _kinds(call.asked("kinds"))
    open_streams = _open_streams(call)
    key = call.principal.name
    if open_streams[key] >= EVENT_STREAMS_PER_KEY_MAX:
        raise Refused("too_many_streams", most=EVENT_STREAMS_PER_KEY_MAX)
    seen = _last_seen(call)
    start = await call.site.database.read(lambda c: _start(c, call.connector_id, seen))
    stream = _Stream(call, kinds, start)
    return EventSourceResponse(
        _counted(open_streams, key, stream.told()),
        ping=EVENT_BEAT_S,
        ping_message_factory=lambda: ServerSentEvent(comment="beat"),
        data_sender_callable=stream.look_around,
        headers={"Cache-Control": "no-store"},
        send_timeout=_SEND_TIMEOUT_S,
    )


async def _counted(
    open_streams: Counter[str], key: str, told: AsyncGenerator[ServerSentEvent]
) -> AsyncGenerator[ServerSentEvent]:
    open_streams[key] += 1
    try:
        async with aclosing(told):
            async for event in told:
                yield event
    finally:
        open_streams[key] -= 1
        if not open_streams[key]:
            del open_streams[key]


def _open_streams(call: Call) -> Counter[str]:
    """Return how many streams each key has open at this site."""
    state = call.request.app.state
    if not hasattr(state, "event_streams"):
        state.event_streams = Counter()
    counter: Counter[str] = state.event_streams
    return counter


def _kinds(text: str) -> frozenset[str]:
    kinds = frozenset(filter(None, text.split(",")))
    if not kinds or kinds - set(KINDS):
        raise Refused("invalid", what="Parameter kinds", why=f"it takes one or more of {', '.join(KINDS)}")
    return kinds


@dataclass(frozen=True, slots=True)
class _Start:
    """The change after which a stream begins, and whether its client may lack others before it."""

    change_id: int
    has_missed: bool = False


def _last_seen(call: Call) -> int | None:
    seen = call.request.headers.get("last-event-id", "")
    return int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else None


def _start(connection: sqlite3.Connection, connector_id: str, seen: int | None) -> _Start:
    """Begin after the last change that the client saw, or the last there is: also where it saw later ones than there are."""
    newest = edit_queries.list_changes(connection, connector_id, limit=1)
    newest_id = newest[0].change_id if newest else 0
    if seen is None:
        return _Start(newest_id)
    found = connection.execute("SELECT 1 FROM change WHERE change_id = ? AND connector_id = ?", (seen, connector_id))
    return _Start(min(seen, newest_id), has_missed=seen > 0 and found.fetchone() is None)


def _changes_after(connection: sqlite3.Connection, connector_id: str, after_id: int) -> tuple[list[ChangeRow], int]:
    """Return the changes after one, oldest first, and how many more of the oldest were left out."""
    found: list[ChangeRow] = []
    before_id: int | None = None
    left_out = 0
    while True:
        page = edit_queries.list_changes(connection, connector_id, before_id=before_id, limit=_CHANGES_MAX)
        fresh = [row for row in page if row.change_id > after_id]
        found += fresh
        if len(fresh) < len(page) or len(page) < _CHANGES_MAX:
            break
        before_id = page[-1].change_id
        if len(found) >= 20 * _CHANGES_MAX:
            (left_out,) = connection.execute(
                "SELECT COUNT(*) FROM change WHERE connector_id = ? AND change_id > ? AND change_id < ?",
                (connector_id, after_id, before_id),
            ).fetchone()
            break
    return found[::-1], left_out


class _Stream:
    """One client's stream."""

    def __init__(self, call: Call, kinds: frozenset[str], start: _Start) -> None:
        self._call = call
        self._kinds = kinds
        self._device: str = call.asked("device")
        self._resource: str = call.asked("resource")
        self._change_id = start.change_id
        self._has_missed = start.has_missed
        self._woken = asyncio.Event()
        self._rung = True  # look once at the start: there may be changes to resume with
        self._told_account: BothAccounts | None = None
        self._account_due_s = self._look_due_s = 0.0
        self._listener = Listener(self._wants, self._on_heard)
        self._body: DirectBody | None = call.request.scope.get("state", {}).get(DIRECT_BODY_KEY)
        self._is_resting = False  # all that was to be told is sent
        self._end: str | None = None  # why the stream is over, empty where there is nothing to say about it

    def _wants(self, device: str, resource: str) -> bool:
        return self._fits(device) and self._resource in ("", resource)

    def _fits(self, device: str | None) -> bool:
        return not self._device or (device is not None and pattern_matches(self._device, device))

    async def told(self) -> AsyncGenerator[ServerSentEvent]:
        """Yield events until the key is revoked, or the site stops; `look_around` runs beside it.

        Whoever sends them asks for them here, without a task or a queue between: a reading is on its way at once.
        """
        with self._hearing():
            yield ServerSentEvent(comment="open")
            if self._has_missed and self._kinds & _NUMBERED:
                yield _event("missed", Missed(unknown=True), str(self._change_id))
            while self._end is None:
                self._woken.clear()  # before looking: what comes while this looks or sends is not waited for
                async for event in self._events():
                    yield event
                await self._rest()
        if self._end:
            yield ServerSentEvent(self._end, event="end")

    async def look_around(self) -> None:
        """Wake the stream where something changed, and end it where it has to; until it is cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            tasks.start_soon(self._end_when_stopping)
            tasks.start_soon(self._end_when_revoked)

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        if "readings" not in self._kinds:
            yield
            return
        with self._call.site.catalogue.feed.listening(self._call.connector_id, self._listener):
            yield

    async def _rest(self) -> None:
        """Wait for something to tell, or for the moment in which what was put off is due."""
        timeout_s = EVENT_BEAT_S
        if self._rung:
            due_s = min(self._look_due_s, self._account_due_s) if "account" in self._kinds else self._look_due_s
            timeout_s = max(0.0, due_s - anyio.current_time())
        self._is_resting = True
        try:
            with anyio.move_on_after(timeout_s):
                await self._woken.wait()
        finally:
            self._is_resting = False

    def _on_heard(self) -> None:
        """Tell a handful of readings here and now, while nothing is before them; wake the stream for all else."""
        body, listener = self._body, self._listener
        is_handful = 0 < listener.waiting <= _READINGS_PER_EVENT_MAX
        if body is None or not (self._is_resting and is_handful and body.is_writable):
            self._woken.set()
            return
        pieces: list[bytes] = []
        while (heard := listener.take()) is not None:
            pieces += [_laid_out(told) for told in _told(heard)]
        body.write_now(b"".join(pieces))
        if listener.missed:
            self._woken.set()

    async def _listen(self) -> None:
        async for _ in self._call.site.bell(self._call.connector_id).ticks():
            self._rung = True
            self._woken.set()

    async def _end_when_stopping(self) -> None:
        await self._call.request.app.state.stopping.wait()
        self._over("")

    async def _end_when_revoked(self) -> None:
        """A key that is revoked, or a connector that is deleted, ends its streams."""
        while True:
            await anyio.sleep(EVENT_BEAT_S)
            try:
                await self._call.access.require(self._call.request, self._call.operation.action)
                self._call.site.runtime(self._call.connector_id)
            except Refused as refused:
                self._over(refused.code)

    def _over(self, why: str) -> None:
        self._end = why
        self._woken.set()

    # --- events -----------------------------------------------------------------------------------------------------------

    async def _events(self) -> AsyncIterator[ServerSentEvent]:
        while (heard := self._listener.take()) is not None:
            for told in _told(heard):
                yield _event("readings", told)
        if missed := self._listener.take_missed():
            yield _event("missed", Missed(readings=missed))
        now_s = anyio.current_time()
        if not self._rung:
            return
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + _LOOK_S
            self._rung = False
            for event in await self._changed():
                yield event
        if "account" in self._kinds:
            if now_s >= self._account_due_s:
                self._account_due_s = now_s + _ACCOUNT_S
                for event in await self._account():
                    yield event
            else:
                self._rung = True

    async def _changed(self) -> Iterable[ServerSentEvent]:
        if not self._kinds & _NUMBERED:
            return []
        connector_id, after_id = self._call.connector_id, self._change_id
        rows, left_out = await self._call.site.database.read(lambda c: _changes_after(c, connector_id, after_id))
        events = [_event("missed", Missed(changes=left_out))] if left_out else []
        touched: dict[str, list[str]] = {}
        for row in rows:
            self._change_id = row.change_id
            if not self._fits(row.identity):
                continue
            if "changes" in self._kinds:
                events.append(_event("change", row, str(row.change_id)))
            if row.identity is not None:
                fields = touched.setdefault(row.identity, [])
                if row.field not in fields:
                    fields.append(row.field)
        if "devices" in self._kinds:
            events += [_event("device", DevicesEvent(identity, fields)) for identity, fields in touched.items()]
        return events

    async def _account(self) -> Iterable[ServerSentEvent]:
        try:
            own, stated = await self._call.site.account(self._call.connector_id)
        except PairhubError:
            return []  # deleted meanwhile: the next look ends the stream
        account = BothAccounts(own, stated)
        if account == self._told_account:
            return []
        self._told_account = account
        return [_event("account", account)]


def _told(heard: Heard) -> Iterable[ReadingsEvent]:
    for start in range(0, len(heard.readings), _READINGS_PER_EVENT_MAX):
        part = heard.readings[start : start + _READINGS_PER_EVENT_MAX]
        yield ReadingsEvent(heard.device, heard.resource, part)


def _laid_out(told: ReadingsEvent) -> bytes:
    """Return an event as the library lays it out: its way for any text costs as much as the whole rest of telling."""
    return b"event: readings\r\ndata: %b\r\n\r\n" % msgspec.json.encode(told)


def _event(name: str, data: Any, event_id: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(msgspec.json.encode(data).decode(), event=name, id=event_id)


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET",
        ONE + "/events",
        "read",
        "A stream of readings and changes",
        stream_events,
        query=(
            Query("kinds", f"what to tell, with commas between: {', '.join(KINDS)}", str, "readings,changes"),
            Query("device", "identity of the devices to tell of; `*` is any run of characters"),
            Query("resource", "alias of the one resource whose readings to tell"),
        ),
        answer=str,
        answer_media=(EVENT_STREAM,),
        errors=("too_many_streams",),
    ),
)
