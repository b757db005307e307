"""Questions about the list of devices (W7, W12): search, filters, sort and keyset pages, as fast for ten as for 10,000."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from shared.errors import Refused
from shared.limits import LOOKUP_PAGE_ROWS_MAX, MINUTE_MS

# A device is online while something of it was received within this time.
ONLINE_MS: Final = 2 * MINUTE_MS
SEARCH_CHARS_MAX: Final = 100
Status: TypeAlias = Literal["", "online", "offline", "never"]
Lock: TypeAlias = Literal["", "locked", "unlocked"]
Where: TypeAlias = Literal["", "both", "here"]
Sync: TypeAlias = Literal["", "pending", "refused", "conflict", "synced"]
Sort: TypeAlias = Literal["identity", "name", "last_seen"]
Key: TypeAlias = tuple[str | int, str]


class DeviceQuery(msgspec.Struct, frozen=True):
    """Which devices, in which order. Everything empty: all of them by identity.

    `search` looks in identity, name and tags; `tag` is `name` or `name=value`; `status` is by the clock of the site that
    answers; `where` tells devices that both sides have from those whose creation the other side has not applied yet;
    `sync` is about this side's edits. `after` is the sort key of the last row seen: (identity | name | ms, identity).
    """

    search: str = ""
    tag: str = ""
    status: Status = ""
    lock: Lock = ""
    where: Where = ""
    sync: Sync = ""
    sort: Sort = "identity"
    descending: bool = False
    limit: int = 50
    after: Key | None = None

    @property
    def filters(self) -> bool:
        """Whether it asks for less than all devices."""
        return any((self.search, self.tag, self.status, self.lock, self.where, self.sync))


class DeviceRow(msgspec.Struct, frozen=True):
    """A device as lists show it. Times are ms since 1970. `online` by the clock of the site that answers.

    `sync` is the worst of what is open about its edits: `synced`, `pending`, `refused` or `conflict`.
    """

    identity: str
    name: str
    description: str
    online: bool
    last_seen_ms: int | None
    tags: list[tuple[str, str]]
    resources: int
    locked: bool
    sync: str

    def key(self, sort: Sort) -> Key:
        """Return what this row is sorted by."""
        match sort:
            case "identity":
                return self.identity, self.identity
            case "name":
                return _lowered(self.name), self.identity
            case "last_seen":
                return -1 if self.last_seen_ms is None else self.last_seen_ms, self.identity


class DevicePage(msgspec.Struct, frozen=True):
    """One page of a device list, how many match in all, and the key to go on after (None: this was the last page)."""

    rows: list[DeviceRow]
    total: int
    next: Key | None = None


def _lowered(text: str) -> str:
    """Lower ASCII letters only, as SQLite's lower() does: both sides have to sort alike."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


_KEY: Final[dict[Sort, str]] = {
    "identity": "device.identity",
    "name": "lower(device.name)",
    "last_seen": "coalesce(device.last_seen_ms, -1)",
}


def list_devices(connection: sqlite3.Connection, connector_id: str, query: DeviceQuery, now_ms: int) -> DevicePage:
    """Return one page of the devices that match; raises Refused('invalid') where the query cannot be understood."""
    where, facts = _conditions(connector_id, query, now_ms)
    (total,) = connection.execute(f"SELECT COUNT(*) FROM device WHERE {where}", facts).fetchone()  # noqa: S608
    limit = max(1, min(query.limit, LOOKUP_PAGE_ROWS_MAX))
    key, way = _KEY[query.sort], "DESC" if query.descending else "ASC"
    if query.after is not None:
        compare = "<" if query.descending else ">"
        where += f" AND ({key}, device.identity) {compare} (:after_key, :after_identity)"
        facts |= {"after_key": query.after[0], "after_identity": query.after[1]}
    found = connection.execute(
        "SELECT device_id, identity, name, description, last_seen_ms, locked, sync FROM device"  # noqa: S608
        f" WHERE {where} ORDER BY {key} {way}, device.identity {way} LIMIT :limit",
        facts | {"limit": limit + 1},
    ).fetchall()
    rows = _rows(connection, found[:limit], now_ms)
    return DevicePage(rows, total, rows[-1].key(query.sort) if len(found) > limit else None)


def get_device(connection: sqlite3.Connection, connector_id: str, identity: str, now_ms: int) -> DeviceRow:
    """Return one device; raises Refused('not_found')."""
    return find_device(connection, connector_id, identity, now_ms)[1]


def find_device(
    connection: sqlite3.Connection, connector_id: str, identity: str, now_ms: int
) -> tuple[int, DeviceRow, str]:
    """Return one device: its ID in this database, what lists show of it, its configuration. Raises Refused('not_found').

    Asks as little as will do, because live lookups wait for it.
    """
    found = connection.execute(
        "SELECT device_id, name, description, last_seen_ms, locked, sync, configuration,"
        " (SELECT COUNT(*) FROM series WHERE series.device_id = device.device_id)"
        " FROM device WHERE connector_id = ? AND identity = ?",
        (connector_id, identity),
    ).fetchone()
    if found is None:
        raise Refused("not_found", what="device")
    device_id, name, description, last_seen_ms, locked, sync, configuration, resources = found
    tags = connection.execute("SELECT name, value FROM tag WHERE device_id = ? ORDER BY name, value", (device_id,))
    row = DeviceRow(
        identity,
        name,
        description,
        _is_online(last_seen_ms, now_ms),
        last_seen_ms,
        [(tag, value) for tag, value in tags],
        resources,
        bool(locked),
        sync,
    )
    return device_id, row, configuration


