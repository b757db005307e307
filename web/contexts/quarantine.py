"""Quarantine: what arrived, is genuine and could not be applied, each with its reason (page 11)."""

from typing import ClassVar

from msgspec import Struct

from web.contexts.base import template
from web.contexts.shell import Shell


class QuarantinedThing(Struct, frozen=True):
    """A segment with readings, or (`reading_count` is `None`) something the other side said. Times are ms since 1970."""

    quarantine_id: int
    reading_count: int | None
    reason: str
    arrived_ms: int
    tried_ms: int | None
    body_bytes: int


@template("_quarantine_list.html")
class QuarantineList(Struct, frozen=True):
    """Fragment: a page of it, oldest first. `elsewhere_count` readings are kept so at the other side.

    Forms: POST `.../quarantine/retry` and `.../quarantine/discard` (asks first) for all;
    `.../quarantine/{id}/retry`; `.../quarantine/{id}/discard` asks first.
    """

    element_id: ClassVar[str] = "quarantine-list"
    connector_id: str
    peer_site_name: str
    things: tuple[QuarantinedThing, ...]
    total_count: int
    total_reading_count: int
    elsewhere_count: int = 0
    next_url: str | None = None
    can_retry: bool = False
    can_discard: bool = False
    bytes_used: int = 0
    bytes_max: int = 0
    is_full: bool = False
    """Whether something was not taken for want of room, and waits at the other side."""
    is_full_there: bool = False


@template("quarantine.html")
class QuarantinePage(Struct, frozen=True):
    """What one connector keeps aside."""

    shell: Shell
    list: QuarantineList
