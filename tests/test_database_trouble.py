"""A database whose disk fails: nothing is said to be stored that is not, reading goes on, and it comes back by itself (N6)."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib.resources import files
from pathlib import Path

import pytest

from shared.database import Database
from shared.database_rescue import try_to_write
from shared.errors import StorageFailed
from shared.storage_trouble import TroubleKind


@pytest.fixture(autouse=True)
def _tried_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.database.STORE_TRIED_EVERY_S", 0.02)


@asynccontextmanager
async def opened(folder: Path, **more: bool) -> AsyncIterator[Database]:
    """Open a site's database for the time of a block."""
    database = await Database.open(folder / "site.db", files("connector") / "sql", **more)
    try:
        yield database
    finally:
        await database.close()


async def store(database: Database, name: str, value: bytes = b"x") -> None:
    """Store a fact."""
    await database.write(lambda c: c.execute("INSERT INTO meta VALUES (?, ?)", (name, value)).rowcount)


async def stored(database: Database) -> set[str]:
    """Return the names of all facts."""
    return await database.read(lambda c: {row[0] for row in c.execute("SELECT name FROM meta")})


def on_disk(path: Path) -> set[str]:
    """Return the names of all facts as another process sees them."""
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM meta")}


async def until_well(database: Database) -> None:
    """Wait until it stores again."""
    async with asyncio.timeout(20):
        await database.until_storing()


def kind_of(database: Database) -> TroubleKind | None:
    """Return what is wrong."""
    return None if database.trouble is None else database.trouble.kind


async def test_n6_a_full_disk_refuses_at_once_goes_on_reading_and_stores_again_when_there_is_room(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as database:
        rung: list[TroubleKind | None] = []
        database.on_trouble = lambda: rung.append(kind_of(database))
        await store(database, "before")
        await database.write(lambda c: c.execute("PRAGMA max_page_count=1").fetchone())  # as many as there are
        with pytest.raises(StorageFailed, match=r"full.*Make room"):
            await store(database, "large", os.urandom(100_000))
        begun: list[str] = []
        with pytest.raises(StorageFailed, match="full"):
            await database.write(lambda c: begun.append("it was tried"))
        assert not begun
        assert await stored(database) == {"before"}
        assert "full" in database.problem
        assert database.figures().failing
        await database._writer.run(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchone())
        await until_well(database)
        await store(database, "after", os.urandom(100_000))
        assert database.problem == ""
    assert on_disk(tmp_path / "site.db") == {"before", "after"}
    assert rung == [TroubleKind.FULL, None]


async def test_n6_a_disk_that_takes_no_checkpoint_is_named_and_everything_committed_is_there_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.checkpoints.CHECKPOINT_LOG_BYTES_MIN", 0)
    monkeypatch.setattr("shared.checkpoints.CHECKPOINT_EVERY_S", 0.0)
    path = tmp_path / "site.db"
    async with opened(tmp_path) as database:
        rung: list[TroubleKind | None] = []
        database.on_trouble = lambda: rung.append(kind_of(database))
        await store(database, "before", os.urandom(1_000_000))
        await database._checkpoints.until_done()
        await database._writer.run(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50_000, hard))  # no file may become greater
        try:
            await store(database, "in the log only", os.urandom(100_000))
            async with asyncio.timeout(10):
                while database.trouble is None:
                    await database._checkpoints.until_done()
                    await asyncio.sleep(0)
            with pytest.raises(StorageFailed, match=r"full|refuses"):
                await store(database, "refused")
            assert await stored(database) == {"before", "in the log only"}
            await asyncio.sleep(0.1)  # some trials: what stores in the log alone does not make it well
            assert len(rung) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until_well(database)
        await store(database, "after")
    assert on_disk(path) == {"before", "in the log only", "after"}


async def test_n6_a_disk_that_became_read_only_is_named_and_left_alone_until_it_is_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await database._writer.run(lambda c: c.execute("PRAGMA query_only=ON"))
        with pytest.raises(StorageFailed, match="cannot be written to"):
            await store(database, "lost")
        assert kind_of(database) is TroubleKind.READ_ONLY
        await database._writer.run(lambda c: c.execute("PRAGMA query_only=OFF"))
        await until_well(database)
        await store(database, "after")
        assert await stored(database) == {"after"}


