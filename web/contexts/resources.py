"""The resources of a connector (page 7): the list, and the form that creates one."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, Role, Value, template
from web.contexts.shell import Shell


class MismatchFix(StrEnum):
    """What one click can do about a resource that the two sides do not share."""

    NONE = "none"
    CREATE_HERE = "create_here"
    """The peer sends it and this side lacks it: POST `/connectors/{id}/resources/{alias}/create-here`."""
    CREATE_THERE = "create_there"
    """This side sends it and the peer lacks it: POST `/connectors/{id}/resources/{alias}/create-there`."""


class AnswerState(StrEnum):
    """How far the last *create the same there* has come."""

    NONE = "none"
    PENDING = "pending"
    REFUSED = "refused"


class Mismatch(Struct, frozen=True):
    """Why a resource does not flow, as in `missing at riverside` or `unit differs: kPa here, bar at riverside`.

    `answer` follows *create the same there*; `answer_text` says why it was refused, or what it waits for.
    """

    text: str
    fix: MismatchFix = MismatchFix.NONE
    answer: AnswerState = AnswerState.NONE
    answer_text: str = ""


class ResourceRow(Struct, frozen=True):
    """One resource. `exists_here` is false for one that only the peer has, listed so that it can be created."""

    alias: str
    format: str
    """`number`, `string` or `boolean`."""
    unit: str
    allowed_text: str
    """The range or list in words, as in `0 to 100`; empty where anything goes."""
    is_settable: bool
    is_synced: bool
    """Whether the Remote-Sync switch is on."""
    last_value: Value = None
    last_value_ms: int | None = None
    last_value_device: str = ""
    per_minute: float | None = None
    queued_count: int = 0
    mismatch: Mismatch | None = None
    exists_here: bool = True
    lag_ms: int | None = None
    """At a source, how far the other side is behind; at a target, the age of the newest reading; `None` where neither."""
    gap_count: int = 0
    """Gap notices that name it."""
    device_count: int = 0


class Heading(Struct, frozen=True):
    """A column that the list can be sorted by. `url` sorts by it, or turns the order around."""

    label: str
    url: str | None = None
    """`None` where the column cannot be sorted by."""
    direction: str = ""
    """`ascending` or `descending` where the list is sorted by it now."""
    is_number: bool = False


@template("_resource_table.html")
class ResourceTable(Struct, frozen=True):
    """Fragment: the resources and their Remote-Sync switches.

    Forms: POST `/connectors/{id}/resources/{alias}/remote-sync` with `is_synced` (`on` or `off`: what it shall become);
    POST `/connectors/{id}/remote-sync/switch` with any number of `alias`, the `is_synced` that all of them shall have,
    and `query`, the search and sort to come back to.
    """

    element_id: ClassVar[str] = "resource-table"
    connector_id: str
    role: Role
    rows: tuple[ResourceRow, ...]
    can_sync: bool = True
    """Whether the switches are offered: at a source, paired or not."""
    sync_note: str = ""
    """What the switch does or why it is not offered, in a sentence."""
    headings: tuple[Heading, ...] = ()
    search: str = ""
    query: str = ""
    """The search and sort of now, as the query of an address."""
    total_count: int | None = None
    """How many there are in all; `None` where `rows` are all."""
    synced_count: int | None = None
    earlier_url: str | None = None
    later_url: str | None = None
    page_text: str = ""
    """Which rows these are where there are more than fit, as in `1 to 100`."""


@template("_resource_form.html")
class ResourceForm(Struct, frozen=True):
    """Fragment: create a resource.

    Form: POST `/connectors/{id}/resources` with `alias`, `format`, `unit`, `allowed`, `is_settable`, `is_synced`,
    `retention_days`. `allowed` is `0..100` for a range or `idle, running, fault` for a list; empty for anything.
    """

    element_id: ClassVar[str] = "resource-form"
    connector_id: str
    role: Role
    alias: str = ""
    format: str = "number"
    unit: str = ""
    allowed: str = ""
    is_settable: bool = False
    is_synced: bool = False
    errors: Errors = field(default_factory=dict)
    is_open: bool = False
    retention_days: str = "366"


@template("resources.html")
class ResourcesPage(Struct, frozen=True):
    """The list of resources. `sort` is carried through a search."""

    shell: Shell
    table: ResourceTable
    form: ResourceForm
    search: str = ""
    sort: str = ""
    can_edit: bool = True
