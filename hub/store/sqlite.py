"""The hub's store in one SQLite file: thin verbs over units of work (shared.database)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

from hub.store import copies_sql, operators_sql, partings_sql, registry_sql
from hub.store.rows import AuditRow, Backlog, Dropped, Pair, Site, Token, User
from shared.certificates import PairCertificate
from shared.core.relay_effects import Copy
from shared.core.repairs import Repair
from shared.database import Database, StoreFigures
from shared.disk_reserve import DiskReserve
from shared.errors import StorageFailed
from shared.messages import HeldEpoch
from shared.notices import rows as repair_rows
from shared.notices.notice import Notice
from shared.notices.store import Addressed
from shared.sealing import Kind, Side
from web.sessions import SessionRow

T = TypeVar("T")
DATABASE_NAME = "hub.db"


class SqliteStore:
    """A hub's store on disk. See `HubStore` for what the methods promise."""

    def __init__(self, database: Database, reserve: DiskReserve | None) -> None:
        self._database = database
        self._reserve = reserve
        if reserve is not None:
            reserve.unused_bytes = database.unused_bytes
        self._inode = _inode(database.path)

    @classmethod
    async def open(cls, data_dir: Path, reserve: DiskReserve | None = None) -> SqliteStore:
        """Open or create the database in a directory; raises StorageFailed. Copies leave the disk its reserve."""
        return cls(await Database.open(data_dir / DATABASE_NAME, files("hub") / "sql"), reserve)

    async def _write(self, unit: Callable[[Connection], T]) -> T:
        result = await self._database.write(unit)
        self._check_file()  # what went into a file that was deleted under us is not stored
        return result

    def _check_file(self) -> None:
        if self.lost():
            raise StorageFailed("the database file is gone or was replaced")

    def lost(self) -> bool:
        return _inode(self._database.path) != self._inode

    async def check(self) -> None:
        self._check_file()
        await self._database.read(lambda connection: connection.execute("SELECT 1 FROM sites").fetchone())

    async def beat(self) -> None:
        await self._database.beat()

    def figures(self) -> StoreFigures:
        figures = self._database.figures()
        lacking = "" if self._reserve is None else self._reserve.problem
        return figures if figures.problem or not lacking else replace(figures, problem=lacking)

    async def close(self) -> None:
        await self._database.close()

    # --- copies ------------------------------------------------------------------------------------------------------

    async def store_copies(self, pair_id: bytes, copies: Sequence[Copy]) -> None:
        if self._reserve is not None and self._reserve.is_touched:
            raise StorageFailed(self._reserve.problem)
        await self._write(lambda c: copies_sql.store(c, pair_id, copies))

    async def trim_copies(self, pair_id: bytes, side: Side, kind: Kind, epoch: int, flat: Sequence[int]) -> None:
        await self._write(lambda c: copies_sql.trim(c, pair_id, side, kind, epoch, flat))

    async def load_copies(
        self, pair_id: bytes, side: Side, kind: Kind, *, after: int, body_bytes_max: int, copies_max: int
    ) -> list[Copy]:
        return await self._database.read(
            lambda c: copies_sql.load(
                c, pair_id, side, kind, after=after, body_bytes_max=body_bytes_max, copies_max=copies_max
            )
        )

    async def held(self, pair_id: bytes) -> dict[Side, list[HeldEpoch]]:
        return await self._database.read(lambda c: copies_sql.held(c, pair_id))

    async def drop_copies(self, *, before_ms: int, stored_bytes_max: int, copies_max: int = 512) -> list[Dropped]:
        return await self._write(
            lambda c: copies_sql.drop(c, before_ms=before_ms, stored_bytes_max=stored_bytes_max, copies_max=copies_max)
        )

    async def backlogs(self) -> list[Backlog]:
        return await self._database.read(copies_sql.backlogs)

    # --- sites, tokens, pairs ----------------------------------------------------------------------------------------

    async def enrol_site(self, site: Site, *, token_digest: bytes | None, now_ms: int) -> Site:
        return await self._write(lambda c: registry_sql.enrol_site(c, site, token_digest=token_digest, now_ms=now_ms))

    async def restore_site(self, site: Site) -> Site:
        return await self._write(lambda c: registry_sql.restore_site(c, site)[0])

    async def site(self, site_id: str) -> Site | None:
        return await self._database.read(lambda c: registry_sql.site(c, site_id))

    async def sites(self) -> list[Site]:
        return await self._database.read(registry_sql.sites)

    async def revoke_site(self, site_id: str, *, now_ms: int) -> Site:
        return await self._write(lambda c: registry_sql.revoke_site(c, site_id, now_ms=now_ms))

    async def add_token(self, token: Token) -> None:
        await self._write(lambda c: registry_sql.add_token(c, token))

    async def tokens(self, *, now_ms: int) -> list[Token]:
        return await self._database.read(lambda c: registry_sql.tokens(c, now_ms=now_ms))

    async def revoke_token(self, token_id: str) -> None:
        await self._write(lambda c: registry_sql.revoke_token(c, token_id))

    async def register_pair(
        self, certificate: PairCertificate, packed: bytes, *, ends: Collection[Side] = tuple(Side), now_ms: int
    ) -> bool:
        return await self._write(lambda c: registry_sql.register_pair(c, certificate, packed, ends=ends, now_ms=now_ms))

    async def pairs(self) -> list[Pair]:
        return await self._database.read(registry_sql.pairs)

    async def dissolve_pair(self, pair_id: bytes, source_site_id: str, packed: bytes, *, now_ms: int) -> Pair | None:
        return await self._write(
            lambda c: registry_sql.dissolve_pair(c, pair_id, source_site_id, packed, now_ms=now_ms)
        )

    async def dissolution(self, pair_id: bytes, source_site_id: str) -> bytes | None:
        return await self._database.read(lambda c: registry_sql.dissolution(c, pair_id, source_site_id))

    async def part_pair(self, certificate: PairCertificate, packed: bytes, told_by: Side, *, now_ms: int) -> bool:
        return await self._write(lambda c: partings_sql.part_pair(c, certificate, packed, told_by, now_ms=now_ms))

    async def parting(self, certificate: PairCertificate) -> tuple[bytes, bool] | None:
        return await self._database.read(lambda c: partings_sql.parting(c, certificate))

    # --- operators ---------------------------------------------------------------------------------------------------

    async def add_user(self, user: User, *, only_first: bool = False) -> None:
        await self._write(lambda c: operators_sql.add_user(c, user, only_first=only_first))

    async def user(self, user_name: str) -> User | None:
        return await self._database.read(lambda c: operators_sql.user(c, user_name))

    async def users_count(self) -> int:
        return await self._database.read(operators_sql.users_count)

    async def insert_session(self, row: SessionRow) -> None:
        await self._write(lambda c: operators_sql.insert_session(c, row))

    async def find_session(self, id_hash: bytes) -> SessionRow | None:
        return await self._database.read(lambda c: operators_sql.find_session(c, id_hash))

    async def touch_session(self, id_hash: bytes, used_ms: int) -> None:
        await self._write(lambda c: operators_sql.touch_session(c, id_hash, used_ms))

    async def delete_session(self, id_hash: bytes) -> None:
        await self._write(lambda c: operators_sql.delete_session(c, id_hash))

    async def delete_sessions_of(self, user_name: str) -> None:
        await self._write(lambda c: operators_sql.delete_sessions_of(c, user_name))

    async def delete_stale_sessions(self, created_before_ms: int, used_before_ms: int) -> None:
        await self._write(lambda c: operators_sql.delete_stale_sessions(c, created_before_ms, used_before_ms))

    async def add_audit(self, *, at_ms: int, who: str, where: str, action: str, what: str) -> None:
        await self._write(
            lambda c: operators_sql.add_audit(c, at_ms=at_ms, who=who, where=where, action=action, what=what)
        )

    async def audit(self, *, rows_max: int, before: int | None = None) -> list[AuditRow]:
        return await self._database.read(lambda c: operators_sql.audit(c, rows_max=rows_max, before=before))

    # --- repairs -----------------------------------------------------------------------------------------------------

    async def open_repairs(self) -> list[Repair]:
        return await self._database.read(repair_rows.open_repairs)

    async def cleared_repairs(self, limit: int) -> list[Repair]:
        return await self._database.read(lambda c: repair_rows.cleared_repairs(c, limit))

    async def save_repairs(self, repairs: Sequence[Repair], notices: Sequence[Addressed]) -> None:
        await self._write(lambda c: repair_rows.save_repairs(c, repairs, notices))

    async def forget_repairs(self, now_ms: int) -> None:
        await self._write(lambda c: repair_rows.forget_repairs(c, now_ms))

    async def waiting_notices(self, channel: str) -> list[Notice]:
        return await self._database.read(lambda c: repair_rows.waiting_notices(c, channel))

    async def forget_notices(self, gone: Sequence[tuple[str, str]]) -> None:
        await self._write(lambda c: repair_rows.forget_notices(c, gone))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # cheaper than Path.stat on the way of each write
    except OSError:
        return None
    return status.st_dev, status.st_ino
