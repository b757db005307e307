"""Passwords, API keys, set-up tokens."""

import threading
from typing import Literal

import anyio
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from hypothesis import given
from hypothesis import strategies as st

from web import api_keys, first_run, tokens
from web.api_keys import KeyRefusal
from web.first_run import SetupAnswer
from web.passwords import LoginThrottle, Passwords, TooBusyError, weakness

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRET, KEY = api_keys.make_api_key(
    key_id="k1",
    name="historian",
    scopes=frozenset({"readings:write"}),
    random_bytes=bytes(range(32)),
    now_ms=0,
    expires_ms=1_000,
)


async def test_password_is_verified_off_the_loop() -> None:
    passwords = Passwords(FAST)
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "wrong horse")
    assert not await passwords.verify("not a hash", "x")


async def test_unknown_user_costs_the_same_work() -> None:
    said: list[tuple[str, str]] = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            try:
                return super().verify(hash, password)
            except VerifyMismatchError as wrong:  # it came to the end of its work: a hash of no kind raises another
                said.append((str(hash), str(wrong)))
                raise

    passwords = Passwords(Watched(time_cost=1, memory_cost=8, parallelism=1))
    stored = await passwords.hash("correct horse")
    assert not await passwords.verify(stored, "wrong horse")
    assert not await passwords.verify(None, "decoy")
    (known, answer), (decoy, of_decoy) = said
    assert answer == of_decoy
    assert extract_parameters(known) == extract_parameters(decoy)


async def test_endless_password_is_not_hashed() -> None:
    assert not await Passwords(FAST).verify("never looked at", "x" * 300)


async def test_too_many_log_ins_at_once_are_turned_away() -> None:
    class Slow(PasswordHasher):
        gate = threading.Event()

        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            self.gate.wait(5)
            return True

    passwords = Passwords(Slow(time_cost=1, memory_cost=8, parallelism=1), waiting_max=3)
    refused = 0

    async def attempt() -> None:
        nonlocal refused
        try:
            await passwords.verify("x", "y")
        except TooBusyError:
            refused += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(attempt)
        await anyio.wait_all_tasks_blocked()
        Slow.gate.set()
    assert refused == 2


@pytest.mark.parametrize("password", ["short", "a" * 30, "Administrator", "x" * 257])
def test_weak_password_is_named(password: str) -> None:
    assert weakness(password, "administrator")


def test_good_password_passes() -> None:
    assert weakness("three blue pumps", "admin") == ""


def test_guessing_becomes_slow_and_is_forgotten() -> None:
    throttle = LoginThrottle(free_count=3, wait_s_max=8, forget_s=100)
    assert [throttle.begin("admin", "10.0.0.9", 0) for _ in range(3)] == [0, 0, 0]
    assert throttle.begin("admin", "10.0.0.9", 0) == 1
    assert throttle.begin("ADMIN", "10.0.0.10", 0) == 1
    assert throttle.begin("admin", "10.0.0.9", 1) == 0
    assert throttle.begin("admin", "10.0.0.9", 1) == 2
    for now_s in (3, 7, 15, 23, 31):
        assert throttle.begin("admin", "10.0.0.9", now_s) == 0
    assert throttle.begin("admin", "10.0.0.9", 31) == 8
    assert throttle.begin("admin", "10.0.0.9", 131) == 0


def test_success_takes_the_strikes_back() -> None:
    throttle = LoginThrottle(free_count=2)
    for _ in range(10):
        assert throttle.begin("admin", "10.0.0.9", 0) == 0
        throttle.succeeded("admin", "10.0.0.9")


def test_one_address_cannot_try_many_users() -> None:
    throttle = LoginThrottle(address_free_count=4)
    waits = [throttle.begin(f"user{i}", "10.0.0.9", 0) for i in range(6)]
    assert waits[:4] == [0] * 4
    assert waits[4] > 0


def test_throttle_is_bounded() -> None:
    throttle = LoginThrottle(entry_count_max=10)
    for i in range(100):
        throttle.begin(f"user{i}", f"10.0.0.{i}", 0)
    assert len(throttle._strikes) == 10


def test_api_key_has_prefix_random_part_and_checksum() -> None:
    assert SECRET.startswith("phk_")
    assert len(SECRET) == 4 + 43 + 6
    assert tokens.is_well_formed("phk_", SECRET)
    assert SECRET not in repr(KEY)
    assert KEY.hint.startswith(SECRET[:8])


@given(st.binary(min_size=32, max_size=32), st.integers(4, 52), st.sampled_from("abcXYZ019-é"))
def test_typo_never_passes_the_checksum(random_bytes: bytes, place: int, letter: str) -> None:
    token = tokens.make_token("phk_", random_bytes)
    broken = token[:place] + letter + token[place + 1 :]
    assert tokens.is_well_formed("phk_", broken) is (broken == token)


def test_key_of_another_kind_is_malformed() -> None:
    assert not tokens.is_well_formed("phk_", tokens.make_token("phs_", bytes(32)))


@pytest.mark.parametrize(
    ("secret", "scope", "now_ms", "expected"),
    [
        (SECRET, "readings:write", 999, None),
        (SECRET, "readings:write", 1_000, KeyRefusal.EXPIRED),
        (SECRET, "devices:write", 0, KeyRefusal.OUT_OF_SCOPE),
        (SECRET[:-1] + "x", "readings:write", 0, KeyRefusal.MALFORMED),
        ("", "readings:write", 0, KeyRefusal.MALFORMED),
        (tokens.make_token("phk_", bytes(32)), "readings:write", 0, KeyRefusal.UNKNOWN),
    ],
)
def test_api_key_is_judged(secret: str, scope: str, now_ms: int, expected: KeyRefusal | None) -> None:
    assert api_keys.refusal(secret, KEY, scope, now_ms) is expected


def test_unknown_key_is_refused() -> None:
    assert api_keys.refusal(SECRET, None, "readings:write", 0) is KeyRefusal.UNKNOWN


@pytest.mark.parametrize(
    ("header", "expected"),
    [(f"Bearer {SECRET}", SECRET), (f"bearer  {SECRET}", SECRET), ("Basic abc", None), ("Bearer", None), ("", None)],
)
def test_key_comes_in_the_authorization_header(header: str, expected: str | None) -> None:
    assert api_keys.presented_key({"authorization": header}) == expected


def test_first_run_opens_once() -> None:
    token, state = first_run.open_first_run(bytes(range(32)))
    assert state.judge(f" {token}\n") is SetupAnswer.ACCEPTED
    assert state.judge(token[:-1]) is SetupAnswer.WRONG
    assert state.judge("") is SetupAnswer.WRONG
    assert state.closed().judge(token) is SetupAnswer.DONE
    assert not state.closed().is_open
    assert token not in repr(state)
