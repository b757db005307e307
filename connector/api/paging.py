"""Keyset pages: `limit` and `after` in, rows and `next` out. A cursor names the last row, so nothing is counted."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from connector.api.operations import Call, Query
from connector.cursors import decode_cursor, encode_cursor
from shared.errors import Refused
from shared.limits import LOOKUP_PAGE_ROWS_MAX

T = TypeVar("T")
K = TypeVar("K")
AFTER: Final = Query("after", "the `next` of the page before")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list; `next` goes on after it, null where it is the last."""

    rows: list[T]
    next: str | None = None


def paged(otherwise: int = 50, most: int = LOOKUP_PAGE_ROWS_MAX) -> tuple[Query, Query]:
    """Return the parameters of a list that is given in pages."""
    return Query("limit", f"how many rows at most, 1 to {most:,}", int, otherwise), AFTER


def limit_of(call: Call, most: int = LOOKUP_PAGE_ROWS_MAX) -> int:
    """Return how many rows are asked for; raises Refused('invalid')."""
    limit: int = call.asked("limit")
    if not 1 <= limit <= most:
        raise Refused("invalid", what="Parameter limit", why=f"it takes 1 to {most}")
    return limit


def after_of(call: Call, kind: type[K]) -> K | None:
    """Return the key to go on after, None for the first page; raises Refused('cursor_unknown')."""
    text: str = call.asked("after")
    if not text:
        return None
    try:
        path, key = decode_cursor(text, tuple[str, kind])  # type: ignore[valid-type]
    except Refused:
        raise Refused("cursor_unknown") from None
    if path != call.operation.path:
        raise Refused("cursor_unknown")
    return cast("K", key)


def cursor(call: Call, key: Any) -> str:
    """Return the cursor of a row of this list."""
    return encode_cursor((call.operation.path, key))
