"""What units of work that share a transaction do once, at its end; what is stored of them; the log of a database at rest."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.database import Database
from shared.database_connections import DamageMet
from shared.errors import Misuse, Refused, StorageFailed
from shared.limits import LOG_KEPT_BYTES
from shared.rig.client import until


class Tally:
    """Counts how often it closes, and hears what became of it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.closed = 0
        self.heard: list[Any] = []
        self._failure = failure

    def close(self, connection: sqlite3.Connection) -> int:
        self.closed += 1
        if self._failure is not None:
            raise self._failure
        connection.execute("INSERT INTO thing VALUES ('end')")
        return self.closed

    def on_closed(self, outcome: Any) -> None:
        self.heard.append(outcome)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    (folder / "sql").mkdir()
    (folder / "sql" / "0001.sql").write_text("CREATE TABLE thing (name TEXT NOT NULL) STRICT;", encoding="utf-8")
    database = await Database.open(folder / "a.db", folder / "sql")
    try:
        yield database
    finally:
        await database.close()


def put(name: str | None) -> Any:
    return lambda connection: connection.execute("INSERT INTO thing VALUES (?)", (name,)).rowcount


def refuse(_: sqlite3.Connection) -> int:
    raise Refused("not_found", what="thing")


def fail_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO thing VALUES ('half')")
    raise ValueError("no further")


