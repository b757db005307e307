"""Every operation of the API, by topic, in the order in which they are tried and shown."""

from __future__ import annotations

from typing import Final

from connector.api import connectors, devices, pairing, readings, resources, site
from connector.api.operations import Operation

TOPICS: Final[tuple[tuple[str, tuple[Operation, ...]], ...]] = (
    ("Site", site.OPERATIONS),
    ("Connectors", connectors.OPERATIONS),
    ("Pairing", pairing.OPERATIONS),
    ("Devices", devices.OPERATIONS),
    ("Resources", resources.OPERATIONS),
    ("Readings", readings.OPERATIONS),
)
OPERATIONS: Final[tuple[Operation, ...]] = tuple(operation for _, operations in TOPICS for operation in operations)
