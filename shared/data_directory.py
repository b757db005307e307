"""Who lives in a data directory: one daemon at a time, found out by a lock on the directory itself.

The lock is the kernel's and goes with the process, however it ends; it leaves no file behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from shared.errors import InTheWay, StorageFailed

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


class Residence:
    """A lock on a data directory; `with` it, for the life of a daemon."""

    def __init__(self, data_dir: Path) -> None:
        """Make the directory (mode 0700) where it is missing, and lock it; raises StorageFailed where it is taken."""
        self._data_dir = data_dir
        self._descriptor = -1
        self.renew()

    def renew(self) -> None:
        """Lock the directory that has the name now, where the one from before was taken away; raises StorageFailed."""
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = _locked(self._data_dir)
        except OSError as error:
            raise StorageFailed(f"the data directory {self._data_dir} cannot be used: {error}") from error
        if descriptor is None and not self._is_there():
            raise StorageFailed(
                f"another daemon runs with the data directory {self._data_dir}; stop it, or choose another directory"
            )
        if descriptor is not None:
            self.leave()
            self._descriptor = descriptor

    def _is_there(self) -> bool:
        """Whether what we hold is the directory that has the name now."""
        return self._descriptor >= 0 and os.path.samestat(os.fstat(self._descriptor), self._data_dir.stat())

    def leave(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Residence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


@contextlib.contextmanager
def vacant(data_dir: Path) -> Iterator[None]:
    """Keep daemons out of a directory for the time of a block; raises InTheWay where one runs there."""
    descriptor = _locked(data_dir) if data_dir.exists() else -1
    if descriptor is None:
        raise InTheWay(f"a daemon runs with {data_dir}; stop it first")
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _locked(data_dir: Path) -> int | None:
    """Return an open directory with the lock; None where somebody else has it. Where locks do not work, it has none."""
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            os.close(descriptor)
            return None
    return descriptor
