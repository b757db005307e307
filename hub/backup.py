"""What of a hub a backup holds: its database, its key, and the certificate it made for itself."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Final

from hub.settings import HubSettings
from hub.store.sqlite import DATABASE_NAME
from shared.backup import Belongings
from shared.self_signed import SelfSigned
from shared.served_certificate import TLS_FOLDER

KEY_NAME: Final = "hub.key"


def belongings(data_dir: Path, key_file: Path | None = None) -> Belongings:
    """Return what makes up the hub of a data directory; its key lies beside that, unless it is named."""
    settings = HubSettings(data_dir=data_dir, key_file=key_file)
    return Belongings(
        kind="hub",
        data_dir=data_dir,
        database=DATABASE_NAME,
        scripts=files("hub") / "sql",
        files={KEY_NAME: settings.key_path, **SelfSigned(data_dir / TLS_FOLDER).named(TLS_FOLDER)},
        needed=frozenset({KEY_NAME}),
        facts=_facts,
        settle=_settle,
    )


def _facts(connection: sqlite3.Connection) -> dict[str, str]:
    counts = {"sites": "SELECT COUNT(*) FROM sites", "pairs": "SELECT COUNT(*) FROM pairs"}
    return {name: str(connection.execute(sql).fetchone()[0]) for name, sql in counts.items()}


def _settle(connection: sqlite3.Connection, _made_ms: int, _now_ms: int) -> None:
    """End all log-ins and enrolment tokens: since the backup they may have been ended, or used up.

    Copies stay, for an origin may be lost too; those that were delivered meanwhile are so once more, which does no harm.
    """
    connection.execute("DELETE FROM sessions")
    connection.execute("DELETE FROM tokens")
