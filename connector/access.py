"""Who may do what at a site (SECURITY, people and programs): sessions, API keys, the operator token, roles, audit.

Everything that asks goes through `Access.require`, which says no to whatever its table does not name.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from connector import people
from connector.people import PERSON_NAME_CHARS_MAX, AuditRow, KeyRow, SessionRows
from connector.site import Site
from shared.errors import Refused
from shared.limits import DAY_MS, MINUTE_MS, NAME_CHARS_MAX
from web import api_keys, tokens
from web.authorize import Principal, PrincipalKind
from web.csrf import is_own_request
from web.first_run import SETUP_ANSWERS, FirstRun, SetupAnswer, open_first_run
from web.passwords import LoginThrottle, Passwords, TooBusyError, weakness
from web.sessions import SessionRow, Sessions

OPERATOR_TOKEN_FILE: Final = "operator.token"  # noqa: S105  # the name of a file
SETUP_TOKEN_FILE: Final = "setup.token"  # noqa: S105  # the name of a file
OPERATOR_PREFIX: Final = "pho_"
KEY_SCOPES: Final = frozenset({"read", "readings"})
DEVICE_KEY_SCOPES: Final = frozenset({"readings"})
_ALL_SCOPES: Final = "admin"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do one action: people of these roles, and keys with this scope (or the scope `admin`)."""

    roles: frozenset[str]
    scope: str
    audited: bool


# The whole table (default deny): what is not here, nobody may do.
ACTIONS: Final[Mapping[str, Rule]] = {
    "read": Rule(frozenset(people.ROLES), "read", audited=False),
    "readings": Rule(frozenset({"admin", "operator"}), "readings", audited=False),
    "edit": Rule(frozenset({"admin", "operator"}), "edit", audited=True),
    "manage": Rule(frozenset({"admin"}), "manage", audited=True),
    "audit": Rule(frozenset({"admin", "auditor"}), "audit", audited=False),
}


def authorize(principal: Principal, action: str, scope: str = "") -> bool:
    """Tell whether the table allows it; `scope` asks a key for another scope than the action's own."""
    rule = ACTIONS.get(action)
    if rule is None:
        return False
    match principal.kind:
        case PrincipalKind.USER:
            return principal.role in rule.roles
        case PrincipalKind.API_KEY:
            return bool(principal.scopes & {scope or rule.scope, _ALL_SCOPES})
        case PrincipalKind.STRANGER:
            return False


