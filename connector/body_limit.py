"""A bound on what a request may send, whether it says its length or not."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Refused


class BodyLimit:
    """ASGI middleware: reading beyond the bound raises Refused('body_too_large') in the handler that reads."""

    def __init__(self, app: ASGIApp, *, most: int, api_prefix: str, api_most: int) -> None:
        """`most` bytes for pages, `api_most` for paths that start with `api_prefix`."""
        self.app = app
        self._most = most
        self._api_prefix = api_prefix
        self._api_most = api_most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with a counting `receive`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self._api_most if scope["path"].startswith(self._api_prefix) else self._most
        stated = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        read = int(stated) if stated.isdigit() and int(stated) > most else 0

        async def counted() -> Message:
            nonlocal read
            if read > most:
                raise Refused("body_too_large", most=most)
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise Refused("body_too_large", most=most)
            return message

        await self.app(scope, counted, send)
