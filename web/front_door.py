"""The outermost guard of both daemons: who really asks, by which name, and under which base path.

It believes forwarded headers from the proxies that the settings name, and takes them off whatever else arrives. Behind
it everything works as if the client had come directly and the daemon stood at the root of its host: pages, redirects
and cookies know nothing of proxies. Only addresses that leave (links in pages, `Location`) get the base path.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from shared.errors import Refused
from shared.listening import Address, Front, address_of, host_name
from shared.served_certificate import ServedCertificate

BASE_PATH_KEY = "pairhub.base_path"
_PUBLIC_URL_KEY = "pairhub.public_url"
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip"})
_LEAVING = ("location", "content-location", "hx-location", "hx-redirect", "hx-push-url", "hx-replace-url")
# Attributes of our templates that hold an address. Text of users cannot look like one: its quotes are escaped.
_ADDRESS = re.compile(
    r'(\s(?:href|src|action|formaction|poster|hx-[a-z:-]+|data-(?:[a-z-]+-)?(?:url|href|src))=")/(?!/)'
)


class FrontDoor:
    """ASGI middleware; it belongs outside of all others."""

    def __init__(self, app: ASGIApp, front: Front, certificate: ServedCertificate | None = None) -> None:
        """The names in `certificate` are ours as well, and change with it."""
        self._app = app
        self._front = front
        self._certificate = certificate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Work out who asks; refuse what did not come by a way that the settings allow; pass on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        try:
            inside = self.let_in(scope)
        except Refused as refused:
            await _refuse(refused, scope, receive, send)
            return
        await self._app(inside, receive, self._sender(send) if self._front.base_path else send)

    def let_in(self, scope: Scope) -> Scope:
        """Return a request as it is seen inside; raises Refused('wrong_host', 'not_through_proxy')."""
        scope = dict(scope)
        self._judge(scope)
        self._strip_base_path(scope)
        return scope

    def _judge(self, scope: Scope) -> None:
        front = self._front
        peer = _peer_address((scope.get("client") or ("",))[0])
        # Every request comes through here: its headers are looked at as they came, once.
        host, is_forwarded = None, False
        for name, value in scope["headers"]:
            if name == b"host" and host is None:
                host = value.decode("latin-1")
            elif name in _FORWARDED:
                is_forwarded = True
        if host is not None:
            self._check_host(host)
        is_trusted = front.trusts(peer)
        if front.behind_proxy and not front.has_tls and not is_trusted and peer is not None and not peer.is_loopback:
            raise Refused("not_through_proxy", address=str(peer))
        headers = Headers(raw=scope["headers"])
        if is_forwarded:
            scope["headers"] = [each for each in scope["headers"] if each[0] not in _FORWARDED]
        scope[_PUBLIC_URL_KEY] = front.public_url
        if is_trusted:
            self._believe(scope, headers)
        if front.is_https:
            _set_scheme(scope, "https")

    def _check_host(self, host: str) -> None:
        certified = () if self._certificate is None else self._certificate.facts.names
        if not self._front.answers_to(host, certified):
            raise Refused("wrong_host", host=host_name(host)[:100])

    def _believe(self, scope: Scope, headers: Headers) -> None:
        """Put what the proxy says of the client in the place of what the proxy looks like itself."""
        front = self._front
        said = forwarded(headers) if front.forwarded_headers == "forwarded" else x_forwarded(headers)
        if not said.hops:
            return  # somebody on the proxy's machine who did not come through it
        client = _client(said.hops, front)
        scope["client"] = (client, 0)
        if said.scheme in {"http", "https"}:
            _set_scheme(scope, said.scheme)
        host = said.host
        if front.public_host and host_name(host or front.public_host) == host_name(front.public_host):
            host = front.public_host  # with the port, which proxies may leave out
        if host:
            self._check_host(host)
            MutableHeaders(scope=scope)["host"] = host

    def _strip_base_path(self, scope: Scope) -> None:
        """Take the base path off, where the proxy has left it on; both kinds of proxy are served alike."""
        base = self._front.base_path
        scope[BASE_PATH_KEY] = base
        path = scope["path"]
        if base and (path == base or path.startswith(base + "/")):
            scope["path"] = path[len(base) :] or "/"
            raw = scope.get("raw_path") or b""
            if raw.startswith(base.encode()):
                scope["raw_path"] = raw[len(base) :] or b"/"

    def _sender(self, send: Send) -> Send:
        base = self._front.base_path

        async def send_with_base_path(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in _LEAVING:
                    if name in headers:
                        headers[name] = with_base_path(headers[name], base)
            await send(message)

        return send_with_base_path


class Said:
    """What forwarded headers say: the hops from the client to the nearest proxy, its scheme and its host."""

    def __init__(self, hops: tuple[str, ...] = (), scheme: str = "", host: str = "") -> None:
        self.hops = hops
        self.scheme = scheme
        self.host = host


def x_forwarded(headers: Headers) -> Said:
    """Read X-Forwarded-For, -Proto and -Host. Of the last two the nearest proxy's word counts."""
    hops = [part.strip() for part in ",".join(headers.getlist("x-forwarded-for")).split(",")]
    return Said(
        tuple(hop for hop in hops if hop),
        _last(headers.getlist("x-forwarded-proto")).lower(),
        _last(headers.getlist("x-forwarded-host")),
    )


