"""What `pairhub` ends with: one table for the command line, the service units and the documents.

Daemons use the numbers of sysexits.h where one fits, because systemd names those in `systemctl status`.
"""

from __future__ import annotations

from enum import IntEnum

from shared.errors import BackupUnusable, DatabaseNewer, InTheWay, StorageFailed
from shared.settings import AddressUnavailable, SettingWrong


class ExitCode(IntEnum):
    """How a command ended; `meaning` says it in a sentence."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """Make a member of its number and its meaning."""
        made = int.__new__(cls, value)
        made._value_ = value
        made.meaning = meaning
        return made

    OK = 0, "Done; also a daemon or demo that was told to end, by SIGTERM or Ctrl-C."
    FAILED = (
        1,
        "It did not work; the reason is on standard error. For `doctor`: a check failed. "
        "For `demo --headless`: not paired, or nothing applied.",
    )
    WRONG_USE = 2, "Wrong use: an unknown command or flag, or an argument that is missing."
    DATABASE_NEWER = 65, "The database was written by a newer release. Use that release; nothing was changed."
    BACKUP_UNUSABLE = (
        66,
        "`backup --check`, `restore`: the file is missing, damaged, of another kind, or the passphrase is another.",
    )
    ADDRESS_TAKEN = (
        69,
        "The address cannot be listened on: the port is in use, not allowed, or no address of this machine.",
    )
    IN_THE_WAY = (
        73,
        "`backup`, `restore`: a file is there already, the directory is not empty, or a daemon runs there. "
        "Nothing was touched.",
    )
    DATA_DIRECTORY = (
        74,
        "The data directory or its database cannot be used: permission, space, damage, or an upgrade that failed.",
    )
    CONFIGURATION = 78, "A setting cannot be used; the line on standard error names it and where it comes from."
    BROKEN_OFF = 130, "A command that was broken off by Ctrl-C."


def code_of(error: BaseException) -> ExitCode:
    """Return what a process ends with where this error ends it."""
    match error:
        case AddressUnavailable():
            return ExitCode.ADDRESS_TAKEN
        case SettingWrong():
            return ExitCode.CONFIGURATION
        case DatabaseNewer():
            return ExitCode.DATABASE_NEWER
        case BackupUnusable():
            return ExitCode.BACKUP_UNUSABLE
        case InTheWay():
            return ExitCode.IN_THE_WAY
        case StorageFailed():
            return ExitCode.DATA_DIRECTORY
        case _:
            return ExitCode.FAILED
