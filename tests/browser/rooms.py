"""Every page of a furnished house: what the accessibility check and the screenshots go through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from playwright.async_api import Page, expect

from shared.rig.daemons import Daemon
from tests.browser.house import House, Visits
from tests.e2e.stage import Paired, Site

READINGS: Final = 120
# The hour in which the readings of `Paired.post` lie.
_FIRST_HOUR: Final = "range=custom&from=2025-11-20T14:00%2B00:00&to=2025-11-20T15:00%2B00:00"


@dataclass(frozen=True, slots=True)
class Room:
    """One page: its name, where it is, and whether its form is sent as it is to see it refused."""

    name: str
    at: Site | Daemon
    path: str
    is_refused: bool = False
    logged_in: bool = True


async def enter(visits: Visits, room: Room) -> Page:
    """Open the page of a room."""
    page = await visits.open(room.at, room.path, logged_in=room.logged_in)
    if room.is_refused:
        await page.get_by_label("Remote-Sync Target").check()
        await page.get_by_role("button", name="Create and pair").click()
        await expect(page.locator(".field-error").first).to_be_visible()
    return page


async def furnish(house: House) -> tuple[Paired, str]:
    """Fill a house as people do in a day of use; return its pair, and a source whose pairing window is open."""
    paired = await house.pair("machine room", "machine room (from plant)", host_every_s=0.5)
    plant, source = house.plant, f"/connectors/{paired.source_id}"
    for identity, name, tags in (
        ("pump-1", "Feed pump", [("floor", "2"), ("place", "machine room")]),
        ("pump-2", "Spare pump", [("floor", "2")]),
        ("boiler", "Boiler", []),
    ):
        await plant.post(f"{source}/devices", {"identity": identity, "name": name, "description": ""})
        for tag, value in tags:
            await plant.post(f"{source}/devices/{identity}/tags", {"name": tag, "value": value})
    await paired.sync("flow", unit="l/s")
    await paired.sync("state", "string")
    for alias in ("cpu", "memory"):
        await plant.ask("PUT", f"{source}/resources/{alias}/remote-sync", {"on": True})
        await paired.until_match(paired.target, paired.target_id, alias, "missing_here")
    await paired.target.post(f"/connectors/{paired.target_id}/resources/cpu/create-here")
    await paired.post(READINGS, device="pump-1", values=[17 + at % 7 * 0.25 for at in range(READINGS)])
    await paired.post(1, device="pump-1", resource="state", values=["running"])
    waiting = await house.stage.source(name="cooling tower")
    await house.stage.window(waiting)
    await house.stage.source(name="a connector with a name that is longer than anybody would like to read twice")
    return paired, waiting


def rooms(house: House, paired: Paired, waiting: str) -> list[Room]:
    """Return every page of the product, forms that were refused and questions included."""
    found = [
        Room("hub operator", house.hub, "/operator"),
        Room("hub login", house.hub, "/login", logged_in=False),
        Room("hub nowhere", house.hub, "/nowhere"),
        Room("site login", house.plant, "/login", logged_in=False),
        Room("site nowhere", house.plant, "/nowhere"),
        Room("api key", house.plant, "/api-key"),
        Room("api reference", house.plant, "/api"),
        Room("connector form", house.office, "/connectors/new"),
        Room("connector form refused", house.office, "/connectors/new", is_refused=True),
        Room("remote-sync waiting", house.plant, f"/connectors/{waiting}/remote-sync"),
        Room("overview unpaired", house.plant, f"/connectors/{waiting}"),
        Room("devices empty", house.plant, f"/connectors/{waiting}/devices"),
        Room("resources empty", house.plant, f"/connectors/{waiting}/resources"),
        Room("mqtt new", house.plant, f"/connectors/{waiting}/ways-in/mqtt-new"),
        Room("delete", house.plant, f"/connectors/{waiting}/delete"),
        Room("resource of states", house.plant, f"/connectors/{paired.source_id}/resources/state?{_FIRST_HOUR}"),
        Room("resource delete", house.plant, f"/connectors/{paired.source_id}/resources/flow/delete"),
    ]
    for word, site, connector_id in (
        ("source", paired.source, paired.source_id),
        ("target", paired.target, paired.target_id),
    ):
        base = f"/connectors/{connector_id}"
        found += [
            Room(f"{word} connectors", site, "/connectors"),
            Room(f"{word} overview", site, base),
            Room(f"{word} devices", site, f"{base}/devices"),
            Room(f"{word} device host", site, f"{base}/devices/host"),
            Room(f"{word} device", site, f"{base}/devices/pump-1"),
            Room(f"{word} resources", site, f"{base}/resources"),
            Room(f"{word} resource", site, f"{base}/resources/cpu?range=1h"),
            Room(f"{word} ways in", site, f"{base}/ways-in"),
            Room(f"{word} gaps", site, f"{base}/gaps"),
            Room(f"{word} settings", site, f"{base}/settings"),
            Room(f"{word} remote-sync", site, f"{base}/remote-sync"),
            Room(f"{word} parting", site, f"{base}/remote-sync/part"),
        ]
    return found
