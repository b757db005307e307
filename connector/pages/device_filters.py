"""What a list of devices is asked for: read from an address, and written into the addresses that lead on from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args
from urllib.parse import urlencode

import msgspec

from connector.cursors import decode_cursor, encode_cursor
from connector.device_queries import SEARCH_CHARS_MAX, DeviceQuery, Key, Lock, Sort, Status, Sync, Where, identities
from shared.errors import Refused
from web import contexts as c

PAGE_ROWS: Final = 50
_TAG_CHARS_MAX: Final = 400
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "status": {"online": "online", "offline": "offline", "never": "never seen"},
    "lock": {"locked": "locked", "unlocked": "not locked"},
    "where": {"both": "on both sides", "here": "only here so far", "there": "only there so far"},
    "sync": {
        "pending": "edits pending",
        "refused": "edits refused",
        "conflict": "in conflict",
        "synced": "applied on both",
    },
}


class Asked(msgspec.Struct, frozen=True):
    """What the address asks for. `only_there` asks for devices that only the other side has so far."""

    query: DeviceQuery
    only_there: bool = False

    @property
    def fields(self) -> dict[str, str]:
        """The parameters of an address that asks the same, without the place in the list."""
        query = self.query
        found = {
            "search": query.search,
            "tag": query.tag,
            "status": query.status,
            "lock": query.lock,
            "where": "there" if self.only_there else query.where,
            "sync": query.sync,
            "sort": "" if query.sort == "identity" else query.sort,
            "way": "desc" if query.descending else "",
        }
        return {name: text for name, text in found.items() if text}

    @property
    def has_filters(self) -> bool:
        """Whether it asks for less than all devices."""
        return self.only_there or self.query.filters


def read_filters(given: Mapping[str, str]) -> Asked:
    """Read the parameters of an address or a form; unknown words stand for no filter. Raises Refused for a bad cursor."""
    where = given.get("where", "")
    query = DeviceQuery(
        search=given.get("search", "").strip()[:SEARCH_CHARS_MAX],
        tag=given.get("tag", "").strip()[:_TAG_CHARS_MAX],
        status=_one_of(given.get("status", ""), get_args(Status), ""),
        lock=_one_of(given.get("lock", ""), get_args(Lock), ""),
        where=_one_of(where, get_args(Where), ""),
        sync=_one_of(given.get("sync", ""), get_args(Sync), ""),
        sort=_one_of(given.get("sort", ""), get_args(Sort), "identity"),
        descending=given.get("way") == "desc",
        limit=PAGE_ROWS,
        after=decode_cursor(given["after"], Key) if given.get("after") else None,
    )
    if query.after is not None and isinstance(query.after[0], int) != (query.sort == "last_seen"):
        raise Refused("invalid", what="Cursor", why="it belongs to a list in another order; start again without it")
    return Asked(query, only_there=where == "there")


def found_here(connection: sqlite3.Connection, connector_id: str, asked: Asked, now_ms: int) -> list[str]:
    """Return the identities of this side's devices that the filters let through: none where only the other side has them."""
    return [] if asked.only_there else identities(connection, connector_id, asked.query, now_ms)


def _one_of(word: str, known: Sequence[Any], otherwise: str) -> Any:
    return word if word in known else otherwise


def address(path: str, fields: Mapping[str, str], after: Key | None = None) -> str:
    """Return the address of a list with these parameters."""
    query = dict(fields) | ({"after": encode_cursor(after)} if after is not None else {})
    return f"{path}?{urlencode(query)}" if query else path


def shown(path: str, asked: Asked, known_tags: tuple[str, ...]) -> c.DeviceFilters:
    """Return the filters as the page shows them."""
    fields = asked.fields
    active = []
    for name in ("search", "tag", "status", "lock", "where", "sync"):
        if text := fields.get(name, ""):
            words = {"search": f"“{text}”", "tag": f"tag {text}"}.get(name) or _WORDS[name][text]
            without = address(path, {each: value for each, value in fields.items() if each != name})
            active.append(c.ActiveFilter(words, without))
    return c.DeviceFilters(**fields, active=tuple(active), known_tags=known_tags)


def sorts(path: str, asked: Asked) -> dict[str, c.SortLink]:
    """Return the link in the head of each column that can be sorted: a second click turns the order round."""
    query = asked.query
    found = {}
    for name in get_args(Sort):
        is_sorted = query.sort == name
        turned = is_sorted and not query.descending
        fields = {each: value for each, value in asked.fields.items() if each not in ("sort", "way")}
        fields |= {"sort": name} if name != "identity" else {}
        fields |= {"way": "desc"} if turned else {}
        way = ("descending" if query.descending else "ascending") if is_sorted else ""
        found[name] = c.SortLink(address(path, fields), way)
    return found
