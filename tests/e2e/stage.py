"""A hub and two sites as processes, each site behind a proxy that can fail, and what tests ask of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from shared.rig.client import ApiClient, ApiRefused, operator_token, pair, until
from shared.rig.daemons import Daemon
from shared.rig.fault_proxy import FaultProxy

START_MS = 1_763_647_200_000
_names = itertools.count(1)


class Site:
    """One site: its daemon, and the proxy between it and the hub."""

    def __init__(self, name: str, daemon: Daemon, proxy: FaultProxy) -> None:
        self.name = name
        self.daemon = daemon
        self.proxy = proxy
        self._clients: dict[str, ApiClient] = {}  # by token

    async def start(self) -> None:
        """Start the daemon."""
        await self.daemon.start()

    def client(self, timeout_s: float = 60.0) -> ApiClient:
        """Return a client; each start of a daemon has a token of its own."""
        return ApiClient(self.daemon.url, operator_token(self.daemon.data_dir), timeout_s)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask, with the token of this moment: a daemon that started again has another one."""
        token = operator_token(self.daemon.data_dir)
        if token not in self._clients:
            self._clients[token] = self.client()
        return await self._clients[token].ask(method, path, body)

    async def close(self) -> None:
        """Give the connections back."""
        for client in self._clients.values():
            await client.__aexit__(None, None, None)
        self._clients.clear()

    async def get(self, path: str) -> Any:
        """GET."""
        return await self.ask("GET", path)

    async def rows(self, path: str) -> list[Any]:
        """Return all rows of a list."""
        async with self.client() as client:
            return await client.rows(path)

    async def post(self, path: str, body: Any = None) -> Any:
        """POST."""
        return await self.ask("POST", path, body)

    async def connector(self, connector_id: str) -> Any:
        """Return the state of a connector."""
        return await self.get(f"/connectors/{connector_id}")

    async def own_account(self, connector_id: str) -> dict[str, Any]:
        """Return this side's account; empty where there is none."""
        return dict((await self.get(f"/connectors/{connector_id}/account"))["own"] or {})

    async def readings(self, connector_id: str, device: str, resource: str) -> dict[int, Any]:
        """Return the history of a series by time."""
        found: dict[int, Any] = {}
        from_ms = 0
        while True:
            query = f"device={device}&resource={resource}&from={from_ms}&limit=50000"
            page = (await self.get(f"/connectors/{connector_id}/readings?{query}"))["readings"]
            found.update((row[0], row[1]) for row in page)
            if len(page) < 50_000:
                return found
            from_ms = page[-1][0] + 1


class Stage:
    """Hub `hub`, sites `plant` (the source of most tests) and `office`."""

    def __init__(self, hub: Daemon, plant: Site, office: Site, shift_file: Path) -> None:
        self.hub = hub
        self.plant = plant
        self.office = office
        self._shift_file = shift_file

    async def heal(self) -> None:
        """Bring up what is down and let the networks work."""
        for site in (self.plant, self.office):
            site.proxy.on_frame = None
            site.proxy.mend()
        await asyncio.gather(
            *(daemon.start() for daemon in (self.hub, self.plant.daemon, self.office.daemon) if not daemon.running)
        )

    def shift_clocks(self, by_ms: int) -> None:
        """Set the clocks of all daemons forward (only where the stage was opened `shifted`)."""
        with self._shift_file.open("r+b") as file:
            ahead_ms = int.from_bytes(file.read(8), "little") + by_ms
            file.seek(0)
            file.write(ahead_ms.to_bytes(8, "little"))

    def set_wall_clock(self, daemon: Daemon, ahead_ms: int) -> None:
        """Set the wall clock of one daemon wrong by so much, and nothing else (only where `shifted`)."""
        with self._shift_file.open("r+b") as file:
            file.seek(_wall_at(daemon.name))
            file.write(ahead_ms.to_bytes(8, "little", signed=True))

    async def hub_status(self) -> Any:
        """Return what the hub says about itself."""
        async with ApiClient(self.hub.url, operator_token(self.hub.data_dir)) as client:
            return await client.get("/status")

    async def source(self, site: Site | None = None, **more: Any) -> str:
        """Make a standalone connector; return its ID."""
        body = {"name": f"connector {next(_names)}", "creates_devices": True, **more}
        return str((await (site or self.plant).post("/connectors", body))["connector_id"])

    async def window(self, connector_id: str, site: Site | None = None) -> dict[str, Any]:
        """Open a pairing window and wait until the hub has filed it."""
        site = site or self.plant
        window = await site.post(f"/connectors/{connector_id}/remote-sync")

        async def filed() -> Any:
            return (await site.get(f"/connectors/{connector_id}/remote-sync")).get("filed")

        await until(filed, what="the hub to file the window")
        return dict(window)

    async def claim(self, window: Mapping[str, Any], site: Site | None = None, **changed: Any) -> str:
        """Make a target connector with what the window shows; return its ID. Raises ApiRefused."""
        body = {
            "name": f"target {next(_names)}",
            "site_name": window["site_name"],
            "connector_id": window["connector_id"],
            "code": window["code"],
            **changed,
        }
        return str((await (site or self.office).post("/targets", body))["connector_id"])

    async def pair(self) -> Paired:
        """Pair a new source at plant with a new target at office."""
        source_id = await self.source()
        async with self.plant.client() as plant, self.office.client() as office:
            target_id = await pair(plant, source_id, office, f"target {next(_names)}")
        return Paired(self.plant, source_id, self.office, target_id)


