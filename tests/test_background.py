"""What site and hub do by themselves goes on after an error that nobody expected, and the daemon with it (G7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector import app, backup_desk
from connector.history_folding import Folding
from connector.host import HostDevice
from connector.pages import samples
from connector.pages.samples import Sample, Samples
from connector.pages.situation import take_sample
from connector.runtime import ConnectorRuntime
from connector.serve import running_site
from connector.settings import SiteSettings
from connector.site import Site
from hub.hub import Hub
from hub.serve import running_hub
from hub.settings import HubSettings
from shared.rig.client import until


class Failing:
    """Fails the first time that it is called, and then does what it stands for."""

    def __init__(self, really: Callable[..., Any]) -> None:
        self.calls = 0
        self._really = really

    def __call__(self, *values: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("a case nobody thought of")
        return self._really(*values, **named)

    async def called_again(self) -> bool:
        return self.calls > 1


def failing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Failing:
    made = Failing(getattr(owner, name))
    # A function, so that it is bound where it is a method.
    monkeypatch.setattr(owner, name, lambda *values, **named: made(*values, **named))
    return made


async def test_g7_a_site_goes_on_sampling_folding_asking_and_reporting_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.supervision.STOPPED_AGAIN_S", 0.05)
    each = [
        failing(monkeypatch, Folding, "fold_once"),
        failing(monkeypatch, app, "take_sample"),
        failing(monkeypatch, Samples, "ask_canary"),
    ]
    monkeypatch.setattr(samples, "CANARY_EVERY_S", 0.1)
    monkeypatch.setattr(samples, "EVERY_S", 0.1)
    async with running_site(SiteSettings(port=0, data_dir=tmp_path / "site", site_name="plant")) as running:
        await running.site.create_connector("pumps", host_every_s=0.1)
        each.append(failing(monkeypatch, HostDevice, "measure"))
        for one in each:
            await until(one.called_again, what="it to be begun again")
        told = {repair.cause.split(" stopped")[0] for repair in running.site.repairs.open()}
        assert {"Folding history", "Sampling", "Asking through the pairs"} <= told


async def test_g7_a_connector_that_fails_to_be_asked_or_sampled_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.supervision.STOPPED_AGAIN_S", 3_600)  # what stopped would not be begun again
    monkeypatch.setattr(samples, "CANARY_EVERY_S", 0.05)
    monkeypatch.setattr(samples, "EVERY_S", 0.05)
    looked: Counter[tuple[str, str]] = Counter()
    bad: list[str] = []
    ask, sample = Samples.ask_canary, take_sample

    def note(what: str, connector_id: str) -> None:
        looked[what, connector_id] += 1
        if connector_id in bad:
            raise RuntimeError("a case nobody thought of")

    async def asked(desk: Samples, runtime: ConnectorRuntime) -> None:
        note("asked", runtime.connector_id)
        await ask(desk, runtime)

    async def sampled(site: Site, desk: Samples, runtime: ConnectorRuntime) -> Sample:
        note("sampled", runtime.connector_id)
        return await sample(site, desk, runtime)

    monkeypatch.setattr(Samples, "ask_canary", asked)
    monkeypatch.setattr(app, "take_sample", sampled)
    async with running_site(SiteSettings(port=0, data_dir=tmp_path / "site", site_name="plant")) as running:
        bad.append((await running.site.create_connector("pumps")).connector_id)
        good_id = (await running.site.create_connector("valves")).connector_id

        async def both() -> bool:
            return all(looked[what, each] > 3 for what in ("asked", "sampled") for each in (*bad, good_id))

        await until(both, what="both to be asked and sampled again and again")


async def test_g7_a_hub_goes_on_keeping_house_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.housekeeping._WATCH_EVERY_S", 0.01)
    sampled = failing(monkeypatch, Hub, "sample_rates")
    async with running_hub(HubSettings(port=0, data_dir=tmp_path / "hub")):
        await until(sampled.called_again, what="the hub to keep house again")


async def test_n6_a_backup_that_an_error_ended_says_so_and_another_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, backup_desk, "take")
    async with running_site(SiteSettings(port=0, data_dir=tmp_path / "site", site_name="plant")) as running:
        backups = running.site.backups

        async def ended() -> str:
            return "" if backups.view.state == "running" else backups.view.state

        backups.start("correct horse battery staple")
        assert await until(ended, what="the backup to end") == "failed"
        assert "a case nobody thought of" in backups.view.problem
        backups.start("correct horse battery staple")
        assert await until(ended, what="another backup to end") == "done"
