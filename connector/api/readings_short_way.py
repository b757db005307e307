"""The shortest way in for readings: lines that a known program posts, read where they arrive (shared.short_way).

Most of the cost of a request is what it passes through. The rules are the same, by the same functions; whoever may not,
or is not known well enough to tell at once, goes the long way and hears it there.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
from starlette.types import Scope

from connector.absorbing import Request
from connector.access import Access
from connector.api.readings import reporters_of, taken
from connector.api.readings_door import ANSWER_HEADERS, READINGS_PATH, said_by
from connector.ingest.bodies import is_of_lines
from connector.ingest.line_stream import LineStream
from connector.offers import Answer
from connector.readings import Outcome
from connector.site import Site
from shared.errors import Refused
from shared.limits import INGEST_BODY_BYTES_MAX
from shared.metrics import Metrics
from shared.short_way import Reply
from web.api_keys import presented_key
from web.front_door import FrontDoor
from web.headers import security_headers

_ENCODER: Final = msgspec.json.Encoder()
_HEADERS: Final = {
    scheme: b"".join(b"%b: %b\r\n" % each for each in (*ANSWER_HEADERS, *security_headers(scheme)))
    for scheme in ("http", "https")
}


class ReadingsShortWay:
    """The ShortWay of a site."""

    def __init__(self, *, site: Site, access: Access, front_door: FrontDoor, metrics: Metrics) -> None:
        self.site = site
        self.metrics = metrics
        self._access = access
        self._front_door = front_door

    def take(self, scope: Scope, reply: Reply) -> _Posted | None:
        """Take what is plainly lines of readings, of a program that may post them."""
        if scope["method"] != "POST" or not scope["raw_path"].endswith(b"/readings"):
            return None
        try:
            scope = self._front_door.let_in(scope)
            found = READINGS_PATH.fullmatch(scope["raw_path"])
            said = said_by(scope)
            presented = presented_key({"authorization": said.get(b"authorization", "")})
            stated = said.get(b"content-length", "0")
            if found is None or presented is None or not is_of_lines(said.get(b"content-type", "")):
                return None
            if not (stated.isascii() and stated.isdigit()) or int(stated) > INGEST_BODY_BYTES_MAX:
                return None
            client = scope.get("client")
            principal = self._access.known_program(presented, client[0] if client else "", "readings")
            if principal is None:
                return None
            connector_id = found[1].decode()
            reporters = reporters_of(principal, connector_id, said.get(b"x-report-as", ""))
        except Refused:
            return None
        return _Posted(self, reply, connector_id, reporters, _HEADERS[scope["scheme"]])


class _Posted:
    """One request (shared.short_way.Taken)."""

    def __init__(
        self, way: ReadingsShortWay, reply: Reply, connector_id: str, reporters: tuple[str, ...], headers: bytes
    ) -> None:
        self._way = way
        self._reply = reply
        self._connector_id = connector_id
        self._reporters = reporters
        self._headers = headers
        self._began_s = time.monotonic()
        self._outcome = Outcome()
        self._stream = LineStream(self._outcome)
        self._request: Request | None = None

    def feed(self, chunk: bytes) -> None:
        try:
            self._stream.feed(chunk)
        except Exception as error:  # noqa: BLE001  # the long way tells a refusal from a mistake of ours
            self._fail(error)

    def end(self) -> None:
        try:
            self._request = Request(self._stream.end(), self._reporters)
            self._way.site.ingestion.begin(self._connector_id, self._request, self._outcome, self._answered)
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, BaseException):
            self._fail(answer)
        elif answer:
            self._reply.go_long(lambda: self._make(answer))
        else:
            self._way.metrics.count_answer("POST", 200, time.monotonic() - self._began_s)
            self._reply.answer(self._headers, _ENCODER.encode(taken(self._outcome)))

    def _fail(self, error: BaseException) -> None:
        async def fail() -> bytes:
            raise error

        self._reply.go_long(fail)

    async def _make(self, missing: list[str]) -> bytes:
        """Make the devices that the readings name first."""
        assert self._request is not None
        # The client may leave: what it has sent is taken all the same, as on the short way.
        await asyncio.shield(
            self._way.site.ingestion.take_with_devices(self._connector_id, self._request, missing, self._outcome)
        )
        return _ENCODER.encode(taken(self._outcome))
