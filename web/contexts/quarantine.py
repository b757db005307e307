"""Quarantine: what arrived, is genuine and could not be applied, each with its reason (page 11)."""

from dataclasses import dataclass
from typing import ClassVar

from web.contexts.base import template
from web.contexts.shell import Shell


@dataclass(frozen=True, slots=True)
class QuarantinedThing:
    """A segment with readings, or (`reading_count` is `None`) something the other side said. Times are ms since 1970."""

    quarantine_id: int
    reading_count: int | None
    reason: str
    arrived_ms: int
    tried_ms: int | None
    body_bytes: int


@template("_quarantine_list.html")
@dataclass(frozen=True, slots=True)
class QuarantineList:
    """Fragment: a page of it, oldest first. `elsewhere_count` readings are kept so at the other side.

    Forms: POST `.../quarantine/retry` for all; `.../quarantine/{id}/retry`; `.../quarantine/{id}/discard` asks first.
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


@template("quarantine.html")
@dataclass(frozen=True, slots=True)
class QuarantinePage:
    """What one connector keeps aside."""

    shell: Shell
    list: QuarantineList
