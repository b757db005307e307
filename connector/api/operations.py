"""What an operation of the API declares, and what its handler is given: the shape of every row of the registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request

from connector.access import Access
from connector.readings import UNREADABLE
from connector.site import Site
from shared.errors import Refused
from web.authorize import Principal

T = TypeVar("T")
# Beside readings and imports: the longest is a bulk edit that names its devices.
BODY_BYTES_MAX: Final = 64 * 1024
JSON: Final = "application/json"
ONE: Final = "/connectors/{connector_id}"


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query. `kind` is the type that its text is read as; without it, `otherwise` holds."""

    name: str
    says: str
    kind: Any = str
    otherwise: Any = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of somebody who may make it."""

    site: Site
    access: Access
    request: Request
    principal: Principal
    operation: Operation

    @property
    def connector_id(self) -> str:
        """The connector that the path names."""
        return self.named("connector_id")

    def named(self, part: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[part])

    def asked(self, name: str) -> Any:
        """Return a parameter of the query as its declared kind; raises Refused('invalid')."""
        query = next(query for query in self.operation.query if query.name == name)
        text = self.request.query_params.get(name)
        if text is None:
            return query.otherwise
        try:
            return msgspec.convert(text, query.kind, strict=False)
        except msgspec.ValidationError as error:
            raise Refused("invalid", what=f"Parameter {name}", why=str(error)) from error

    async def bytes(self, most: int = BODY_BYTES_MAX) -> bytes:
        """Return the body, giving up as soon as it is too large; raises Refused('body_too_large')."""
        chunks = bytearray()
        async for chunk in self.request.stream():
            chunks += chunk
            if len(chunks) > most:
                raise Refused("body_too_large", most=most)
        return bytes(chunks)

    async def body(self, kind: type[T], most: int = BODY_BYTES_MAX) -> T:
        """Return the body as the operation takes it; raises Refused('invalid', 'body_too_large')."""
        body = await self.bytes(most)
        try:
            return msgspec.json.decode(body or b"{}", type=kind)
        except UNREADABLE as error:
            why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
            raise Refused("invalid", what="Body", why=why) from error


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that the API can do.

    `action` is what connector.access asks for. `body` and `answer` are types that msgspec knows, None for nothing (an
    answer without a body is 204). `media` are the kinds of body, `answer_media` of answers. `errors` are the codes it
    can answer beyond those of `common_errors`. `has_etag`: its answer has an ETag, or its object has one and the
    request may say If-Match.
    """

    method: str
    path: str
    action: str
    summary: str
    handler: Handler
    query: tuple[Query, ...] = ()
    body: Any = None
    media: tuple[str, ...] = (JSON,)
    answer: Any = None
    answer_media: tuple[str, ...] = (JSON,)
    errors: tuple[str, ...] = ()
    has_etag: bool = False

    @property
    def name(self) -> str:
        """What programs made from the document call it."""
        return self.handler.__name__

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """The headers by which a request may ask for an ETag, with what they do."""
        if not self.has_etag or self.method == "POST":
            return ()
        if self.method == "GET":
            return (("If-None-Match", "answer 304 where the object still has this ETag"),)
        return (("If-Match", "refuse with 412 where the object's definition no longer has this ETag"),)

    @property
    def common_errors(self) -> tuple[str, ...]:
        """The codes that follow from what the operation declares."""
        codes = ["not_signed_in", "forbidden", "storage_failed"]
        if "{connector_id}" in self.path:
            codes.append("not_found")
        if self.body is not None or self.query:
            codes.append("invalid")
        if self.body is not None:
            codes.append("body_too_large")
        if any(query.name == "after" for query in self.query):
            codes.append("cursor_unknown")
        if self.conditions and self.method != "GET":
            codes.append("changed_meanwhile")
        return tuple(codes)

    @property
    def all_errors(self) -> tuple[str, ...]:
        """Every code that the operation can answer."""
        return tuple(dict.fromkeys((*self.common_errors, *self.errors)))
