"""Repairs on pages, in the API, status and measures (G9, PAGES 12), and the redacted bundle of diagnostics."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.pages import samples
from shared.core.health import ConnectorFacts
from shared.limits import HOUR_MS
from shared.logs import set_up_logging
from shared.redaction import Redactor
from shared.rig.client import operator_token
from shared.rig.status_text import status_lines
from tests.connector.visitors import Visitor, two_sites, until, visitor

SECRET_SETTINGS = {
    "enrolment_token": "phe_CANARY-ENROLMENT-0001",
    "hub_proxy": "http://proxyuser:CANARY-PROXY-0002@127.0.0.1:9",
}


async def api(found: Visitor, path: str, method: str = "GET") -> httpx2.Response:
    """Ask as the local command line does."""
    headers = {"Authorization": f"Bearer {operator_token(found.site.settings.data_dir)}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
        return await http.request(method, f"{found.running.url}{path}")


async def test_g9_n2_a_repair_stands_on_every_page_in_the_api_in_status_and_measures_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "CANARY_EVERY_S", 0.2)
    async with two_sites(tmp_path) as two:
        source_id = (await two.source.create("Pump house")).split("/")[-1]
        await two.source.post(f"/connectors/{source_id}/resources", alias="flow", format="number", is_synced="on")
        target_id = await two.pair(source_id)
        page = f"/connectors/{source_id}"

        async def raised() -> bool:
            return "Resource missing at riverside" in await two.source.get(page)

        await until(raised, "the repair")
        text = await two.source.get(page)
        assert "What to do: Create it there." in text
        for other in ("devices", "gaps", "settings"):
            assert "1 repair" in await two.source.get(f"{page}/{other}")
        listed = await two.source.get("/repairs")
        assert "Resource missing at riverside (Pump house) “flow” does not exist there." in listed
        assert "Nobody outside is told of repairs." in listed

        (repair,) = (await api(two.source, "/api/v1/repairs")).json()["open"]
        assert (repair["code"], repair["scope"], repair["subject"]) == ("resource_missing_there", source_id, "flow")
        status = (await api(two.source, "/api/v1/status")).json()
        assert status["repairs"] == [repair]
        assert status["connectors"][0]["flow"]["state"] == "connected"
        assert any("repair resource_missing_there" in line for line in status_lines(status))
        measures = (await api(two.source, "/metrics")).text
        labels = f'code="resource_missing_there",connector="{source_id}"'
        assert f"pairhub_repair_open{{{labels}}} 1.0" in measures

        ready = await two.source.http.get("/readyz")
        (said,) = ready.json()["connectors"]
        assert (said["connector_id"], said["state"]) == (source_id, "connected")
        (public,) = said["repairs"]
        assert (public["code"], public["count"], public["cause"]) == (repair["code"], 1, "“…” does not exist there.")
        assert (public["title"], public["fix"]) == ("Resource missing at the other site", "Create it there.")
        assert not [name for name in ("Pump house", "riverside", "hillside", "flow") if name in ready.text]

        await two.target.post(f"/connectors/{target_id}/resources/flow/create-here")

        async def cleared() -> bool:
            return "no repairs" in await two.source.get(page)

        await until(cleared, "the repair to end")

        async def noted() -> bool:
            found = (await api(two.source, "/api/v1/repairs")).json()
            return not found["open"] and [each["code"] for each in found["cleared"]] == ["resource_missing_there"]

        await until(noted, "the repair to be listed as over")
        assert "Lately cleared" in await two.source.get("/repairs")

        async def canary() -> Any:
            return (await api(two.source, "/api/v1/status")).json()["connectors"][0]["flow"]["canary_ms"]

        assert 0 < await until(canary, "the canary", 20.0) < 5_000
        assert 0 < (await two.source.http.get("/readyz")).json()["connectors"][0]["canary_ms"] < 5_000
        for other in ("", "/devices", "/account", "/gaps", "/settings", "/remote-sync"):
            assert re.search(r"connected via hub, [\d.]+ ms · canary [\d.]+ ms", await two.source.get(page + other))
        for other in ("/connectors", "/repairs", "/hub", "/api-key", "/connectors/new", "/not-there"):
            text = (await two.source.http.get(other)).text
            assert re.search(rf'<a class="pill ok" href="{page}">', text), other
            assert re.search(r"Pump house: connected via hub, [\d.]+ ms · canary [\d.]+ ms", text), other


async def test_g9_an_urgent_repair_is_named_in_the_head_of_every_page(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        found.site.enrolment.problem, found.site.enrolment.is_refused = "token used", True
        path = await found.create("Pump house")
        await found.get(path)
        for page in (path, "/connectors", "/repairs", "/api-key"):
            assert "1 repair, urgent: This site is not enrolled at its hub" in await found.get(page)


async def test_g9_the_disk_that_gets_full_warns_before_it_refuses(tmp_path: Path) -> None:
    async with visitor(tmp_path, disk_warn_bytes=2**62) as found:
        await until(lambda: shows(found, "/repairs", "The disk is nearly full"), "the warning")
        assert (await found.http.get("/readyz")).status_code == 200  # it still takes everything


async def shows(found: Visitor, path: str, words: str) -> bool:
    return words in await found.get(path)


# --- diagnostics ----------------------------------------------------------------------------------------------------------


def planted(folder: Path) -> dict[str, Any]:
    """Return settings with a secret in each place that may hold one."""
    (folder / "webhook.secret").write_text("whsec_Q0FOQVJZLVdFQkhPT0stMDAwMy1hYmNkZWZnaGlqa2xtbm9w")
    (folder / "mail.password").write_text("CANARY-MAIL-0004")
    return {
        **SECRET_SETTINGS,
        "hub_url": "http://127.0.0.1:9",
        "webhook_url": "http://127.0.0.1:9/CANARY-HOOK-0005",
        "webhook_secret_file": folder / "webhook.secret",
        "smtp_host": "127.0.0.1",
        "smtp_port": 9,
        "smtp_user": "CANARY-USER-0006",
        "smtp_password_file": folder / "mail.password",
        "smtp_from": "canary.sender@example.org",
        "smtp_to": "canary.reader@example.org",
    }


async def test_the_bundle_and_the_log_hold_no_secret_no_reading_and_no_name_of_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("debug", "text")
    try:
        await _plant_and_look(tmp_path, capsys)
    finally:
        logging.basicConfig(level="WARNING", handlers=[], force=True)


async def _plant_and_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with visitor(tmp_path, set_up=False, **planted(tmp_path)) as found:
        await found.set_up("Canarina Musterfrau")
        path = await found.create("Pump house")
        connector_id = path.split("/")[-1]
        await found.post(f"{path}/resources", alias="note", format="string")
        await found.post(f"{path}/remote-sync/enable")
        key = await found.running.access.create_key("Canarina's laptop", None)
        window = await found.site.window(connector_id)
        assert window is not None
        await found.site.create_device(connector_id, "pump", who="Canarina Musterfrau")
        line = b'{"device":"pump","resource":"note","value":"CANARY-READING-0007"}'
        outcome = await found.site.ingest(connector_id, line)
        assert outcome.accepted == 1
        await found.http.post("/login", data={"user_name": "canary.guess", "password": "CANARY-PASSWORD-0008"})
        logging.getLogger("connector.test").warning(
            "Canarina Musterfrau wrote to canary.reader@example.org with %s and CANARY-MAIL-0004", window.code
        )
        root = await found.site.database.read(
            lambda c: c.execute("SELECT value FROM meta WHERE name = 'identity_private'").fetchone()[0]
        )
        await found.post("/repairs/test-notice")  # it fails, and says why
        tokens = [operator_token(found.site.settings.data_dir), key]

        by_page = await found.http.post("/repairs/diagnostics")
        assert by_page.headers["content-type"] == "application/zip"
        by_program = (await api(found, "/api/v1/diagnostics")).content
        found.http.cookies.clear()
        assert (await found.http.get("/api/v1/diagnostics")).status_code == 401
    logged = capsys.readouterr().err
    bundles = [zipfile.ZipFile(io.BytesIO(content)) for content in (by_page.content, by_program)]
    texts = ["\n".join(bundle.read(name).decode() for name in bundle.namelist()) for bundle in bundles]

    secret = ["CANARY-", "Q0FOQVJZ", window.code, root.hex(), "correct horse", *tokens]
    for text in texts:
        for word in [*secret, "Musterfrau", "Canarina", "canary.sender", "canary.reader"]:
            assert word not in text, word
    for word in [word for word in secret if word not in (window.code, "CANARY-")]:
        assert word not in logged, word  # the line with the code is this test's own
    for word in ("ENROLMENT-0001", "PROXY-0002", "HOOK-0005", "READING-0007", "PASSWORD-0008"):
        assert word not in logged

    names = {name.rpartition("/")[2] for name in bundles[0].namelist()}
    assert names == {
        "README.txt", "versions.json", "settings.json", "status.json", "repairs.json", "gaps.json", "clock.json",
        "database.json", "measures.txt", "log.txt",
    }  # fmt: skip
    database = json.loads(bundles[0].read("pairhub-diagnostics/database.json"))
    assert database["check"][0]["outcome"] == "ok"
    assert database["rows"]["device"] == 1
    assert database["schema"] >= 7
    settings = json.loads(bundles[0].read("pairhub-diagnostics/settings.json"))
    assert settings["smtp_to"] == "(set, not shown)"
    assert settings["site_name"] == "hillside"
    assert "(a person) wrote to (left out) with (left out)" in texts[0]
    assert "pairhub_connectors" in texts[0]


async def command(*words: str) -> tuple[int, str]:
    """Run the command line; return how it ended and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pairhub", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_n2_the_command_line_writes_a_bundle_once_sends_a_test_notice_and_names_repairs(tmp_path: Path) -> None:
    async with visitor(tmp_path, set_up=False) as found:
        found.site.enrolment.problem, found.site.enrolment.is_refused = "token used", True
        directory, file = ("--data-dir", str(tmp_path / "hillside")), tmp_path / "bundle.zip"
        (tmp_path / "there.zip").touch()
        written, refused, noticed, status = await asyncio.gather(
            command("diagnostics", "--output", str(file), *directory),
            command("diagnostics", "--output", str(tmp_path / "there.zip"), *directory),
            command("test-notice", *directory),
            command("status", *directory),
        )
    assert written[0] == 0, written
    assert zipfile.ZipFile(file).testzip() is None
    assert file.stat().st_mode & 0o777 == 0o600
    assert refused == (73, f"pairhub: {tmp_path / 'there.zip'} is there already.\n")
    assert noticed == (1, "No notices are set: neither webhook_url nor smtp_host.\n")
    assert "URGENT not_enrolled  This site is not enrolled at its hub, since " in status[1]
    assert "what to do: Type a token of the hub's operator" in status[1]


