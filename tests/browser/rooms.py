"""Every page of a furnished house: what the accessibility check and the screenshots go through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from playwright.async_api import Page, expect

from shared.rig.client import until
from shared.rig.daemons import Daemon
from tests.browser.house import House, Visits, url_of
from tests.e2e.stage import Paired, Site

READINGS: Final = 120
# The hour in which the readings of `Paired.post` lie.
_FIRST_HOUR: Final = "range=custom&from=2025-11-20T14:00%2B00:00&to=2025-11-20T15:00%2B00:00"


# Rows to import: a new one, one that changes, one as it is, and one that is wrong.
_ROWS: Final = """identity,name,tags
pump-9,A new pump,floor=9; place=annexe
boiler,Boiler of the whole house,
pump-2,,
pump-3,,not a tag"""


async def send_form(page: Page) -> None:
    """Send the form of a new target as it is, to see it refused."""
    await page.get_by_label("Remote-Sync Target").check()
    await page.get_by_role("button", name="Create and pair").click()
    await expect(page.locator(".field-error").first).to_be_visible()


async def unfold(page: Page) -> None:
    """Open all that is folded in the page."""
    folded = page.locator("main details:not([open]) > summary")
    while await folded.count():
        await folded.first.click()


async def choose(page: Page) -> None:
    """Tick devices, and open what can be done with them and by what they can be filtered."""
    await page.get_by_label("Select pump-1").check()
    await unfold(page)


async def preview(page: Page) -> None:
    """Show what an import would do."""
    await page.get_by_label("or paste rows").fill(_ROWS)
    await page.get_by_role("button", name="Show what would happen").click()
    await expect(page.locator("#import-preview")).to_be_visible()


async def ask_about_chosen(page: Page) -> None:
    """Ask to delete two devices."""
    await choose(page)
    await page.get_by_label("Select pump-2").check()
    await page.get_by_role("button", name="Delete …").click()
    await expect(page.get_by_role("heading", name="Delete 2 devices?")).to_be_visible()


async def ask_in_dialog(page: Page) -> None:
    """Ask to delete the device, in the dialog over its page."""
    await page.get_by_text("Edit, lock or delete").click()
    await page.get_by_role("link", name="Delete device").click()
    await expect(page.locator("#dialog")).to_be_visible()


@dataclass(frozen=True, slots=True)
class Room:
    """One page: its name, where it is, and what is done there before it is looked at."""

    name: str
    at: Site | Daemon
    path: str
    act: Callable[[Page], Awaitable[None]] | None = None
    logged_in: bool = True


async def enter(visits: Visits, room: Room, page: Page | None = None) -> Page:
    """Open the page of a room: in a window of its own, or in one that is there and keeps what it has loaded."""
    if page is None:
        page = await visits.open(room.at, room.path, logged_in=room.logged_in)
    else:
        await page.goto(url_of(room.at) + room.path)
    if room.act is not None:
        await room.act(page)
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
    await edit(house, paired)
    waiting = await house.stage.source(name="cooling tower")
    await house.stage.window(waiting)
    await house.stage.source(name="a connector with a name that is longer than anybody would like to read twice")
    return paired, waiting


async def edit(house: House, paired: Paired) -> None:
    """Give devices all that they can have, and let edits of both sides cross."""
    source, target = f"/connectors/{paired.source_id}", f"/connectors/{paired.target_id}"
    pump = f"{source}/devices/pump-1"
    await paired.sync("speed", unit="rpm", settable=True)
    for subject, kind, level, expires_ms in (
        ("anna", "user", "manage", None),
        ("night shift of the turbine hall and all who help there", "group", "write", 1_900_000_000_000),
        ("former", "group", "read", 1_700_000_000_000),
    ):
        grant = {"kind": kind, "subject": subject, "level": level, "expires_ms": expires_ms}
        await paired.source.ask("PUT", f"{pump}/grants", grant)
    await paired.source.ask("PUT", f"{source}/grants", {"kind": "user", "subject": "everywhere", "level": "read"})
    await paired.source.post(f"{pump}/publish-as", {"pattern": "hall-*"})
    configuration = {"poll_s": 5, "address": "10.1.2.3:502", "registers": [40001, 40002], "note": "x" * 90}
    await paired.source.ask("PATCH", pump, {"configuration": configuration, "locked": True})
    await paired.source.ask("PUT", f"{pump}/values/speed", {"value": 1450.0})
    await paired.until_linked()

    async def arrived() -> bool:
        there = await paired.target.get(f"{target}/devices/pump-1")
        return bool(there["device"]["locked"])

    await until(arrived, what="the edits to be at the target")
    house.office.proxy.cut()
    await paired.target.ask("PATCH", f"{target}/devices/pump-1", {"name": "Feed pump, as office calls it"})
    await paired.source.ask("PATCH", pump, {"name": "Feed pump, as plant calls it"})
    await paired.source.ask("PATCH", f"{source}/devices/pump-2", {"locked": True})
    house.office.proxy.mend()

    async def in_conflict() -> bool:
        return bool(await paired.source.rows(f"{source}/conflicts"))

    await until(in_conflict, timeout_s=60, what="the edits to cross")
    await paired.until_linked()


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
        Room("repairs", house.plant, "/repairs"),
        Room("connector form", house.office, "/connectors/new"),
        Room("connector form refused", house.office, "/connectors/new", send_form),
        Room("remote-sync waiting", house.plant, f"/connectors/{waiting}/remote-sync"),
        Room("overview unpaired", house.plant, f"/connectors/{waiting}"),
        Room("devices empty", house.plant, f"/connectors/{waiting}/devices"),
        Room("resources empty", house.plant, f"/connectors/{waiting}/resources"),
        Room("changes empty", house.plant, f"/connectors/{waiting}/changes"),
        Room("gaps empty", house.plant, f"/connectors/{waiting}/gaps"),
        Room("sharing unpaired", house.plant, f"/connectors/{waiting}/sharing"),
        Room("import", house.plant, f"/connectors/{waiting}/devices-import"),
        Room("import with a preview", house.plant, f"/connectors/{paired.source_id}/devices-import", preview),
        Room("devices unmatched", house.plant, f"/connectors/{paired.source_id}/devices?search=nowhere"),
        Room("devices chosen", house.plant, f"/connectors/{paired.source_id}/devices?search=p&sort=name", choose),
        Room("devices to delete", house.plant, f"/connectors/{paired.source_id}/devices", ask_about_chosen),
        Room("device to delete", house.plant, f"/connectors/{paired.source_id}/devices/boiler", ask_in_dialog),
        Room("device unfolded", house.plant, f"/connectors/{paired.source_id}/devices/pump-1", unfold),
        Room("resources unfolded", house.plant, f"/connectors/{paired.source_id}/resources", unfold),
        Room("resource unfolded", house.office, f"/connectors/{paired.target_id}/resources/cpu?range=1h", unfold),
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
            Room(f"{word} changes", site, f"{base}/changes"),
            Room(f"{word} sharing", site, f"{base}/sharing"),
            Room(f"{word} ways in", site, f"{base}/ways-in"),
            Room(f"{word} gaps", site, f"{base}/gaps"),
            Room(f"{word} settings", site, f"{base}/settings"),
            Room(f"{word} remote-sync", site, f"{base}/remote-sync"),
            Room(f"{word} parting", site, f"{base}/remote-sync/part"),
        ]
    return found