class Access:
    """The doors of one site. Make it with `Access.open` after the site is open."""

    def __init__(self, site: Site, data_dir: Path) -> None:
        self._site = site
        self._data_dir = data_dir
        self._passwords = Passwords()
        self._throttle = LoginThrottle()
        self._first_run = FirstRun(None)
        self._setup_token: str | None = None
        self._operator_token = ""
        self._operator_hash = bytes(32)
        # One process owns the database, so what is in memory is what is stored.
        self._keys: dict[bytes, KeyRow] = {}
        self.sessions = Sessions(SessionRows(site.database), site.identity.site_id.replace("-", "")[:8])

    @classmethod
    async def open(cls, site: Site, data_dir: Path) -> Access:
        """Read what is stored and leave fresh tokens in the data directory, readable by its owner only."""
        access = cls(site, data_dir)
        token = tokens.make_token(OPERATOR_PREFIX, secrets.token_bytes(tokens.RANDOM_BYTES))
        access._operator_token, access._operator_hash = token, tokens.hash_token(token)
        if await site.database.read(people.count_people) == 0:
            access._setup_token, access._first_run = open_first_run(secrets.token_bytes(tokens.RANDOM_BYTES))
        access.leave_files()
        if access._setup_token is None:
            (data_dir / SETUP_TOKEN_FILE).unlink(missing_ok=True)
        await access._load_keys()
        await access.sessions.sweep(site.clock.wall_ms())
        return access

    def leave_files(self) -> None:
        """Write the tokens into the data directory; raises StorageFailed."""
        _write_private(self._data_dir / OPERATOR_TOKEN_FILE, self._operator_token)
        if self._setup_token is not None:
            _write_private(self._data_dir / SETUP_TOKEN_FILE, self._setup_token)

    @property
    def setup_token(self) -> str | None:
        """The token that opens the set-up page, to be printed at the start; None once the site is set up."""
        return self._setup_token

    # --- who asks -----------------------------------------------------------------------------------------------------

    async def principal(self, request: HTTPConnection) -> Principal | None:
        """Return who asks; None for a stranger. A wrong `Authorization` is not made up for by a cookie."""
        presented = api_keys.presented_key(request.headers)
        if presented is not None:
            return await self._program(presented, _address(request))
        return (await self.visitor(request))[0]

    async def visitor(self, request: HTTPConnection) -> tuple[Principal | None, SessionRow | None]:
        """Return the person of the session cookie, and the session, for `is_open`."""
        row = await self.sessions.find(request, self._site.clock.wall_ms())
        person = await self._site.database.read(lambda c: people.find_person(c, row.user_name)) if row else None
        if row is None or person is None:
            return None, None
        return Principal(PrincipalKind.USER, person.name, person.role, address=_address(request)), row

    async def is_open(self, row: SessionRow) -> bool:
        """Tell whether a session found earlier still stands, without counting this as a use."""
        return await self.sessions.is_still_open(row, self._site.clock.wall_ms())

    async def require(self, request: Request, action: str, *, scope: str = "") -> Principal:
        """Return who asks where he may; raises Refused('not_signed_in', 'forbidden').

        A key needs the action's own scope, or `scope` where that is given. What changes something and came with a
        cookie must have been sent by a page of ours.
        """
        found = await self.principal(request)
        if found is None:
            raise Refused("not_signed_in")
        if found.kind is PrincipalKind.USER and not is_own_request(request.method, request.url.scheme, request.headers):
            raise Refused("forbidden", why="the request did not come from a page of this site")
        self.check(found, action, scope=scope)
        if ACTIONS[action].audited and request.method != "GET":
            await self.audit(found, f"{request.method} {request.url.path}")
        return found

    async def require_program(self, presented: str, address: str, action: str) -> Principal:
        """Return the program that presents a key, where it may do an action that is not audited; raises as `require`."""
        found = await self._program(presented, address)
        if found is None:
            raise Refused("not_signed_in")
        self.check(found, action)
        return found

    def known_program(self, presented: str, address: str, action: str) -> Principal | None:
        """Return the program where it may, at once; None where only `require_program` can tell."""
        found, is_noted = self._look_up(presented, address, self._site.clock.wall_ms())
        return found if found is not None and is_noted and authorize(found, action) else None

    def check(self, principal: Principal, action: str, *, scope: str = "") -> None:
        """Raise Refused('forbidden') where the table does not allow it."""
        if authorize(principal, action, scope):
            return
        if principal.kind is PrincipalKind.API_KEY:
            raise Refused("forbidden", why="the API key does not have this scope")
        raise Refused("forbidden", why=f"the role {principal.role} does not include it; ask an admin of this site")

    async def _program(self, presented: str, address: str) -> Principal | None:
        now_ms = self._site.clock.wall_ms()
        found, is_noted = self._look_up(presented, address, now_ms)
        if not is_noted:
            row = self._keys[tokens.hash_token(presented)]
            self._keys[row.key.secret_hash] = replace(row, used_ms=now_ms)
            await self._site.database.write(lambda c: people.touch_key(c, row.key.key_id, now_ms))
        return found

    def _look_up(self, presented: str, address: str, now_ms: int) -> tuple[Principal | None, bool]:
        """Return the program of a token; and whether its use is noted already, if it has to be."""
        # Every request of a program comes through here: a hash finds what was stored, and no other text has it.
        if presented.startswith(OPERATOR_PREFIX):
            if not tokens.matches(presented, self._operator_hash):
                return None, True
            local = Principal(PrincipalKind.API_KEY, "local command line", "admin", frozenset({_ALL_SCOPES}), address)
            return local, True
        row = self._keys.get(tokens.hash_token(presented))
        if row is None or api_keys.is_over(row.key, now_ms):
            return None, True
        key = row.key
        found = Principal(
            PrincipalKind.API_KEY,
            f"API key {key.name}",
            scopes=key.scopes,
            address=address,
            connector_id=key.connector_id or "",
            device=key.device or "",
        )
        return found, row.used_ms is not None and now_ms - row.used_ms < MINUTE_MS

    # --- set-up and log-in --------------------------------------------------------------------------------------------

    @property
    def is_set_up(self) -> bool:
        """Whether there is somebody who may log in."""
        return not self._first_run.is_open

    async def set_up(
        self, request: Request, response: Response, *, token: str, user_name: str, password: str
    ) -> dict[str, str]:
        """Make the first person, an admin, and log him in; return what is wrong, by field, empty where it is done."""
        user_name = user_name.strip()
        judged = self._first_run.judge(token)
        errors: dict[str, str] = {}
        if judged is not SetupAnswer.ACCEPTED:
            errors["token" if judged is SetupAnswer.WRONG else ""] = SETUP_ANSWERS[judged]
        if not 1 <= len(user_name) <= PERSON_NAME_CHARS_MAX or not user_name.isprintable():
            errors["user_name"] = f"Use 1 to {PERSON_NAME_CHARS_MAX} printable characters."
        if weak := weakness(password, user_name):
            errors["password"] = weak
        if errors:
            return errors
        now_ms = self._site.clock.wall_ms()
        try:
            hashed = await self._passwords.hash(password)
            await self._site.database.write(lambda c: people.create_first_person(c, user_name, hashed, now_ms))
        except TooBusyError:
            return {"": _BUSY}
        except Refused:
            return {"": SETUP_ANSWERS[SetupAnswer.DONE]}
        self._first_run, self._setup_token = self._first_run.closed(), None
        (self._data_dir / SETUP_TOKEN_FILE).unlink(missing_ok=True)
        await self.sessions.open(request, response, user_name, now_ms)
        await self.audit(Principal(PrincipalKind.USER, user_name, address=_address(request)), "set up the site")
        return {}

    async def log_in(self, request: Request, response: Response, user_name: str, password: str) -> tuple[int, str]:
        """Check a password and open a session on `response`; return (status, what is wrong), or (200, "")."""
        user_name, address = user_name.strip(), _address(request)
        wait_s = self._throttle.begin(user_name, address, time.monotonic())
        if wait_s > 0:
            return 429, f"Too many attempts. Wait {wait_s:.0f} s and try again."
        person = await self._site.database.read(lambda c: people.find_person(c, user_name))
        who = Principal(PrincipalKind.STRANGER, user_name[:PERSON_NAME_CHARS_MAX], address=address)
        try:
            right = await self._passwords.verify(person.password_hash if person else None, password)
        except TooBusyError:
            return 503, _BUSY
        if person is None or not right:
            await self.audit(who, "log-in refused")
            return 401, "User name or password is wrong."
        self._throttle.succeeded(user_name, address)
        if self._passwords.needs_rehash(person.password_hash):
            fresh = await self._passwords.hash(password)
            await self._site.database.write(lambda c: people.replace_password(c, person.name, fresh))
        await self.sessions.open(request, response, person.name, self._site.clock.wall_ms())
        await self.audit(who, "logged in")
        return 200, ""

    async def log_out(self, request: Request, response: Response) -> None:
        """End the session of a request."""
        who, _ = await self.visitor(request)
        await self.sessions.close(request, response)
        if who is not None:
            await self.audit(who, "logged out")

    # --- keys of programs ---------------------------------------------------------------------------------------------

    def keys(self) -> list[KeyRow]:
        """Return the keys that are not revoked."""
        return list(self._keys.values())

    async def create_key(
        self,
        name: str,
        expires_days: int | None,
        scopes: frozenset[str] | None = None,
        *,
        connector_id: str | None = None,
        device: str | None = None,
    ) -> str:
        """Make an API key and return its secret, the only time; raises Refused('invalid', 'exists', 'not_found').

        `scopes` are actions that the key may do (KEY_SCOPES where None); a scope stands for no other. With a device of a
        connector the key may only post readings: of that device, and of those that it may report for.
        """
        name = name.strip()
        if device is not None:
            if scopes is not None and scopes != DEVICE_KEY_SCOPES:
                raise Refused("invalid", what="Scopes", why="the key of a device may post readings, and nothing else")
            scopes = DEVICE_KEY_SCOPES
        if scopes is not None and (not scopes or scopes - set(ACTIONS)):
            raise Refused("invalid", what="Scopes", why=f"they are one or more of {', '.join(ACTIONS)}")
        if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
            raise Refused("invalid", what="Name", why=f"it takes 1 to {NAME_CHARS_MAX} printable characters")
        now_ms = self._site.clock.wall_ms()
        secret, key = api_keys.make_api_key(
            key_id=secrets.token_hex(8),
            name=name,
            scopes=KEY_SCOPES if scopes is None else scopes,
            random_bytes=secrets.token_bytes(tokens.RANDOM_BYTES),
            now_ms=now_ms,
            expires_ms=None if expires_days is None else now_ms + expires_days * DAY_MS,
            connector_id=connector_id if device is not None else None,
            device=device,
        )
        await self._site.database.write(lambda c: people.add_key(c, key))
        await self._load_keys()
        return secret

    async def revoke_key(self, key_id: str) -> None:
        """Close a key; programs that use it are refused from here on."""
        now_ms = self._site.clock.wall_ms()
        await self._site.database.write(lambda c: people.revoke_key(c, key_id, now_ms))
        await self._load_keys()

    async def _load_keys(self) -> None:
        rows = await self._site.database.read(people.list_keys)
        self._keys = {row.key.secret_hash: row for row in rows}

    # --- audit --------------------------------------------------------------------------------------------------------

    async def audit(self, who: Principal, what: str, detail: str = "") -> None:
        """Write down who did what, when, from where."""
        row = AuditRow(self._site.clock.wall_ms(), who.name, what, who.address, detail)
        await self._site.database.write(lambda c: people.add_audit(c, row))


_BUSY = "Too many people are logging in at this moment. Try again in a few seconds."


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def _write_private(path: Path, text: str) -> None:
    """Write a secret that only the owner may read, also where the file was there before with other rights."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
