"""Who may report for which device: locked devices report nothing, gateways for themselves and what their patterns allow.

Asked in the unit of work that stores the readings, so that an edit counts from its commit on, wherever it was made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence, Set

from connector.edit_queries import may_report_for
from shared.errors import Refused


def turned_away(
    connection: sqlite3.Connection,
    connector_id: str,
    devices: Iterable[str],
    locked: Set[str],
    reporters: Sequence[str] = (),
) -> dict[str, Refused]:
    """Return the devices whose readings are not taken, with the reason.

    `reporters` are the identities that report, each of which needs to be allowed: the device that an API key is bound
    to, the gateway that a request, a batch or a topic names. Without any, everything but `locked` devices may report.
    """
    if not locked and not reporters:
        return {}
    refused: dict[str, Refused] = {}
    for device in dict.fromkeys(devices):
        acting = next((one for one in (device, *reporters) if one in locked), None)
        if acting is not None:
            refused[device] = Refused("device_locked", device=acting)
            continue
        stranger = next((one for one in reporters if not may_report_for(connection, connector_id, one, device)), None)
        if stranger is not None:
            refused[device] = Refused("not_publish_as", gateway=stranger, device=device)
    return refused


def locked_devices(connection: sqlite3.Connection, connector_id: str) -> frozenset[str]:
    """Return the devices that may not report."""
    # The index device_by_lock holds locked devices only: this is asked for every request.
    rows = connection.execute("SELECT identity FROM device WHERE connector_id = ? AND locked <> 0", (connector_id,))
    return frozenset(row[0] for row in rows)
