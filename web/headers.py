"""The response headers that keep our pages safe in a browser."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
_HSTS = "max-age=31536000"

_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS_POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Browsers ignore these on plain http, and warn about it in the console.
_ON_HTTPS = {"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": _HSTS}


def _laid_out(headers: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


# As they go over the wire: they are added to every answer.
_PLAIN_HEADERS = _laid_out(_ALWAYS)
_HTTPS_HEADERS = _laid_out(_ALWAYS | _ON_HTTPS)


def security_headers(scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return what is added to an answer over http or https."""
    return _HTTPS_HEADERS if scheme == "https" else _PLAIN_HEADERS


class SecurityHeaders:
    """ASGI middleware: add the headers to every response. It belongs outside of everything that may answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; decorate the start of the response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message.get("headers", ())
                named = {name for name, _ in own}
                added = security_headers(scope["scheme"])
                message["headers"] = [*own, *(each for each in added if each[0] not in named)]
            await send(message)

        await self.app(scope, receive, send_with_headers)
