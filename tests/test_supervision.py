"""What goes on for a daemon's life is begun again after any error, and ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from shared import supervision
from shared.errors import Misuse, StorageFailed
from shared.supervision import supervised


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "STOPPED_AGAIN_S", 0.001)


async def test_work_is_begun_again_after_any_error_and_each_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    errors: Iterator[Exception | None] = iter([RuntimeError("a bug"), Misuse("not now"), StorageFailed("full"), None])

    async def work() -> None:
        if (error := next(errors)) is not None:
            raise error

    await supervised("sweeping", work, {"connector": "ABCD"})
    assert next(errors, "all begun") == "all begun"
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("ERROR", "sweeping stopped, started again in a second"),
        ("ERROR", "sweeping stopped, started again in a second"),
        ("WARNING", "sweeping put off: full"),
    ]


async def test_a_task_group_that_fails_is_begun_again_as_anything_else(caplog: pytest.LogCaptureFixture) -> None:
    begun, told = 0, list[str]()

    async def fail() -> None:
        if begun < 3:
            raise RuntimeError("a bug")

    async def work() -> None:
        nonlocal begun
        begun += 1
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            tasks.create_task(asyncio.sleep(0))

    await supervised("looking", work, told=told.append)
    assert (begun, told) == (3, ["looking", "looking"])
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


async def test_work_that_is_cancelled_is_not_begun_again() -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    task = asyncio.ensure_future(supervised("waiting", work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == 1


@pytest.mark.parametrize("error", [StorageFailed("the disk does not give it back"), RuntimeError("a bug")])
async def test_work_that_meets_an_error_on_its_way_out_is_not_begun_again(error: Exception) -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun > 1:
            return  # begun again: to its end
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    task = asyncio.ensure_future(supervised("waiting", work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun == 1
