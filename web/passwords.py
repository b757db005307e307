"""Passwords: argon2id off the event loop, a bound on work under way, and patience with those who guess."""

import secrets
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

PASSWORD_LENGTH_MIN = 10
PASSWORD_LENGTH_MAX = 256
_RUNNING_MAX = 2
_WAITING_MAX = 20

_Result = TypeVar("_Result")


class TooBusyError(Exception):
    """More log-ins wait than this machine should take on; answer 503 and ask to try again in a moment."""


def weakness(password: str, user_name: str) -> str:
    """Return what is wrong with a new password, as a sentence; empty where it will do."""
    if len(password) < PASSWORD_LENGTH_MIN:
        return f"Use at least {PASSWORD_LENGTH_MIN} characters."
    if len(password) > PASSWORD_LENGTH_MAX:
        return f"Use at most {PASSWORD_LENGTH_MAX} characters."
    if password.casefold() == user_name.casefold() or len(set(password)) < 4:
        return "This is too easy to guess."
    return ""


class Passwords:
    """Hash and verify. A hash takes about 0.1 s and 64 MiB, so two run at a time and few may wait."""

    def __init__(self, hasher: PasswordHasher | None = None, waiting_max: int = _WAITING_MAX) -> None:
        self._hasher = hasher or PasswordHasher()
        self._limiter = anyio.CapacityLimiter(_RUNNING_MAX)
        self._waiting = 0
        self._waiting_max = waiting_max
        # Verified where the user does not exist, so that the answer takes as long.
        self._decoy = _decoy(self._hasher)

    async def hash(self, password: str) -> str:
        """Return the hash to store, with its salt and parameters inside."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password is right. `stored` is `None` for an unknown user: false, after the same time."""
        if len(password) > PASSWORD_LENGTH_MAX:
            return False
        is_right = await self._run(lambda: self._matches(stored or self._decoy, password))
        return is_right and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether the hash was made with older parameters; hash again after the next successful log-in."""
        return self._hasher.check_needs_rehash(stored)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._waiting >= self._waiting_max:
            raise TooBusyError
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._waiting -= 1


def _decoy(hasher: PasswordHasher) -> str:
    """Return what is verified in the same time as a hash of this hasher, and is the hash of no password.

    Drawn by lot instead of hashed, it costs the start of a daemon nothing.
    """
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${costs}${salt}${digest}"


@dataclass(frozen=True, slots=True)
class _Strikes:
    count: int
    last_s: float


class LoginThrottle:
    """Slow down guessing, per user name and per address. Pure: the monotonic time comes in as `now_s`.

    After a few free attempts each further one must wait twice as long, up to a limit that keeps a stranger from locking
    a user out for good. Strikes are forgotten after a while. Bounded: the stalest entries go first.
    """

    def __init__(
        self,
        *,
        free_count: int = 5,
        wait_s_max: float = 60.0,
        forget_s: float = 900.0,
        entry_count_max: int = 4096,
        address_free_count: int = 20,
    ) -> None:
        self._free_count = free_count
        self._address_free_count = address_free_count
        self._wait_s_max = wait_s_max
        self._forget_s = forget_s
        self._entry_count_max = entry_count_max
        self._strikes: OrderedDict[tuple[str, str], _Strikes] = OrderedDict()

    def begin(self, user_name: str, address: str, now_s: float) -> float:
        """Ask to check a password. 0 means go on: the attempt counts as a strike until `succeeded` takes it back.

        Otherwise the return is the number of seconds to wait, and nothing was counted. Counting before the check keeps
        parallel attempts from slipping through.
        """
        keys = self._keys(user_name, address)
        wait_s = max(self._wait_s(key, free, now_s) for key, free in keys)
        if wait_s > 0:
            return wait_s
        for key, _ in keys:
            self._strikes[key] = _Strikes(self._fresh_count(key, now_s) + 1, now_s)
            self._strikes.move_to_end(key)
        while len(self._strikes) > self._entry_count_max:
            self._strikes.popitem(last=False)
        return 0.0

    def succeeded(self, user_name: str, address: str) -> None:
        """Take back the strikes of this user, and the last one of the address: others may share it."""
        (user_key, _), (address_key, _) = self._keys(user_name, address)
        self._strikes.pop(user_key, None)
        if strikes := self._strikes.get(address_key):
            self._strikes[address_key] = _Strikes(max(0, strikes.count - 1), strikes.last_s)

    def _keys(self, user_name: str, address: str) -> tuple[tuple[tuple[str, str], int], tuple[tuple[str, str], int]]:
        user = ("user", user_name.casefold()[:100])
        return (user, self._free_count), (("address", address), self._address_free_count)

    def _wait_s(self, key: tuple[str, str], free_count: int, now_s: float) -> float:
        excess = self._fresh_count(key, now_s) - free_count
        if excess < 0:
            return 0.0
        pause_s = min(2.0 ** min(excess, 20), self._wait_s_max)
        return max(0.0, self._strikes[key].last_s + pause_s - now_s)

    def _fresh_count(self, key: tuple[str, str], now_s: float) -> int:
        strikes = self._strikes.get(key)
        return strikes.count if strikes and now_s - strikes.last_s < self._forget_s else 0
