"""Where every reading of each resource is, and how long the outbox lasts (rule G1, row N4)."""

from typing import ClassVar

from msgspec import Struct

from web.contexts.base import template
from web.contexts.overview import AccountCard, Dropped
from web.contexts.shell import Shell


class ResourceAccountRow(Struct, frozen=True):
    """One resource by one side's books. `alias` is empty for what no resource can be given for."""

    alias: str
    accepted_count: int
    applied_count: int
    queued_count: int
    quarantined_count: int
    dropped: tuple[Dropped, ...] = ()
    difference_count: int = 0
    """What the books do not explain; 0 where they balance. At a target: by the source's statement, at the common cut."""
    is_compared: bool = True
    """Whether a target's count was held against the source's, without which nothing says that it balances."""
    compared_text: str = ""
    """At a target: how it compares with what the source stated."""
    overflow_text: str = ""
    """At a source: what gives way at the cap."""
    gap_count: int = 0
    is_defined: bool = True

    @property
    def dropped_count(self) -> int:
        """Readings dropped, for whatever cause."""
        return sum(each.count for each in self.dropped)


@template("_resource_accounts.html")
class ResourceAccounts(Struct, frozen=True):
    """Fragment: the account of each resource."""

    element_id: ClassVar[str] = "resource-accounts"
    connector_id: str
    is_target: bool
    rows: tuple[ResourceAccountRow, ...]
    stated_text: str = ""


@template("_room.html")
class RoomCard(Struct, frozen=True):
    """Fragment: what waits, its cap, what gives way there, and how long the space lasts at the present rate."""

    element_id: ClassVar[str] = "room"
    bytes_waiting: int
    bytes_kept: int
    bytes_max: int
    overflow_text: str
    per_minute: float
    bytes_per_reading: float | None
    lasts_s: float | None
    """`None` where nothing comes in, or nothing is known of the size of readings."""
    retention_s: float


@template("account.html")
class AccountPage(Struct, frozen=True):
    """The account of a pair: in all, by resource, and the room of the outbox (a source's)."""

    shell: Shell
    account: AccountCard | None
    resources: ResourceAccounts | None
    room: RoomCard | None
