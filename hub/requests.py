"""Small requests and answers, bounded in size and time."""

from __future__ import annotations

import asyncio
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from shared import foreign
from shared.errors import Refused
from shared.limits import HANDSHAKE_DEADLINE_S, JOIN_BODY_BYTES_MAX, NAME_CHARS_MAX

T = TypeVar("T")


def json_answer(answer: object, status: int = 200) -> Response:
    """Return an answer that no cache keeps."""
    return Response(msgspec.json.encode(answer), status, {"Cache-Control": "no-store"}, "application/json")


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(HANDSHAKE_DEADLINE_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > JOIN_BODY_BYTES_MAX:
                    raise Refused("body_too_large", most=JOIN_BODY_BYTES_MAX)
    except TimeoutError as error:
        raise Refused("invalid", what="The request", why="it did not arrive in time") from error
    return bytes(body)


async def read_json(request: Request, kind: type[T]) -> T:
    """Read a small JSON body in time; raises Refused."""
    try:
        return foreign.read_json(await _read(request), kind)
    except msgspec.DecodeError as error:
        raise Refused("invalid", what="The request", why=str(error)) from error


async def read_form(request: Request) -> dict[str, str]:
    """Read a small form as browsers send it; of fields that come twice the last counts. Raises Refused."""
    body = await _read(request)
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict"))
    except ValueError as error:
        raise Refused("invalid", what="The form", why="it cannot be read") from error


def site_name_of(site_name: str) -> str:
    """Return a site name as it may be enrolled; raises Refused."""
    name = " ".join(site_name.split())
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise Refused("invalid", what="The site name", why=f"it takes 1 to {NAME_CHARS_MAX} printable characters")
    if name != site_name:
        raise Refused("invalid", what="The site name", why="it has spaces at its ends, or several in a row")
    return name
