"""Notices to a webhook: one JSON POST each, signed as the Standard Webhooks specification says.

The headers `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature` (`v1,` and the Base64 of HMAC-SHA256 over
`id.timestamp.body`) let a receiver prove who sent it and drop what is repeated or old: a retry has the same ID.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ssl
from collections.abc import Callable
from typing import Final

import httpx2
import msgspec

from shared.http_answers import answer_to
from shared.limits import NOTICE_DEADLINE_S
from shared.notices.notice import Notice, NoticeFailed
from shared.trust import trust_for

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # what a secret begins with
SECRET_BYTES_MIN: Final = 24


def read_secret(text: str) -> bytes:
    """Return the key of a secret as receivers show it (`whsec_` and Base64), or of any text; raises ValueError."""
    if not text.startswith(SECRET_PREFIX):
        key = text.encode()
    else:
        try:
            key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError("what follows whsec_ is not Base64") from error
    if len(key) < SECRET_BYTES_MIN:
        raise ValueError(f"it has to be at least {SECRET_BYTES_MIN} bytes long")
    return key


def signature(key: bytes, notice_id: str, at_s: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`."""
    signed = f"{notice_id}.{at_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Webhook:
    """A receiver of notices. Neither its address nor its key are ever shown."""

    name: Final = "webhook"

    def __init__(self, url: str, key: bytes | None, tls: ssl.SSLContext | None, now_s: Callable[[], float]) -> None:
        self._url = url
        self._key = key
        self._tls = tls
        self._now_s = now_s

    async def deliver(self, notice: Notice) -> None:
        """POST it; raises NoticeFailed unless the answer is 2xx. Redirects are not followed."""
        body, at_s = msgspec.json.encode(notice), int(self._now_s())
        headers = {"content-type": "application/json", "webhook-id": notice.id, "webhook-timestamp": str(at_s)}
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, notice.id, at_s, body)
        verify = self._tls or trust_for(self._url)
        try:
            async with (
                httpx2.AsyncClient(verify=verify, trust_env=False, timeout=NOTICE_DEADLINE_S) as http,
                answer_to(
                    http, "POST", self._url, deadline_s=NOTICE_DEADLINE_S, content=body, headers=headers
                ) as answer,
            ):
                status = answer.status_code  # what else it says, nobody reads
        except httpx2.TimeoutException as error:
            raise NoticeFailed("the receiver did not answer in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise NoticeFailed("the receiver cannot be reached, or its certificate is not accepted") from error
        if not httpx2.codes.is_success(status):
            raise NoticeFailed(f"the receiver answered {status}")
