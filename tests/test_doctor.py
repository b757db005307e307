"""`pairhub doctor`: real failures, each found by the check that is made for it, with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from importlib.resources import files
from pathlib import Path

import pytest

from connector.doctor import examine as examine_site
from connector.doctor import flow_of
from connector.settings import SiteSettings
from hub.doctor import examine as examine_hub
from hub.serve import running_hub
from hub.settings import HubSettings
from hub.store.operators_sql import broken_audit_number
from hub.store.sqlite import DATABASE_NAME, SqliteStore
from shared.database import Database
from shared.doctor.audit import check_audit
from shared.doctor.database import check_database, read_only
from shared.doctor.findings import Finding, Outcome, any_failed, finding_lines
from shared.doctor.machine import Flow, check_cap, check_hub_time, check_outage
from shared.exit_codes import ExitCode
from shared.joining import LINK_PATH, NONCE_PATH
from shared.limits import DAY_MS, HOUR_MS
from shared.self_signed import SelfSigned
from tests.e2e.stage import free_port

SITE_SCRIPTS = files("connector") / "sql"


def by_check(found: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in found}


def doctor(*words: str | Path, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PAIRHUB_")}
    command = [*prefix, sys.executable, "-m", "pairhub", "doctor", *map(str, words)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@asynccontextmanager
async def answering(answers: Mapping[str, tuple[str, bytes]]) -> AsyncIterator[str]:
    """Something that listens where a hub is expected: per path a status line and a body; others get a page of HTML."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # somebody who only looked whether the port is open
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
            status, body = answers.get(path, ("502 Bad Gateway", b"<html>a proxy's page</html>"))
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
            )
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def nonce_answer(*, ahead_ms: int = 0, protocol: tuple[int, int] = (1, 1)) -> tuple[str, bytes]:
    told = {"nonce": "n", "hub_key": "ab" * 32, "time_ms": time.time_ns() // 1_000_000 + ahead_ms}
    return "200 OK", json.dumps({**told, "open_enrolment": False, "protocol": protocol}).encode()


# --- the audit ----------------------------------------------------------------------------------------------------------


async def test_an_entry_of_a_hubs_audit_that_was_changed_or_taken_out_is_named(tmp_path: Path) -> None:
    store, path = await SqliteStore.open(tmp_path), tmp_path / DATABASE_NAME
    for at_ms in range(4):
        await store.add_audit(at_ms=at_ms, who="ann", where="::1", action="site.revoke", what="plant")
    await store.close()
    assert [each.outcome for each in check_audit(path, broken_audit_number)] == [Outcome.OK]
    for statement in ("DELETE FROM audit WHERE number = 3", "UPDATE audit SET who = 'bob' WHERE number = 2"):
        with closing(sqlite3.connect(path)) as connection, connection:
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
            for trigger in ("audit_is_never_changed", "audit_is_never_deleted"):
                connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
            connection.execute(statement)
            for at, of in (("changed", "UPDATE"), ("deleted", "DELETE")):  # back again, for the next
                told = "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
                connection.execute(f"CREATE TRIGGER audit_is_never_{at} BEFORE {of} ON audit {told}")
        (found,) = check_audit(path, broken_audit_number)
        named = "entry 4 " if statement.startswith("DELETE") else "entry 2 "
        assert (found.outcome, found.what.startswith(named)) == (Outcome.FAILED, True)


# --- the way to the hub -------------------------------------------------------------------------------------------------


async def test_a_site_whose_hub_answers_is_well_in_every_step(tmp_path: Path) -> None:
    async with running_hub(HubSettings(port=0, data_dir=tmp_path / "hub")) as hub:
        found = by_check(await examine_site(SiteSettings(data_dir=tmp_path / "site", hub_url=hub.url)))
        at_hub = by_check(await examine_hub(hub.hub.settings))
    for check in (
        "configuration",
        "data directory",
        "database",
        "disk",
        "DNS",
        "TCP",
        "hub",
        "clock and hub",
        "WebSocket",
    ):
        assert found[check].outcome is Outcome.OK, found[check]
    assert found["daemon"].outcome is Outcome.WARNING
    assert "none has run" in found["daemon"].what
    for check in (
        "configuration",
        "data directory",
        "permissions",
        "key",
        "database",
        "audit",
        "disk",
        "daemon",
        "clock",
    ):
        assert at_hub[check].outcome is Outcome.OK, at_hub[check]
    assert "does its work" in at_hub["daemon"].what


async def test_a_hub_with_a_certificate_that_nobody_here_trusts_is_found_and_so_is_the_cure(tmp_path: Path) -> None:
    settings = HubSettings(port=0, data_dir=tmp_path / "hub", tls_self_signed=True)
    async with running_hub(settings) as hub:
        stranger = by_check(await examine_site(SiteSettings(data_dir=tmp_path / "site", hub_url=hub.url)))
        authority = next((tmp_path / "hub").rglob("ca.pem"))
        friend = SiteSettings(data_dir=tmp_path / "site", hub_url=hub.url, hub_ca=authority)
        known = by_check(await examine_site(friend))
        at_hub = by_check(await examine_hub(settings))
    assert stranger["TLS"].outcome is Outcome.FAILED
    assert "hub_ca" in stranger["TLS"].what
    assert "WebSocket" not in stranger
    assert known["TLS"].outcome is Outcome.OK
    assert "the chain is trusted; good until 20" in known["TLS"].what
    assert known["WebSocket"].outcome is Outcome.OK
    assert at_hub["daemon"].outcome is Outcome.OK, "its own certificate is trusted by the doctor beside it"


async def test_a_name_that_does_not_exist_and_a_closed_port_end_the_way(tmp_path: Path) -> None:
    wrong = await examine_site(SiteSettings(data_dir=tmp_path, hub_url="http://hub.invalid:8470"))
    assert by_check(wrong)["DNS"].outcome is Outcome.FAILED
    assert "hub.invalid" in by_check(wrong)["DNS"].what
    assert "TCP" not in by_check(wrong)
    closed = by_check(await examine_site(SiteSettings(data_dir=tmp_path, hub_url=f"http://127.0.0.1:{free_port()}")))
    assert closed["TCP"].outcome is Outcome.FAILED
    assert "refuses" in closed["TCP"].what
    assert "hub" not in closed


async def test_a_proxy_is_tried_in_the_place_of_the_hub(tmp_path: Path) -> None:
    settings = SiteSettings(
        data_dir=tmp_path, hub_url="http://hub.invalid:8470", hub_proxy=f"http://ann:secret@127.0.0.1:{free_port()}"
    )
    found = await examine_site(settings)
    assert "of the proxy" in by_check(found)["TCP"].to_do or "proxy" in by_check(found)["TCP"].to_do
    assert "secret" not in "\n".join(finding_lines(found))


async def test_something_else_at_the_hubs_address_is_told_from_a_hub(tmp_path: Path) -> None:
    async with answering({}) as url:
        found = by_check(await examine_site(SiteSettings(data_dir=tmp_path, hub_url=url)))
    assert found["hub"].outcome is Outcome.FAILED
    assert "something else answers" in found["hub"].what


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("426 Upgrade Required", b'{"code": "upgrade_missing"}'), "takes the Upgrade header off"),
        (("400 Bad Request", b"<html>no</html>"), "HTTP 400 from something that is not the hub"),
    ],
)
async def test_a_proxy_that_stops_websockets_is_found(tmp_path: Path, answer: tuple[str, bytes], said: str) -> None:
    async with answering({NONCE_PATH: nonce_answer(), LINK_PATH: answer}) as url:
        found = by_check(await examine_site(SiteSettings(data_dir=tmp_path, hub_url=url)))
    assert found["hub"].outcome is Outcome.OK
    assert found["WebSocket"].outcome is Outcome.FAILED
    assert said in found["WebSocket"].what
    assert found["WebSocket"].to_do


