"""Who may operate this hub: the first run, log-ins, sessions, and the token of the local command line."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from hub.blocked import TOO_OFTEN, WRONG_PASSWORD, WRONG_SETUP_TOKEN, Door
from hub.hub import Hub
from hub.store.rows import User
from hub.store.sessions import CurrentSessions
from shared.errors import Refused
from shared.private_files import write_secret
from web import tokens
from web.first_run import SETUP_ANSWERS, FirstRun, SetupAnswer, open_first_run
from web.passwords import LoginThrottle, Passwords, TooBusyError, weakness
from web.sessions import SessionRow, Sessions

OPERATOR_TOKEN_FILE: Final = "operator.token"  # noqa: S105  # the name of a file
SETUP_TOKEN_FILE: Final = "setup.token"  # noqa: S105  # the name of a file
OPERATOR_PREFIX: Final = "pho_"
_USER_NAME_CHARS_MAX: Final = 80
_BUSY: Final = "Too many people are logging in at this moment. Try again in a few seconds."


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is logged in."""

    user_name: str
    session: SessionRow


class Access:
    """The doors of one hub. Make it with `Access.open`; call `refresh` when the hub got another store."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._passwords = Passwords()
        self._throttle = LoginThrottle()
        self._first_run = FirstRun(None)
        self._operator_hash = bytes(32)
        # Cookies do not know ports: several daemons of one host are told apart by the name.
        self.sessions = Sessions(CurrentSessions(hub), "hub" + hub.hub_key.hex()[:8])

    @classmethod
    async def open(cls, hub: Hub) -> Access:
        """Leave fresh tokens in the data directory, readable by its owner only; raises StorageFailed."""
        access = cls(hub)
        await access.refresh()
        return access

    async def refresh(self) -> None:
        """Make the tokens anew; the set-up page is open for as long as the store knows no user."""
        data_dir = self._hub.settings.data_dir
        token = tokens.make_token(OPERATOR_PREFIX, secrets.token_bytes(tokens.RANDOM_BYTES))
        self._operator_hash = tokens.hash_token(token)
        write_secret(data_dir / OPERATOR_TOKEN_FILE, token.encode() + b"\n")
        if await self._hub.store.users_count() == 0:
            setup_token, self._first_run = open_first_run(secrets.token_bytes(tokens.RANDOM_BYTES))
            write_secret(data_dir / SETUP_TOKEN_FILE, setup_token.encode() + b"\n")
        else:
            self._first_run = FirstRun(None)
            (data_dir / SETUP_TOKEN_FILE).unlink(missing_ok=True)

    @property
    def is_set_up(self) -> bool:
        """Whether there is somebody who may log in."""
        return not self._first_run.is_open

    def require_operator_token(self, request: Request) -> None:
        """Raise Refused('not_signed_in') unless the request brings the token of the local command line."""
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not tokens.matches(presented.strip(), self._operator_hash):
            self._hub.block(Door.API, "not_signed_in", address_of(request))
            raise Refused("not_signed_in")

    async def visitor(self, request: HTTPConnection) -> Visitor | None:
        """Return who is logged in, or None."""
        row = await self.sessions.find(request, self._hub.wall_ms())
        user = await self._hub.store.user(row.user_name) if row is not None else None
        return Visitor(user.user_name, row) if row is not None and user is not None else None

    async def is_open(self, session: SessionRow) -> bool:
        """Tell whether a session still stands, without counting this as a use."""
        return await self.sessions.is_still_open(session, self._hub.wall_ms())

    async def set_up(
        self, request: Request, response: Response, *, token: str, user_name: str, password: str, again: str
    ) -> dict[str, str]:
        """Make the first user and log him in; return what is wrong, by field, empty where it is done."""
        judged = self._first_run.judge(token)
        errors: dict[str, str] = {}
        if judged is not SetupAnswer.ACCEPTED:
            self._hub.block(Door.LOG_IN, WRONG_SETUP_TOKEN, address_of(request))
            errors["token" if judged is SetupAnswer.WRONG else ""] = SETUP_ANSWERS[judged]
        if not 1 <= len(user_name) <= _USER_NAME_CHARS_MAX or not user_name.isprintable():
            errors["user_name"] = f"Use 1 to {_USER_NAME_CHARS_MAX} printable characters."
        if weak := weakness(password, user_name):
            errors["password"] = weak
        elif password != again:
            errors["password_again"] = "The two passwords differ."  # noqa: S105  # words for people
        if errors:
            return errors
        try:
            user = User(user_name, await self._passwords.hash(password), self._hub.wall_ms())
            await self._hub.store.add_user(user, only_first=True)
        except TooBusyError:
            return {"": _BUSY}
        except Refused:
            return {"": SETUP_ANSWERS[SetupAnswer.DONE]}
        self._first_run = self._first_run.closed()
        (self._hub.settings.data_dir / SETUP_TOKEN_FILE).unlink(missing_ok=True)
        await self.sessions.open(request, response, user_name, self._hub.wall_ms())
        await self.audit(request, user_name, "hub.set_up", "made the first user")
        return {}

    async def log_in(self, request: Request, response: Response, user_name: str, password: str) -> tuple[int, str]:
        """Check a password; return (200, "") with a session on `response`, or a status and what is wrong."""
        wait_s = self._throttle.begin(user_name, address_of(request), time.monotonic())
        if wait_s > 0:
            self._hub.block(Door.LOG_IN, TOO_OFTEN, address_of(request), user_name)
            return 429, f"Too many attempts. Wait {wait_s:.0f} s and try again."
        user = await self._hub.store.user(user_name)
        try:
            right = await self._passwords.verify(user.password_hash if user is not None else None, password)
        except TooBusyError:
            return 503, _BUSY
        if user is None or not right:
            self._hub.block(Door.LOG_IN, WRONG_PASSWORD, address_of(request), user_name)
            await self.audit(request, user_name[:_USER_NAME_CHARS_MAX], "log_in.refused", "wrong name or password")
            return 401, "User name or password is wrong."
        self._throttle.succeeded(user_name, address_of(request))
        await self.sessions.open(request, response, user_name, self._hub.wall_ms())
        await self.audit(request, user_name, "log_in", "")
        return 200, ""

    async def audit(self, request: HTTPConnection, who: str, action: str, what: str) -> None:
        """Write down who did what, when, from where."""
        await self._hub.store.add_audit(
            at_ms=self._hub.wall_ms(), who=who, where=address_of(request), action=action, what=what
        )


def address_of(request: HTTPConnection) -> str:
    """Return the network address a request came from."""
    return request.client.host if request.client else ""
