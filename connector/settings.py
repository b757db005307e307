"""The settings of a site (`[site]`, `PAIRHUB_SITE_*`)."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.limits import (
    DAY_MS,
    DISK_RESERVE_BYTES,
    DRAIN_BYTES_PER_S_MAX,
    LIVE_AGE_MS,
    OUTBOX_BYTES_MAX,
    QUARANTINE_BYTES_MAX,
    RETENTION_MS,
    SECOND_MS,
)
from shared.notices.settings import NoticeSettings
from shared.settings import setting

SETTINGS_NAME = "site"


@dataclass(frozen=True)
class SiteSettings(NoticeSettings):
    """Everything the owner of a site may choose."""

    port: int = setting(8471, "TCP port to listen on; 0 takes a free one", least=0, most=65_535)
    data_dir: Path = setting(Path("site-data"), "Directory of the database: all that the site is")  # noqa: RUF009  # makes a field
    site_name: str = setting("", "Name of the site, unique at its hub; empty for this machine's name")
    hub_url: str = setting("", "Address of the hub, such as http://127.0.0.1:8470; empty for none")
    hub_ca: Path | None = setting(  # noqa: RUF009  # makes a field
        None, "PEM file of the one authority that may vouch for the hub; empty for those that this machine trusts"
    )
    hub_proxy: str = setting(
        "",
        "Proxy on the way to the hub, such as http://proxy:3128 or socks5h://proxy:1080; empty for none",
        secret=True,  # it may carry a password
    )
    enrolment_token: str = setting(
        "", "Token from the hub's operator, needed once; not needed where enrolment is open", secret=True
    )
    retention_days: float = setting(
        RETENTION_MS / DAY_MS, "How long readings wait for the other side", unit="days", least=0, most=3_660
    )
    outbox_bytes_max: int = setting(
        OUTBOX_BYTES_MAX, "Most that waiting readings of one connector may take", unit="bytes", least=65_536
    )
    outbox_full: Literal["drop_oldest", "refuse_new"] = setting(
        "drop_oldest",
        "What gives way when that is reached: the oldest readings, or new ones (the device gets an error)",
    )
    drain_bytes_per_s: int = setting(
        0,
        "What a backlog may take of a connector's link, 0 for no bound, unless the connector has its own; live never waits",
        unit="bytes/s",
        least=0,
        most=DRAIN_BYTES_PER_S_MAX,
    )
    live_seconds: float = setting(
        LIVE_AGE_MS / SECOND_MS,
        "What was accepted so long ago, or less, when a link opens is live; what is older is a backlog",
        unit="seconds",
        least=0,
        most=3_600,
    )
    quarantine_bytes_max: int = setting(
        QUARANTINE_BYTES_MAX,
        "Most that one connector keeps aside of what it cannot apply; beyond, it waits at the other side",
        unit="bytes",
        least=65_536,
    )
    disk_reserve_bytes: int = setting(
        DISK_RESERVE_BYTES,
        "Room on the disk that readings leave to other work: below it none are taken",
        unit="bytes",
        least=0,
    )
    window_minutes: float = setting(10.0, "How long a pairing window stays open", unit="minutes", least=3, most=15)
    accept_pairings: bool = setting(
        False, "Ask a person at the source to accept each claimant before a pairing is complete"
    )
    metrics_open: bool = setting(
        False, "Let programs on this machine read /metrics without a token; elsewhere it is always needed"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "How much is logged")
    log_format: Literal["text", "json"] = setting("text", "How log lines are written to standard error")

    @property
    def name(self) -> str:
        """The site's name."""
        return self.site_name or socket.gethostname()

    @property
    def retention_ms(self) -> int:
        """How long readings wait, ms."""
        return int(self.retention_days * DAY_MS)
