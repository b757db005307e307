"""The resources of a connector (page 7, plain form)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from web.contexts.base import Errors, Role, Value, template
from web.contexts.shell import Shell


class MismatchFix(StrEnum):
    """What one click can do about a resource that the two sides do not share."""

    NONE = "none"
    CREATE_HERE = "create_here"
    """The peer sends it and this side lacks it: POST `/connectors/{id}/resources/{alias}/create-here`."""
    CREATE_THERE = "create_there"
    """This side sends it and the peer lacks it: POST `/connectors/{id}/resources/{alias}/create-there`."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a resource does not flow, as in `missing at riverside` or `unit differs: kPa here, bar at riverside`."""

    text: str
    fix: MismatchFix = MismatchFix.NONE


@dataclass(frozen=True, slots=True)
class ResourceRow:
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


@template("_resource_table.html")
@dataclass(frozen=True, slots=True)
class ResourceTable:
    """Fragment: the resources and their Remote-Sync switches.

    Form: POST `/connectors/{id}/resources/{alias}/remote-sync` with `is_synced` (`on` or `off`: what it shall become).
    """

    element_id: ClassVar[str] = "resource-table"
    connector_id: str
    role: Role
    rows: tuple[ResourceRow, ...]
    can_sync: bool = True
    """Whether the switches are offered: at a source, paired or not."""
    sync_note: str = ""
    """What the switch does or why it is not offered, in a sentence."""


@template("_resource_form.html")
@dataclass(frozen=True, slots=True)
class ResourceForm:
    """Fragment: create a resource.

    Form: POST `/connectors/{id}/resources` with `alias`, `format`, `unit`, `allowed`, `is_settable`, `is_synced`.
    `allowed` is `0..100` for a range or `idle, running, fault` for a list; empty for anything.
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


@template("resources.html")
@dataclass(frozen=True, slots=True)
class ResourcesPage:
    """The list of resources."""

    shell: Shell
    table: ResourceTable
    form: ResourceForm
