"""The checks of the way to a hub: name, port, TLS, who answers, and whether WebSockets get through."""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from shared.doctor.findings import Finding, failed, ok, warning
from shared.doctor.machine import check_hub_time
from shared.http_answers import answer_to, body_of
from shared.joining import LINK_PATH, NONCE_PATH, NonceAnswer
from shared.limits import (
    CERTIFICATE_WARN_MS,
    DAY_MS,
    HANDSHAKE_DEADLINE_S,
    HUB_ANSWER_BYTES_MAX,
    HUB_ANSWER_DEADLINE_S,
    SECOND_MS,
)
from shared.messages import PROTOCOL_HIGHEST, PROTOCOL_LOWEST

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, slots=True)
class Way:
    """How the hub is reached: its address, a proxy or empty, what is trusted, and what a failure means in words."""

    url: str
    proxy: str
    tls: ssl.SSLContext | None
    explain: Callable[[BaseException], str]


async def check_way(way: Way) -> list[Finding]:
    """Go the way step by step, and stop where it ends."""
    first = urlsplit(way.proxy or way.url)
    whose = "proxy" if way.proxy else "hub"
    host, port = first.hostname or "", first.port or _PORTS.get(first.scheme, 80)
    found = [await _check_name(host, port, whose)]
    if found[-1].outcome == "ok":
        found.append(await _check_port(host, port, whose))
    if found[-1].outcome != "ok":
        return found
    async with httpx2.AsyncClient(
        base_url=way.url,
        timeout=HANDSHAKE_DEADLINE_S,
        trust_env=False,
        proxy=way.proxy or None,
        verify=True if way.tls is None else way.tls,
    ) as http:
        answered = await _check_answer(http, way)
        found += answered
        if all(finding.outcome != "failed" for finding in answered):
            found.append(await _check_upgrade(http, way))
    return found


async def _check_name(host: str, port: int, whose: str) -> Finding:
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return failed(
            "DNS",
            f"the name '{host}' of the {whose} is not found: {error.strerror}",
            f"is the {whose}'s address spelled right? Ask another machine; see /etc/resolv.conf",
        )
    return ok("DNS", f"{host} is {', '.join(dict.fromkeys(str(row[4][0]) for row in rows))}")


async def _check_port(host: str, port: int, whose: str) -> Finding:
    try:
        async with asyncio.timeout(HANDSHAKE_DEADLINE_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return failed(
            "TCP",
            f"{host}:{port} does not answer within {HANDSHAKE_DEADLINE_S:.0f} s",
            "a firewall between here and there drops it; open the way out to that port",
        )
    except OSError as error:
        return failed("TCP", f"{host}:{port} refuses: {error.strerror}", f"does the {whose} run, and is this its port?")
    writer.close()
    return ok("TCP", f"{host}:{port} of the {whose} takes connections")


async def _check_answer(http: httpx2.AsyncClient, way: Way) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with answer_to(http, "GET", NONCE_PATH, deadline_s=HUB_ANSWER_DEADLINE_S) as response:
            stream = response.extensions.get("network_stream")
            session = stream.get_extra_info("ssl_object") if stream is not None else None
            body = await body_of(response, HUB_ANSWER_BYTES_MAX)
    except (httpx2.HTTPError, OSError, ValueError) as error:
        name = "TLS" if way.tls is not None else "hub"
        return [
            failed(
                name, way.explain(error), "pairhub config show site says which address, authority and proxy are used"
            )
        ]
    if session is not None:
        found.append(_certificate(session))
    elif way.tls is None:
        host = urlsplit(way.url).hostname or ""
        if host not in ("localhost", "127.0.0.1", "::1"):
            found.append(
                warning(
                    "TLS",
                    f"{way.url} is reached in the clear",
                    "let the hub serve https; what is sealed stays sealed, identifiers do not",
                )
            )
    try:
        told = msgspec.json.decode(body, type=NonceAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [
            *found,
            failed(
                "hub",
                f"something else answers at {way.url} (HTTP {response.status_code})",
                "is hub_url the hub's address, with its base path? A proxy may stand before it",
            ),
        ]
    found.append(_versions(told))
    found.append(check_hub_time(told.time_ms, time.time_ns() // 1_000_000))
    return found


def _versions(told: NonceAnswer) -> Finding:
    lowest, highest = told.protocol
    if lowest > PROTOCOL_HIGHEST or highest < PROTOCOL_LOWEST:
        return failed(
            "hub",
            f"it speaks link protocol {lowest} to {highest}, this release {PROTOCOL_LOWEST} to {PROTOCOL_HIGHEST}",
            "upgrade the older one",
        )
    return ok("hub", f"it answers, with key {told.hub_key[:16]}..., and speaks our protocol")


def _certificate(session: Any) -> Finding:
    certificate = session.getpeercert() or {}
    ends_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = (ends_s - time.time()) * SECOND_MS / DAY_MS
    said = f"{session.version()}; the chain is trusted; good until {datetime.fromtimestamp(ends_s, UTC):%Y-%m-%d}"
    if days * DAY_MS < CERTIFICATE_WARN_MS:
        return warning("TLS", f"{said}, {days:.0f} days", "the hub's operator has to renew it")
    return ok("TLS", said)


async def _check_upgrade(http: httpx2.AsyncClient, way: Way) -> Finding:
    """Ask for a WebSocket without showing who we are: a hub refuses that with a code, whatever lies between otherwise."""
    check = "WebSocket"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
    }
    try:
        async with answer_to(http, "GET", LINK_PATH, deadline_s=HUB_ANSWER_DEADLINE_S, headers=headers) as answer:
            body = await body_of(answer, HUB_ANSWER_BYTES_MAX)
    except (httpx2.HTTPError, OSError) as error:
        return failed(
            check,
            f"the upgrade request got no answer: {way.explain(error)}",
            "a proxy or firewall between here and the hub cuts WebSockets off",
        )
    try:
        code = msgspec.json.decode(body, type=dict[str, Any]).get("code", "")
    except msgspec.DecodeError:
        code = ""
    if code == "upgrade_missing":
        return failed(
            check,
            "a proxy before the hub takes the Upgrade header off",
            "let it pass Upgrade and Connection on for /connector/v1/link",
        )
    if code:
        return ok(check, "upgrade requests reach the hub")
    return failed(
        check,
        f"HTTP {answer.status_code} from something that is not the hub",
        "let the proxy before the hub pass /connector/v1/link on, as a WebSocket",
    )