@pytest.mark.parametrize("whole_directory", [False, True])
async def test_n6_a_database_that_was_deleted_is_put_back_with_everything_in_it(
    tmp_path: Path, whole_directory: bool
) -> None:
    folder = tmp_path / "data"
    async with opened(folder, puts_back=True) as database:
        await store(database, "before")
        reading = asyncio.ensure_future(stored(database))
        if whole_directory:
            shutil.rmtree(folder)
        else:
            (folder / "site.db").unlink()
        with pytest.raises(StorageFailed, match="was deleted"):
            await store(database, "refused")
        assert await reading == {"before"}
        assert await stored(database) == {"before"}, "what is held is not served meanwhile"
        await until_well(database)
        await store(database, "after")
        assert await stored(database) == {"before", "after"}
        assert (folder / "site.db").stat().st_mode & 0o077 == 0
    assert on_disk(folder / "site.db") == {"before", "after"}
    assert not list(folder.glob("*.rescued*"))


async def test_n6_a_deleted_log_takes_no_room_from_the_copy_that_is_put_back(tmp_path: Path) -> None:
    async with opened(tmp_path, puts_back=True) as database:
        await store(database, "before", bytes(2**20))
        with (tmp_path / "site.db-wal").open("rb") as log:
            assert os.fstat(log.fileno()).st_size >= 2**20
            (tmp_path / "site.db").unlink()
            with pytest.raises(StorageFailed, match="was deleted"):
                await store(database, "refused")
            await until_well(database)
            assert os.fstat(log.fileno()).st_size == 0
        assert await stored(database) == {"before"}


@pytest.mark.parametrize("goes_again", [False, True])
async def test_n6_a_database_put_back_that_cannot_be_opened_at_once_refuses_and_is_opened_as_soon_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_again: bool
) -> None:
    path = tmp_path / "site.db"
    async with opened(tmp_path, puts_back=True) as database:
        await store(database, "before")
        tried = asyncio.Event()

        async def no_room(*_: object) -> None:
            tried.set()
            raise sqlite3.OperationalError("unable to open database file")

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr("shared.database.open_all", no_room)
            path.unlink()
            with pytest.raises(StorageFailed, match="was deleted"):
                await store(database, "refused")
            async with asyncio.timeout(20):
                await tried.wait()
            asked = asyncio.gather(*(stored(database) for _ in range(5)), return_exceptions=True)
            assert {type(answer) for answer in await asyncio.wait_for(asked, 5)} == {StorageFailed}
            with pytest.raises(StorageFailed, match="unable to open"):
                database.glance(lambda c: None)
            if goes_again:
                path.unlink()
            tried.clear()
            async with asyncio.timeout(20):
                await tried.wait()
        await until_well(database)
        await store(database, "after")
        assert await stored(database) == {"before", "after"}
    assert on_disk(path) == {"before", "after"}
    assert [each.name for each in tmp_path.glob("site.db*")] == ["site.db"]


async def test_n6_a_deleted_database_is_put_back_also_on_a_disk_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", link)
    async with opened(tmp_path, puts_back=True) as database:
        await store(database, "before")
        (tmp_path / "site.db").unlink()
        with pytest.raises(StorageFailed, match="was deleted"):
            await store(database, "refused")
        await until_well(database)
        assert await stored(database) == {"before"}
    assert [each.name for each in tmp_path.glob("site.db*")] == ["site.db"]


async def test_n6_a_start_takes_the_copy_of_a_deleted_database_and_never_begins_empty_beside_half_of_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "site.db"
    async with opened(tmp_path) as database:
        await store(database, "before")
    path.rename(tmp_path / "site.db.rescued")  # as a process leaves it that ended before the copy had the name
    async with opened(tmp_path) as database:
        assert await stored(database) == {"before"}
    assert [each.name for each in tmp_path.glob("site.db*")] == ["site.db"]
    path.rename(tmp_path / "site.db.rescuing")
    with pytest.raises(StorageFailed, match=r"was deleted .*pairhub restore FILE"):
        async with opened(tmp_path):
            pass
    assert not path.exists()


async def test_n6_a_copy_of_long_ago_is_never_taken_for_what_was_deleted(tmp_path: Path) -> None:
    path, rescued = tmp_path / "site.db", tmp_path / "site.db.rescued"
    async with opened(tmp_path) as database:
        await store(database, "long ago")
    shutil.copy(path, rescued)  # whole, and somebody put another file in the place of the deleted one before the start
    async with opened(tmp_path) as database:
        await store(database, "since")
    (aside,) = tmp_path.glob("site.db.rescued*")
    assert aside != rescued
    assert on_disk(aside) == {"long ago"}
    aside.rename(rescued)
    path.rename(tmp_path / "site.db.rescuing")  # deleted while it was open, and killed in the midst of the new copy
    with pytest.raises(StorageFailed, match=r"before site\.db\.rescuing was whole"):
        async with opened(tmp_path):
            pass
    assert not path.exists()


