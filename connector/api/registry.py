"""Every operation of the API, by topic, in the order in which they are tried and shown."""

from __future__ import annotations

from typing import Final

from connector.api import (
    backups,
    connectors,
    device_bulk,
    device_parts,
    devices,
    edits,
    events,
    host,
    mqtt,
    pairing,
    parting,
    people,
    quarantine,
    readings,
    repairs,
    replays,
    resources,
    site,
)
from connector.api.operations import Operation

TOPICS: Final[tuple[tuple[str, tuple[Operation, ...]], ...]] = (
    ("Site", (*site.OPERATIONS, *backups.OPERATIONS)),
    ("Repairs", repairs.OPERATIONS),
    ("Connectors", connectors.OPERATIONS),
    ("Pairing", (*pairing.OPERATIONS, *parting.OPERATIONS)),
    # Words of ours come before what may be the identity of a device.
    ("Many devices", device_bulk.OPERATIONS),
    ("Devices", (*devices.OPERATIONS, *device_parts.OPERATIONS)),
    ("Changes and conflicts", edits.OPERATIONS),
    ("Resources", resources.OPERATIONS),
    ("Readings", readings.OPERATIONS),
    ("Replays", replays.OPERATIONS),
    ("Quarantine", quarantine.OPERATIONS),
    ("Events", events.OPERATIONS),
    ("Host device", host.OPERATIONS),
    ("MQTT", mqtt.OPERATIONS),
    ("People and programs", people.OPERATIONS),
)
OPERATIONS: Final[tuple[Operation, ...]] = tuple(operation for _, operations in TOPICS for operation in operations)
