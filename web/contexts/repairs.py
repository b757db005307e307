"""Repairs of a whole site, how people are told of them, and the bundle of diagnostics (page 12)."""

from dataclasses import dataclass
from typing import ClassVar

from web.contexts.base import Place, template
from web.contexts.overview import Repair, RepairsCard
from web.contexts.shell import Shell


@dataclass(frozen=True, slots=True)
class NoticeChannel:
    """One way out: `problem` is why the last attempt failed, empty where it did not."""

    name: str
    waiting_count: int
    lost_count: int
    problem: str
    delivered_ms: int | None = None
    failed_ms: int | None = None


@template("_notices.html")
@dataclass(frozen=True, slots=True)
class NoticesCard:
    """Fragment: how people outside are told. `after_s` is how long a repair stands before that."""

    element_id: ClassVar[str] = "notices"
    channels: tuple[NoticeChannel, ...]
    after_s: float
    can_test: bool = True
    place: Place = Place.SITE


@template("_cleared_repairs.html")
@dataclass(frozen=True, slots=True)
class ClearedRepairs:
    """Fragment: repairs that are over, the last one first."""

    element_id: ClassVar[str] = "cleared-repairs"
    repairs: tuple[Repair, ...] = ()


@template("repairs.html")
@dataclass(frozen=True, slots=True)
class RepairsPage:
    """Everything that needs a person at this site."""

    shell: Shell
    repairs: RepairsCard
    cleared: ClearedRepairs
    notices: NoticesCard
    can_download: bool = True
