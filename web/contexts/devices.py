"""The list of devices and the page of one device (pages 5 and 6, plain form)."""

from dataclasses import dataclass, field
from typing import ClassVar

from web.contexts.base import AnswerOrigin, Errors, SyncState, Tag, Value, template
from web.contexts.shell import Shell


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device of the list. `is_online` is `None` where nobody knows."""

    identity: str
    name: str
    tags: tuple[Tag, ...]
    is_online: bool | None
    last_seen_ms: int | None
    resource_count: int
    sync: SyncState
    is_locked: bool = False


@template("_device_table.html")
@dataclass(frozen=True, slots=True)
class DeviceTable:
    """Fragment: the devices that match the search, and where the answer came from.

    The search is GET `/connectors/{id}/devices?search=...`; the caller filters and says how many there are in all.
    """

    element_id: ClassVar[str] = "device-table"
    connector_id: str
    rows: tuple[DeviceRow, ...]
    total_count: int
    search: str = ""
    origin: AnswerOrigin | None = None


@template("_device_form.html")
@dataclass(frozen=True, slots=True)
class DeviceForm:
    """Fragment: add a device. Form: POST `/connectors/{id}/devices` with `identity`, `name`, `description`."""

    element_id: ClassVar[str] = "device-form"
    connector_id: str
    identity: str = ""
    name: str = ""
    description: str = ""
    errors: Errors = field(default_factory=dict)
    is_open: bool = False
    """Whether the form is unfolded; it is wherever it has errors."""


@template("devices.html")
@dataclass(frozen=True, slots=True)
class DevicesPage:
    """The list of devices."""

    shell: Shell
    table: DeviceTable
    form: DeviceForm


@template("_device_facts.html")
@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """Fragment: who this device is.

    Form: POST `/connectors/{id}/devices/{identity}` with `name`, `description` where `can_edit`.
    """

    element_id: ClassVar[str] = "device-facts"
    connector_id: str
    identity: str
    name: str
    description: str
    is_online: bool | None
    last_seen_ms: int | None
    created_ms: int | None
    sync: SyncState
    is_locked: bool = False
    origin: AnswerOrigin | None = None


@dataclass(frozen=True, slots=True)
class TagChip:
    """A tag and how far its last edit has come. A tag being removed stays, struck through, until both sides agree."""

    tag: Tag
    sync: SyncState
    is_removed: bool = False


@template("_tags.html")
@dataclass(frozen=True, slots=True)
class TagsCard:
    """Fragment: the tags of a device.

    Forms: POST `/connectors/{id}/devices/{identity}/tags` with `name`, `value`; POST `.../tags/remove` with the same.
    """

    element_id: ClassVar[str] = "tags"
    connector_id: str
    identity: str
    chips: tuple[TagChip, ...]
    can_edit: bool = True
    edit_refusal: str = ""
    """Why tags cannot be edited here; empty where they can."""


@dataclass(frozen=True, slots=True)
class ValueRow:
    """The state of one resource of a device. `history` feeds the sparkline of a number, oldest first."""

    alias: str
    unit: str
    reported: Value
    set_value: Value
    timestamp_ms: int | None
    history: tuple[float, ...] = ()
    is_settable: bool = False
    is_synced: bool = False


@template("_values.html")
@dataclass(frozen=True, slots=True)
class ValuesCard:
    """Fragment: the values of a device."""

    element_id: ClassVar[str] = "values"
    connector_id: str
    rows: tuple[ValueRow, ...]
    history_s: int = 300


@template("device.html")
@dataclass(frozen=True, slots=True)
class DevicePage:
    """One device. `tag_name`, `tag_value` and `tag_errors` bring back a tag form that was refused."""

    shell: Shell
    facts: DeviceFacts
    tags: TagsCard
    values: ValuesCard
    tag_name: str = ""
    tag_value: str = ""
    tag_errors: Errors = field(default_factory=dict)
    known_tag_names: tuple[str, ...] = ()
    """Offered while typing."""