async def test_a_hub_of_another_age_and_another_time_is_found(tmp_path: Path) -> None:
    answers = {NONCE_PATH: nonce_answer(ahead_ms=2 * HOUR_MS, protocol=(90, 91))}
    async with answering(answers) as url:
        found = by_check(await examine_site(SiteSettings(data_dir=tmp_path, hub_url=url)))
    assert "link protocol 90 to 91" in found["hub"].what
    assert found["clock and hub"].outcome is Outcome.FAILED
    assert "behind the hub" in found["clock and hub"].what
    assert check_hub_time(0, 6 * 60_000).outcome is Outcome.WARNING
    assert check_hub_time(0, 60_000).outcome is Outcome.OK


# --- directory, disk, database ------------------------------------------------------------------------------------------


def test_a_wrong_setting_is_named_and_the_exit_code_says_failed() -> None:
    ended = doctor("site", "--retention-days", "soon", "--json")
    assert ended.returncode == ExitCode.FAILED
    (found,) = json.loads(ended.stdout)
    assert (found["check"], found["outcome"]) == ("configuration", "failed")
    assert "flag --retention-days" in found["what"]


async def test_a_certificate_and_settings_that_cannot_be_served_are_found(tmp_path: Path) -> None:
    cert, key = tmp_path / "hub.pem", tmp_path / "hub.key"
    missing = by_check(await examine_hub(HubSettings(data_dir=tmp_path, tls_cert=cert, tls_key=key)))
    assert missing["certificate"].outcome is Outcome.FAILED
    assert "tls_cert" in missing["certificate"].what
    pair = SelfSigned(tmp_path / "tls")
    assert pair.ensure(("hub.example",), time.time_ns() // 1_000_000)
    served = by_check(await examine_hub(HubSettings(data_dir=tmp_path, tls_cert=pair.cert, tls_key=pair.key)))
    assert served["certificate"].outcome is Outcome.OK
    assert "for hub.example, good until" in served["certificate"].what
    open_door = by_check(await examine_hub(HubSettings(data_dir=tmp_path, host="0.0.0.0")))
    assert open_door["configuration"].outcome is Outcome.FAILED
    assert "in the clear" in open_door["configuration"].what


def test_a_directory_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    ended = doctor("hub", "--data-dir", folder, "--key-file", tmp_path / "key", prefix=prefix)
    assert ended.returncode == ExitCode.FAILED
    assert f"{folder} cannot be written: Permission denied" in ended.stdout
    assert "chown" in ended.stdout
    assert "Traceback" not in ended.stderr


async def test_secrets_that_others_may_read_are_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "operator.token").write_text("x")
    found = by_check(await examine_hub(HubSettings(data_dir=tmp_path, key_file=tmp_path / "operator.token")))
    assert found["permissions"].outcome is Outcome.WARNING
    assert "operator.token" in found["permissions"].what
    assert found["key"].outcome is Outcome.WARNING
    assert not any_failed([found["permissions"], found["key"]])


