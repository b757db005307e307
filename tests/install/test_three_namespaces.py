"""The main job on three machines: hub and two sites from a wheel, run by their units, each in a network of its own.

The libraries are the test environment's (tests/install/installed.py says why); all else is as docs/operations.md says.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.rig.client import pair, until
from tests.e2e.stage import Paired, Site
from tests.install.installed import PLACE, PROGRAM, install_wheel, run
from tests.install.machines import Door, InstalledSite, Machine

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

HUB_PORT, SITE_PORT = 8470, 8471
SAY_FILES = "import pairhub, hub, connector, shared; print(*(m.__file__ for m in (pairhub, hub, connector, shared)))"
SITE_DATA, HUB_DATA = "/var/lib/pairhub-site/data", "/var/lib/pairhub-hub/data"


@dataclass(frozen=True)
class Plot:
    """Three machines; each site's one cable ends at the hub, which passes nothing on."""

    hub: Machine
    plant: Machine
    office: Machine
    paired: Paired

    def sides(self) -> list[tuple[Site, str]]:
        """Source and target, each with its connector."""
        return [(self.paired.source, self.paired.source_id), (self.paired.target, self.paired.target_id)]


def lay_cables(hub: Machine, sites: list[Machine]) -> None:
    for machine in (hub, *sites):
        run("ip", "netns", "add", machine.namespace)
        machine.ip("link", "set", "lo", "up")
    for at, site in enumerate(sites, start=1):
        peer = ("peer", "name", f"to-{site.name}", "netns", hub.namespace)
        run("ip", "link", "add", "uplink", "netns", site.namespace, "type", "veth", *peer)
        hub.ip("address", "add", f"10.89.{at}.1/24", "dev", f"to-{site.name}")
        hub.ip("link", "set", f"to-{site.name}", "up")
        site.ip("address", "add", f"10.89.{at}.2/24", "dev", "uplink")
        site.ip("link", "set", "uplink", "up")
        (site.folder / "etc" / "hosts").write_text(f"127.0.0.1 localhost\n10.89.{at}.1 hub.example\n")


def configure(machine: Machine, kind: str, **settings: object) -> None:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    (machine.folder / "etc" / "pairhub" / f"{kind}.toml").write_text(f"[{kind}]\n{lines}")


@asynccontextmanager
async def running_machines(folder: Path) -> AsyncIterator[tuple[Machine, Machine, Machine]]:
    opt = install_wheel(folder)
    hub, plant, office = (Machine(name, folder / name, opt) for name in ("hub", "plant", "office"))
    async with AsyncExitStack() as stack:
        for machine in (hub, plant, office):
            stack.push_async_callback(machine.remove)
        lay_cables(hub, [plant, office])
        configure(hub, "hub", host="0.0.0.0", tls_self_signed=True, tls_names="hub.example")
        await hub.start("hub")
        authority = hub.folder / "var-lib" / "pairhub-hub" / "data" / "tls" / "ca.pem"
        for site in (plant, office):
            configure(
                site,
                "site",
                site_name=site.name,
                hub_url=f"https://hub.example:{HUB_PORT}",
                hub_ca="/etc/pairhub/hub-ca.pem",
            )
            shutil.copy(authority, site.folder / "etc" / "pairhub" / "hub-ca.pem")
            await site.start("site")
        yield hub, plant, office


def enrol(hub: Machine, site: Machine) -> None:
    token = hub.call("enrol", "--new", site.name, "--data-dir", HUB_DATA).strip()
    assert site.call("enrol", token, "--data-dir", SITE_DATA) == f"The site '{site.name}' is enrolled.\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plot]:
    """Hub, plant and office, enrolled, and a pair of connectors made through the API."""
    folder = tmp_path_factory.mktemp("machines")
    async with running_machines(folder) as (hub, plant, office), AsyncExitStack() as stack:
        sites = []
        for machine in (plant, office):
            enrol(hub, machine)
            door = Door(machine, SITE_PORT)
            await stack.enter_async_context(door.opened())
            site = InstalledSite(machine, door)
            stack.push_async_callback(site.close)
            sites.append(site)
        source, target = sites
        body = {"name": "machine room", "creates_devices": True}
        source_id = str((await source.post("/connectors", body))["connector_id"])
        async with source.client() as asking, target.client() as claiming:
            target_id = await pair(asking, source_id, claiming, "machine room (from plant)")
        yield Plot(hub, plant, office, Paired(source, source_id, target, target_id))


