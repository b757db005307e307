"""Sessions of people: an opaque ID in a cookie, its SHA-256 in the database.

Whoever reads the database cannot log in with what he finds. The ID is made anew at every log-in, so one planted before
it is worthless. A session ends after some hours without use, and after some days in any case.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.responses import Response

from shared.errors import StorageFailed

_HOUR_MS = 3_600_000
_ID_BYTES = 32
_COOKIE_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as it is stored. `id_hash` is 32 bytes."""

    id_hash: bytes
    user_name: str
    created_ms: int
    used_ms: int
    address: str = ""
    user_agent: str = ""


class SessionStore(Protocol):
    """Where sessions live; each call is one transaction of its own."""

    async def insert_session(self, row: SessionRow) -> None:
        """Store a new session."""

    async def find_session(self, id_hash: bytes) -> SessionRow | None:
        """Return the session, or `None`."""

    async def touch_session(self, id_hash: bytes, used_ms: int) -> None:
        """Note that the session was used; nothing happens where it is gone."""

    async def delete_session(self, id_hash: bytes) -> None:
        """Forget the session; nothing happens where it is gone."""

    async def delete_sessions_of(self, user_name: str) -> None:
        """Forget all sessions of a user."""

    async def delete_stale_sessions(self, created_before_ms: int, used_before_ms: int) -> None:
        """Forget sessions created or last used before these moments."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """When sessions end, and how often a use is written down."""

    idle_ms: int = 12 * _HOUR_MS
    absolute_ms: int = 7 * 24 * _HOUR_MS
    touch_every_ms: int = 60_000


class Sessions:
    """Open, find and close sessions.

    `name` tells the cookies of several programs at one host apart, since cookies do not know ports: letters and digits,
    such as the short ID of the site.
    """

    def __init__(
        self,
        store: SessionStore,
        name: str,
        limits: SessionLimits = SessionLimits(),
        make_id: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        if not name.isalnum() or not name.isascii():
            raise ValueError(f"the name of a session cookie is made of letters and digits, not {name!r}")
        self._store = store
        self._name = name
        self._limits = limits
        self._make_id = make_id

    async def open(self, connection: HTTPConnection, response: Response, user_name: str, now_ms: int) -> SessionRow:
        """Start a session after a log-in: a new ID in the cookie of `response`, and the session it replaces is gone."""
        await self._forget(connection)
        session_id = self._make_id(_ID_BYTES)
        client = connection.client
        row = SessionRow(
            id_hash=hash_id(session_id),
            user_name=user_name,
            created_ms=now_ms,
            used_ms=now_ms,
            address=client.host if client else "",
            user_agent=connection.headers.get("user-agent", "")[:200],
        )
        await self._store.insert_session(row)
        is_https = connection.url.scheme == "https"
        response.set_cookie(
            self.cookie_name(is_https=is_https),
            session_id,
            max_age=self._limits.absolute_ms // 1000,
            path="/",
            secure=is_https,
            httponly=True,
            samesite="lax",
        )
        return row

    async def find(self, connection: HTTPConnection, now_ms: int) -> SessionRow | None:
        """Return the session of a request where it is alive, and note its use; None for an expired one."""
        id_hash = self._presented(connection)
        row = await self._store.find_session(id_hash) if id_hash else None
        if row is None:
            return None
        if not self.is_alive(row, now_ms):
            return None  # `sweep` forgets it: by a clock that jumped it may only seem so
        if now_ms - row.used_ms >= self._limits.touch_every_ms:
            with contextlib.suppress(StorageFailed):  # pages are shown while the disk refuses to store
                await self._store.touch_session(row.id_hash, now_ms)
        return row

    async def is_still_open(self, row: SessionRow, now_ms: int) -> bool:
        """Tell whether a session found earlier still stands, without counting this as a use: for update streams."""
        stored = await self._store.find_session(row.id_hash)
        return stored is not None and self.is_alive(stored, now_ms)

    async def close(self, connection: HTTPConnection, response: Response) -> None:
        """Log out: forget the session and clear its cookie."""
        await self._forget(connection)
        is_https = connection.url.scheme == "https"
        response.delete_cookie(
            self.cookie_name(is_https=is_https), path="/", secure=is_https, httponly=True, samesite="lax"
        )

    async def sweep(self, now_ms: int) -> None:
        """Forget everything that has expired; call it now and then."""
        await self._store.delete_stale_sessions(now_ms - self._limits.absolute_ms, now_ms - self._limits.idle_ms)

    def is_alive(self, row: SessionRow, now_ms: int) -> bool:
        """Tell whether the session is within both its limits. A clock that went back ends nothing."""
        idle_ms, age_ms = now_ms - row.used_ms, now_ms - row.created_ms
        return idle_ms < self._limits.idle_ms and age_ms < self._limits.absolute_ms

    def cookie_name(self, *, is_https: bool) -> str:
        """Return the name of the cookie; `__Host-` binds it to this host, to `/` and to https."""
        return f"__Host-pairhub-{self._name}" if is_https else f"pairhub-{self._name}"

    def _presented(self, connection: HTTPConnection) -> bytes | None:
        name = self.cookie_name(is_https=connection.url.scheme == "https")
        session_id = connection.cookies.get(name, "")
        return hash_id(session_id) if 0 < len(session_id) <= _COOKIE_LENGTH_MAX else None

    async def _forget(self, connection: HTTPConnection) -> None:
        if id_hash := self._presented(connection):
            await self._store.delete_session(id_hash)


def hash_id(session_id: str) -> bytes:
    """Return what is stored of a session ID. The ID has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(session_id.encode()).digest()
