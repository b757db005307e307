"""Files that only their owner may read."""

from __future__ import annotations

import os
from pathlib import Path

from shared.errors import InTheWay, StorageFailed


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; raises StorageFailed."""
    new = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error}") from error


def write_new(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, where there is none; raises InTheWay, StorageFailed."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InTheWay(f"{path} is there already.") from error
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageFailed(f"cannot write {path}: {error}") from error
