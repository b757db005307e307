"""Carry a toast over a redirect: in a cookie that the next page reads and clears.

Cookies come from the browser, so the text is untrusted like any other: it is bounded here and escaped by the template.
"""

import base64
import binascii
import json

from starlette.requests import HTTPConnection
from starlette.responses import Response

from web.contexts.shell import Toast, ToastKind, Toasts

FLASH_COOKIE = "flash"
_TOASTS_MAX = 3
_TEXT_LENGTH_MAX = 300
_LIFE_S = 60


def add_toasts(response: Response, *toasts: Toast) -> None:
    """Show these on the next page that this browser opens."""
    rows = [[toast.kind.value, toast.text[:_TEXT_LENGTH_MAX]] for toast in toasts[:_TOASTS_MAX]]
    packed = base64.urlsafe_b64encode(json.dumps(rows).encode()).decode()
    response.set_cookie(FLASH_COOKIE, packed, max_age=_LIFE_S, httponly=True, samesite="lax", path="/")


def take_toasts(connection: HTTPConnection) -> Toasts:
    """Return what an earlier answer left; call `clear_toasts` on the response that shows it."""
    packed = connection.cookies.get(FLASH_COOKIE, "")
    try:
        rows = json.loads(base64.urlsafe_b64decode(packed)) if len(packed) < 4096 else []
        return Toasts(tuple(Toast(ToastKind(kind), str(text)[:_TEXT_LENGTH_MAX]) for kind, text in rows[:_TOASTS_MAX]))
    except (ValueError, TypeError, binascii.Error):
        return Toasts()


def clear_toasts(connection: HTTPConnection, response: Response) -> None:
    """Forget the toasts that this response has shown."""
    if FLASH_COOKIE in connection.cookies:
        response.delete_cookie(FLASH_COOKIE, path="/", httponly=True, samesite="lax")
