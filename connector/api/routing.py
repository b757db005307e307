"""Routes of the API, made from its registry: who may, what refusals look like, and paths that keep their slashes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn
from urllib.parse import quote, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

from connector.access import Access
from connector.api.answers import answer, no_of, refusal
from connector.api.etags import Tagged, is_unchanged
from connector.api.openapi import openapi_document
from connector.api.operations import Call, Operation
from connector.api.registry import OPERATIONS, TOPICS
from connector.site import Site
from shared.errors import LinkLost, Refused, StorageFailed

PREFIX: Final = "/api/v1"
DOCUMENT_PATH: Final = PREFIX + "/openapi.json"
Endpoint = Callable[[Request], Awaitable[Response]]
_ROUTE_KEY: Final = "pairhub.route"
_WAYS_KEPT: Final = 1_024
# Longer paths are looked for anew each time, so that what is kept stays small.
_WAY_CHARS_MAX: Final = 200


def api_routes(site: Site, access: Access) -> list[BaseRoute]:
    """Return all routes of the API."""
    return [
        Route(DOCUMENT_PATH, _document(access), methods=["GET"]),
        QuotedRoutes(
            [
                Route(PREFIX + operation.path, _guarded(site, access, operation), methods=[operation.method])
                for operation in OPERATIONS
            ]
        ),
    ]


def _document(access: Access) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            await access.require(request, "read")
        except Refused as refused:
            return refusal(refused)
        return answer(document())

    return endpoint


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of the API."""
    try:
        release = version("pairhub")
    except PackageNotFoundError:
        release = "unknown"
    return openapi_document(TOPICS, PREFIX, release)


class QuotedRoutes(BaseRoute):
    """Routes that split the path before it is unquoted, so that an identity or alias may hold slashes (%2F).

    It also lets a name be told from a word of ours: the device `export` is addressed as `%65xport`. Where a path led is
    remembered for those that came last: programs ask for the same few, and trying all operations costs more than most
    of them do.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._remembered = lru_cache(maxsize=_WAYS_KEPT)(self._find)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match as a router would: the first route that takes path and method, else the first that takes the path."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = _quoted_path(scope)
        find = self._remembered if len(path) <= _WAY_CHARS_MAX else self._find
        match, route, named = find(scope["method"], path)
        if route is None:
            return Match.NONE, {}
        path_params = {**scope.get("path_params", {}), **named}
        return match, {"endpoint": route.endpoint, "path_params": path_params, _ROUTE_KEY: route}

    def _find(self, method: str, path: str) -> tuple[Match, Route | None, dict[str, str]]:
        partial: tuple[Match, Route | None, dict[str, str]] = (Match.NONE, None, {})
        for route in self.routes:
            found = route.path_regex.match(path)
            if found is None:
                continue
            named = {name: unquote(part) for name, part in found.groupdict().items()}
            if method in (route.methods or ()):
                return Match.FULL, route, named
            if partial[1] is None:
                partial = Match.PARTIAL, route, named
        return partial

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to the route that matched."""
        await scope[_ROUTE_KEY].handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        """Addresses of operations are written by those who use them."""
        raise NoMatchFound(name, path_params)


def _quoted_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    base = quote(scope.get("root_path", ""))
    return path.removeprefix(base) if base and path.startswith(base + "/") else path


def _guarded(site: Site, access: Access, operation: Operation) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            principal = await access.require(request, operation.action)
            call = Call(site, access, request, principal, operation)
            return _answered(call, await operation.handler(call))
        except (Refused, StorageFailed, LinkLost) as error:
            return no_of(error)
        except ClientDisconnect:
            return Response(status_code=499)

    return endpoint


def _answered(call: Call, result: Any) -> Response:
    if isinstance(result, Response):
        return result
    if isinstance(result, Tagged):
        headers = {"ETag": result.etag}
        if call.request.method in ("GET", "HEAD") and is_unchanged(call, result.etag):
            return Response(status_code=304, headers=headers)
        return answer(result.body, headers=headers)
    after = getattr(result, "next", None)
    if after is None:
        return answer(result)
    url = call.request.url.include_query_params(after=after)
    return answer(result, headers={"Link": f'<{url.path}?{url.query}>; rel="next"'})
