"""Notices of a hub's own repairs (N2): once when raised, once when cleared, over restarts and the loss of its database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub import housekeeping
from hub.doctor import examine
from hub.hub import Hub
from hub.serve import running_hub
from hub.settings import HubSettings
from hub.store.sqlite import DATABASE_NAME
from shared.clock import SystemClock
from shared.errors import StorageFailed
from shared.limits import REPAIR_CLEAR_AFTER_MS
from shared.notices import desk
from shared.rig.client import ApiClient, operator_token
from shared.settings import SettingWrong
from tests.connector.receivers import Receiver, webhook_receiver
from tests.connector.visitors import text_of, until
from tests.hub.test_pages import DATA, a_browser, set_up, settings

_LOW = 2**62  # bytes: any disk has less room


class MovedClock(SystemClock):
    """The machine's clocks, `ahead_ms` ahead: what has to be gone for a while takes no time here."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.ahead_ms


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds between attempts, and between looks at the database, prove nothing."""
    monkeypatch.setattr(desk, "NOTICE_RETRY_FIRST_MS", 20)
    monkeypatch.setattr(housekeeping, "_WATCH_EVERY_S", 0.02)


def told_by(receiver: Receiver, folder: Path, disk_warn_bytes: int = _LOW) -> HubSettings:
    return replace(settings(folder), webhook_url=receiver.url, notices_after_s=0.0, disk_warn_bytes=disk_warn_bytes)


async def status_of(hub: Hub, url: str, path: str = "/status") -> Any:
    async with ApiClient(url, operator_token(hub.settings.data_dir)) as client:
        return await client.get(path)


async def test_n2_a_hub_tells_of_a_repair_once_when_raised_and_once_when_cleared_whatever_restarts(
    tmp_path: Path,
) -> None:
    async with webhook_receiver() as receiver:
        async with running_hub(told_by(receiver, tmp_path)) as running:
            await receiver.until_told("raised", "disk_low")
            (first,) = (await status_of(running.hub, running.url))["repairs"]

        async with running_hub(told_by(receiver, tmp_path)) as running:
            await running.hub.repairs.look()
            found = await status_of(running.hub, running.url)
            assert found["repairs"] == [first | {"told": True}]
            assert (found["notices"][0]["waiting"], found["notices"][0]["delivered"]) == (0, 0)

        clock = MovedClock()
        async with running_hub(told_by(receiver, tmp_path, disk_warn_bytes=0), clock=clock) as running:
            await running.hub.repairs.look()
            assert [repair.finding.code for repair in running.hub.repairs.open()] == ["disk_low"]
            clock.ahead_ms += REPAIR_CLEAR_AFTER_MS
            await running.hub.repairs.look()
            await receiver.until_told("cleared", "disk_low")
            found = await status_of(running.hub, running.url, "/repairs")
            assert (found["open"], [each["code"] for each in found["cleared"]]) == ([], ["disk_low"])
            hub_key = running.hub.hub_key.hex()

        assert (receiver.codes("raised"), receiver.codes("cleared")) == (["disk_low"], ["disk_low"])
        assert {(each["place"], each["site"], each["site_id"]) for each in receiver.notices} == {
            ("hub", "hub of tests", hub_key)
        }


async def test_n2_what_waits_at_a_hub_outlives_its_database_and_a_restart(tmp_path: Path) -> None:
    async with webhook_receiver() as receiver:
        receiver.status = 503
        async with running_hub(told_by(receiver, tmp_path)) as running:
            await until(lambda: truth(receiver.attempts >= 2), "two attempts")
            for file in (tmp_path / DATA).glob(DATABASE_NAME + "*"):
                file.unlink()
            before = running.hub.store
            await until(lambda: truth(running.hub.store is not before), "an empty database")
            assert [(each.waiting, each.problem) for each in running.hub.repairs.channels()] == [
                (1, "the receiver answered 503")
            ]
            (before_restart,) = running.hub.repairs.open()

        receiver.status = 200
        async with running_hub(told_by(receiver, tmp_path)) as running:
            await receiver.until_told("raised", "disk_low")
            await running.hub.repairs.look()
            (repair,) = running.hub.repairs.open()
            assert (repair.key, repair.since_ms) == (before_restart.key, before_restart.since_ms)
        assert receiver.codes("raised") == ["disk_low"]


async def truth(value: bool) -> bool:
    return value


async def test_n2_a_hub_whose_disk_refuses_tells_of_it_from_memory_and_stores_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver, running_hub(told_by(receiver, tmp_path, 0)) as running:
        store = running.hub.store

        async def refused(*_args: Any) -> Any:
            raise StorageFailed("disk I/O error")

        monkeypatch.setattr(store, "save_repairs", refused)
        running.hub.repairs.observe(storage_problem="disk I/O error")
        await receiver.until_told("raised", "storage_failed")
        assert await store.open_repairs() == []
        monkeypatch.undo()

        async def stored() -> bool:
            return [(row.finding.code, row.told) for row in await store.open_repairs()] == [("storage_failed", True)]

        await until(stored, "the repair to be stored")
        assert receiver.codes("raised") == ["storage_failed"]


async def test_n2_an_operator_tries_the_ways_out_and_hears_what_became_of_it(tmp_path: Path) -> None:
    async with (
        webhook_receiver() as receiver,
        running_hub(told_by(receiver, tmp_path, 0)) as running,
        a_browser(running) as browser,
    ):
        await set_up(browser, tmp_path / DATA)
        assert "Who is told after" in text_of((await browser.get("/operator")).text)
        await browser.post("/operator/test-notice")
        assert "The test notice by webhook was delivered." in text_of((await browser.get("/operator")).text)
        receiver.status = 503
        await browser.post("/operator/test-notice")
        text = text_of((await browser.get("/operator")).text)
        assert "The test notice by webhook was not delivered: the receiver answered 503." in text
        assert "notice.test webhook: delivered" in text
        async with ApiClient(running.url, operator_token(tmp_path / DATA)) as client:
            assert (await client.post("/notices/test"))[0]["problem"] == "the receiver answered 503"
        token = {"Authorization": f"Bearer {operator_token(tmp_path / DATA)}"}
        metrics = (await browser.get("/metrics", headers=token)).text
        assert 'pairhub_notices_failing{channel="webhook"} 1.0' in metrics
        (notice,) = receiver.notices
        assert (notice["type"], notice["place"]) == ("test", "hub")


async def test_n2_a_hub_with_a_wrong_way_out_does_not_start_and_its_doctor_says_why(tmp_path: Path) -> None:
    for url, outcome in (("https://example.org/hook", "ok"), ("example.org", "failed")):
        found = await examine(replace(settings(tmp_path), webhook_url=url))
        assert [each.outcome for each in found if each.check == "notices"] == [outcome]
    with pytest.raises(SettingWrong, match="webhook_url"):
        async with running_hub(replace(settings(tmp_path), webhook_url="example.org")):
            pass
    assert not (tmp_path / DATA).exists()
