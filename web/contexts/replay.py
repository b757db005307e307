"""Replays: a past range that is sent again, asked for on the page of a resource or on one of their own (page 7)."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, template
from web.contexts.shell import Shell


class ReplayStanding(StrEnum):
    """How a replay stands."""

    ASKED = "asked"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class ReplayRow(Struct, frozen=True):
    """One replay; counts are readings."""

    replay_id: str
    state: ReplayStanding
    from_ms: int
    to_ms: int
    what: str
    """Resources and devices in words."""
    asked_by: str
    asked_at: str
    """The site at which it was asked for."""
    asked_ms: int
    asked_count: int
    sent_count: int
    arrived_count: int
    added_count: int
    present_count: int
    differing_count: int
    problems: tuple[str, ...] = ()
    """What was refused, left out or has no place, in words."""
    can_cancel: bool = False


@template("_replay_list.html")
class ReplayList(Struct, frozen=True):
    """Fragment: replays, newest first. Form: POST `.../replays/{id}/cancel` with `alias`, the page to come back to."""

    element_id: ClassVar[str] = "replay-list"
    connector_id: str
    rows: tuple[ReplayRow, ...]
    alias: str = ""


@template("_replay_form.html")
class ReplayForm(Struct, frozen=True):
    """Form: POST to `url` with `from`, `to`, `device` (empty: all), and where there are choices `resource`, many times.

    Times are local ones of the zone `zone_name`.
    """

    element_id: ClassVar[str] = "replay-form"
    url: str
    peer_site_name: str
    is_source: bool
    from_text: str
    to_text: str
    zone_name: str
    device: str = ""
    resources: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    errors: Errors = field(default_factory=dict)
    is_open: bool = False


@template("replays.html")
class ReplaysPage(Struct, frozen=True):
    """All replays of a connector. `form` is `None` where nobody may ask, or there is nobody to ask."""

    shell: Shell
    connector_id: str
    list: ReplayList
    form: ReplayForm | None
