"""The check of the ways out for notices of repairs."""

from __future__ import annotations

import time

from shared.doctor.findings import Finding, failed, ok
from shared.notices.settings import NoticeSettings, notice_channels
from shared.settings import SettingWrong


def check_notices(settings: NoticeSettings) -> list[Finding]:
    """Look whether the ways out can be used; whether they work says a test notice. Nothing where none is set."""
    try:
        channels = notice_channels(settings, time.time)
    except SettingWrong as wrong:
        return [failed("notices", str(wrong), "correct the setting; the daemon does not start with it")]
    names = " and ".join(channel.name for channel in channels)
    return [ok("notices", f"by {names}; pairhub test-notice tries them")] if names else []
