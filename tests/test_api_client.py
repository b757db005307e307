"""The client that demo, benches and chaos ask the daemons with: what becomes of a connection that is lost under it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

import pytest
import uvloop

from shared.errors import PairhubError
from shared.rig.client import ApiClient


class _Answerer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def _server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answerer) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


async def _ask_where_the_first_connection_is_lost(url: str) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def doomed(*args: Any, **more: Any) -> Any:
        made = await connect(*args, **more)
        made[0].abort()
        for _ in range(3):  # turns of the loop, until nothing is left of the socket
            await asyncio.sleep(0)
        return made

    async with ApiClient(url, "token", 5.0) as client:
        with patch.object(loop, "create_connection", doomed), pytest.raises(PairhubError, match="connection was lost"):
            await client.get("/first")

        assert await client.get("/second") == []


def test_a_connection_that_is_lost_as_soon_as_it_is_made_is_told_as_that() -> None:
    with _server() as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of every command
        runner.run(_ask_where_the_first_connection_is_lost(url))
