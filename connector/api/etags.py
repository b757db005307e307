"""ETags of objects, and the conditions that requests put on them (RFC 9110, 13).

A tag has two parts, `"<definition>-<rest>"`: what PATCH, PUT and DELETE may change, and everything else that is shown
(counts, last values). If-None-Match compares the whole. If-Match compares the definition: readings that came in meanwhile
are no reason to refuse an edit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from connector.api.operations import Call
from shared.database import provided
from shared.errors import Refused


@dataclass(frozen=True, slots=True)
class Tagged:
    """An object with its ETag."""

    body: Any
    etag: str


def tagged(body: Any, definition: Any) -> Tagged:
    """Return an object with its ETag; `definition` is the part of it that requests may change."""
    return Tagged(body, etag_of(definition, body))


def etag_of(definition: Any, whole: Any) -> str:
    """Return the ETag of an object."""
    return f'"{_digest(definition)}-{_digest(whole)}"'


def _digest(value: Any) -> str:
    return blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=8).hexdigest()


def is_unchanged(call: Call, etag: str) -> bool:
    """Whether If-None-Match says that the asker has this very answer."""
    wanted = call.request.headers.get("if-none-match")
    return wanted is not None and (wanted.strip() == "*" or etag in _tags(wanted, weak=True))


def if_match(call: Call, definition: Callable[[sqlite3.Connection], Any], what: str) -> AbstractContextManager[None]:
    """Let the change that is made inside this block be refused with `changed_meanwhile` where If-Match does not hold.

    `definition` reads what the first part of the ETag is made of, in the transaction of the change; it raises Refused
    where the object is not there.
    """
    wanted = call.request.headers.get("if-match")
    if wanted is None:
        return provided(None)
    tags = {tag.strip('"').partition("-")[0] for tag in _tags(wanted, weak=False)}

    def check(connection: sqlite3.Connection) -> None:
        present = _digest(definition(connection))
        if wanted.strip() != "*" and present not in tags:
            raise Refused("changed_meanwhile", what=what, etag=f'"{present}-"')

    return provided(check)


def _tags(header: str, *, weak: bool) -> set[str]:
    """Return the tags of a condition; a proxy that compresses makes them weak, which If-Match must not accept."""
    tags = (tag.strip() for tag in header.split(","))
    return {tag.removeprefix("W/") if weak else tag for tag in tags}