def nest_too_deeply(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO thing VALUES ('deep')")
    msgspec.json.decode("[" * 3_000)


async def names(database: Database) -> list[str]:
    return await database.read(lambda c: [row[0] for row in c.execute("SELECT name FROM thing ORDER BY rowid")])


async def test_units_of_one_transaction_share_one_closing_and_a_refused_one_takes_nothing_with_it(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as database:
        tally = Tally()
        units = [put("a"), refuse, put("b")]
        results = await asyncio.gather(*(database.write(unit, closing=tally) for unit in units), return_exceptions=True)
        assert [type(result) for result in results] == [int, Refused, int]
        assert (tally.closed, tally.heard) == (1, [1])
        assert await names(database) == ["a", "b", "end"]


@pytest.mark.parametrize("failure", [Refused("not_found", what="thing"), RecursionError("too deep")])
async def test_a_closing_that_fails_undoes_its_whole_transaction_and_those_whose_it_is_hear_why(
    tmp_path: Path, failure: Exception
) -> None:
    async with opened(tmp_path) as database:
        failing, other = Tally(failure), Tally()
        results = await asyncio.gather(
            database.write(put("a"), closing=failing),
            database.write(put("b"), closing=failing),
            database.write(put("c"), closing=other),
            database.write(put("d")),
            return_exceptions=True,
        )
        assert list(results[:2]) == [failure, failure]
        assert [type(result) for result in results[2:]] == [StorageFailed, StorageFailed], "they may try again"
        assert failing.heard == [failure]
        assert [type(heard) for heard in other.heard] == [StorageFailed]
        assert await names(database) == []
        assert await database.write(put("c")) == 1


async def test_one_who_raises_on_hearing_of_its_transaction_leaves_nobody_waiting(tmp_path: Path) -> None:
    class Raises(Tally):
        def on_closed(self, outcome: Any) -> None:
            super().on_closed(outcome)
            raise RuntimeError("it must not")

    def raises(outcome: Any) -> None:
        raise RuntimeError("it must not")

    async with opened(tmp_path) as database:
        first, second = Raises(), Tally()
        async with asyncio.timeout(5):
            writes = [database.write(put(name), raises, tally) for name, tally in (("a", first), ("b", second))]
            assert await asyncio.gather(*writes) == [1, 1]
        assert (first.heard, second.heard) == ([1], [1])


async def test_nobody_else_is_undone_a_second_time_with_a_closing_that_fails(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        failing, other = Tally(ValueError("odd")), Tally()
        with pytest.raises(ValueError, match="odd"):
            await database.write(put("x"), closing=failing)
        for closings in ([other, failing, None, failing, failing, other], [failing, other], [None, failing]):
            results = await asyncio.gather(
                *(database.write(put("a"), closing=each) for each in closings), return_exceptions=True
            )
            assert [type(result) for result in results] == [ValueError if each is failing else int for each in closings]
        assert all(isinstance(heard, int) for heard in other.heard)
        assert len(await names(database)) == 5 + len(other.heard)


async def test_of_a_unit_that_fails_half_way_nothing_is_kept_and_the_others_are_stored(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        units = [put("a"), put(None), fail_half_way, nest_too_deeply, put("b")]
        results = await asyncio.gather(*map(database.write, units), return_exceptions=True)
        assert [type(result) for result in results] == [int, Misuse, ValueError, RecursionError, int]
        assert await names(database) == ["a", "b"]


async def test_of_a_first_unit_that_fails_half_way_nothing_is_kept_and_what_comes_after_it_is_stored(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as database:
        tally = Tally()
        writes = [database.write(unit, closing=tally) for unit in (fail_half_way, put("a"))]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(result) for result in results] == [ValueError, int]
        assert await names(database) == ["a", "end"]
        with pytest.raises(ValueError, match="no further"):
            await database.write(fail_half_way, closing=tally)
        assert await names(database) == ["a", "end", "end"], (
            "alone in its transaction, whose end is stored all the same"
        )


async def test_a_caller_hears_of_its_unit_once_that_is_on_the_disk(tmp_path: Path) -> None:
    def seen() -> list[str]:
        with closing(sqlite3.connect(tmp_path / "a.db")) as elsewhere:
            return [row[0] for row in elsewhere.execute("SELECT name FROM thing")]

    async with opened(tmp_path) as database:
        heard: list[list[str]] = []
        await database.write(put("a"), lambda outcome: heard.append(seen()))
        assert heard == [seen()] == [["a"]]
        pragmas = ("PRAGMA journal_mode", "PRAGMA synchronous")
        found = await database.write(lambda c: [c.execute(pragma).fetchone()[0] for pragma in pragmas])
        assert found == ["wal", 2], (
            "2 is FULL: a commit is on the disk when it returns, also where the power fails then"
        )


async def test_what_waits_when_a_database_is_closed_is_stored_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        waiting = [asyncio.ensure_future(database.write(put(str(at)))) for at in range(3)]
        await asyncio.sleep(0)  # all are offered, none is begun
        await database.close()
        assert [each.result() for each in waiting] == [1, 1, 1]
        with closing(sqlite3.connect(tmp_path / "a.db")) as elsewhere:
            assert elsewhere.execute("SELECT COUNT(*) FROM thing").fetchone() == (3,)


async def test_a_database_at_rest_gives_the_room_of_its_log_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await database.write(put("x" * 10 * LOG_KEPT_BYTES))
        log = tmp_path / "a.db-wal"
        assert log.stat().st_size > LOG_KEPT_BYTES

        async def empty() -> bool:
            return log.stat().st_size == 0

        await until(empty, timeout_s=10, what="the log to be emptied")
        assert len((await names(database))[0]) == 10 * LOG_KEPT_BYTES


async def test_the_log_of_a_database_that_is_written_without_a_pause_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long the log is when it does so is a matter of the disk; that it does is not.
    monkeypatch.setattr("shared.checkpoints.CHECKPOINT_EVERY_S", 0.01)
    monkeypatch.setattr("shared.checkpoints.LOG_FRAMES_MAX", 64)
    log = tmp_path / "a.db-wal"
    async with opened(tmp_path) as database:
        begun, stored = {times_begun_anew(log)}, 0

        async def put_on() -> None:
            nonlocal stored
            while len(begun) < 4 and stored < 1_000:
                await database.write(put("x" * 100_000))
                stored += 1
                begun.add(times_begun_anew(log))

        reading = asyncio.ensure_future(database.read(lambda c: c.execute("SELECT COUNT(*) FROM thing").fetchone()[0]))
        await asyncio.gather(put_on(), put_on())
        assert await reading <= stored
        assert len(begun) == 4, f"begun anew {len(begun) - 1} times in {stored / 10:.0f} MB"
        assert await names(database) == ["x" * 100_000] * stored
    with closing(sqlite3.connect(tmp_path / "a.db")) as elsewhere:
        assert elsewhere.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert elsewhere.execute("SELECT COUNT(*) FROM thing").fetchone() == (stored,)


def times_begun_anew(log: Path) -> int:
    """How often this log was begun anew, by its header (SQLite's file format, section 4.1)."""
    with log.open("rb") as file:
        return int.from_bytes(file.read(16)[12:], "big")


@pytest.mark.parametrize("count", [1, 40])
async def test_a_closing_runs_once_for_each_transaction_it_is_named_in(tmp_path: Path, count: int) -> None:
    async with opened(tmp_path) as database:
        tally = Tally()
        for _ in range(2):
            await asyncio.gather(*(database.write(put("a"), closing=tally) for _ in range(count)))
        assert tally.closed == 2


async def test_a_glance_sees_what_is_committed_writes_nothing_and_ends_with_the_database(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await database.write(put("one"))
        count = database.glance(lambda c: int(c.execute("SELECT COUNT(*) FROM thing").fetchone()[0]))
        assert count == 1
        with pytest.raises(StorageFailed, match="readonly"):
            database.glance(lambda c: c.execute("INSERT INTO thing VALUES ('two')"))
    with pytest.raises(StorageFailed, match="closing"):
        database.glance(lambda c: None)


async def test_what_a_glance_finds_damaged_is_set_aside_and_fails_it_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await database.write(put("damaged"))

        def set_aside(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM thing")

        def look(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM thing").fetchone():
                raise DamageMet("it is damaged", set_aside)

        with pytest.raises(StorageFailed, match="it is damaged"):
            database.glance(look)
        await database.write(lambda c: None)  # behind what sets it aside
        database.glance(look)
