"""A real mail server and a real receiver of webhooks, on ports of their own in this process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.serving import listen
from tests.connector.visitors import until


class MailBox:
    """What a mail server took. `refuses` makes it say no to every recipient."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.logins: list[str] = []
        self.refuses = False

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:  # noqa: N802
        if self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password.decode() == self.password)

    def texts(self) -> list[str]:
        """Return subject and text of each mail."""
        return [f"{mail['Subject']}\n{mail.get_content()}" for mail in self.mails]


@asynccontextmanager
async def mail_server(pem: Path, key: Path, password: str = "") -> AsyncIterator[MailBox]:
    """Run a mail server that offers STARTTLS, and with a password wants a log-in, for the time of a block."""
    box = MailBox(password)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            box,
            loop=loop,
            hostname="mail.test",
            tls_context=context,
            require_starttls=True,
            authenticator=box.authenticate,
            auth_required=bool(password),
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()


class Receiver:
    """What a webhook was sent: (headers, body). `status` is what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.attempts = 0

    async def take(self, request: Request) -> Response:
        body = await request.body()
        self.attempts += 1
        if self.status == 200:
            self.posts.append((dict(request.headers), body))
        return Response(status_code=self.status)

    @property
    def notices(self) -> list[Any]:
        """The notices that were taken."""
        return [msgspec.json.decode(body) for _, body in self.posts]

    def codes(self, part: str) -> list[str]:
        """Return the codes of repairs that were told as raised, or cleared."""
        return [repair["code"] for notice in self.notices for repair in notice[part]]

    async def until_told(self, part: str, code: str, timeout_s: float = 20.0) -> None:
        """Wait until a repair was told of."""

        async def told() -> bool:
            return code in self.codes(part)

        await until(told, f"{code} to be told as {part}", timeout_s)


class _Quiet(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Leave signals to the tests."""

    def capture_signals(self) -> Any:
        """Leave signals to the tests."""
        import contextlib

        return contextlib.nullcontext()


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver for the time of a block."""
    receiver = Receiver()
    app = Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])])
    listening = listen("127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{listening.getsockname()[1]}/hook?token=QUERY-SECRET-7731"
    server = _Quiet(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield receiver
    finally:
        server.should_exit = True
        await task
        listening.close()
