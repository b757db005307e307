"""What all verbs of a pair's storage share: the connection, the connector, and how columns are written."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from connector.catalogue import Catalogue
from shared.core.account import Apart
from shared.core.intervals import IntervalSet

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


class PairRows:
    """The tables of one connector on one open connection."""

    def __init__(self, connection: sqlite3.Connection, connector_id: str, catalogue: Catalogue) -> None:
        self.connection = self._connection = connection
        self._run = connection.execute
        self._id = connector_id
        self._catalogue = catalogue


def epoch_rest(row: Sequence[Any]) -> tuple[IntervalSet, IntervalSet, int, int, int, dict[str, int], Apart]:
    """Return (recorded, closed, applied, held, quarantined, dropped by cause, apart) from a row's columns."""
    recorded, closed, applied, held, quarantined, dropped, apart = row
    return (
        IntervalSet(unpack(recorded)),
        IntervalSet(unpack(closed)),
        applied,
        held,
        quarantined,
        msgspec.json.decode(dropped, type=dict[str, int]),
        unpack(apart, type=Apart) if apart else Apart(),
    )
