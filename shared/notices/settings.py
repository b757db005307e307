"""The settings of notices, and the channels that they ask for."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from shared.host_names import is_host
from shared.limits import DISK_WARN_BYTES
from shared.listening import ListenSettings
from shared.settings import SettingWrong, setting

if TYPE_CHECKING:  # else every command would take up a client for HTTP and one for mail, which most daemons do not use
    from shared.notices.mail import MailServer
    from shared.notices.notice import Channel
    from shared.notices.webhook import Webhook


@dataclass(frozen=True)
class NoticeSettings(ListenSettings):
    """When and how people outside are told of repairs."""

    disk_warn_bytes: int = setting(
        DISK_WARN_BYTES, "Room on the disk below which a repair warns", unit="bytes", least=0
    )
    notices_after_s: float = setting(
        30.0, "How long a repair stands before people are told of it", unit="s", least=0, most=86_400
    )
    notices_ca: Path | None = setting(  # noqa: RUF009  # makes a field
        None,
        "PEM file of the one authority that may vouch for webhook and mail server; empty for those of this machine",
    )
    webhook_url: str = setting(
        "", "Address that repairs are posted to; empty for none", secret=True
    )  # may hold a token
    webhook_secret_file: Path | None = setting(  # noqa: RUF009  # makes a field
        None, "File of the secret that signs these posts (whsec_..., or any text of 24 bytes); empty for none"
    )
    smtp_host: str = setting("", "Mail server that repairs are sent through; empty for none")
    smtp_port: int = setting(587, "TCP port of the mail server", least=1, most=65_535)
    smtp_security: Literal["starttls", "tls", "none"] = setting(
        "starttls", "How the way to the mail server is protected; none only on a trusted network"
    )
    smtp_user: str = setting("", "User at the mail server; empty for none", secret=True)
    smtp_password_file: Path | None = setting(  # noqa: RUF009  # makes a field
        None, "File of that user's password"
    )
    smtp_from: str = setting("", "Address that repairs are sent from", secret=True)
    smtp_to: str = setting("", "Addresses that repairs are sent to, with commas between", secret=True)


def notice_channels(settings: NoticeSettings, now_s: Callable[[], float]) -> tuple[Channel, ...]:
    """Return the ways out that are set, in a fixed order; raises SettingWrong."""
    found: list[Channel] = []
    tls = _trust(settings)
    if settings.webhook_url:
        found.append(_webhook(settings, tls, now_s))
    if settings.smtp_host:
        found.append(_mail(settings, tls))
    return tuple(found)


def _webhook(settings: NoticeSettings, tls: ssl.SSLContext | None, now_s: Callable[[], float]) -> Webhook:
    from shared.notices.webhook import Webhook, read_secret

    try:
        parts = urlsplit(settings.webhook_url)
        known = parts.scheme in ("http", "https") and is_host(parts.hostname or "")
        known = known and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise SettingWrong("webhook_url", "settings", "it has to begin with https:// or http:// and name a host")
    key = None
    if settings.webhook_secret_file is not None:
        try:
            key = read_secret(_line("webhook_secret_file", settings.webhook_secret_file))
        except ValueError as error:
            raise SettingWrong("webhook_secret_file", str(settings.webhook_secret_file), str(error)) from error
    return Webhook(settings.webhook_url, key, tls, now_s)


def _mail(settings: NoticeSettings, tls: ssl.SSLContext | None) -> MailServer:
    from shared.notices.mail import MailServer

    if not is_host(settings.smtp_host):
        raise SettingWrong("smtp_host", "settings", "it has to be the name or the address of a mail server")
    to = tuple(part.strip() for part in settings.smtp_to.split(",") if part.strip())
    for name, addresses in (("smtp_from", (settings.smtp_from,)), ("smtp_to", to)):
        if not addresses or not all(_is_address(each) for each in addresses):
            raise SettingWrong(name, "settings", "smtp_host is set, so an e-mail address is needed here")
    password = ""
    if settings.smtp_password_file is not None:
        password = _line("smtp_password_file", settings.smtp_password_file)
    elif settings.smtp_user:
        raise SettingWrong("smtp_password_file", "settings", "smtp_user is set, so its password is needed")
    if settings.smtp_user and settings.smtp_security == "none":
        raise SettingWrong("smtp_security", "settings", "a password is not sent without TLS; use starttls or tls")
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_security,
        settings.smtp_from,
        to,
        settings.smtp_user,
        password,
        tls,
    )


def _is_address(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return bool(name and at and host) and text.isprintable() and " " not in text


def _line(name: str, path: Path) -> str:
    """Return what a file of a secret holds, without the line's end."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingWrong(name, str(path), f"the file cannot be read: {why}") from error
    if not text:
        raise SettingWrong(name, str(path), "the file is empty")
    return text


def _trust(settings: NoticeSettings) -> ssl.SSLContext | None:
    if settings.notices_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.notices_ca))
    except (OSError, ssl.SSLError) as error:
        raise SettingWrong(
            "notices_ca", str(settings.notices_ca), f"it is no authority in PEM form: {error}"
        ) from error
