"""Importing and exporting the devices of a connector (W12): what would happen to each row, and making it so."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET

from connector.device_edits import DeviceEdits, NewDevice
from connector.device_files import DeviceRecord, Row
from connector.site import Site
from connector.streams import Streams
from shared.core.edits import Edit
from shared.core.fields import json_text
from shared.errors import Refused

Fate: TypeAlias = Literal["create", "change", "same", "refused"]
_UNCHANGED: Final = "same"
# Rows of one unit of work: it keeps the writer for about a tenth of a second.
_BITE_ROWS: Final = 200


class RowOutcome(msgspec.Struct, frozen=True):
    """What becomes of a row: `changes` names the fields that differ; `code` and `message` say why it is refused."""

    row: int
    identity: str
    what: Fate
    changes: list[str] = []
    code: str = ""
    message: str = ""


class ImportOutcome(msgspec.Struct, frozen=True):
    """What became of a file, or with a preview what would: counts, and each row in its order."""

    create: int
    change: int
    same: int
    refused: int
    rows: list[RowOutcome]

    @classmethod
    def of(cls, rows: list[RowOutcome]) -> ImportOutcome:
        """Count the rows."""
        counts = {word: sum(row.what == word for row in rows) for word in ("create", "change", "same", "refused")}
        return cls(**counts, rows=rows)


async def import_devices(
    site: Site, connector_id: str, rows: Sequence[Row], *, who: str, preview: bool = False
) -> ImportOutcome:
    """Make the good rows so, a bite at a time; with `preview` only say what would happen. Raises Refused.

    Readings and other edits get their turn between two bites. What ends the import in the middle leaves whole rows, and
    importing the same file again goes on from there.
    """
    site.runtime(connector_id)
    outcomes: list[RowOutcome] = []
    seen: set[str] = set()
    for at in range(0, len(rows), _BITE_ROWS):
        bite = rows[at : at + _BITE_ROWS]
        if preview:
            outcomes += await site.database.read(lambda c, bite=bite: _plan(c, connector_id, bite, seen)[1])  # type: ignore[misc]
            continue

        def plan(store: Streams, bite: Sequence[Row] = bite) -> tuple[list[Edit], list[RowOutcome]]:
            return _plan(store.connection, connector_id, bite, seen)

        outcomes += (await site.editing.apply(connector_id, plan, who=who))[1]
    return ImportOutcome.of(outcomes)


def export_devices(
    connection: sqlite3.Connection, connector_id: str, identities: Sequence[str] | None = None
) -> list[DeviceRecord]:
    """Return devices as files hold them, by identity: all, or those that are named and there."""
    named = "" if identities is None else "AND identity IN (SELECT value FROM json_each(:named))"
    facts = {"connector": connector_id, "named": msgspec.json.encode(identities or ()).decode()}
    tags: dict[int, list[tuple[str, str]]] = {}
    for row in connection.execute(
        "SELECT device_id, tag.name, value FROM tag JOIN device USING (device_id)"  # noqa: S608
        f" WHERE connector_id = :connector {named} ORDER BY 1, 2, 3",
        facts,
    ):
        tags.setdefault(row[0], []).append((row[1], row[2]))
    rows = connection.execute(
        "SELECT device_id, identity, name, description, locked, configuration FROM device"  # noqa: S608
        f" WHERE connector_id = :connector {named} ORDER BY identity",
        facts,
    )
    return [
        DeviceRecord(
            identity=row[1],
            name=row[2],
            description=row[3],
            locked=bool(row[4]),
            tags=tags.get(row[0], []),
            configuration=msgspec.json.decode(row[5], type=dict[str, Any]),
        )
        for row in rows
    ]


def _plan(
    connection: sqlite3.Connection, connector_id: str, rows: Sequence[Row], seen: set[str]
) -> tuple[list[Edit], list[RowOutcome]]:
    """Return the edits and outcomes of rows; `seen` has the identities of earlier ones, and gets theirs."""
    names = [row.record.identity.strip() for row in rows if row.record is not None]
    present = {record.identity: record for record in export_devices(connection, connector_id, names)}
    maker = DeviceEdits(connection, connector_id)
    edits: list[Edit] = []
    outcomes: list[RowOutcome] = []
    for row in rows:
        identity = row.record.identity.strip() if row.record is not None else ""
        try:
            if row.record is None:
                raise row.refusal or Refused("invalid", what="Row", why="it cannot be read")
            if identity in seen:
                raise Refused("invalid", what="Identity", why="an earlier row of this file names it too")
            made, what, changes = _edits_of(maker, row.record, present.get(identity))
            edits += made
            seen.add(identity)
            outcomes.append(RowOutcome(row.number, identity, what, changes))
        except Refused as refused:
            outcomes.append(RowOutcome(row.number, identity, "refused", code=refused.code, message=str(refused)))
    return edits, outcomes


def _edits_of(
    maker: DeviceEdits, record: DeviceRecord, present: DeviceRecord | None
) -> tuple[list[Edit], Fate, list[str]]:
    if present is None:
        return maker.creation(_new(record)), "create", []
    changes = [
        field
        for field in ("name", "description", "locked", "tags", "configuration")
        if (wanted := getattr(record, field)) is not UNSET
        and _comparable(wanted) != _comparable(getattr(present, field))
    ]
    edits: list[Edit] = []
    identity = present.identity
    if "name" in changes or "description" in changes:
        name = record.name if isinstance(record.name, str) else present.name
        description = record.description if isinstance(record.description, str) else present.description
        edits += maker.naming(identity, str(name), str(description))
    if "locked" in changes:
        edits += maker.locking(identity, locked=record.locked is True)
    if "configuration" in changes:
        edits += maker.configuring(identity, json_text(record.configuration))
    if "tags" in changes:
        edits += _tag_edits(maker, identity, record, present)
    return edits, ("change" if changes else _UNCHANGED), changes


def _tag_edits(maker: DeviceEdits, identity: str, record: DeviceRecord, present: DeviceRecord) -> list[Edit]:
    wanted, had = _pairs(record), _pairs(present)
    removed = [pair for pair in had if pair not in wanted]
    return maker.untagging(identity, removed) + maker.tagging(identity, [pair for pair in wanted if pair not in had])


def _pairs(record: DeviceRecord) -> list[tuple[str, str]]:
    return [(name.strip(), value.strip()) for name, value in record.tags] if isinstance(record.tags, list) else []


def _comparable(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return sorted({(name.strip(), text.strip()) for name, text in value})
    return value


def _new(record: DeviceRecord) -> NewDevice:
    return NewDevice(
        identity=record.identity,
        name=record.name if isinstance(record.name, str) else "",
        description=record.description if isinstance(record.description, str) else "",
        locked=record.locked is True,
        configuration=json_text(record.configuration) if isinstance(record.configuration, dict) else "{}",
        tags=_pairs(record),
    )
