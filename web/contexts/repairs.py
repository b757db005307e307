"""Repairs of a whole site, how people are told of them, and the bundle of diagnostics (page 12)."""

from typing import ClassVar

from msgspec import Struct

from web.contexts.base import Place, template
from web.contexts.overview import Repair, RepairsCard
from web.contexts.shell import Shell


class NoticeChannel(Struct, frozen=True):
    """One way out: `problem` is why the last attempt failed, empty where it did not."""

    name: str
    waiting_count: int
    lost_count: int
    problem: str
    delivered_ms: int | None = None
    failed_ms: int | None = None


@template("_notices.html")
class NoticesCard(Struct, frozen=True):
    """Fragment: how people outside are told. `after_s` is how long a repair stands before that."""

    element_id: ClassVar[str] = "notices"
    channels: tuple[NoticeChannel, ...]
    after_s: float
    can_test: bool = True
    place: Place = Place.SITE


@template("_cleared_repairs.html")
class ClearedRepairs(Struct, frozen=True):
    """Fragment: repairs that are over, the last one first."""

    element_id: ClassVar[str] = "cleared-repairs"
    repairs: tuple[Repair, ...] = ()


@template("repairs.html")
class RepairsPage(Struct, frozen=True):
    """Everything that needs a person at this site."""

    shell: Shell
    repairs: RepairsCard
    cleared: ClearedRepairs
    notices: NoticesCard
    can_download: bool = True