class Paired:
    """A pair: source connector at one site, target at another (or the same)."""

    def __init__(self, source: Site, source_id: str, target: Site, target_id: str) -> None:
        self.source = source
        self.source_id = source_id
        self.target = target
        self.target_id = target_id
        self.posted: dict[tuple[str, str], dict[int, Any]] = {}  # what the source accepted, by series and time
        self._next_ms = START_MS

    async def sync(self, alias: str, format_: str = "number", *, at_target: bool = True, **more: Any) -> None:
        """Make a resource at the source with its toggle on, and the same at the target."""
        made = {"alias": alias, "format": format_, **more}
        await self.source.post(f"/connectors/{self.source_id}/resources", {**made, "remote_sync": True})
        if at_target:
            await self.target.post(f"/connectors/{self.target_id}/resources", made)
            await self.until_match(self.source, self.source_id, alias, "same")

    async def until_match(self, site: Site, connector_id: str, alias: str, match: str) -> None:
        """Wait until a side says how a resource compares with the other's."""

        async def told() -> bool:
            rows = await site.rows(f"/connectors/{connector_id}/resources")
            return any(row["alias"] == alias and row["match"] == match for row in rows)

        await until(told, what=f"{alias} to be {match} at {site.name}")

    async def post(
        self, count: int, device: str = "pump", resource: str = "flow", values: Any = None
    ) -> dict[str, Any]:
        """Post readings of one series at the source, in times never used before; remembers what was accepted."""
        times = [self._next_ms + at for at in range(count)]
        self._next_ms += count
        values = values or [at * 0.25 for at in times]
        body = b"\n".join(
            msgspec.json.encode({"device": device, "resource": resource, "timestamp": at, "value": value})
            for at, value in zip(times, values, strict=True)
        )
        outcome = dict(await self.source.post(f"/connectors/{self.source_id}/readings", body))
        assert outcome["accepted"] == count, outcome
        self.posted.setdefault((device, resource), {}).update(zip(times, values, strict=True))
        return outcome

    @property
    def posted_count(self) -> int:
        """Readings accepted so far."""
        return sum(map(len, self.posted.values()))

    async def until_balanced(self, *, timeout_s: float = 40.0, accepted: int | None = None) -> None:
        """Wait until everything posted is applied, and nothing waits, by the word of both sides."""
        accepted = self.posted_count if accepted is None else accepted
        wanted = {"accepted": accepted, "applied": accepted, "queued": 0, "quarantined": 0, "dropped": 0}

        async def balanced() -> bool:
            own = await self.source.own_account(self.source_id)
            theirs = await self.target.own_account(self.target_id)
            shown = [{key: side.get(key) for key in wanted} for side in (own, theirs)]
            if shown != [wanted, wanted]:
                raise NotYet(f"source {shown[0]}, target {shown[1]}, wanted {wanted}")
            return True

        await until(balanced, timeout_s=timeout_s, what="both accounts to balance")

    async def check_delivered(self) -> None:
        """Everything accepted is at the target, once, bit for bit, and nothing else is."""
        for (device, resource), wanted in self.posted.items():
            found = await self.target.readings(self.target_id, device, resource)
            missing, strange = wanted.keys() - found.keys(), found.keys() - wanted.keys()
            assert not missing, f"{len(missing)} of {len(wanted)} readings of {device}/{resource} never arrived"
            assert not strange, f"{len(strange)} readings of {device}/{resource} were never posted"
            assert {at: _bits(value) for at, value in found.items()} == {at: _bits(v) for at, v in wanted.items()}
        # A history shows a time once, however often it came: what was applied again is what the account counts beyond it.
        applied = (await self.target.own_account(self.target_id))["applied"]
        assert applied <= self.posted_count, f"{applied} readings were applied, {self.posted_count} are there"

    async def until_linked(self) -> None:
        """Wait until both links are up and know of each other."""

        async def linked() -> bool:
            for site, connector_id in ((self.source, self.source_id), (self.target, self.target_id)):
                link = (await site.connector(connector_id))["link"]
                if link["state"] != "linked" or not link["peer_linked"]:
                    raise NotYet(f"{site.name}: {link}")
            return True

        await until(linked, timeout_s=45, what="both sides to be linked")