async def test_a_damaged_database_is_found_and_a_whole_one_is_checked_beside_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    database = await Database.open(path, SITE_SCRIPTS)
    beside: list[Finding] = []

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('x', zeroblob(1000000))")
        beside.extend(check_database(path, SITE_SCRIPTS))  # while this transaction is open

    await database.write(write)
    await database.close()
    assert [finding.outcome for finding in beside] == [Outcome.OK], beside
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 6] = b"\xff" * (4096 * 3)
    path.write_bytes(content)
    found = by_check(await examine_site(SiteSettings(data_dir=path.parent)))
    assert found["database"].outcome is Outcome.FAILED
    assert "damaged" in found["database"].what
    assert "restore" in found["database"].to_do
    assert "disk" not in found, "what flows is not read from a damaged file"
    path.write_bytes(b"garbage " * 1_000)
    assert check_database(path, SITE_SCRIPTS)[0].outcome is Outcome.FAILED


async def test_a_check_that_takes_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site.db"
    await (await Database.open(path, SITE_SCRIPTS)).close()
    monkeypatch.setattr("shared.doctor.database._STEPS", 1)
    (found,) = check_database(path, SITE_SCRIPTS, within_s=0)
    assert found.outcome is Outcome.WARNING
    assert "did not end within" in found.what


async def test_a_newer_and_an_older_schema_are_told(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    await (await Database.open(path, SITE_SCRIPTS)).close()
    for version, outcome, words in ((1, Outcome.OK, "schema 1 becomes"), (99, Outcome.FAILED, "has schema 99")):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version={version}")
        (found,) = check_database(path, SITE_SCRIPTS)
        assert (found.outcome, words in found.what) == (outcome, True), found


def test_the_outage_that_the_disk_holds_is_told_against_retention_and_cap(tmp_path: Path) -> None:
    path, plenty = tmp_path / "site.db", 10**15
    quiet = check_outage(path, Flow(0, 8), retention_days=30, cap_bytes=plenty)
    assert "nothing flowed" in quiet.what
    capped = check_outage(path, Flow(10, 8), retention_days=30, cap_bytes=8 * 10 * 86_400 * 3)
    assert capped.outcome is Outcome.WARNING
    assert "10 readings/s an outage of 3.0 days is held (retention 30 days)" in capped.what
    assert "raise outbox_bytes_max" in capped.to_do
    flood = check_outage(path, Flow(1e9, 1e-9), retention_days=30, cap_bytes=plenty)
    assert flood.outcome is Outcome.FAILED
    assert "free space" in flood.to_do
    assert check_outage(path, Flow(0.001, 8), retention_days=30, cap_bytes=plenty).outcome is Outcome.OK
    assert check_cap(path, plenty, "copy_bytes_max").outcome is Outcome.WARNING


async def test_the_rate_is_what_was_accepted_in_the_last_day(tmp_path: Path) -> None:
    path, now_ms = tmp_path / "site.db", 10 * DAY_MS
    database = await Database.open(path, SITE_SCRIPTS)

    def store(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO connector (connector_id, name, role, created_ms) VALUES ('c', 'm', 'source', 0)"
        )
        for ago_ms, count in ((2 * DAY_MS, 1_000_000), (1_000_000, 3_000)):
            connection.execute(
                "INSERT INTO tail (connector_id, resource, accepted_ms, count, body) VALUES ('c', 'r', ?, ?, x'00')",
                (now_ms - ago_ms, count),
            )
        connection.execute("INSERT INTO stream (connector_id, tail_count, tail_bytes) VALUES ('c', 3000, 15000)")

    await database.write(store)
    await database.close()
    assert read_only(path, lambda connection: flow_of(connection, now_ms)) == Flow(3.0, 5.0)
