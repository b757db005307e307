"""Gaps: readings that will never arrive, each with its cause, time range and counts (page 11, first form)."""

from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, Role, template
from web.contexts.shell import Shell


class Gap(Struct, frozen=True):
    """One gap notice. Both sides show the same notice; `named_by_site_name` says who wrote it."""

    gap_id: str
    cause: str
    """In plain words: `older than 30 days`, `over the size limit`, `destination restored`."""
    first_ms: int
    last_ms: int
    """The range of the readings' own timestamps."""
    reading_count: int | None
    """`None` where it could not be counted."""
    named_by_site_name: str
    named_by_role: Role
    is_own: bool
    noticed_ms: int
    is_known_to_peer: bool
    """Whether the other side has the notice too."""
    segment_count: int | None = None
    detail: str = ""
    """Which devices and resources, where known."""
    taken_back_count: int = 0
    """Readings that the notice named before, and that arrived after all."""


@template("_gap_list.html")
class GapList(Struct, frozen=True):
    """Fragment: a page of the gaps that the filter finds, newest notice first; the totals are of all it finds."""

    element_id: ClassVar[str] = "gap-list"
    gaps: tuple[Gap, ...]
    total_reading_count: int = 0
    retention_days: int = 30
    total_count: int = 0
    uncounted_count: int = 0
    """Notices of readings that nobody can count."""
    is_filtered: bool = False
    csv_url: str = ""
    json_url: str = ""
    newest_url: str = ""
    """Where the first page is; empty on the first page."""
    older_url: str = ""


class GapCause(Struct, frozen=True):
    """A cause to choose from."""

    value: str
    label: str
    is_chosen: bool


class GapSearch(Struct, frozen=True):
    """The form above the list: GET with `cause`, `resource`, `device`, `from`, `to`."""

    connector_id: str
    causes: tuple[GapCause, ...] = ()
    resource: str = ""
    device: str = ""
    from_text: str = ""
    to_text: str = ""
    zone_name: str = "UTC"
    errors: Errors = field(default_factory=dict)


@template("gaps.html")
class GapsPage(Struct, frozen=True):
    """The list of gaps of one connector."""

    shell: Shell
    gaps: GapList
    search: GapSearch | None = None