class NotYet(ApiRefused):
    """What `until` shows where it gives up."""

    def __init__(self, why: str) -> None:
        super().__init__(0, "not_yet", why)


def _bits(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float) else value


@asynccontextmanager
async def open_stage(
    folder: Path,
    *,
    hub_flags: Mapping[str, object] | None = None,
    site_flags: Mapping[str, object] | None = None,
    shifted: bool = False,
) -> AsyncIterator[Stage]:
    """Run a hub and two sites on fresh data for the time of a block. `shifted`: their clocks can be set forward."""
    folder.mkdir(parents=True, exist_ok=True)
    shift_file = folder / "shift"
    shift_file.write_bytes(bytes(32))
    shifting = str(Path(__file__).with_name("shifted.py"))

    def program(name: str) -> tuple[str, str]:
        return (shifting, f"{shift_file}@{_wall_at(name)}") if shifted else ("-m", "pairhub")

    ports = {name: free_port() for name in ("hub", "plant", "office")}
    hub_url = f"http://127.0.0.1:{ports['hub']}"
    flags = {"port": ports["hub"], "open_enrolment": "true", "log_level": "info", **(hub_flags or {})}
    hub = Daemon("hub", "hub", flags, folder / "hub", hub_url, program("hub"))
    async with contextlib.AsyncExitStack() as stack:
        sites = []
        for name in ("plant", "office"):
            proxy = await stack.enter_async_context(FaultProxy(hub_url))
            site = {"port": ports[name], "site_name": name, "hub_url": proxy.url, "log_level": "info"}
            url = f"http://127.0.0.1:{ports[name]}"
            sites.append(
                Site(
                    name, Daemon("site", name, {**site, **(site_flags or {})}, folder / name, url, program(name)), proxy
                )
            )
        daemons = [hub, *(site.daemon for site in sites)]
        try:
            await asyncio.gather(*(daemon.start() for daemon in daemons))
            yield Stage(hub, sites[0], sites[1], shift_file)
        finally:
            await asyncio.gather(*(daemon.kill() for daemon in daemons), *(site.close() for site in sites))


def _wall_at(name: str) -> int:
    """Where in the file of shifts the one of a daemon's wall clock is."""
    return 8 + 8 * ("hub", "plant", "office").index(name)


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def refusal_of(asked: Any) -> tuple[str, str]:
    """Await what must be refused; return its code and words."""
    try:
        got = await asked
    except ApiRefused as refused:
        return refused.code, str(refused)
    raise AssertionError(f"it was not refused but answered {got}")


async def until_up(daemon: Daemon) -> None:
    """Wait until a daemon answers."""
    async with httpx2.AsyncClient(trust_env=False) as http:

        async def up() -> bool:
            with contextlib.suppress(httpx2.HTTPError):
                return (await http.get(daemon.url + "/healthz")).status_code == 200
            return False

        await until(up, what=f"{daemon.name} to answer")
