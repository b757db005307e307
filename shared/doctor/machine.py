"""Checks of the machine: the data directory, its disk, and the clock."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.disk import disk_use, nearest
from shared.doctor.findings import Finding, failed, ok, warning
from shared.limits import CLOCK_JUMP_MS_MAX, DAY_MS, HLC_AHEAD_MS_MAX, SECOND_MS

# Below this a log or a package update fills the disk.
_FREE_BYTES_LEAST: Final = 1024**3
# A reading that waits takes its place in the history and in the outbox. Measured: docs/operations.md, sizing.
READING_DISK_BYTES: Final = 64
_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")


def check_directory(path: Path, secret_files: Iterable[str]) -> list[Finding]:
    """Look whether the data directory can be written, and whether others could read what is secret in it."""
    check = "data directory"
    if not path.exists():
        above = nearest(path)
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return [ok(check, f"{path} is not there yet; the first start makes it")]
        return [
            failed(
                check,
                f"{path} is not there, and cannot be made in {above}",
                f"make it, for the daemon's user: install -d -m 700 {path}",
            )
        ]
    if not path.is_dir():
        return [failed(check, f"{path} is not a directory", "name another data_dir, or move that file away")]
    probe = path / f".doctor-{secrets.token_hex(4)}"
    try:
        with probe.open("xb") as file:
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        return [
            failed(
                check,
                f"{path} cannot be written: {error.strerror}",
                "run this as the daemon's user; else give it the directory: chown, chmod 700",
            )
        ]
    return [ok(check, f"{path} can be written"), *_permissions(path, secret_files)]


def _permissions(path: Path, secret_files: Iterable[str]) -> list[Finding]:
    check = "permissions"
    loose = [str(each) for each in (path, *(path / name for name in secret_files)) if _readable_by_others(each)]
    if loose:
        return [
            warning(check, f"others on this machine may read {', '.join(loose)}", f"chmod go-rwx {' '.join(loose)}")
        ]
    owner = path.stat().st_uid
    strangers = [each.name for each in path.iterdir() if each.lstat().st_uid != owner]
    if strangers:
        return [
            failed(
                check,
                f"not the owner of {path} owns {', '.join(sorted(strangers)[:5])}",
                f"chown them like {path}; the daemon cannot write them",
            )
        ]
    return [ok(check, "for the owner only")]


def _readable_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


# --- the disk -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flow:
    """What comes in: readings a second, and bytes that one takes in the outbox."""

    readings_per_s: float
    waiting_bytes: float


def check_outage(database: Path, flow: Flow, *, retention_days: float, cap_bytes: int) -> Finding:
    """Say how many days without the other side disk and cap can hold at the present rate, against the retention."""
    check = "disk"
    free = disk_use(database).free_bytes
    shown = f"{_gib(free)} free"
    if flow.readings_per_s <= 0:
        if free < _FREE_BYTES_LEAST:
            return warning(check, f"{shown}; nothing flowed in the last day", "free some space")
        return ok(check, f"{shown}; nothing flowed in the last day, so an outage takes nothing")
    per_day = flow.readings_per_s * DAY_MS / SECOND_MS
    disk_days = max(0, free - _FREE_BYTES_LEAST) / (per_day * READING_DISK_BYTES)
    cap_days = cap_bytes / (per_day * flow.waiting_bytes)
    held = min(disk_days, cap_days)
    said = (
        f"{shown}; at {flow.readings_per_s:.3g} readings/s an outage of {_days(held)} is held "
        f"(retention {retention_days:g} days)"
    )
    if held >= retention_days:
        return ok(check, said)
    which = (
        "the disk is the limit: free space" if disk_days < cap_days else "the cap is the limit: raise outbox_bytes_max"
    )
    return (failed if held < 1 else warning)(check, said, f"{which}, or lower retention_days to what you need")


def check_cap(database: Path, cap_bytes: int, setting: str) -> Finding:
    """Look whether what a setting allows would find room."""
    use = disk_use(database)
    room = use.free_bytes + use.database_bytes
    if use.free_bytes < _FREE_BYTES_LEAST:
        return failed("disk", f"only {_gib(use.free_bytes)} free", "free some space")
    if room < cap_bytes + _FREE_BYTES_LEAST:
        return warning(
            "disk",
            f"{_gib(use.free_bytes)} free; {setting} allows {_gib(cap_bytes)}",
            f"free space, or lower {setting}",
        )
    return ok("disk", f"{_gib(use.free_bytes)} free; {setting} allows {_gib(cap_bytes)}")


def _gib(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"


def _days(count: float) -> str:
    return "more than 10 years" if count > 3_650 else f"{count:.1f} days"


# --- the clock ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """When the doctor began, by both clocks."""

    wall_s: float
    monotonic_s: float

    @classmethod
    def start(cls) -> Stopwatch:
        """Begin."""
        return cls(time.time(), time.monotonic())

    def check(self) -> Finding:
        """Look whether the wall clock ran as fast as the monotonic one, and whether somebody sets it right."""
        off_s = (time.time() - self.wall_s) - (time.monotonic() - self.monotonic_s)
        if abs(off_s) > 1:
            return warning(
                "clock",
                f"the clock was set by {off_s:+.1f} s while this ran",
                "see who sets it; expiry waits after a jump of an hour",
            )
        known = " and is synchronised" if _SYNCHRONISED.exists() else ""
        return ok("clock", f"it runs steadily{known}: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC")


def check_hub_time(hub_ms: int, now_ms: int) -> Finding:
    """Compare this machine's clock with the hub's."""
    off_ms = now_ms - hub_ms
    said = f"this machine is {abs(off_ms) / SECOND_MS:.1f} s {'ahead of' if off_ms > 0 else 'behind'} the hub"
    if abs(off_ms) > CLOCK_JUMP_MS_MAX:
        return failed("clock and hub", said, "set the wrong one of the two right (NTP); nothing expires until then")
    if abs(off_ms) > HLC_AHEAD_MS_MAX:
        return warning("clock and hub", said, "set the wrong one of the two right (NTP)")
    return ok("clock and hub", said)
