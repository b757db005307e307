"""Disks that are full, files that vanish: nothing is acknowledged that is not stored, and all goes on by itself (N6, G5).

The disks are really full where this may mount small ones; elsewhere the daemons may write no further into their files.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from shared.core.repair_kinds import REPAIRS
from shared.rig.client import ApiRefused, until
from shared.rig.daemons import Daemon
from tests.connector.visitors import text_of
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import NotYet, Paired, Site, Stage, open_stage

pytestmark = SAME_LOOP
_DISK_BYTES = 24 * 2**20


class SmallDisk:
    """The disk under the data directory of a daemon, which can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"
        folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0700", "tmpfs", str(folder)]
        able = os.geteuid() == 0 and shutil.which("mount") is not None
        mounted = able and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        self._folder = folder if mounted else None
        self._let: Callable[[], object] = lambda: None

    def fill(self, daemon: Daemon) -> None:
        """Leave no room at all."""
        if self._folder is None:
            pid, before = daemon.pid, resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
            self._let = lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            return
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def empty(self) -> None:
        """Make room again."""
        self._let()
        self._let = lambda: None
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Take the disk away."""
        if self._folder is not None:
            subprocess.run(["umount", "-l", str(self._folder)], check=True)


class Rig:
    """A stage whose daemons have small disks, and a pair that streams."""

    def __init__(self, stage: Stage, disks: dict[str, SmallDisk], pair: Paired) -> None:
        self.stage = stage
        self.disks = disks
        self.pair = pair


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("disks")
    disks = {name: SmallDisk(folder / name) for name in ("hub", "plant", "office")}
    try:
        small = {"disk_reserve_bytes": 0}
        async with open_stage(folder, hub_flags=small, site_flags=small) as stage:
            pair = await stage.pair()
            await pair.sync("flow")
            await pair.sync("note", "string")
            await pair.post(50)
            await pair.until_balanced()
            yield Rig(stage, disks, pair)
    finally:
        for disk in disks.values():
            disk.close()


@pytest_asyncio.fixture(loop_scope="session")
async def rig(_rig: Rig) -> Rig:
    """The stage with room on all its disks and nothing under way."""
    for disk in _rig.disks.values():
        disk.empty()
    await _rig.stage.heal()
    await _rig.pair.until_balanced()
    return _rig


async def until_problem(site: Site, words: str) -> None:
    """Wait until a site says what is wrong with its store; empty: until nothing is."""

    async def said() -> bool:
        problem = (await site.get("/status"))["storage_problem"]
        if not (words in problem if words else not problem):
            raise NotYet(problem)
        return True

    await until(said, what=f"{site.name} to say '{words}'")


async def _refused_for_the_disk(pair: Paired) -> tuple[str, str]:
    """Post texts that cannot be made small until one is refused; what was accepted is remembered."""
    while True:
        try:
            await pair.post(1, resource="note", values=[os.urandom(30_000).hex()])
        except ApiRefused as refused:
            return f"{refused.status} {refused.code}", str(refused)


async def test_n6_a_source_whose_disk_is_full_says_so_to_devices_and_on_pages_and_goes_on_by_itself(rig: Rig) -> None:
    pair, plant = rig.pair, rig.stage.plant
    origin = {"Origin": plant.daemon.url}
    async with httpx2.AsyncClient(trust_env=False, base_url=plant.daemon.url, headers=origin) as browser:
        token = (plant.daemon.data_dir / "setup.token").read_text().strip()
        person = {"user_name": "ada", "password": "correct horse battery", "password_again": "correct horse battery"}
        assert (await browser.post("/setup", data={"token": token, **person})).status_code == 303
        rig.disks["plant"].fill(plant.daemon)
        code, words = await _refused_for_the_disk(pair)
        assert (code, "Nothing of it was kept" in words) == ("507 storage_failed", True)
        await until_problem(plant, "it goes on by itself")
        ready = await browser.get("/readyz")
        assert (ready.status_code, "disk" in ready.text) == (503, True)
        assert (await browser.get("/healthz")).status_code == 200
        repairs = {each["code"]: each for each in (await plant.get("/repairs"))["open"]}
        cause = repairs["storage_failed"]["cause"]
        assert "it goes on by itself" in cause
        for path in (f"/connectors/{pair.source_id}", "/repairs"):
            page = await browser.get(path)
            shown = text_of(page.text)
            assert page.status_code == 200, shown
            assert "urgent: The disk refused to store" in shown
            assert cause in shown
            assert f"What to do: {REPAIRS['storage_failed'].fix}" in shown
    assert len(await plant.readings(pair.source_id, "pump", "flow")) == len(pair.posted["pump", "flow"])
    await pair.until_linked()
    found = await rig.stage.office.get(f"/connectors/{pair.target_id}/devices/pump?from=peer")
    assert found["origin"] == "live", "lookups are answered from what can be read"
    rig.disks["plant"].empty()
    await until_problem(plant, "")
    await pair.post(20)
    await pair.until_balanced()
    await pair.check_delivered()


async def test_n6_a_target_whose_disk_is_full_acknowledges_nothing_and_keeps_its_link(rig: Rig) -> None:
    pair, office = rig.pair, rig.stage.office
    before = (await pair.source.own_account(pair.source_id))["applied"]
    rig.disks["office"].fill(office.daemon)
    posted = 0
    while posted < 400:  # until the target's write-ahead log has no room left
        await pair.post(1, resource="note", values=[os.urandom(30_000).hex()])
        posted += 1
        if (await office.get("/status"))["storage_problem"]:
            break
    await until_problem(office, "it goes on by itself")
    await pair.post(30)
    own = await pair.source.own_account(pair.source_id)
    theirs = await office.own_account(pair.target_id)
    assert own["queued"] >= 30
    assert own["applied"] - before < posted
    assert own["applied"] == theirs["applied"] == len(await _all(office, pair))
    assert own["accepted"] == own["applied"] + own["queued"]
    await pair.until_linked()
    found = await rig.stage.plant.get(f"/connectors/{pair.source_id}/devices/pump?from=peer")
    assert found["origin"] == "live", "lookups are answered from what can be read"
    rig.disks["office"].empty()
    await until_problem(office, "")
    await pair.until_balanced()
    await pair.check_delivered()


async def _all(site: Site, pair: Paired) -> list[Any]:
    found = [await site.readings(pair.target_id, "pump", alias) for alias in ("flow", "note")]
    return [row for each in found for row in each.items()]


async def test_n6_a_hub_whose_disk_is_full_relays_on(rig: Rig) -> None:
    pair, stage = rig.pair, rig.stage
    rig.disks["hub"].fill(stage.hub)
    await pair.post(200)
    await pair.until_balanced()
    stage.office.proxy.cut()
    for _ in range(4):  # more than its write-ahead log has room for
        await pair.post(20, resource="note", values=[os.urandom(30_000).hex() for _ in range(20)])

    async def failing() -> bool:
        return bool((await stage.hub_status())["storage_problem"])

    await until(failing, what="the hub to say what is wrong")
    stage.office.proxy.mend()
    await pair.until_balanced()
    rig.disks["hub"].empty()

    async def well() -> bool:
        return not (await stage.hub_status())["storage_problem"]

    await until(well, what="the hub to store again")
    await pair.check_delivered()


async def test_n6_a_database_deleted_under_a_site_is_refused_into_and_put_back_with_all_that_was_in_it(
    rig: Rig,
) -> None:
    pair, plant = rig.pair, rig.stage.plant
    async with plant.client() as asking:
        for left in plant.daemon.data_dir.iterdir():  # the directory itself is a disk
            left.unlink()
        with pytest.raises(ApiRefused, match="was deleted while the daemon runs"):
            await asking.post(
                f"/connectors/{pair.source_id}/readings", b'{"device":"pump","resource":"flow","value":1}'
            )

    async def put_back() -> bool:
        return all((plant.daemon.data_dir / name).exists() for name in ("site.db", "operator.token", "address"))

    await until(put_back, what="the daemon to put everything back")
    await until_problem(plant, "")
    await pair.post(20)
    await pair.until_balanced()
    await plant.daemon.kill()  # what is in the file now is all there is
    await plant.start()
    await pair.post(20)
    await pair.until_balanced()
    await pair.check_delivered()
    assert await plant.readings(pair.source_id, "pump", "flow") == pair.posted["pump", "flow"]
