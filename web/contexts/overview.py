"""The overview of one connector: is it paired, does it flow, what waits, and where is every reading (page 2)."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from web.contexts.base import Role, template
from web.contexts.remote_sync import Claim, PairFacts, PairingState, PairingWindow
from web.contexts.shell import LinkStatus, Shell

RETENTION_S = 30 * 24 * 3600


@template("_pairing_card.html")
class PairingCard(Struct, frozen=True):
    """Fragment: the pair in short, or the next step towards one."""

    element_id: ClassVar[str] = "pairing-card"
    connector_id: str
    site_name: str
    role: Role
    state: PairingState
    link: LinkStatus
    pair: PairFacts | None = None
    window: PairingWindow | None = None
    claim: Claim | None = None


@template("_backlog.html")
class BacklogCard(Struct, frozen=True):
    """Fragment: what was accepted and is not yet applied at the other side.

    `tail_count + outbox_count + held_count` make the total. At a target, `held_count` waits for a device or resource.
    """

    element_id: ClassVar[str] = "backlog"
    role: Role
    tail_count: int
    outbox_count: int
    held_count: int
    queued_bytes: int
    oldest_age_s: float | None
    """Age of the oldest of those; `None` where nothing waits."""
    expiring_age_s: float | None
    """Age of the oldest that waits at this side, and expires here; `None` where nothing does."""
    retention_s: int = RETENTION_S
    bytes_max: int | None = None
    expiry_suspended_reason: str = ""
    """Why nothing expires now, such as a clock that jumped; empty in normal times."""

    @property
    def queued_count(self) -> int:
        """Readings that wait, wherever they are."""
        return self.tail_count + self.outbox_count + self.held_count

    @property
    def limit_reached_in_s(self) -> float | None:
        """Time until the oldest reading that waits here would expire, at least 0; `None` where nothing waits here."""
        return None if self.expiring_age_s is None else max(0.0, self.retention_s - self.expiring_age_s)


class Rate(Struct, frozen=True):
    """One flow of readings: its name, the current rate, and its recent past for the sparkline, oldest first."""

    label: str
    """As in `In from devices`, `Out to riverside`, `Applied here`."""
    per_s: float
    history_per_s: tuple[float, ...]


@template("_rates.html")
class RatesCard(Struct, frozen=True):
    """Fragment: rates in and out, and when a reading was last applied at the destination."""

    element_id: ClassVar[str] = "rates"
    rates: tuple[Rate, ...]
    history_s: int
    """The time that a sparkline spans."""
    last_applied_ms: int | None
    is_paired: bool = True
    first_step: str = ""
    """What a person does so that readings flow, as a link to the resources; empty where nothing is missing."""
    connector_id: str = ""
    """Whose resources the first step leads to."""


class BeatState(StrEnum):
    """What one slice of time was like."""

    FLOWING = "flowing"
    QUIET = "quiet"
    """Linked, and nothing was applied: nothing is sent, or what is sent finds no answer yet."""
    STALLED = "stalled"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    """This program was not running."""


class Beat(Struct, frozen=True):
    """One bar of the heartbeat."""

    start_ms: int
    state: BeatState


@template("_heartbeat.html")
class HeartbeatCard(Struct, frozen=True):
    """Fragment: the recent past, one bar per slice, oldest first; 40 to 60 bars look best."""

    element_id: ClassVar[str] = "heartbeat"
    beats: tuple[Beat, ...]
    beat_s: int
    canary_ms: float | None = None
    """Round trip of the last canary through the whole pair; `None` where none came back yet."""
    oldest_unapplied_s: float | None = None


class Dropped(Struct, frozen=True):
    """Readings that will never arrive, by cause in plain words."""

    cause: str
    count: int


class AccountSide(Struct, frozen=True):
    """Where every reading is, by one side's own books (rule G1).

    A target counts what it received: `accepted_count` is what arrived, `queued_count` what it holds. By itself that always
    adds up, so its result is how its books compare with what the source stated, at their common cut.
    """

    site_name: str
    role: Role
    accepted_count: int
    applied_count: int
    queued_count: int
    quarantined_count: int
    dropped: tuple[Dropped, ...] = ()
    unknown_count: int | None = 0
    """What could not be counted after a restore; `None` where nobody knows how much that is."""
    is_own: bool = True
    stated_ms: int | None = None
    """For the other side's books: when it stated them."""
    cut_difference_count: int | None = 0
    """By how many applied readings a target differs from its source at the common cut; `None`: not compared yet."""

    @property
    def dropped_count(self) -> int:
        """Readings dropped, for whatever cause."""
        return sum(each.count for each in self.dropped)

    @property
    def difference_count(self) -> int:
        """What the books do not explain; 0 where they balance."""
        placed = self.applied_count + self.queued_count + self.quarantined_count + self.dropped_count
        return self.accepted_count - placed - (self.unknown_count or 0) or abs(self.cut_difference_count or 0)


@template("_account.html")
class AccountCard(Struct, frozen=True):
    """Fragment: the account table, source first. `cut_text` says at which common cut the sides were compared."""

    element_id: ClassVar[str] = "account"
    sides: tuple[AccountSide, ...]
    cut_text: str = ""
    gaps_url: str | None = None
    resources_url: str | None = None


class Repair(Struct, frozen=True):
    """A named problem: its cause, what it means, and its fix. `where` names the connector on pages of the whole site.

    `cleared_ms` is when it ended, `None` while it is open.
    """

    title: str
    text: str
    fix_label: str = ""
    fix_url: str | None = None
    since_ms: int | None = None
    is_urgent: bool = False
    means: str = ""
    fix: str = ""
    where: str = ""
    cleared_ms: int | None = None


@template("_repairs.html")
class RepairsCard(Struct, frozen=True):
    """Fragment: what needs a person; its element carries the anchor `#repairs`."""

    element_id: ClassVar[str] = "repairs"
    repairs: tuple[Repair, ...] = ()
    is_wide: bool = False
    """Whether it takes the whole width: on a page of its own."""


@template("overview.html")
class OverviewPage(Struct, frozen=True):
    """The overview. Cards that mean nothing for a standalone connector are `None`."""

    shell: Shell
    pairing: PairingCard
    repairs: RepairsCard
    backlog: BacklogCard | None = None
    rates: RatesCard | None = None
    heartbeat: HeartbeatCard | None = None
    account: AccountCard | None = None
