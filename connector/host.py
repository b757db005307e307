"""The built-in device `host`: readings of this machine by psutil, so that a first run shows real data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psutil

from connector.lines import Line

HOST_DEVICE = "host"


@dataclass(frozen=True, slots=True)
class HostResource:
    """A resource the host device reports."""

    alias: str
    unit: str


class HostDevice:
    """Takes measurements. Rates are since the measurement before."""

    def __init__(self) -> None:
        psutil.cpu_percent(None)
        self._network: Any = psutil.net_io_counters()
        self._disk: Any = psutil.disk_io_counters()
        self._at_s = time.monotonic()

    def measure(self, now_ms: int) -> list[Line]:
        """Return one reading per resource this machine has."""
        now_s = time.monotonic()
        passed_s = max(now_s - self._at_s, 1e-3)
        network: Any = psutil.net_io_counters()
        disk: Any = psutil.disk_io_counters()
        values: dict[str, float] = {
            "cpu": psutil.cpu_percent(None),
            "load": round(psutil.getloadavg()[0], 3),
            "memory": psutil.virtual_memory().percent,
            "disk": psutil.disk_usage("/").percent,
        }
        if network and self._network:  # None on a machine without interfaces
            values["network_in"] = round((network.bytes_recv - self._network.bytes_recv) / passed_s / 1000, 3)
            values["network_out"] = round((network.bytes_sent - self._network.bytes_sent) / passed_s / 1000, 3)
        if disk and self._disk:  # None on a machine without disks of its own
            values["disk_write"] = round((disk.write_bytes - self._disk.write_bytes) / passed_s / 1000, 3)
        values.update(_temperatures())
        self._network, self._disk, self._at_s = network, disk, now_s
        return [Line(HOST_DEVICE, alias, float(value), now_ms) for alias, value in values.items()]

    def resources(self) -> list[HostResource]:
        """Return the resources of this machine with their units."""
        units = {
            "cpu": "%",
            "load": "",
            "memory": "%",
            "disk": "%",
            "network_in": "kB/s",
            "network_out": "kB/s",
            "disk_write": "kB/s",
        }
        return [HostResource(line.resource, units.get(line.resource, "°C")) for line in self.measure(0)]


def _temperatures() -> dict[str, float]:
    if not hasattr(psutil, "sensors_temperatures"):
        return {}
    found: dict[str, float] = {}
    for chip, sensors in psutil.sensors_temperatures().items():
        for at, sensor in enumerate(sensors):
            found[f"temperature_{chip}_{sensor.label or at}".lower().replace(" ", "_")[:128]] = float(sensor.current)
    return found