def test_a_redactor_knows_secrets_by_shape_too() -> None:
    redactor = Redactor(["s3cr3t-value"], ["Anna B"])
    cases = {
        "x s3cr3t-value y": "x (left out) y",
        "anna b logged in; Annabel stays": "(a person) logged in; Annabel stays",
        "code 7K3M-Q9TD-5 of DYMQ-V82X": "code (left out) of DYMQ-V82X",
        "to ben@example.org now": "to (left out) now",
        "/home/ben/site.db": "/home/(left out)/site.db",
        "http://ben:pw@host/x": "http://...@host/x",
        "whsec_AAAA": "(left out)",
        "fingerprint 4F2A-9C71-E08B-5D36": "fingerprint 4F2A-9C71-E08B-5D36",
        "q" * 50: "(left out)",
    }
    assert {given: redactor.text(given) for given in cases} == cases
    assert redactor.value({"s3cr3t-value": ["s3cr3t-value", HOUR_MS]}) == {"s3cr3t-value": ["(left out)", HOUR_MS]}


async def test_page12_a_link_that_comes_or_goes_is_judged_at_once_and_not_with_the_next_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "EVERY_S", 3_600.0)
    async with two_sites(tmp_path) as two:
        source_id = (await two.source.site.create_connector("pumps")).connector_id
        await two.pair(source_id)
        site = two.source.site
        judged: list[bool] = []
        observe = site.repairs.observe

        def heard(facts: ConnectorFacts) -> None:
            judged.append(facts.link.is_linked)
            observe(facts)

        monkeypatch.setattr(site.repairs, "observe", heard)
        await site.repairs.facts_now(source_id)
        await two.hub.stop()

        async def is_judged() -> bool:
            return judged[-1:] == [False]

        await until(is_judged, "the lost link to be judged")
