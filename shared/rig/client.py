"""A client of a site's API, as a program on the same machine would write it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import msgspec

from shared.address_file import local_trust
from shared.errors import PairhubError
from shared.trust import trust_for


class ApiRefused(PairhubError):
    """The daemon said no: its status, code and words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message or f"HTTP {status}")
        self.status = status
        self.code = code


def operator_token(data_dir: Path) -> str:
    """Return the token that a daemon leaves for the local command line; raises PairhubError where there is none."""
    try:
        return (data_dir / "operator.token").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PairhubError(
            f"No daemon has run in {data_dir} ({error.strerror}). Start it, or name its directory."
        ) from error


def daemon_address(data_dir: Path) -> str:
    """Return the address that a daemon wrote into its directory; raises PairhubError where there is none."""
    try:
        return (data_dir / "address").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PairhubError(
            f"No daemon has run in {data_dir} ({error.strerror}). Start it, or name its directory."
        ) from error


def local_client(data_dir: Path) -> ApiClient:
    """Return a client of the daemon that runs with this data directory; raises PairhubError where none has run."""
    return ApiClient(daemon_address(data_dir), operator_token(data_dir), trust=local_trust(data_dir))


class ApiClient:
    """Asks one daemon; `async with` it."""

    def __init__(self, url: str, token: str, timeout_s: float = 60.0, *, trust: ssl.SSLContext | None = None) -> None:
        """`trust` says which certificate is good for an https address; None for those that this machine trusts."""
        self.url = url
        self._http = httpx2.AsyncClient(
            base_url=url + "/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
            trust_env=False,
            verify=trust or trust_for(url),
        )

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded answer; raises ApiRefused, or PairhubError where the daemon is not reached."""
        answered = await self._ask(method, path, body)
        return msgspec.json.decode(answered) if answered else None

    async def download(self, path: str) -> bytes:
        """GET what is no JSON."""
        return await self._ask("GET", path, None)

    async def _ask(self, method: str, path: str, body: Any) -> bytes:
        content = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        try:
            response = await self._http.request(method, path, content=content)
        except (httpx2.HTTPError, OSError) as error:
            raise PairhubError(
                f"{self.url} cannot be reached ({str(error) or type(error).__name__}). Is it running?"
            ) from error
        except AttributeError as error:
            if not _is_of_lost_socket(error):
                raise
            raise PairhubError(f"{self.url} cannot be reached (the connection was lost). Is it running?") from error
        if response.status_code >= 400:
            try:
                told = msgspec.json.decode(response.content)
            except msgspec.DecodeError:
                told = {}
            raise ApiRefused(response.status_code, told.get("code", ""), told.get("message", ""))
        return response.content

    async def get(self, path: str) -> Any:
        """GET."""
        return await self.ask("GET", path)

    async def rows(self, path: str) -> list[Any]:
        """Return all rows of a list, page after page."""
        found: list[Any] = []
        after: str | None = ""
        while after is not None:
            query = f"{'&' if '?' in path else '?'}after={after}" if after else ""
            page = await self.get(path + query)
            found += page["rows"]
            after = page["next"]
        return found

    async def post(self, path: str, body: Any = None) -> Any:
        """POST."""
        return await self.ask("POST", path, body)


def _is_of_lost_socket(error: AttributeError) -> bool:
    """Whether this is what httpx2 raises where a connection is lost as soon as it is made, as by a kill -9.

    It asks for what stands behind the connection, and anyio for the peer of its socket, which uvloop has none of any more.
    """
    return error.obj is None and error.name == "getpeername"


async def until(
    question: Callable[[], Awaitable[Any]], *, timeout_s: float = 30.0, every_s: float = 0.05, what: str = "it"
) -> Any:
    """Ask until the answer is true and return it; raises PairhubError with the last answer after `timeout_s`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while True:
        try:
            found: Any = await question()
        except PairhubError as error:
            found, problem = None, str(error)
        else:
            problem = str(found)
        if found:
            return found
        if loop.time() >= end:
            raise PairhubError(f"Waited {timeout_s:.0f} s for {what}; last: {problem}")
        await asyncio.sleep(every_s)


async def pair(source: ApiClient, source_id: str, target: ApiClient, target_name: str) -> str:
    """Pair two sites by the real protocol, as two people would; returns the target's new connector ID."""
    window = await source.post(f"/connectors/{source_id}/remote-sync")

    async def filed() -> Any:
        return (await source.get(f"/connectors/{source_id}/remote-sync"))["filed"]

    await until(filed, what="the hub to file the pairing window")
    made = await target.post(
        "/targets",
        {
            "name": target_name,
            "site_name": window["site_name"],
            "connector_id": window["connector_id"],
            "code": window["code"],
        },
    )

    async def paired() -> Any:
        for client, connector_id in ((source, source_id), (target, made["connector_id"])):
            found = await client.get(f"/connectors/{connector_id}")
            if not found["pair"] or found["pair"]["state"] != "paired":
                return None
        return True

    await until(paired, what="both sides to say that they are paired")
    return str(made["connector_id"])
