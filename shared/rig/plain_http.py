"""HTTP/1.1 over a plain socket, one request after the other: what the benches ask with costs next to nothing."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from shared.errors import PairhubError
from shared.rig.client import operator_token
from shared.rig.daemons import Daemon


class Asker:
    """Asks one question after the other over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, site: Daemon, path: str) -> Asker:
        """Connect to a site; `path` is what to ask for."""
        reader, writer = await connect(site)
        return cls(reader, writer, head_of(site, "GET", path) + "\r\n")

    async def ask(self) -> bytes:
        """Return the body of the answer; raises PairhubError where it is a refusal."""
        self._writer.write(self._head.encode())
        status, body = await answer(self._reader)
        if status != 200:
            raise PairhubError(f"a question was not answered: {status} {body[:200]!r}")
        return body

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


async def connect(site: Daemon) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a site."""
    where = urlsplit(site.url)
    return await asyncio.open_connection(where.hostname, where.port)


def head_of(site: Daemon, method: str, path: str) -> str:
    """Return the head of an operator's request, as far as its content does not matter."""
    token = operator_token(site.data_dir)
    return f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(site.url).netloc}\r\nAuthorization: Bearer {token}\r\n"


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read an answer; return its status and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0].strip() or 0)
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)
