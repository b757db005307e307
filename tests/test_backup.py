"""Backups as files: what they hold, what damage is found, what a restore refuses, and that nothing is overwritten (N6)."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from connector.backup import belongings as site_belongings
from connector.backup import find_restored
from connector.backup_desk import BackupDesk
from connector.identity import load_or_create
from hub.backup import belongings as hub_belongings
from hub.keys import load_or_make_key
from shared.backup import Part, check, read_manifest, take
from shared.data_directory import Residence
from shared.database import Database
from shared.errors import BackupUnusable, DatabaseNewer, InTheWay, PairhubError, StorageFailed
from shared.exit_codes import ExitCode, code_of
from shared.passphrase_seal import CHUNK_BYTES, OpeningReader, SealingWriter
from shared.restore import restore
from shared.rig.client import until
from shared.settings import SettingWrong

PASSPHRASE = "a horse, a battery"


@pytest.fixture(autouse=True, scope="module")
def _quick_passphrases() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.passphrase_seal._COST_LOG2", 8)
        yield


async def _site(data_dir: Path) -> str:
    database = await Database.open(data_dir / "site.db", files("connector") / "sql", readers=0)
    identity = await database.write(lambda connection: load_or_create(connection, "plant"))
    await database.write(lambda c: c.execute("INSERT INTO meta VALUES ('noise', ?)", (os.urandom(300_000),)))
    await database.close()
    return identity.site_id


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a site that ran once, with a self-made certificate."""
    data_dir = tmp_path_factory.mktemp("house") / "site"
    asyncio.run(_site(data_dir))
    (data_dir / "tls").mkdir()
    (data_dir / "tls" / "ca.key").write_text("secret")
    return data_dir


