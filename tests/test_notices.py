"""Notices that must come through: over a clock that is set right, a disk that was full, and receivers that never end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from hub.store.memory_repairs import MemoryRepairs
from shared.core.repairs import Finding, Judgement, Repair
from shared.errors import StorageFailed
from shared.limits import DAY_MS, NOTICE_LIFE_MS
from shared.notices import desk as notice_desk
from shared.notices import webhook
from shared.notices.desk import NoticeDesk
from shared.notices.keeper import RepairKeeper
from shared.notices.notice import Notice, NoticeFailed, Sender, trial_notice
from shared.notices.store import Addressed
from shared.notices.webhook import Webhook
from shared.rig.client import until
from tests.raw_server import raw_server, without_end

SENDER = Sender("site", "plant", "id", "")
NOTICE = trial_notice("msg_1", at_ms=0, sender=SENDER)


class TwoClocks:
    """Both clocks, as they are set."""

    def __init__(self) -> None:
        self.wall = 1_763_647_200_000
        self.monotonic = 1_000_000

    def wall_ms(self) -> int:
        return self.wall

    def monotonic_ms(self) -> int:
        return self.monotonic


class Way:
    """A way out; takes nothing while `is_open` is false."""

    name = "webhook"

    def __init__(self, *, is_open: bool = False) -> None:
        self.is_open = is_open
        self.taken: list[str] = []
        self.error: Exception = NoticeFailed("no network yet")

    async def deliver(self, notice: Notice) -> None:
        if not self.is_open:
            raise self.error
        self.taken.append(notice.id)


class FullDisk(MemoryRepairs):
    """A store whose disk is full for a time."""

    is_full = True

    async def save_repairs(self, repairs: Sequence[Repair], notices: Sequence[Addressed]) -> None:
        if self.is_full:
            raise StorageFailed("no space left")
        await super().save_repairs(repairs, notices)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds between attempts prove nothing."""
    monkeypatch.setattr(notice_desk, "NOTICE_RETRY_FIRST_MS", 1)


@asynccontextmanager
async def running(desk: NoticeDesk) -> AsyncIterator[None]:
    task = asyncio.ensure_future(desk.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_so(holds: Callable[[], bool], what: str) -> None:
    async def look() -> bool:
        return holds()

    await until(look, what=what, timeout_s=5, every_s=0.005)


async def test_n2_a_clock_that_is_set_right_by_a_month_makes_no_notice_too_old() -> None:
    clock, way = TwoClocks(), Way()
    desk = NoticeDesk(MemoryRepairs(), clock, [way])
    clock.wall -= 30 * DAY_MS
    desk.put(trial_notice("msg_1", at_ms=clock.wall_ms(), sender=SENDER))
    async with running(desk):
        await until_so(lambda: bool(desk.status()[0].problem), "the first attempt to fail")
        clock.wall += 30 * DAY_MS  # the network is there, and says what time it is
        way.is_open = True
        await until_so(lambda: way.taken == ["msg_1"], "the notice")
        assert desk.status()[0].lost == 0


async def test_n2_a_notice_that_nobody_took_for_three_days_is_given_up() -> None:
    clock, way = TwoClocks(), Way()
    desk = NoticeDesk(MemoryRepairs(), clock, [way])
    desk.put(NOTICE)
    async with running(desk):
        await until_so(lambda: bool(desk.status()[0].problem), "the first attempt to fail")
        assert desk.status()[0].waiting == 1
        clock.monotonic += NOTICE_LIFE_MS + 1
        await until_so(lambda: (desk.status()[0].waiting, desk.status()[0].lost) == (0, 1), "it to be given up")


async def test_n2_what_a_way_out_raises_unexpectedly_is_a_failure_of_that_way_only() -> None:
    clock, way = TwoClocks(), Way()
    way.error = UnicodeError("label empty or too long")
    desk = NoticeDesk(MemoryRepairs(), clock, [way])
    desk.put(NOTICE)
    async with running(desk):
        await until_so(lambda: desk.status()[0].problem == "it failed with UnicodeError", "the failure")
        way.is_open = True
        clock.monotonic += 10
        assert (await desk.test(NOTICE))[0].problem == ""


async def test_n2_a_notice_that_a_full_disk_refused_is_stored_with_its_repair_and_told_after_a_restart() -> None:
    clock, disk = TwoClocks(), FullDisk()

    def keeper_of(desk: NoticeDesk) -> RepairKeeper:
        return RepairKeeper(
            store=disk, clock=clock, notices=desk, tell_after_ms=0, sender=lambda: SENDER, on_changes=lambda _: None
        )

    desk = NoticeDesk(disk, clock, [Way()])
    keeper = keeper_of(desk)
    for _ in range(3):
        keeper.observe("", Judgement((Finding("disk_low"),)))
        clock.monotonic += DAY_MS
    assert not await keeper.save()
    assert len(desk.waiting()) == 1
    disk.is_full = False
    assert await keeper.save()
    assert await keeper.save()

    way = Way(is_open=True)
    restarted = NoticeDesk(disk, clock, [way])
    await restarted.load()
    told = keeper_of(restarted)
    await told.load()
    told.observe("", Judgement((Finding("disk_low"),)))
    assert await told.save()
    async with running(restarted):
        await until_so(lambda: len(way.taken) == 1, "the notice")
        assert restarted.waiting() == []


@pytest.mark.parametrize("status", [b"200 OK", b"503 No"])
async def test_n2_a_receiver_whose_answer_never_ends_is_heard_for_its_status_alone(status: bytes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\ntransfer-encoding: chunked\r\n\r\n")
        await without_end(writer, b"400\r\n" + b"x" * 1024 + b"\r\n")

    async with raw_server(endless) as port, asyncio.timeout(5):
        hook = Webhook(f"http://127.0.0.1:{port}/", None, None, lambda: 0.0)
        if status.startswith(b"200"):
            await hook.deliver(NOTICE)
        else:
            with pytest.raises(NoticeFailed, match="answered 503"):
                await hook.deliver(NOTICE)


async def test_n2_a_receiver_that_trickles_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "NOTICE_DEADLINE_S", 0.2)

    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await without_end(writer, b"HTTP/1.1 100 Continue\r\n\r\n")

    async with raw_server(trickling) as port, asyncio.timeout(5):
        hook = Webhook(f"http://127.0.0.1:{port}/", None, None, lambda: 0.0)
        with pytest.raises(NoticeFailed, match="did not answer in time"):
            await hook.deliver(NOTICE)