async def test_w3_sites_installed_as_services_enrol_over_tls_and_pair(plot: Plot) -> None:
    for machine, connector_id, role in (
        (plot.plant, plot.paired.source_id, "source"),
        (plot.office, plot.paired.target_id, "target"),
    ):
        told = json.loads(machine.call("status", "--json", "--data-dir", SITE_DATA))
        assert [(row["connector_id"], row["role"]) for row in told["connectors"]] == [(connector_id, role)]
        state = machine.folder / "var-lib" / "pairhub-site"
        assert state.stat().st_mode & 0o777 == 0o700
        # Nothing that runs there comes from the checkout.
        files = machine.call("-c", SAY_FILES, program=PROGRAM.with_name("python")).split()
        assert len(files) == 4
        assert all(Path(file).is_relative_to(PLACE / "pairhub") for file in files)
    sides = [await site.connector(own) for site, own in plot.sides()]
    assert {side["pair"]["state"] for side in sides} == {"paired"}
    assert len({side["pair"]["fingerprint"] for side in sides}) == 1


async def test_w7_w9_device_tags_and_readings_of_one_machine_are_seen_on_the_other(plot: Plot) -> None:
    paired = plot.paired
    (source, source_id), (target, target_id) = plot.sides()
    await source.post(f"/connectors/{source_id}/devices", {"identity": "pump", "name": "Feed pump", "description": ""})
    await source.post(f"/connectors/{source_id}/devices/pump/tags", {"name": "floor", "value": "2"})

    async def looked_up() -> Any:
        found = await target.get(f"/connectors/{target_id}/devices?from=peer")
        return found["rows"] if found["origin"] == "live" else None

    (row,) = await until(looked_up, what="a live answer")
    assert (row["identity"], row["name"], row["tags"]) == ("pump", "Feed pump", [["floor", "2"]])

    await target.post(f"/connectors/{target_id}/devices/pump/tags", {"name": "shift", "value": "night"})

    async def came_back() -> bool:
        (found,) = (await source.get(f"/connectors/{source_id}/devices?search=pump"))["rows"]
        return sorted(tag[:2] for tag in found["tags"]) == [["floor", "2"], ["shift", "night"]]

    await until(came_back, what="the target's tag at the source")
    await paired.sync("flow", unit="l/s")
    await paired.post(500)
    await paired.until_balanced()
    await paired.check_delivered()


@pytest.mark.parametrize("cut_off", ["plant", "office"])
async def test_w10_readings_queue_while_a_cable_is_out_and_are_all_applied_once(plot: Plot, cut_off: str) -> None:
    paired, machine = plot.paired, {"plant": plot.plant, "office": plot.office}[cut_off]
    if not paired.posted:  # where this test runs alone
        await paired.sync("flow", unit="l/s")
        await paired.post(1)
    await paired.until_balanced()
    applied = paired.posted_count
    machine.ip("link", "set", "uplink", "down")
    for _ in range(3):
        await paired.post(100)
    await machine.stop()
    await machine.start("site")
    if cut_off == "plant":
        await paired.post(100)
    waiting = paired.posted_count - applied
    own = await paired.source.own_account(paired.source_id)
    assert (own["applied"], own["queued"]) == (applied, waiting)
    assert len(await paired.target.readings(paired.target_id, "pump", "flow")) == applied
    machine.ip("link", "set", "uplink", "up")
    await paired.until_balanced()
    await paired.check_delivered()
