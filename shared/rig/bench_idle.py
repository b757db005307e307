"""`pairhub bench idle`: what a quiet link costs the hub. Real links over real sockets, each pair presented and known.

The links are made by this process, by the protocol of a site (shared.joining), two for each pair. What is measured is the
resident memory of the hub's process before and after, per link; the links answer pings, as those of daemons do.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect

from shared.certificates import PairCertificate, Party, new_key, pack, public_bytes, sign
from shared.joining import (
    ENROL_PATH,
    LINK_PATH,
    NONCE_PATH,
    EnrolAnswer,
    EnrolRequest,
    NonceAnswer,
    make_assertion,
)
from shared.limits import FRAME_BYTES_MAX
from shared.messages import Hello, HelloBack, PairKnown, PresentPair, decode_frame, encode_frame
from shared.rig.daemons import Daemon
from shared.rig.demo import take_ports

_LINKS_PER_SITE: Final = 50
# Links opened at once: the hub checks a signature for each.
_OPENING_MAX: Final = 20
_KNOWN_S: Final = 60.0


class _Site:
    """A site as the hub sees one: a name and two keys."""

    def __init__(self, name: str, url: str, http: httpx2.AsyncClient) -> None:
        self.site_id = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
        self._name = name
        self._url = url
        self._http = http
        self._hub_key = new_key()
        self.identity_key: Ed25519PrivateKey = new_key()

    def party(self, connector_id: str) -> Party:
        """This site's side of a pair."""
        return Party(self.site_id, self._name, connector_id, public_bytes(self.identity_key))

    async def _assertion(self, connector_id: str) -> str:
        answer = msgspec.json.decode((await self._http.get(self._url + NONCE_PATH)).content, type=NonceAnswer)
        return make_assertion(
            self._hub_key,
            site_id=self.site_id,
            connector_id=connector_id,
            hub_key=answer.hub_key,
            nonce=answer.nonce,
            token_id=secrets.token_hex(8),
            now_s=time.time(),
        )

    async def enrol(self) -> None:
        """Enrol at a hub that takes everybody."""
        keys = (public_bytes(self._hub_key).hex(), public_bytes(self.identity_key).hex())
        request = EnrolRequest("", self.site_id, self._name, *keys, await self._assertion(""))
        answer = await self._http.post(self._url + ENROL_PATH, content=msgspec.json.encode(request))
        answer.raise_for_status()
        msgspec.json.decode(answer.content, type=EnrolAnswer)

    async def link(self, connector_id: str, stack: AsyncExitStack) -> ClientConnection:
        """Open a link and greet."""
        start_id = secrets.token_bytes(16)
        socket = await stack.enter_async_context(
            connect(
                self._url.replace("http", "ws", 1) + LINK_PATH,
                additional_headers={
                    "Authorization": f"Bearer {await self._assertion(connector_id)}",
                    "Pairhub-Start": start_id.hex(),
                },
                compression=None,
                max_size=FRAME_BYTES_MAX,
                proxy=None,
                close_timeout=1,
            )
        )
        await socket.send(encode_frame(Hello(1, 1, start_id)))
        await _hear(socket, HelloBack)
        return socket


async def _hear(socket: ClientConnection, kind: type) -> None:
    async with asyncio.timeout(_KNOWN_S):
        while not isinstance(decode_frame(await socket.recv()), kind):
            pass


async def _open_pair(left: _Site, right: _Site, at: int, stack: AsyncExitStack) -> None:
    """Link both sides of a new pair and let each present it."""
    names = (f"S{at:07}", f"T{at:07}")
    certificate = PairCertificate(
        secrets.token_bytes(16),
        left.party(names[0]),
        right.party(names[1]),
        secrets.token_bytes(16),
        secrets.token_bytes(32),
    )
    packed = pack(certificate, [sign(site.identity_key, certificate) for site in (left, right)])
    for site, name in ((left, names[0]), (right, names[1])):
        socket = await site.link(name, stack)
        await socket.send(encode_frame(PresentPair(packed)))
        await _hear(socket, PairKnown)


async def measure(
    links: int, say: Callable[[str], None], *, settle_s: float = 5.0, watch_s: float = 10.0
) -> dict[str, Any]:
    """Run the bench and return its figures; raises PairhubError, OSError (too few file descriptors).

    Memory is read `settle_s` after the last link opened, and the processor watched for `watch_s`.
    """
    port = take_ports({"hub": None})["hub"]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="pairhub-bench-") as folder:
        flags = {"port": port, "open_enrolment": "true", "log_level": "warning"}
        hub = Daemon("hub", "hub", flags, Path(folder) / "hub", url)
        await hub.start()
        try:
            return await _measure(hub, url, links, say, settle_s, watch_s)
        finally:
            await hub.stop()


async def _measure(
    hub: Daemon, url: str, links: int, say: Callable[[str], None], settle_s: float, watch_s: float
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        limits = httpx2.Limits(max_connections=_OPENING_MAX)
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=_KNOWN_S, limits=limits))
        sites = [_Site(f"site-{at}", url, http) for at in range(max(2, 2 * (links // (2 * _LINKS_PER_SITE))))]
        for site in sites:
            await site.enrol()
        # The first pair brings what every hub that has worked keeps: its modules, pools and compiled statements.
        await _open_pair(sites[0], sites[1], 10**6, stack)
        await asyncio.sleep(settle_s)
        before_mib = hub.rss_mib
        say(f"Opening {links} links ...")
        free = asyncio.Semaphore(_OPENING_MAX)

        async def opened(at: int) -> None:
            async with free:
                half = len(sites) // 2
                await _open_pair(sites[at % half], sites[half + at % half], at, stack)

        began = time.perf_counter()
        await asyncio.gather(*(opened(at) for at in range(links // 2)))
        opening_s = time.perf_counter() - began
        await asyncio.sleep(settle_s)
        after_mib = hub.rss_mib
        say(f"Watching the hub for {watch_s:.0f} s ...")
        process = psutil.Process(hub.pid)
        used = process.cpu_times()
        await asyncio.sleep(watch_s)
        now = process.cpu_times()
        return {
            "links": 2 * (links // 2),
            "kib_per_link": round((after_mib - before_mib) * 1024 / max(1, links), 1),
            "hub_rss_mib": round(after_mib, 1),
            "cpu_percent": round(100 * (now.user + now.system - used.user - used.system) / watch_s, 2),
            "links_opened_per_s": round(links / opening_s),
            "cpu_count": psutil.cpu_count(),
        }
