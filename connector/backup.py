"""What of a site a backup holds, and what a restored site has to know about itself."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from connector.identity import read_meta, write_meta
from connector.pair_runner import PairRunner
from connector.streams import Streams
from shared.backup import Belongings
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.database import Database
from shared.self_signed import SelfSigned
from shared.served_certificate import TLS_FOLDER

_log = logging.getLogger(__name__)
DATABASE_NAME: Final = "site.db"
_RESTORED: Final = "restored"
# What is known outside by its number: by event IDs, and by pages that were opened before. Quarantine keeps its own count.
_NUMBERED: Final = ("change", "conflict")
_SKIPPED_MIN: Final = 1_000_000


class Restored(msgspec.Struct, frozen=True):
    """That this site was restored: the moment of the state in the backup, and when, both ms since 1970."""

    backup_ms: int
    restored_ms: int


def belongings(data_dir: Path) -> Belongings:
    """Return what makes up the site of a data directory."""
    return Belongings(
        kind="site",
        data_dir=data_dir,
        database=DATABASE_NAME,
        scripts=files("connector") / "sql",
        files=SelfSigned(data_dir / TLS_FOLDER).named(TLS_FOLDER),
        needed=frozenset(),
        facts=_facts,
        settle=_settle,
    )


def _facts(connection: sqlite3.Connection) -> dict[str, str]:
    return {name: str(read_meta(connection, name) or "") for name in ("site_id", "site_name")}


def _settle(connection: sqlite3.Connection, made_ms: int, now_ms: int) -> None:
    """End all log-ins, which may have been ended since the backup, and leave word of the restore for the next start."""
    connection.execute("DELETE FROM session")
    write_meta(connection, _RESTORED, msgspec.json.encode(Restored(made_ms, now_ms)))


def _skip_numbers(connection: sqlite3.Connection, restored_ms: int) -> None:
    """Go on with numbers that no life before this one gave: people and programs still know those as something else.

    Above the time of the restore in milliseconds, which no life gets to that makes fewer than a thousand a second, and in
    any case far above those of the backup.
    """
    for table in _NUMBERED:
        connection.execute(
            "INSERT INTO sqlite_sequence SELECT ?1, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
            (table,),
        )
        connection.execute(
            "UPDATE sqlite_sequence SET seq = MAX(seq + ?, ?) WHERE name = ?", (_SKIPPED_MIN, restored_ms, table)
        )
    connection.execute(
        "UPDATE quarantine_last SET quarantine_id = MAX(quarantine_id + ?, ?)", (_SKIPPED_MIN, restored_ms)
    )


def find_restored(connection: sqlite3.Connection) -> Restored | None:
    """Return the restore that no start has dealt with yet."""
    packed = read_meta(connection, _RESTORED)
    return msgspec.json.decode(packed, type=Restored) if isinstance(packed, bytes) else None


async def deal_with_restore(database: Database, runners: Iterable[PairRunner]) -> None:
    """Tell each pair that this site goes on from a backup, once; raises StorageFailed. Nothing may be linked yet."""
    restored = await database.read(find_restored)
    if restored is None:
        return

    def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
        times = {"backup_ms": restored.backup_ms, "restored_ms": restored.restored_ms}
        return None, engine.on_restored(store, **times, now_ms=now_ms)

    await database.write(lambda connection: _skip_numbers(connection, restored.restored_ms))
    for runner in runners:
        await runner.run(work)
    await database.write(lambda connection: connection.execute("DELETE FROM meta WHERE name = ?", (_RESTORED,)))
    _log.warning("This site was restored from a backup; what it lacks since is got from its peers, or named")