def forwarded(headers: Headers) -> Said:
    """Read Forwarded (RFC 7239)."""
    hops, scheme, host = [], "", ""
    for element in ",".join(headers.getlist("forwarded")).split(","):
        pairs = [part.strip().partition("=") for part in element.split(";")]
        found = {name.lower(): value.strip('"') for name, _, value in pairs}
        if found.get("for"):
            hops.append(found["for"])
            scheme, host = found.get("proto", "").lower(), found.get("host", "")
    return Said(tuple(hops), scheme, host)


def with_base_path(address: str, base: str) -> str:
    """Return an address of ours as browsers must ask for it; foreign and complete ones stay as they are."""
    if not base or not address.startswith("/") or address.startswith("//"):
        return address
    is_there = address == base or address.startswith((base + "/", base + "?"))
    return address if is_there else base + address


def html_with_base_path(html: str, base: str) -> str:
    """Put the base path before the addresses of ours in HTML that our templates made."""
    return _ADDRESS.sub(rf"\g<1>{base}/", html) if base else html


def public_url(connection: HTTPConnection) -> str:
    """Return the address by which this daemon is reached, without a slash at its end."""
    said: str = connection.scope.get(_PUBLIC_URL_KEY, "")
    return said or str(connection.base_url).rstrip("/")


def _client(hops: tuple[str, ...], front: Front) -> str:
    """Walk back from the nearest hop over the trusted ones: what stands before the first stranger may be invented."""
    for hop in reversed(hops):
        address = _address(_without_port(hop))
        if address is None:
            return _without_port(hop)[:64]
        if not front.trusts(address):
            return str(address)
    return str(_address(_without_port(hops[0])) or hops[0][:64])


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _address(text: Any) -> Address | None:
    return address_of(str(text))


@lru_cache(maxsize=1_024)
def _peer_address(text: Any) -> Address | None:
    """Return the address at the other end of a socket; the same few ask again and again."""
    return _address(text)


def _last(values: list[str]) -> str:
    return values[-1].rpartition(",")[2].strip() if values else ""


def _set_scheme(scope: Scope, scheme: str) -> None:
    if scope["type"] == "websocket":
        scheme = {"http": "ws", "https": "wss"}[scheme]
    scope["scheme"] = scheme


async def _refuse(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    response: Response
    if "text/html" in Headers(scope=scope).get("accept", ""):
        response = PlainTextResponse(f"{refused}\n", refused.status)
    else:
        facts = {name: str(value) for name, value in refused.facts.items()}
        response = JSONResponse({"code": refused.code, "message": str(refused), "facts": facts}, refused.status)
    response.headers["Cache-Control"] = "no-store"
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)
