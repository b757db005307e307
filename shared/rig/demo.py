"""The demo: a hub and two sites on this machine, paired by the real protocol, streaming this machine's readings."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from shared.errors import PairhubError
from shared.rig.client import ApiClient, operator_token, pair, until
from shared.rig.daemons import Daemon

PORTS: Final = {"hub": 8470, "plant": 8471, "office": 8472}
_SOURCE_CONNECTOR: Final = "machine room"
_TARGET_CONNECTOR: Final = "machine room (from plant)"
_SYNCED: Final = ("cpu", "memory")
_HOST_EVERY_S: Final = 1.0
_LOGIN_NAME: Final = "demo"


@dataclass(frozen=True, slots=True)
class DemoAddresses:
    """Where the demo runs and how to log in."""

    hub: str
    source: str
    target: str
    user_name: str
    password: str
    data_dir: Path

    def lines(self) -> list[str]:
        """Say it for people."""
        return [
            "",
            f"  Source site 'plant'   {self.source}",
            f"  Target site 'office'  {self.target}",
            f"  Hub                   {self.hub}",
            f"  Log in everywhere as '{self.user_name}' with the password '{self.password}'.",
            "",
            "Press Ctrl-C to stop; start it again to go on where it stopped.",
        ]


def take_ports(wanted: dict[str, int | None]) -> dict[str, int]:
    """Return a port for each daemon: the one asked for, the usual one, or some free one.

    Raises PairhubError where one asked for is taken: its daemon would end, and a stranger answer in its place.
    """
    found = {name: _free_port(PORTS[name]) if port is None else port for name, port in wanted.items()}
    for name, port in wanted.items():
        if port and not _is_free(port):
            raise PairhubError(
                f"Port {port}, asked for {name}, is taken by another program."
                " End that program, or name another port; without one, the demo looks for a free port itself."
            )
    return found


def free_ports(*names: str) -> dict[str, int]:
    """Return a free port for each daemon of a stage that nobody looks at: others may have the usual ones."""
    with contextlib.ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in names]
        for probe in found:
            probe.bind(("127.0.0.1", 0))
        return {name: int(probe.getsockname()[1]) for name, probe in zip(names, found, strict=True)}


def _free_port(wanted: int) -> int:
    """Return the port wanted where it is free, else some free one."""
    return wanted if _is_free(wanted) else free_ports("any")["any"]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Demo:
    """Hub, source site `plant` and target site `office` as processes."""

    def __init__(self, data_dir: Path, say: Callable[[str], None], ports: dict[str, int]) -> None:
        """`say` is called with a line of progress; `ports` are for hub, plant and office (take_ports)."""
        self.data_dir = data_dir
        self._say = say
        hub_url = f"http://127.0.0.1:{ports['hub']}"
        self.hub = Daemon(
            "hub",
            "the hub",
            {"port": ports["hub"], "open_enrolment": "true", "log_level": "warning"},
            data_dir / "hub",
            hub_url,
        )
        self.source, self.target = (
            Daemon(
                "site",
                f"the site '{name}'",
                {"port": ports[name], "site_name": name, "hub_url": hub_url, "log_level": "warning"},
                data_dir / name,
                f"http://127.0.0.1:{ports[name]}",
            )
            for name in ("plant", "office")
        )
        self.source_id = ""
        self.target_id = ""

    def client(self, site: Daemon) -> ApiClient:
        """Return a client of one of the two sites."""
        return ApiClient(site.url, operator_token(site.data_dir))

    async def start(self) -> DemoAddresses:
        """Start everything; pairs at the very first start, goes on where it stopped at later ones. Raises PairhubError."""
        self._say(f"Data directory: {self.data_dir}")
        for daemon in (self.hub, self.source, self.target):
            self._say(f"Starting {daemon.name} at {daemon.url} ...")
            await daemon.start()
        password = await self._log_in_details()
        async with self.client(self.source) as source, self.client(self.target) as target:
            self.source_id = await self._find(source, "source") or ""
            self.target_id = await self._find(target, "target") or ""
            if not (self.source_id and self.target_id):
                await self._pair(source, target)
            else:
                self._say("Paired already; going on where it stopped.")
        return DemoAddresses(self.hub.url, self.source.url, self.target.url, _LOGIN_NAME, password, self.data_dir)

    async def _find(self, client: ApiClient, role: str) -> str | None:
        for connector in await client.get("/connectors"):
            if connector["role"] == role and connector["pair"]:
                return str(connector["connector_id"])
        return None

    async def _pair(self, source: ApiClient, target: ApiClient) -> None:
        self._say("Making a connector with this machine's readings ...")
        # A start that was broken off may have left the connector without a pair.
        standing = [c for c in await source.get("/connectors") if c["name"] == _SOURCE_CONNECTOR]
        made = (
            standing[0]
            if standing
            else await source.post("/connectors", {"name": _SOURCE_CONNECTOR, "host_every_s": _HOST_EVERY_S})
        )
        self.source_id = made["connector_id"]
        self._say("Pairing the two sites through the hub ...")
        self.target_id = await pair(source, self.source_id, target, _TARGET_CONNECTOR)
        tags = f"/connectors/{self.source_id}/devices/host/tags"
        await source.post(tags, {"name": "place", "value": "machine room"})
        for alias in _SYNCED:
            await source.ask("PUT", f"/connectors/{self.source_id}/resources/{alias}/remote-sync", {"on": True})

        async def told() -> Any:
            rows = await target.rows(f"/connectors/{self.target_id}/resources")
            return {row["alias"] for row in rows} >= set(_SYNCED)

        await until(told, what="the target to hear of the source's resources")
        for alias in _SYNCED:
            await target.post(f"/connectors/{self.target_id}/resources/{alias}/create-here")
        self._say(f"Paired; {' and '.join(_SYNCED)} are streaming.")

    async def _log_in_details(self) -> str:
        """Set both sites and the hub up for one demo user, through their set-up pages; return the password."""
        path = self.data_dir / "password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(9), encoding="utf-8")
        password = path.read_text(encoding="utf-8").strip()
        for daemon in (self.hub, self.source, self.target):
            token_path = daemon.data_dir / "setup.token"
            if not token_path.exists():
                continue
            form = {
                "token": token_path.read_text(encoding="utf-8").strip(),
                "user_name": _LOGIN_NAME,
                "password": password,
                "password_again": password,
            }
            async with httpx2.AsyncClient(trust_env=False) as http:
                answer = await http.post(daemon.url + "/setup", data=form, headers={"Origin": daemon.url})
            if answer.status_code >= 400:
                raise PairhubError(f"{daemon.name} could not be set up: HTTP {answer.status_code}")
        return password

    async def report(self) -> dict[str, Any]:
        """Return what `--json` prints: paired, lookup_ms, and both sides' accounts."""
        keys = ("accepted", "applied", "queued", "quarantined", "dropped")
        async with self.client(self.source) as source, self.client(self.target) as target:
            shown = [
                await source.get(f"/connectors/{self.source_id}"),
                await target.get(f"/connectors/{self.target_id}"),
            ]
            looked_up = await target.get(f"/connectors/{self.target_id}/devices?from=peer")
        sides = [{key: (connector["account"] or {}).get(key, 0) for key in keys} for connector in shown]
        return {
            "paired": all((connector["pair"] or {}).get("state") == "paired" for connector in shown),
            "lookup_ms": looked_up["round_trip_ms"] if looked_up["origin"] == "live" else None,
            "source": sides[0],
            "target": sides[1],
        }

    async def watch(self) -> None:
        """Wait until a daemon ends by itself; raises PairhubError naming it."""
        while True:
            for daemon in (self.hub, self.source, self.target):
                if not daemon.running:
                    raise PairhubError(f"{daemon.name} ended by itself; see {daemon.log_path}")
            await asyncio.sleep(0.5)

    async def stop(self) -> None:
        """End all three, sites first, so that what is under way is still taken by the hub."""
        for daemon in (self.source, self.target, self.hub):
            await daemon.stop()