def named_devices(
    connection: sqlite3.Connection, connector_id: str, names: Sequence[str], now_ms: int
) -> list[DeviceRow]:
    """Return the devices with these identities, at most a page of them; those that are not here are left out."""
    found = connection.execute(
        "SELECT device_id, identity, name, description, last_seen_ms, locked, sync FROM device"
        " WHERE connector_id = ? AND identity IN (SELECT value FROM json_each(?))",
        (connector_id, msgspec.json.encode(names[:LOOKUP_PAGE_ROWS_MAX]).decode()),
    ).fetchall()
    return _rows(connection, found, now_ms)


def identities(connection: sqlite3.Connection, connector_id: str, query: DeviceQuery, now_ms: int) -> list[str]:
    """Return the identities of all devices that match, whatever the page: what an edit of many is about."""
    where, facts = _conditions(connector_id, query, now_ms)
    rows = connection.execute(f"SELECT identity FROM device WHERE {where} ORDER BY identity", facts)  # noqa: S608
    return [row[0] for row in rows]


def tag_names(connection: sqlite3.Connection, connector_id: str, limit: int = 100) -> list[str]:
    """Return names of tags in use, to offer while typing."""
    rows = connection.execute(
        "SELECT DISTINCT tag.name FROM tag JOIN device USING (device_id) WHERE connector_id = ? ORDER BY 1 LIMIT ?",
        (connector_id, limit),
    )
    return [row[0] for row in rows]


def merged(own: DevicePage, theirs: DevicePage, query: DeviceQuery) -> list[tuple[DeviceRow | None, DeviceRow | None]]:
    """Return one page of both sides' devices: (own row, their row), in the order asked for.

    Both pages must answer the same query. Rows beyond the end of the shorter page wait for the next one.
    """
    pairs: dict[str, tuple[DeviceRow | None, DeviceRow | None]] = {row.identity: (row, None) for row in own.rows}
    for row in theirs.rows:
        pairs[row.identity] = (pairs.get(row.identity, (None, None))[0], row)
    ordered = sorted(pairs.values(), key=lambda pair: _either(pair).key(query.sort), reverse=query.descending)
    return ordered[: max(1, query.limit)]


def _either(pair: tuple[DeviceRow | None, DeviceRow | None]) -> DeviceRow:
    found = pair[0] or pair[1]
    assert found is not None
    return found


# --- conditions ---------------------------------------------------------------------------------------------------------


def _conditions(connector_id: str, query: DeviceQuery, now_ms: int) -> tuple[str, dict[str, Any]]:
    facts: dict[str, Any] = {"connector": connector_id}
    parts = ["device.connector_id = :connector"]
    if query.search:
        facts["like"] = "%" + _escaped(query.search) + "%"
        parts.append(
            "(identity LIKE :like ESCAPE '\\' OR device.name LIKE :like ESCAPE '\\' OR device_id IN (SELECT device_id"
            " FROM tag WHERE tag.name || '=' || tag.value LIKE :like ESCAPE '\\'))"
        )
    if query.tag:
        name, has_value, value = query.tag.partition("=")
        facts |= {"tag_name": name, "tag_value": value}
        of_name = "device_id IN (SELECT device_id FROM tag WHERE tag.name = :tag_name)"
        of_pair = "device_id IN (SELECT device_id FROM tag WHERE tag.name = :tag_name AND tag.value = :tag_value)"
        parts.append(of_pair if has_value else of_name)
    if query.status:
        facts |= {"heard_ms": now_ms - ONLINE_MS, "ahead_ms": now_ms + ONLINE_MS}
        parts.append(
            {
                "online": "last_seen_ms > :heard_ms AND last_seen_ms < :ahead_ms",
                "offline": "(last_seen_ms <= :heard_ms OR last_seen_ms >= :ahead_ms)",
                "never": "last_seen_ms IS NULL",
            }[query.status]
        )
    if query.lock:
        parts.append("locked" if query.lock == "locked" else "NOT locked")
    if query.where:
        parts.append(_NEW_HERE if query.where == "here" else f"NOT {_NEW_HERE}")
    if query.sync:
        facts["sync"] = query.sync
        parts.append("device.sync = :sync")
    return " AND ".join(parts), facts


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_NEW_HERE: Final = (
    "EXISTS (SELECT 1 FROM change WHERE change.connector_id = :connector AND change.identity = device.identity"
    " AND change.open = 1 AND change.state = 'pending' AND change.field = 'exists')"
)


def _is_online(last_seen_ms: int | None, now_ms: int) -> bool:
    """What was seen far ahead was seen before the clock was set back: else it would be on line until that time."""
    return last_seen_ms is not None and abs(now_ms - last_seen_ms) < ONLINE_MS


def _rows(connection: sqlite3.Connection, found: Sequence[Sequence[Any]], now_ms: int) -> list[DeviceRow]:
    """Fill the rows of one page: a few questions for all of them instead of a few for each."""
    ids = msgspec.json.encode([row[0] for row in found]).decode()
    tags: dict[int, list[tuple[str, str]]] = {row[0]: [] for row in found}
    for device_id, name, value in connection.execute(
        "SELECT device_id, name, value FROM tag WHERE device_id IN (SELECT value FROM json_each(?)) ORDER BY name, value",
        (ids,),
    ):
        tags[device_id].append((name, value))
    resources = dict(
        connection.execute(
            "SELECT device_id, COUNT(*) FROM series WHERE device_id IN (SELECT value FROM json_each(?)) GROUP BY device_id",
            (ids,),
        ).fetchall()
    )
    return [
        DeviceRow(
            identity,
            name,
            description,
            _is_online(last_seen_ms, now_ms),
            last_seen_ms,
            tags[device_id],
            resources.get(device_id, 0),
            bool(locked),
            sync,
        )
        for device_id, identity, name, description, last_seen_ms, locked, sync in found
    ]
