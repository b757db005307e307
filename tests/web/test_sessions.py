"""Sessions: what is stored, what is sent, and when they end."""

import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response

from web.contexts import Toast, ToastKind
from web.flash import FLASH_COOKIE, add_toasts, take_toasts
from web.sessions import SessionLimits, SessionRow, Sessions, hash_id

HOUR_MS = 3_600_000
LIMITS = SessionLimits(idle_ms=HOUR_MS, absolute_ms=10 * HOUR_MS, touch_every_ms=60_000)


class MemoryStore:
    """The store in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[bytes, SessionRow] = {}

    async def insert_session(self, row: SessionRow) -> None:
        assert row.id_hash not in self.rows
        self.rows[row.id_hash] = row

    async def find_session(self, id_hash: bytes) -> SessionRow | None:
        return self.rows.get(id_hash)

    async def touch_session(self, id_hash: bytes, used_ms: int) -> None:
        row = self.rows[id_hash]
        self.rows[id_hash] = SessionRow(row.id_hash, row.user_name, row.created_ms, used_ms)

    async def delete_session(self, id_hash: bytes) -> None:
        self.rows.pop(id_hash, None)

    async def delete_sessions_of(self, user_name: str) -> None:
        self.rows = {key: row for key, row in self.rows.items() if row.user_name != user_name}

    async def delete_stale_sessions(self, created_before_ms: int, used_before_ms: int) -> None:
        self.rows = {
            key: row
            for key, row in self.rows.items()
            if row.created_ms > created_before_ms and row.used_ms > used_before_ms
        }


def request(cookie: str = "", scheme: str = "http") -> HTTPConnection:
    headers = [(b"cookie", cookie.encode()), (b"user-agent", b"tests")] if cookie else []
    return HTTPConnection(
        {
            "type": "http",
            "scheme": scheme,
            "path": "/",
            "query_string": b"",
            "headers": headers,
            "client": ("10.0.0.9", 5),
            "server": ("site.example", 8471),
        }
    )


def cookie_of(response: Response) -> str:
    return response.headers["set-cookie"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def sessions(store: MemoryStore) -> Sessions:
    return Sessions(store, "k7qm2", LIMITS)


async def log_in(sessions: Sessions, now_ms: int = 0, cookie: str = "", scheme: str = "http") -> str:
    response = Response()
    await sessions.open(request(cookie, scheme), response, "admin", now_ms)
    return cookie_of(response).split(";")[0]


async def test_log_in_opens_a_session(sessions: Sessions) -> None:
    cookie = await log_in(sessions)
    found = await sessions.find(request(cookie), 1_000)
    assert found
    assert (found.user_name, found.address) == ("admin", "10.0.0.9")


async def test_store_never_sees_the_id(sessions: Sessions, store: MemoryStore) -> None:
    session_id = (await log_in(sessions)).split("=", 1)[1]
    (row,) = store.rows.values()
    assert session_id.encode() not in row.id_hash
    assert row.id_hash == hash_id(session_id)
    assert len(session_id) >= 43


async def test_cookie_is_strict_on_https_and_plain_on_http(sessions: Sessions) -> None:
    plain, strict = Response(), Response()
    await sessions.open(request(), plain, "admin", 0)
    await sessions.open(request(scheme="https"), strict, "admin", 0)
    assert cookie_of(plain).startswith("pairhub-k7qm2=")
    assert "Secure" not in cookie_of(plain)
    assert cookie_of(strict).startswith("__Host-pairhub-k7qm2=")
    for part in ("Secure", "HttpOnly", "Path=/", "SameSite=lax"):
        assert part in cookie_of(strict)
    assert "Domain" not in cookie_of(strict)


async def test_plain_cookie_is_not_taken_on_https(sessions: Sessions) -> None:
    cookie = await log_in(sessions)
    assert await sessions.find(request(cookie, "https"), 1) is None


async def test_id_is_new_at_every_log_in_and_the_old_one_is_dead(sessions: Sessions) -> None:
    first = await log_in(sessions)
    second = await log_in(sessions, cookie=first)
    assert first != second
    assert await sessions.find(request(first), 1) is None
    assert await sessions.find(request(second), 1)


async def test_planted_id_is_not_adopted(sessions: Sessions) -> None:
    planted = "pairhub-k7qm2=planted"
    assert await log_in(sessions, cookie=planted) != planted
    assert await sessions.find(request(planted), 1) is None


async def test_session_ends_without_use(sessions: Sessions, store: MemoryStore) -> None:
    cookie = await log_in(sessions)
    assert await sessions.find(request(cookie), HOUR_MS) is None
    assert store.rows, "a clock that jumped may jump back: only the sweep forgets"


async def test_use_keeps_a_session_alive_until_its_absolute_end(sessions: Sessions) -> None:
    cookie = await log_in(sessions)
    for now_ms in range(0, 10 * HOUR_MS, HOUR_MS // 2):
        assert await sessions.find(request(cookie), now_ms)
    assert await sessions.find(request(cookie), 10 * HOUR_MS) is None


async def test_watching_a_stream_is_not_use(sessions: Sessions) -> None:
    cookie = await log_in(sessions)
    row = await sessions.find(request(cookie), 1)
    assert row
    assert await sessions.is_still_open(row, HOUR_MS - 1)
    assert not await sessions.is_still_open(row, HOUR_MS)


async def test_use_is_written_at_most_once_a_minute(sessions: Sessions, store: MemoryStore) -> None:
    cookie = await log_in(sessions)
    await sessions.find(request(cookie), 59_999)
    assert next(iter(store.rows.values())).used_ms == 0
    await sessions.find(request(cookie), 60_000)
    assert next(iter(store.rows.values())).used_ms == 60_000


async def test_log_out_ends_the_session_and_clears_the_cookie(sessions: Sessions, store: MemoryStore) -> None:
    cookie = await log_in(sessions)
    response = Response()
    await sessions.close(request(cookie), response)
    assert not store.rows
    assert "Max-Age=0" in cookie_of(response)


async def test_sweep_forgets_what_expired(sessions: Sessions, store: MemoryStore) -> None:
    await log_in(sessions)
    await log_in(sessions, now_ms=HOUR_MS // 2)
    await sessions.sweep(HOUR_MS)
    assert [row.created_ms for row in store.rows.values()] == [HOUR_MS // 2]


@pytest.mark.parametrize("cookie", ["pairhub-k7qm2=", "pairhub-k7qm2=" + "x" * 500, "pairhub-other=abc", "broken"])
async def test_strange_cookie_is_nobody(sessions: Sessions, cookie: str) -> None:
    assert await sessions.find(request(cookie), 1) is None


def test_name_that_breaks_a_cookie_is_refused(store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        Sessions(store, "a b;c")


def test_toast_survives_a_redirect() -> None:
    response = Response()
    add_toasts(response, Toast(ToastKind.DONE, "Saved <b>ünïcode</b>."))
    packed = cookie_of(response).split(";")[0]
    (toast,) = take_toasts(request(packed)).toasts
    assert toast == Toast(ToastKind.DONE, "Saved <b>ünïcode</b>.")


@pytest.mark.parametrize("packed", ["", "!!", "W10=", "eyJhIjoxfQ==", "W1siYmFkIiwgInQiXV0=", "MQ==", "W1sxXV0="])
def test_forged_toast_is_ignored(packed: str) -> None:
    assert take_toasts(request(f"{FLASH_COOKIE}={packed}")).toasts == ()