async def test_n6_who_keeps_more_beside_a_database_hears_that_it_was_put_back_until_he_took_it(tmp_path: Path) -> None:
    heard: list[str] = []

    def put_back() -> None:
        heard.append("heard")
        if len(heard) == 1:
            raise StorageFailed("no space left on device")

    async with opened(tmp_path, puts_back=True) as database:
        database.on_put_back = put_back
        (tmp_path / "site.db").unlink()
        with pytest.raises(StorageFailed, match="was deleted"):
            await store(database, "refused")
        await until_well(database)
        assert len(heard) == 2
        await store(database, "after")


async def test_n6_damage_met_again_during_a_trial_that_finds_none_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection, path: Path, kind: TroubleKind) -> None:
        begun.set()
        go_on.wait(20)
        try_to_write(connection, path, kind)

    monkeypatch.setattr("shared.database.try_to_write", slow)
    monkeypatch.setattr("shared.database.STORE_TRIED_EVERY_S", 0)  # the timer goes off with the next turn of the loop
    async with opened(tmp_path) as database:
        with pytest.raises(StorageFailed):
            await database.read(damaged)
        await asyncio.to_thread(begun.wait, 20)
        with pytest.raises(StorageFailed):
            await database.read(damaged)
        go_on.set()
        await until_well(database)
        assert await stored(database) == set()
        assert kind_of(database) is None


async def test_n6_what_goes_into_a_file_that_lost_its_name_meanwhile_is_not_called_stored(tmp_path: Path) -> None:
    async with opened(tmp_path, puts_back=True) as database:

        def vanish(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO meta VALUES ('under way', 1)")
            (tmp_path / "site.db").unlink()

        with pytest.raises(StorageFailed, match="was deleted"):
            await database.write(vanish)
        await until_well(database)
        await store(database, "after")


async def test_n6_another_file_of_its_name_is_never_written_to_and_never_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "site.db", tmp_path / "other"
    async with opened(tmp_path, puts_back=True) as database:
        path.rename(other)
        path.write_text("somebody else's")
        with pytest.raises(StorageFailed, match="another file has taken the place"):
            await store(database, "lost")
        path.unlink()
        other.rename(path)
        await until_well(database)
        await store(database, "after")
    assert on_disk(path) == {"after"}


async def test_n6_damage_that_a_reader_meets_ends_storing_until_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    async with opened(tmp_path) as database:
        for at in range(40):
            await store(database, f"fact {at}", os.urandom(20_000))
        await database.write(lambda c: None)
    whole = path.read_bytes()
    async with opened(tmp_path) as database:
        with path.open("r+b") as file:  # in the middle of what is stored, as a failing disk would
            file.seek(len(whole) // 2)
            file.write(bytes(120_000))
        with pytest.raises(StorageFailed):
            await database.read(lambda c: c.execute("SELECT name, value FROM meta").fetchall())
        assert kind_of(database) is TroubleKind.DAMAGED
        with pytest.raises(StorageFailed, match="pairhub restore FILE --data-dir"):
            await store(database, "lost")
        path.write_bytes(whole)
        await until_well(database)
        await store(database, "after")


@pytest.mark.parametrize("how", ["garbage", "torn"])
async def test_n6_a_damaged_database_does_not_start_and_says_how_to_restore(tmp_path: Path, how: str) -> None:
    path = tmp_path / "site.db"
    async with opened(tmp_path) as database:
        for at in range(20):
            await store(database, f"fact {at}", os.urandom(20_000))
    whole = path.read_bytes()
    path.write_bytes(b"garbage" * 10_000 if how == "garbage" else whole[: len(whole) // 2] + bytes(len(whole) // 2))
    with pytest.raises(StorageFailed, match=r"is damaged .*pairhub restore FILE"):
        async with opened(tmp_path):
            pass


async def test_an_error_of_a_unit_of_work_is_no_trouble_of_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        with pytest.raises(StorageFailed, match="no such table"):
            await database.write(lambda c: c.execute("SELECT * FROM absent"))
        assert database.trouble is None
        await store(database, "after")
