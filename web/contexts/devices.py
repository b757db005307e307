"""The list of devices (page 5): what was asked for, the rows, and editing many at once."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import AnswerOrigin, Errors, SyncState, Tag, template
from web.contexts.shell import Shell


class DeviceRow(Struct, frozen=True):
    """One device of the list. `is_online` is `None` where nobody knows; `is_here` false where only the peer has it."""

    identity: str
    name: str
    tags: tuple[Tag, ...]
    is_online: bool | None
    last_seen_ms: int | None
    resource_count: int
    sync: SyncState
    is_locked: bool = False
    is_here: bool = True


class ActiveFilter(Struct, frozen=True):
    """A filter that is set, in words, and the address of the list without it."""

    text: str
    without_url: str


class SortLink(Struct, frozen=True):
    """The address of the list sorted by a column; `way` is empty where it is not, else `ascending` or `descending`."""

    url: str
    way: str = ""


class DeviceFilters(Struct, frozen=True):
    """What the list is asked for: GET parameters `search`, `tag`, `status`, `lock`, `where`, `sync`, `sort`, `way`."""

    search: str = ""
    tag: str = ""
    status: str = ""
    lock: str = ""
    where: str = ""
    sync: str = ""
    sort: str = "identity"
    way: str = ""
    active: tuple[ActiveFilter, ...] = ()
    known_tags: tuple[str, ...] = ()

    @property
    def fields(self) -> Mapping[str, str]:
        """The parameters that are set, for forms that are about the same devices."""
        names = ("search", "tag", "status", "lock", "where", "sync", "sort", "way")
        return {name: text for name in names if (text := getattr(self, name))}


@template("_device_table.html")
class DeviceTable(Struct, frozen=True):
    """Fragment: one page of the devices that match, and where the answer came from.

    Form: POST `/connectors/{id}/devices-bulk` with the chosen `identity`, repeated, or `everything`, the filters, and
    `action`: `add_tag` and `remove_tag` (`tag_name`, `tag_value`), `grant` and `revoke` (`subject_kind`, `subject`,
    `level`), `lock`, `unlock`, `delete`.
    """

    element_id: ClassVar[str] = "device-table"
    connector_id: str
    rows: tuple[DeviceRow, ...]
    total_count: int
    filters: DeviceFilters = field(default_factory=DeviceFilters)
    sorts: Mapping[str, SortLink] = field(default_factory=dict)
    origin: AnswerOrigin | None = None
    first_url: str | None = None
    """The first page, where this is another one."""
    next_url: str | None = None
    """The next page, where there is one."""
    can_edit: bool = False
    is_paired: bool = False
    is_target: bool = False
    csv_url: str | None = None
    json_url: str | None = None


@template("_device_form.html")
class DeviceForm(Struct, frozen=True):
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
class DevicesPage(Struct, frozen=True):
    """The list of devices."""

    shell: Shell
    table: DeviceTable
    form: DeviceForm


class ImportRow(Struct, frozen=True):
    """One row of a file as it would be taken. `outcome` is `create`, `change`, `same` or `refused`."""

    number: int
    identity: str
    outcome: str
    text: str


@template("device_import.html")
class DeviceImportPage(Struct, frozen=True):
    """Import devices. Form: POST `/connectors/{id}/devices-import` with `file` or `text`; `apply` takes what was shown.

    `rows` are the first ones of the preview and everything that is refused; `counts` are of all rows.
    """

    shell: Shell
    connector_id: str
    text: str = ""
    rows: tuple[ImportRow, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    is_previewed: bool = False
    problem: str = ""
