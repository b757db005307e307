"""The short way in for readings: what a program posts, past the middleware and routes that are there for pages.

Devices post small and often, so what every request passes through is most of what a reading costs. The rules are the
same, by the same functions: who may, how large a body is, what a refusal looks like. Whatever is not plainly a program
that posts readings (no `Authorization`, a path in other letters) goes the long way and finds the operation there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.access import Access
from connector.api.answers import no_of
from connector.api.readings import reporters_of, taken
from connector.ingest.bodies import is_of_lines
from connector.ingest.line_stream import LineStream
from connector.lines import Lines
from connector.readings import Outcome
from connector.site import Site
from shared.errors import LinkLost, Refused, StorageFailed
from shared.limits import INGEST_BODY_BYTES_MAX
from shared.short_way import REST_KEY, Rest
from web.api_keys import presented_key

READINGS_PATH: Final = re.compile(rb"/api/v1/connectors/([0-9A-Za-z_-]+)/readings")
_HEADERS: Final = (b"authorization", b"content-type", b"content-length", b"x-report-as")
ANSWER_HEADERS: Final = ((b"cache-control", b"no-store"), (b"content-type", b"application/json"))
_ENCODER: Final = msgspec.json.Encoder()


class ReadingsDoor:
    """ASGI middleware; it belongs inside of what decorates and counts answers, outside of everything else."""

    def __init__(self, app: ASGIApp, *, site: Site, access: Access) -> None:
        self._app = app
        self._site = site
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the readings of a program, or pass on."""
        rest: Rest | None = scope["state"].get(REST_KEY) if scope["type"] == "http" and "state" in scope else None
        if rest is not None:
            await self._answer(rest(), scope, receive, send)
            return
        found = None
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            found = READINGS_PATH.fullmatch(scope.get("raw_path") or b"")
        if found is None:
            await self._app(scope, receive, send)
            return
        said = said_by(scope)
        presented = presented_key({"authorization": said.get(b"authorization", "")})
        if presented is None:
            await self._app(scope, receive, send)
            return
        await self._answer(self._take(scope, receive, found[1].decode(), presented, said), scope, receive, send)

    async def _answer(self, taking: Awaitable[bytes | None], scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await taking
        except (Refused, StorageFailed, LinkLost) as error:
            await no_of(error)(scope, receive, send)
            return
        if body is None:
            return
        headers = [*ANSWER_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _take(
        self, scope: Scope, receive: Receive, connector_id: str, presented: str, said: dict[bytes, str]
    ) -> bytes | None:
        """Return the answer; None where nobody waits for it any more. Raises as the operation does."""
        client = scope.get("client")
        principal = await self._access.require_program(presented, client[0] if client else "", "readings")
        reporters = reporters_of(principal, connector_id, said.get(b"x-report-as", ""))
        content_type, stated = said.get(b"content-type", ""), said.get(b"content-length", "")
        if stated.isascii() and stated.isdigit() and int(stated) > INGEST_BODY_BYTES_MAX:
            raise Refused("body_too_large", most=INGEST_BODY_BYTES_MAX)
        if not is_of_lines(content_type):
            body = await _body(receive)
            if body is None:
                return None
            return _ENCODER.encode(taken(await self._site.ingest(connector_id, body, content_type, reporters)))
        outcome = Outcome()
        lines = await _lines(receive, outcome)
        if lines is None:
            return None
        await self._site.ingestion.take(connector_id, lines, outcome, reporters=reporters)
        return _ENCODER.encode(taken(outcome))


def said_by(scope: Scope) -> dict[bytes, str]:
    """Return the headers that matter; of several of one name the first one counts, as everywhere."""
    said: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _HEADERS and name not in said:
            said[name] = value.decode("latin-1")
    return said


async def _lines(receive: Receive, outcome: Outcome) -> Lines | None:
    """Read lines while they come; None where the client is gone. Raises as LineStream does."""
    stream = LineStream(outcome)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        stream.feed(message.get("body", b""))
        if not message.get("more_body", False):
            return stream.end()


async def _body(receive: Receive) -> bytes | None:
    """Return the body, None where the client is gone; raises Refused('body_too_large') before more of it is read."""
    parts: list[bytes] = []
    read = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        read += len(parts[-1])
        if read > INGEST_BODY_BYTES_MAX:
            raise Refused("body_too_large", most=INGEST_BODY_BYTES_MAX)
        if not message.get("more_body", False):
            return b"".join(parts)
