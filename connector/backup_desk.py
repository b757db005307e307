"""Backups that a running site makes of itself when asked over its API: one at a time, in a thread, the last one kept."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connector.backup import belongings
from shared.backup import Manifest, take
from shared.errors import PairhubError, Refused, StorageFailed
from shared.provenance import version

_log = logging.getLogger(__name__)
FOLDER: Final = "backups"


@dataclass(frozen=True, slots=True)
class BackupView:
    """How the last backup stands: `state` is none, running, done or failed; `doing` is a step with its bytes."""

    state: str = "none"
    doing: str = ""
    done_bytes: int = 0
    all_bytes: int = 0
    manifest: Manifest | None = None
    file: Path | None = None
    problem: str = ""


class BackupDesk:
    """Makes backups of the site of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Remove what a backup left that was killed with the daemon before this one."""
        self._data_dir = data_dir
        with suppress(OSError):  # before each backup it is tried again, and said
            _clear_cut_short(data_dir / FOLDER)
        self._view = BackupView()
        self._making: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def view(self) -> BackupView:
        """How far it is."""
        return self._view

    def start(self, passphrase: str) -> None:
        """Begin a backup; raises Refused('backup_running')."""
        if self._making is not None and not self._making.done():
            raise Refused("backup_running")
        self._view = BackupView("running")
        self._making = asyncio.ensure_future(self._make(passphrase))

    async def stop(self) -> None:
        """Break off what is being made, and wait for it."""
        self._stopping = True
        if self._making is not None:
            await asyncio.wait([self._making])

    async def _make(self, passphrase: str) -> None:
        folder = self._data_dir / FOLDER
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}.zip"
        try:
            folder.mkdir(exist_ok=True, mode=0o700)
            _clear_cut_short(folder)
            manifest = await asyncio.to_thread(
                take,
                belongings(self._data_dir),
                folder / name,
                version=version(),
                passphrase=passphrase,
                progress=self._progress,
            )
            for old in folder.glob("*.zip"):
                if old.name != name:
                    old.unlink(missing_ok=True)
        except (PairhubError, OSError) as error:
            self._view = BackupView("failed", problem=str(error))
            _log.warning("No backup was made: %s", error)
        except Exception as error:  # noqa: BLE001  # a page that says *running* for ever would say nothing
            self._view = BackupView("failed", problem=f"an error of this program ({type(error).__name__}: {error})")
            _log.exception("No backup was made")
        else:
            self._view = BackupView("done", manifest=manifest, file=folder / name)

    def _progress(self, doing: str, done: int, total: int) -> None:
        """Hear of a step, in the thread that makes it; raising ends it."""
        if self._stopping:
            raise StorageFailed("the site stops")
        self._view = BackupView("running", doing, done, total)


def _clear_cut_short(folder: Path) -> None:
    """Remove what a backup left that was killed: a whole copy of the database, unsealed, under a name that never returns."""
    for left in (*folder.glob("*.zip.partial"), *folder.glob("*.zip.database*")):
        left.unlink(missing_ok=True)
