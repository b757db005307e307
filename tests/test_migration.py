"""Upgrades: the copy before, all or nothing, and an upgraded database that equals a fresh one."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import pytest

from shared.database import Database
from shared.errors import DatabaseNewer, StorageFailed
from shared.migration import copies_of

SCRIPTS = {"site": files("connector") / "sql", "hub": files("hub") / "sql"}


def folder_of(tmp_path: Path, **scripts: str) -> Path:
    """A folder of scripts of our own making."""
    folder = tmp_path / "sql"
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (folder / f"{name.removeprefix('n')}.sql").write_text(text)
    return folder


async def brought_up(path: Path, scripts: Traversable) -> None:
    await (await Database.open(path, scripts)).close()


def dump(path: Path) -> list[str]:
    """Everything in a database, its schema included; the order in which tables were made aside."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return sorted([*connection.iterdump(), f"schema {version}"])


@pytest.fixture(params=sorted(SCRIPTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_database_of_the_first_schema_becomes_the_same_as_a_fresh_one(tmp_path: Path, kind: str) -> None:
    names = sorted(each.name for each in SCRIPTS[kind].iterdir() if each.name.endswith(".sql"))
    first = tmp_path / "first"
    first.mkdir()
    (first / names[0]).write_text((SCRIPTS[kind] / names[0]).read_text(encoding="utf-8"))
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    await brought_up(old, first)
    await brought_up(old, SCRIPTS[kind])
    await brought_up(fresh, SCRIPTS[kind])
    assert dump(old) == dump(fresh)


async def test_before_an_upgrade_a_checked_copy_is_kept_and_only_the_last_two_stay(tmp_path: Path) -> None:
    path = tmp_path / "data" / "site.db"
    scripts = folder_of(tmp_path, n0001="CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (7);")
    await brought_up(path, scripts)
    assert copies_of(path) == [], "a fresh database has no before"
    before = dump(path)
    for number in range(2, 6):
        folder_of(tmp_path, **{f"n{number:04}": f"ALTER TABLE a ADD COLUMN c{number} INTEGER;"})
        await brought_up(path, scripts)
        if number == 2:
            (copy,) = copies_of(path)
            assert dump(copy) == before
            assert copy.name.startswith("site.schema-1.")
            assert copy.stat().st_mode & 0o777 == 0o600
    assert [copy.name.split(".")[1] for copy in copies_of(path)] == ["schema-3", "schema-4"]
    await brought_up(path, scripts)
    assert len(copies_of(path)) == 2, "nothing to upgrade, nothing to copy"
    assert not list(path.parent.glob("*.partial"))


@pytest.mark.parametrize("broken", ["CREATE TABLE c (;", "INSERT INTO b VALUES (1, 99);"])
async def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "site.db"
    made = "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT; CREATE TABLE b (y INTEGER, x INTEGER REFERENCES a) STRICT;"
    scripts = folder_of(tmp_path, n0001=made)
    await brought_up(path, scripts)
    before = dump(path)
    folder_of(tmp_path, n0002="ALTER TABLE a ADD COLUMN z INTEGER;", n0003=broken)
    with pytest.raises(StorageFailed, match="as it was before"):
        await brought_up(path, scripts)
    assert dump(path) == before
    assert dump(copies_of(path)[0]) == before
    (scripts / "0002.sql").unlink()
    (scripts / "0003.sql").unlink()
    await brought_up(path, scripts)


async def test_a_table_that_is_made_anew_takes_no_rows_of_others_with_it(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    made = (
        "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT; INSERT INTO a VALUES (1);"
        "CREATE TABLE b (x INTEGER REFERENCES a ON DELETE CASCADE) STRICT; INSERT INTO b VALUES (1);"
    )
    scripts = folder_of(tmp_path, n0001=made)
    await brought_up(path, scripts)
    anew = (
        "CREATE TABLE new (x INTEGER PRIMARY KEY, y TEXT) STRICT; INSERT INTO new SELECT x, '' FROM a;"
        "DROP TABLE a; ALTER TABLE new RENAME TO a;"
    )
    folder_of(tmp_path, n0002=anew)
    await brought_up(path, scripts)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM b").fetchone() == (1,)


async def test_a_database_of_a_newer_release_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    scripts = folder_of(tmp_path, n0001="CREATE TABLE a (x INTEGER) STRICT;")
    await brought_up(path, scripts)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    before = dump(path)
    with pytest.raises(DatabaseNewer, match="schema 9, this release knows 1"):
        await brought_up(path, scripts)
    assert dump(path) == before
    assert copies_of(path) == []


async def test_without_room_for_the_copy_nothing_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site.db"
    scripts = folder_of(tmp_path, n0001="CREATE TABLE a (x INTEGER) STRICT;")
    await brought_up(path, scripts)
    folder_of(tmp_path, n0002="ALTER TABLE a ADD COLUMN z INTEGER;")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    before = dump(path)
    with pytest.raises(StorageFailed, match=r"64 MiB more have to be free"):
        await brought_up(path, scripts)
    assert dump(path) == before


async def test_a_damaged_database_is_not_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    made = "CREATE TABLE a (x INTEGER, t TEXT) STRICT; CREATE INDEX by_x ON a (x);"
    scripts = folder_of(tmp_path, n0001=made)
    await brought_up(path, scripts)
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO a VALUES (?, ?)", [(at, "text" * 50) for at in range(2_000)])
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[4096 * 5 : 4096 * 6] = b"\xff" * 4096
    path.write_bytes(content)
    folder_of(tmp_path, n0002="ALTER TABLE a ADD COLUMN z INTEGER;")
    with pytest.raises(StorageFailed, match="is damaged"):
        await brought_up(path, scripts)
    assert not list(tmp_path.glob("*.schema-*"))
