"""The operator's page: getting in, what it shows, what its forms do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from hub.store.rows import Site
from shared.errors import StorageFailed
from shared.messages import HelloBack, Sealed
from shared.trust import trust_for
from tests.hub.client import both_linked, enrolled
from tests.hub.test_links import a_pair, denial
from tests.hub.test_relay import sealed

PASSWORD = "correct horse battery"
DATA = "hub"


@asynccontextmanager
async def a_browser(running: RunningHub) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser at the hub: keeps cookies, names its origin, follows no redirects."""
    async with httpx2.AsyncClient(
        base_url=running.url,
        headers={"Origin": running.url},
        trust_env=False,
        verify=trust_for(running.url),
        timeout=20,
    ) as browser:
        yield browser


async def set_up(browser: httpx2.AsyncClient, data_dir: Path, **changes: str) -> httpx2.Response:
    token = (data_dir / "setup.token").read_text().strip()
    form = {"token": token, "user_name": "admin", "password": PASSWORD, "password_again": PASSWORD}
    return await browser.post("/setup", data=form | changes)


def settings(tmp_path: Path) -> HubSettings:
    return HubSettings(port=0, data_dir=tmp_path / DATA, open_enrolment=True, hub_name="hub of tests")


async def test_the_first_run_is_unlocked_by_the_token_from_the_console_once(tmp_path: Path) -> None:
    data_dir = tmp_path / DATA
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        assert (data_dir / "setup.token").stat().st_mode & 0o777 == 0o600
        assert (await browser.get("/operator")).headers["location"] == "/setup"
        assert "hub of tests" in (await browser.get("/setup?token=abc")).text
        for changes in ({"token": "wrong"}, {"password": "short"}, {"password_again": "another"}):
            assert (await set_up(browser, data_dir, **changes)).status_code == 422
        done = await set_up(browser, data_dir)
        assert (done.status_code, done.headers["location"]) == (303, "/operator")
        assert not (data_dir / "setup.token").exists()
        assert (await browser.get("/operator")).status_code == 200
        assert (await browser.get("/setup")).headers["location"] == "/login"


async def test_logging_in_and_out(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        await browser.post("/logout")
        assert (await browser.get("/operator")).headers["location"] == "/login"
        wrong = await browser.post("/login", data={"user_name": "admin", "password": "not it at all"})
        assert (wrong.status_code, "wrong" in wrong.text) == (401, True)
        right = await browser.post(
            "/login", data={"user_name": "admin", "password": PASSWORD, "next": "//evil.example"}
        )
        assert (right.status_code, right.headers["location"]) == (303, "/")
        assert (await browser.get("/operator")).status_code == 200


async def test_a_form_of_another_web_site_is_refused(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        forged = await browser.post(
            "/operator/tokens", data={"site_name": "x"}, headers={"Origin": "http://evil.example"}
        )
        assert forged.status_code == 403
        assert await running.hub.store.tokens(now_ms=0) == []


async def test_a_token_is_shown_once_and_can_be_revoked(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        made = await browser.post("/operator/tokens", data={"site_name": "plant"})
        assert made.status_code == 201
        (token,) = await running.hub.store.tokens(now_ms=0)
        secret = made.text.partition("phe_")[2][:40]
        assert len(secret) == 40
        later = await browser.get("/operator")
        assert secret not in later.text
        assert "plant" in later.text
        assert (await browser.post("/operator/tokens", data={"site_name": " "})).status_code == 422
        assert (await browser.post(f"/operator/tokens/{token.token_id}/revoke")).status_code == 303
        assert await running.hub.store.tokens(now_ms=0) == []
        assert (await browser.post(f"/operator/tokens/{token.token_id}/revoke")).status_code == 404


async def test_the_page_names_sites_connectors_and_pairs(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        pair = await a_pair(running)
        async with both_linked(pair, running.url):
            page = (await browser.get("/operator")).text
        for text in (pair.source.name, pair.target.name, pair.source_connector, pair.target_connector):
            assert text in page


async def test_revoking_a_site_asks_first_and_is_audited(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        plant = await enrolled(running, "plant")
        address = f"/operator/sites/{plant.site.site_id}/revoke"
        async with plant.linked("SRC1-SRC1") as wire:
            await wire.hear(HelloBack)
            assert "Revoke" in (await browser.get(address)).text
            assert (await browser.post(address)).status_code == 303
            assert (await wire.close_code())[0] == 4003
        assert (await running.hub.store.audit(rows_max=1))[0].action == "site.revoke"
        assert (await browser.get("/operator/sites/nobody/revoke")).status_code == 404


async def test_a_site_is_shut_out_at_once_by_a_hub_whose_disk_refuses_and_written_down_when_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        rogue = await enrolled(running, "rogue")
        address = f"/operator/sites/{rogue.site.site_id}/revoke"
        store = running.hub.store

        async def refuse(*_: object, **__: object) -> Site:
            raise StorageFailed("the disk is full")

        async with rogue.linked("SRC1-SRC1") as wire:
            await wire.hear(HelloBack)
            with monkeypatch.context() as full:
                full.setattr(store, "revoke_site", refuse)
                done = await browser.post(address)
                assert done.status_code == 303
                assert "not written down yet" in (await browser.get("/operator")).text
                assert (await wire.close_code())[0] == 4003
                await rogue.present()  # the disk does not know
                assert await denial(rogue) == (403, "site_revoked")
        await running.hub.write_revocations()
        (stored,) = await store.sites()
        assert stored.revoked_ms == running.hub.sites[stored.site_id].revoked_ms is not None
        assert [row.action for row in await store.audit(rows_max=9)].count("site.revoke") == 1


async def test_a_hub_keeps_room_for_log_ins_and_no_copies_where_its_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            monkeypatch.setattr("shared.disk_reserve.DiskReserve.free_bytes", 1024 * 1024)
            with pytest.raises(StorageFailed, match="no copies are kept"):
                await running.hub.store.store_copies(pair.certificate.pair_id, [])
            assert "no copies are kept" in running.hub.store.figures().problem
            await left.say(sealed(1))
            assert await right.hear(Sealed) == sealed(1)
            async with a_browser(running) as other:
                logged_in = await other.post("/login", data={"user_name": "admin", "password": PASSWORD})
                assert logged_in.status_code == 303


async def test_the_update_stream_brings_what_changes(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        await set_up(browser, tmp_path / DATA)
        async with asyncio.timeout(10), browser.stream("GET", "/operator/updates") as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if "hub-sites" in line:
                    break
            await enrolled(running, "riverside")
            async for line in lines:
                if "riverside" in line:
                    break


async def test_an_address_that_is_not_there_is_a_page_or_json(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running, a_browser(running) as browser:
        missing = await browser.get("/nothing")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")
        missing = await browser.get("/api/v1/nothing")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        assert (await browser.get("/healthz")).headers["x-content-type-options"] == "nosniff"
