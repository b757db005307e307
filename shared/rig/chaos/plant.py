"""What chaos works on: a hub and two paired sites as processes, each site behind a proxy of its own that can fail."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from shared.rig.chaos.shifted_clock import write_off
from shared.rig.client import ApiClient, operator_token, pair, until
from shared.rig.daemons import Daemon
from shared.rig.demo import free_ports
from shared.rig.fault_proxy import FaultProxy

DEVICES: Final = 12
RESOURCES: Final = ("flow", "level", "power", "pressure")
ANSWER_TIMEOUT_S: Final = 20.0


class Machine:
    """One of the three daemons, with all that can go wrong around it. `held` is taken by whoever stops and starts it."""

    def __init__(self, daemon: Daemon, clock_file: Path, proxy: FaultProxy | None) -> None:
        self.daemon = daemon
        self.proxy = proxy
        self.held = asyncio.Lock()
        self.connector_id = ""
        self._clock_file = clock_file
        self._clients: dict[str, ApiClient] = {}  # by token
        self._copy = daemon.data_dir.with_name(daemon.data_dir.name + ".copy")
        self.set_clock(0)

    @property
    def name(self) -> str:
        """The daemon's name."""
        return self.daemon.name

    def set_clock(self, off_ms: int) -> None:
        """Set its wall clock wrong by so much, 0 for right."""
        write_off(self._clock_file, off_ms)

    def client(self) -> ApiClient:
        """Return a client; each start of a daemon has a token of its own. Raises PairhubError where it never ran."""
        token = operator_token(self.daemon.data_dir)
        if token not in self._clients:
            self._clients[token] = ApiClient(self.daemon.url, token, ANSWER_TIMEOUT_S)
        return self._clients[token]

    async def close(self) -> None:
        """Give the connections back."""
        for client in self._clients.values():
            await client.__aexit__(None, None, None)

    @property
    def has_copy(self) -> bool:
        """Whether `take_copy` was called."""
        return self._copy.exists()

    def take_copy(self) -> None:
        """Copy its data directory; the daemon must not run."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.daemon.data_dir, self._copy)

    def unsealed_in_copy(self) -> int:
        """Return the readings in the tail of the copy of a source: sealed anew after a restore, under other numbers."""
        address = f"file:{self._copy / 'site.db'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            (count,) = connection.execute("SELECT COALESCE(SUM(tail_count), 0) FROM stream").fetchone()
        return int(count)

    def restore_copy(self) -> None:
        """Put the copy in the place of its data directory; the daemon must not run."""
        shutil.rmtree(self.daemon.data_dir)
        shutil.copytree(self._copy, self.daemon.data_dir)


class Plant:
    """`async with` it: started, paired, with resources that stream and devices on both sides."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Not the usual ones: while a daemon is down, one of another rig that looks for those would take its port.
        self._ports = free_ports("hub", "plant", "office")
        self._proxies = [FaultProxy(self._url("hub")) for _ in range(2)]

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    async def __aenter__(self) -> Plant:
        for proxy in self._proxies:
            await proxy.__aenter__()
        self.hub = self._machine("hub", "hub", {"open_enrolment": "true"}, None)
        self.source, self.target = (
            self._machine("site", name, {"site_name": name, "hub_url": proxy.url}, proxy)
            for name, proxy in zip(("plant", "office"), self._proxies, strict=True)
        )
        try:
            for machine in self.machines:
                await machine.daemon.start()
            await self._pair()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for machine in reversed(self.machines):
            await machine.close()
            await machine.daemon.kill()
        for proxy in self._proxies:
            await proxy.__aexit__(None, None, None)

    @property
    def machines(self) -> Sequence[Machine]:
        """Hub, source, target."""
        return (self.hub, self.source, self.target)

    @property
    def sites(self) -> Sequence[Machine]:
        """Source, target."""
        return (self.source, self.target)

    def _machine(self, kind: str, name: str, flags: dict[str, object], proxy: FaultProxy | None) -> Machine:
        clock_file = self._folder / f"{name}.clock"
        write_off(clock_file, 0)
        daemon = Daemon(
            kind,
            name,
            {"port": self._ports[name], "log_level": "warning", **flags},
            self._folder / name,
            self._url(name),
            ("-m", "shared.rig.chaos.shifted_clock", str(clock_file)),
        )
        return Machine(daemon, clock_file, proxy)

    async def _pair(self) -> None:
        source, target = self.source.client(), self.target.client()
        made = await source.post("/connectors", {"name": "chaos", "creates_devices": True})
        self.source.connector_id = made["connector_id"]
        self.target.connector_id = await pair(source, self.source.connector_id, target, "chaos")
        for at in range(DEVICES):
            await source.post(f"/connectors/{self.source.connector_id}/devices", {"identity": device_name(at)})
        for alias in RESOURCES:
            resource = {"alias": alias, "format": "number"}
            await source.post(f"/connectors/{self.source.connector_id}/resources", {**resource, "remote_sync": True})
            await target.post(f"/connectors/{self.target.connector_id}/resources", resource)

        async def agreed() -> Any:
            rows = await source.rows(f"/connectors/{self.source.connector_id}/resources")
            there = await target.get(f"/connectors/{self.target.connector_id}/devices")
            return there["total"] == DEVICES and all(row["match"] == "same" for row in rows)

        await until(agreed, what="both sides to agree on devices and resources")


def device_name(at: int) -> str:
    """Return the identity of a device of the load."""
    return f"device-{at:02}"