@pytest.fixture(scope="module")
def made(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    file = tmp_path_factory.mktemp("backups") / "site.zip"
    take(site_belongings(site), file, version="1")
    return file


def refused(asked: Callable[[], object], kind: type[PairhubError], words: str, code: ExitCode) -> None:
    """See that something is refused by kind, words and exit code."""
    with pytest.raises(kind, match=words) as caught:
        asked()
    assert code_of(caught.value) is code


def everything(folder: Path) -> dict[str, bytes]:
    """Return all files under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_n6_a_backup_is_one_private_file_with_all_that_makes_up_a_site(site: Path, made: Path) -> None:
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in made.parent.iterdir()] == ["site.zip"], "something was left beside it"
    manifest = check(made)
    assert (manifest.kind, manifest.facts["site_name"]) == ("site", "plant")
    assert [part.name for part in manifest.parts] == ["site.db", "tls/ca.key"]
    with zipfile.ZipFile(made) as archive:  # any tool can open it
        assert archive.testzip() is None
        assert json.loads(archive.read("manifest.json"))["schema"] == manifest.schema


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_n6_what_is_restored_is_what_was_backed_up_with_no_one_logged_in(
    site: Path, tmp_path: Path, passphrase: str
) -> None:
    with closing(sqlite3.connect(site / "site.db")) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO session VALUES (?, 'ann', 1, 1, '', '')", (b"s" * 32,))
        identity = connection.execute("SELECT name, value FROM meta ORDER BY name").fetchall()
    take(site_belongings(site), tmp_path / "backup", version="1", passphrase=passphrase)
    restore(site_belongings(tmp_path / "new"), tmp_path / "backup", passphrase=passphrase)
    with closing(sqlite3.connect(tmp_path / "new" / "site.db")) as connection:
        found = dict(connection.execute("SELECT name, value FROM meta"))
        assert {name: found[name] for name, _ in identity} == dict(identity)
        assert connection.execute("SELECT COUNT(*) FROM session").fetchone() == (0,)
        restored = find_restored(connection)
    assert restored is not None
    assert restored.backup_ms <= restored.restored_ms
    assert (tmp_path / "new" / "tls" / "ca.key").read_text() == "secret"
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "new").rglob("*")} == {0}


def test_n6_the_state_in_a_backup_is_one_moment_of_a_database_that_is_written_to(tmp_path: Path) -> None:
    asyncio.run(_site(tmp_path / "site"))
    with closing(sqlite3.connect(tmp_path / "site" / "site.db", isolation_level=None)) as writer:
        steps: list[int] = []

        def write_on(what: str, done: int, _: int) -> None:
            if what == "copying the database":
                writer.execute("BEGIN")
                for name in ("one", "other"):
                    writer.execute("INSERT INTO meta VALUES (?, ?)", (f"{name}{len(steps)}", os.urandom(400_000)))
                writer.execute("COMMIT")
                steps.append(done)

        writer.execute("INSERT INTO meta VALUES ('large', ?)", (os.urandom(3_000_000),))
        take(site_belongings(tmp_path / "site"), tmp_path / "backup", version="1", progress=write_on)
    assert len(steps) > 2, "it was copied in one step"
    restore(site_belongings(tmp_path / "new"), tmp_path / "backup")
    with closing(sqlite3.connect(tmp_path / "new" / "site.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM meta WHERE name GLOB 'o*[0-9]'").fetchone() == (0,)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_n6_damage_anywhere_in_a_backup_is_found(site: Path, tmp_path: Path, passphrase: str) -> None:
    file = tmp_path / "backup"
    take(site_belongings(site), file, version="1", passphrase=passphrase)
    whole = file.read_bytes()
    for at in (len(whole) // 5, len(whole) // 2):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        refused(lambda: check(file, passphrase), BackupUnusable, "damaged", ExitCode.BACKUP_UNUSABLE)
        refused(
            lambda: restore(site_belongings(tmp_path / "new"), file, passphrase=passphrase),
            BackupUnusable,
            "damaged",
            ExitCode.BACKUP_UNUSABLE,
        )
        assert not everything(tmp_path / "new"), "half a restore is left"
    file.write_bytes(whole[:-1])
    refused(lambda: check(file, passphrase), BackupUnusable, "damaged|does not open", ExitCode.BACKUP_UNUSABLE)


def test_a_sealed_backup_needs_its_passphrase_and_that_has_to_be_long(site: Path, tmp_path: Path) -> None:
    whose, file = site_belongings(site), tmp_path / "backup"
    refused(lambda: take(whose, file, version="1", passphrase="short"), SettingWrong, "12 char", ExitCode.CONFIGURATION)
    take(whose, file, version="1", passphrase=PASSPHRASE)
    assert b"site.db" not in file.read_bytes()
    refused(lambda: check(file), BackupUnusable, "sealed", ExitCode.BACKUP_UNUSABLE)
    refused(lambda: check(file, "another passphrase"), BackupUnusable, "does not open", ExitCode.BACKUP_UNUSABLE)
    assert read_manifest(file, PASSPHRASE).kind == "site"


def test_chunks_of_a_sealed_file_can_be_neither_exchanged_nor_cut_off() -> None:
    plain = os.urandom(3 * CHUNK_BYTES)
    whole = io.BytesIO()
    writer = SealingWriter(whole, PASSPHRASE)
    writer.write(plain)
    writer.close()
    sealed, piece = whole.getvalue(), CHUNK_BYTES + 16
    assert io.BufferedReader(OpeningReader(io.BytesIO(sealed), PASSPHRASE)).read() == plain
    head = len(sealed) - 3 * piece
    exchanged = sealed[: head + piece] + sealed[head + 2 * piece :] + sealed[head + piece : head + 2 * piece]
    for forged in (exchanged, sealed[:-piece], sealed[:-1]):
        with pytest.raises(BackupUnusable):
            io.BufferedReader(OpeningReader(io.BytesIO(forged), PASSPHRASE)).read()


def test_n6_a_restore_goes_into_an_empty_directory_or_moves_aside_what_is_there(made: Path, tmp_path: Path) -> None:
    whose = site_belongings(tmp_path)
    (tmp_path / "site.db").write_text("the old one")
    refused(lambda: restore(whose, made), InTheWay, "site.db already", ExitCode.IN_THE_WAY)
    assert everything(tmp_path) == {"site.db": b"the old one"}
    restore(whose, made, replace=True)
    (aside,) = tmp_path.glob("before-restore.*")
    assert everything(aside) == {"site.db": b"the old one"}
    assert (tmp_path / "site.db").stat().st_size > 100_000


def test_n6_nothing_is_restored_where_a_daemon_runs_and_no_two_run_in_one_directory(made: Path, tmp_path: Path) -> None:
    with Residence(tmp_path):
        refused(
            lambda: restore(site_belongings(tmp_path), made, replace=True),
            InTheWay,
            "a daemon runs",
            ExitCode.IN_THE_WAY,
        )
        refused(lambda: Residence(tmp_path), StorageFailed, "another daemon runs", ExitCode.DATA_DIRECTORY)
    restore(site_belongings(tmp_path), made)


def test_n6_a_backup_of_a_newer_release_or_another_kind_is_refused(
    site: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(
        lambda: restore(hub_belongings(tmp_path / "new"), made), BackupUnusable, "of a site", ExitCode.BACKUP_UNUSABLE
    )
    newer = site_belongings(tmp_path / "new")
    monkeypatch.setattr(type(newer), "newest_schema", 1)
    refused(lambda: restore(newer, made), DatabaseNewer, "newer release", ExitCode.DATABASE_NEWER)
    assert not (tmp_path / "new").exists()


def test_n6_a_backup_never_overwrites_and_never_holds_a_damaged_database(
    site: Path, made: Path, tmp_path: Path
) -> None:
    before = made.read_bytes()
    refused(lambda: take(site_belongings(site), made, version="1"), InTheWay, "already", ExitCode.IN_THE_WAY)
    assert made.read_bytes() == before
    asyncio.run(_site(tmp_path / "site"))
    whole = bytearray((tmp_path / "site" / "site.db").read_bytes())
    whole[5 * 4096 : 9 * 4096] = os.urandom(4 * 4096)
    (tmp_path / "site" / "site.db").write_bytes(whole)
    refused(
        lambda: take(site_belongings(tmp_path / "site"), tmp_path / "backup", version="1"),
        StorageFailed,
        "damaged|malformed",
        ExitCode.DATA_DIRECTORY,
    )
    refused(
        lambda: take(site_belongings(tmp_path / "none"), tmp_path / "backup", version="1"),
        StorageFailed,
        "nothing has run",
        ExitCode.DATA_DIRECTORY,
    )
    assert not list(tmp_path.glob("backup*"))


async def test_n6_a_backup_that_was_killed_leaves_no_open_copy_of_the_database_for_long(
    site: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "site"
    shutil.copytree(site, data_dir)
    folder = data_dir / "backups"

    def cut_short() -> None:
        for suffix in (".partial", ".database", ".database-wal"):
            (folder / f"20261121T120000Z-abcdef.zip{suffix}").write_bytes(b"every key there is")

    folder.mkdir()
    cut_short()
    desk = BackupDesk(data_dir)  # as the daemon starts
    assert list(folder.iterdir()) == []
    cut_short()
    desk.start(PASSPHRASE)

    async def made() -> bool:
        return desk.view.state != "running"

    await until(made, what="the backup", every_s=0.01)
    assert (desk.view.state, list(folder.iterdir())) == ("done", [desk.view.file])


def test_names_in_a_forged_backup_lead_nowhere(made: Path, tmp_path: Path) -> None:
    manifest = check(made)
    for name in ("../evil.db", "/tmp/evil.db", "tls/../../evil.db", "address.pem"):
        about = msgspec.structs.replace(manifest, parts=[*manifest.parts, Part(name, 1, "0")])
        with zipfile.ZipFile(tmp_path / "forged", "w") as archive:
            for part in about.parts:
                archive.writestr(part.name, "x")
            archive.writestr("manifest.json", msgspec.json.encode(about))
        refused(
            lambda: restore(site_belongings(tmp_path / "new"), tmp_path / "forged"),
            BackupUnusable,
            "does not (hold|know)",
            ExitCode.BACKUP_UNUSABLE,
        )
    assert not list(tmp_path.rglob("evil*"))


def test_n6_a_hub_is_backed_up_with_its_key_and_not_without(tmp_path: Path) -> None:
    async def make() -> None:
        await (await Database.open(tmp_path / "hub" / "hub.db", files("hub") / "sql", readers=0)).close()

    asyncio.run(make())
    whose, file = hub_belongings(tmp_path / "hub"), tmp_path / "backup"
    refused(lambda: take(whose, file, version="1"), StorageFailed, "hub.key is missing", ExitCode.DATA_DIRECTORY)
    load_or_make_key(tmp_path / "hub.key")
    take(whose, file, version="1")
    restore(hub_belongings(tmp_path / "new"), file)
    assert (tmp_path / "new.key").read_bytes() == (tmp_path / "hub.key").read_bytes()
    refused(
        lambda: restore(hub_belongings(tmp_path / "third", tmp_path / "new.key"), file),
        InTheWay,
        "new.key",
        ExitCode.IN_THE_WAY,
    )
