"""Backups of the site, made while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from starlette.responses import StreamingResponse

from connector.api.operations import Call, Operation
from connector.backup_desk import BackupView
from shared.errors import Refused
from shared.limits import PASSPHRASE_CHARS_MIN

_MEDIA: Final = "application/octet-stream"
_BLOCK_BYTES: Final = 256 * 1024


class BackupWish(msgspec.Struct, forbid_unknown_fields=True):
    """What a backup is sealed with; empty for no seal."""

    passphrase: str = ""


class BackupStatus(msgspec.Struct, frozen=True):
    """The last backup of this start: `state` is none, running, done or failed. `made_ms` is the moment of what is in it.

    `doing` names the present step, of which `done` out of `all` is done.
    """

    state: str
    doing: str = ""
    done: int = 0
    all: int = 0
    made_ms: int | None = None
    bytes: int = 0
    problem: str = ""


async def make_backup(call: Call) -> BackupStatus:
    """Begin a backup of this site, and return at once."""
    wish = await call.body(BackupWish)
    if 0 < len(wish.passphrase) < PASSPHRASE_CHARS_MIN:
        raise Refused("invalid", what="Passphrase", why=f"it has less than {PASSPHRASE_CHARS_MIN} characters")
    call.site.backups.start(wish.passphrase)
    return _status(call.site.backups.view)


async def get_backup(call: Call) -> BackupStatus:
    """Return how the last backup stands."""
    return _status(call.site.backups.view)


async def download_backup(call: Call) -> StreamingResponse:
    """Return the last backup, with all keys of this site."""
    file = call.site.backups.view.file
    if file is None or not file.exists():
        raise Refused("not_found", what="backup; make one first")
    headers = {
        "Cache-Control": "no-store",
        "Content-Length": str(file.stat().st_size),
        "Content-Disposition": f'attachment; filename="{file.name}"',
    }
    return StreamingResponse(_blocks(file), media_type=_MEDIA, headers=headers)


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            yield block


def _status(view: BackupView) -> BackupStatus:
    return BackupStatus(
        view.state,
        view.doing,
        view.done_bytes,
        view.all_bytes,
        None if view.manifest is None else view.manifest.made_ms,
        view.file.stat().st_size if view.file is not None and view.file.exists() else 0,
        view.problem,
    )


OPERATIONS: Final = (
    Operation(
        "POST",
        "/backup",
        "manage",
        "Make a backup of this site, keys included",
        make_backup,
        body=BackupWish,
        answer=BackupStatus,
        errors=("backup_running",),
    ),
    Operation("GET", "/backup", "manage", "How the last backup stands", get_backup, answer=BackupStatus),
    Operation(
        "GET",
        "/backup/file",
        "manage",
        "The last backup, as one file",
        download_backup,
        answer=bytes,
        answer_media=(_MEDIA,),
        errors=("not_found",),
    ),
)
