"""Patient units of work: they give way to what is waited for, go alone, and have their turn all the same."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from shared.database import Database


@asynccontextmanager
async def _database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "site.db", files("connector").joinpath("sql"))
    try:
        yield database
    finally:
        await database.close()


def _noting(order: list[str], name: str) -> Callable[[sqlite3.Connection], None]:
    def unit(_: sqlite3.Connection) -> None:
        order.append(name)

    return unit


@pytest.mark.parametrize(
    ("patience_s", "wanted"),
    [
        (60.0, ["one", "two", "patient", "another patient"]),
        (0.0, ["patient", "one", "two", "another patient"]),  # never two of them before what waits
    ],
)
async def test_patient_work_gives_way_to_all_that_waits_and_goes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience_s: float, wanted: list[str]
) -> None:
    monkeypatch.setattr("shared.database.WRITER_PATIENCE_S", patience_s)
    async with _database(tmp_path) as database:
        order: list[str] = []
        begun, go_on = threading.Event(), threading.Event()

        def first(_: sqlite3.Connection) -> None:
            begun.set()
            assert go_on.wait(5)

        writes = [asyncio.ensure_future(database.write(first))]
        await asyncio.to_thread(begun.wait, 5)
        before = database.commits
        offered = {"patient": True, "another patient": True, "one": False, "two": False}
        writes += [
            asyncio.ensure_future(database.write(_noting(order, name), patient=patient))
            for name, patient in offered.items()
        ]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*writes)
        assert order == wanted
        assert database.commits - before == 4  # the first, both together, and each of the patient ones


async def test_patient_work_has_its_turn_although_others_never_cease(tmp_path: Path) -> None:
    async with _database(tmp_path) as database:
        over = False

        def another(_: object = None) -> None:
            if not over:  # offered before the writer looks for what waits next
                database.begin(lambda _: None, another)

        another()
        await asyncio.wait_for(database.write(lambda _: None, patient=True), 5)
        over = True
