"""NATS JetStream as a bridge between two sites: source --leaf node--> hub <--leaf node-- target, file storage, mirrors.

The stream TEL at the source is mirrored by HUB at the hub, and that by TGT at the target; nothing is synced to disk but
every two minutes, which is how it comes. Requests pass from the target to the source over both leaf nodes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from shared.errors import PairhubError
from shared.rig.client import until
from shared.rig.peers.servers import Server, find_program, free_ports, version_of
from shared.rig.peers.windowed import send_all

_STREAMS: Final = {"source": "TEL", "hub": "HUB", "target": "TGT"}
_WINDOW_MESSAGES: Final = 4_000
_WINDOW_BYTES: Final = 4 * 2**20
_REQUEST_BYTES: Final = 64
_ARRIVED_S: Final = 300.0
SUBJECT: Final = "telemetry.x"
ASKED: Final = "ask.device"
_HELLO: Final = (
    b'CONNECT {"verbose":false,"pedantic":false,"name":"bench","lang":"raw","version":"0",'
    b'"headers":true,"no_responders":true}\r\nSUB _INBOX.bench.* 1\r\n'
)


def client_module() -> Any:
    """Return nats-py; raises PairhubError where it is not installed."""
    try:
        import nats
    except ImportError:
        raise PairhubError(
            "The Python package nats-py is not installed. Install the extra: pip install 'pairhub[bench]'."
        ) from None
    return nats


def publish(payload: bytes) -> bytes:
    """Return a message that asks to be acknowledged, as it goes over the wire."""
    return b"PUB %s _INBOX.bench.1 %d\r\n%s\r\n" % (SUBJECT.encode(), len(payload), payload)


class _Acknowledgements:
    """Counts acknowledgements in pieces of what arrives."""

    _MARK = b"MSG _INBOX."

    def __init__(self) -> None:
        self._rest = b""

    def count(self, data: bytes) -> int:
        """Return how many begin in what came; raises PairhubError where one is an error."""
        seen = self._rest + data
        if b'"error"' in seen or b"-ERR" in seen:
            raise PairhubError(f"NATS refused a message: {seen[-500:]!r}")
        # A mark cut in two is counted with the next piece, and none twice.
        self._rest = seen[-(len(self._MARK) - 1) :]
        return seen.count(self._MARK)


class Nats:
    """Three servers on fresh data; `async with` it."""

    def __init__(self, folder: Path) -> None:
        """Raises PairhubError where server or client are not installed."""
        self._program = find_program("nats-server", "nats-server")
        self._nats = client_module()
        *ports, leaf = free_ports(4)
        self._servers: dict[str, Server] = {}
        for name, port in zip(_STREAMS, ports, strict=True):
            nodes = (
                f'listen: "127.0.0.1:{leaf}"'
                if name == "hub"
                else f'remotes: [ {{ url: "nats-leaf://127.0.0.1:{leaf}" }} ], reconnect: 1'
            )
            config = folder / f"nats-{name}.conf"
            config.write_text(
                f'server_name: {name}\nlisten: "127.0.0.1:{port}"\nleafnodes {{ {nodes} }}\n'
                f'jetstream {{ store_dir: "{folder}/nats-{name}", domain: {name}, max_mem: 1G, max_file: 20G }}\n',
                encoding="utf-8",
            )
            self._servers[name] = Server([self._program, "-c", str(config)], port, folder / f"nats-{name}.log")
        self._target: Any = None
        self._before = 0

    async def __aenter__(self) -> Nats:
        try:
            for name in ("hub", "source", "target"):
                await self._servers[name].start()
            for name in _STREAMS:
                await self._make_stream(name)
            self._target = await self._connect("target")
            # One message shows that everything is joined.
            await self._send([publish(b"{}")], 1)
            await self._until_held(1, every_s=0.05)
            self._before = 1
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        if self._target is not None:
            await self._target.close()
        for server in self._servers.values():
            await server.stop()

    async def version(self) -> str:
        """Return what the server calls itself."""
        return await version_of(self._program, "--version")

    async def stream_s(self, payloads: Sequence[bytes]) -> float:
        """Return the seconds from the first message at the source until the target's stream holds all."""
        messages = [publish(payload) for payload in payloads]
        window = max(8, min(_WINDOW_MESSAGES, _WINDOW_BYTES // len(messages[0])))
        began = time.perf_counter()
        await self._send(messages, window)
        await self._until_held(self._before + len(messages), every_s=0.005)
        taken_s = time.perf_counter() - began
        self._before += len(messages)
        return taken_s

    async def requests_ms(self, count: int, warm_up: int) -> list[float]:
        """Return how long requests from the target to a program at the source take, ms, one after the other."""
        words = [sys.executable, "-m", "shared.rig.peers.nats_responder", str(self._servers["source"].port)]
        responder = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        try:
            assert responder.stdout is not None
            await responder.stdout.readline()
            await until(self._is_answered, what="a request to pass both leaf nodes")
            found: list[float] = []
            for at in range(warm_up + count):
                began = time.perf_counter()
                await self._target.request(ASKED, bytes(_REQUEST_BYTES), timeout=5)
                if at >= warm_up:
                    found.append((time.perf_counter() - began) * 1_000)
            return found
        finally:
            responder.terminate()
            await responder.wait()

    async def _is_answered(self) -> bool:
        try:
            await self._target.request(ASKED, b"", timeout=1)
        except self._nats.errors.Error:
            return False
        return True

    async def _connect(self, name: str) -> Any:
        return await self._nats.connect(f"nats://127.0.0.1:{self._servers[name].port}")

    async def _make_stream(self, name: str) -> None:
        above = {"hub": "source", "target": "hub"}.get(name)
        stream: dict[str, Any] = {
            "name": _STREAMS[name],
            "storage": "file",
            "retention": "limits",
            "discard": "old",
            "num_replicas": 1,
        }
        if above is None:
            stream["subjects"] = ["telemetry.>"]
        else:
            external = {"api": f"$JS.{above}.API", "deliver": ""}
            stream["mirror"] = {"name": _STREAMS[above], "external": external}
        connection = await self._connect(name)
        try:

            async def made() -> bool:
                answer = await self._api(connection, f"STREAM.CREATE.{stream['name']}", stream)
                return "error" not in answer

            await until(made, what=f"NATS to make the stream {stream['name']}")
        finally:
            await connection.close()

    async def _api(self, connection: Any, verb: str, body: object) -> dict[str, Any]:
        try:
            answer = await connection.request(f"$JS.API.{verb}", msgspec.json.encode(body), timeout=2)
        except self._nats.errors.Error as error:  # JetStream is not up yet
            return {"error": str(error)}
        return dict(msgspec.json.decode(answer.data))

    async def _send(self, messages: Sequence[bytes], window: int) -> None:
        await send_all(self._servers["source"].port, _HELLO, messages, window, _Acknowledgements().count)

    async def _until_held(self, messages: int, *, every_s: float) -> None:
        async def held() -> bool:
            answer = await self._api(self._target, "STREAM.INFO.TGT", {})
            return bool(answer.get("state", {}).get("messages", 0) >= messages)

        await until(held, timeout_s=_ARRIVED_S, every_s=every_s, what="the target's stream to hold everything")
