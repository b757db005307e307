"""Log-ins in whatever store the hub has now: it may get another one while it runs."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from hub.store.interface import HubStore
from shared.errors import StorageFailed
from web.sessions import SessionRow


class HasStore(Protocol):
    """What owns the store."""

    store: HubStore


class CurrentSessions:
    """A `web.sessions.SessionStore` over the owner's present store."""

    def __init__(self, owner: HasStore) -> None:
        self._owner = owner

    async def insert_session(self, row: SessionRow) -> None:
        await self._owner.store.insert_session(row)

    async def find_session(self, id_hash: bytes) -> SessionRow | None:
        return await self._owner.store.find_session(id_hash)

    async def touch_session(self, id_hash: bytes, used_ms: int) -> None:
        with suppress(StorageFailed):  # a full disk keeps nobody out who is in already
            await self._owner.store.touch_session(id_hash, used_ms)

    async def delete_session(self, id_hash: bytes) -> None:
        await self._owner.store.delete_session(id_hash)

    async def delete_sessions_of(self, user_name: str) -> None:
        await self._owner.store.delete_sessions_of(user_name)

    async def delete_stale_sessions(self, created_before_ms: int, used_before_ms: int) -> None:
        await self._owner.store.delete_stale_sessions(created_before_ms, used_before_ms)
