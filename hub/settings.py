"""The settings of a hub (`[hub]`, `PAIRHUB_HUB_*`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.limits import DAY_MS, DISK_RESERVE_BYTES, HUB_COPY_BYTES_MAX, KNOCKS_PER_MINUTE_MAX, RETENTION_MS
from shared.notices.settings import NoticeSettings
from shared.settings import setting

SETTINGS_NAME = "hub"


@dataclass(frozen=True)
class HubSettings(NoticeSettings):
    """Everything an operator may choose."""

    port: int = setting(8470, "TCP port to listen on; 0 takes a free one", least=0, most=65_535)
    data_dir: Path = setting(  # noqa: RUF009  # makes a field
        Path("hub-data"), "Directory of the database; losing it loses no reading"
    )
    key_file: Path | None = setting(  # noqa: RUF009  # makes a field
        None, "File of the hub's private key; empty for <data_dir>.key, beside the directory"
    )
    hub_name: str = setting("hub", "Name shown on the operator's page")
    open_enrolment: bool = setting(False, "Let sites enrol without a token: for a demo or a trusted network only")
    claims_per_minute: int = setting(
        KNOCKS_PER_MINUTE_MAX,
        "Pairings that one target site may try in a minute; more where a program pairs many connectors",
        least=1,
        most=100_000,
    )
    copy_days: float = setting(
        RETENTION_MS / DAY_MS, "How long a copy of something undelivered is kept", unit="days", least=0, most=3_660
    )
    copy_bytes_max: int = setting(
        HUB_COPY_BYTES_MAX, "Most that all copies may take; the oldest go first", unit="bytes", least=0
    )
    disk_reserve_bytes: int = setting(
        DISK_RESERVE_BYTES,
        "Room on the disk that copies leave to other work, such as log-ins: below it none are kept",
        unit="bytes",
        least=0,
    )
    metrics_open: bool = setting(
        False, "Let programs on this machine read /metrics without a token; elsewhere it is always needed"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "How much is logged")
    log_format: Literal["text", "json"] = setting("text", "How log lines are written to standard error")

    @property
    def key_path(self) -> Path:
        """Where the hub's key is."""
        return self.key_file or self.data_dir.with_name(self.data_dir.name + ".key")

    @property
    def copy_ms(self) -> int:
        """How long a copy is kept, in ms."""
        return int(self.copy_days * DAY_MS)
