"""Notices by e-mail, through a mail server that takes them (SMTP, with TLS from the start, by STARTTLS, or without)."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

import aiosmtplib

from shared.limits import NOTICE_DEADLINE_S, NOTICE_MAIL_DEADLINE_S
from shared.notices.notice import Notice, NoticeFailed, notice_text, subject_line, utc

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server and whom to write to. The password is never shown."""

    host: str
    port: int
    security: Security
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return "e-mail"

    async def deliver(self, notice: Notice) -> None:
        """Send it; raises NoticeFailed."""
        try:
            async with asyncio.timeout(NOTICE_MAIL_DEADLINE_S):
                refused, _ = await aiosmtplib.send(
                    self._message(notice),
                    hostname=self.host,
                    port=self.port,
                    use_tls=self.security == "tls",
                    start_tls=self.security == "starttls",
                    username=self.user or None,
                    password=self.password if self.user else None,
                    tls_context=self.tls,
                    timeout=NOTICE_DEADLINE_S,
                )
        except aiosmtplib.SMTPAuthenticationError as error:
            raise NoticeFailed("the mail server did not accept user and password") from error
        except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPTimeoutError, TimeoutError) as error:
            raise NoticeFailed("the mail server cannot be reached") from error
        except ssl.SSLError as error:
            raise NoticeFailed("the mail server's certificate is not accepted") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise NoticeFailed("the mail server refused all recipients") from error
        except aiosmtplib.SMTPResponseException as error:
            raise NoticeFailed(f"the mail server refused with {error.code}") from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise NoticeFailed(f"the mail server did not take it ({type(error).__name__})") from error
        if refused:
            raise NoticeFailed(f"the mail server refused {len(refused)} of {len(self.recipients)} recipients")

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Subject"] = subject_line(notice)
        message["Date"] = format_datetime(utc(notice.at_ms))
        # A retry has the same ID, so that mail programs show it once.
        message["Message-ID"] = f"<{notice.id}@{notice.site_id[:36]}.pairhub.invalid>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notice_text(notice))
        return message
