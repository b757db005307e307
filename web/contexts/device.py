"""One device (page 6): who it is, what may be done with it, its values, and the history of its edits."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import AnswerOrigin, Errors, SyncState, Tag, Value, template
from web.contexts.shell import Shell


@template("_device_facts.html")
class DeviceFacts(Struct, frozen=True):
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
    can_edit: bool = False
    has_refusals: bool = False
    """The other side refused an edit, and nobody has put that away yet. Form: POST `.../refusals`."""


class TagChip(Struct, frozen=True):
    """A tag and how far its last edit has come. A tag being removed stays, struck through, until both sides agree."""

    tag: Tag
    sync: SyncState
    is_removed: bool = False


@template("_tags.html")
class TagsCard(Struct, frozen=True):
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


class ValueRow(Struct, frozen=True):
    """The state of one resource of a device. `history` feeds the sparkline of a number, oldest first.

    `sync` tells how far a value that was set has come, `refusal` why the other side refused it.
    """

    alias: str
    unit: str
    reported: Value
    set_value: Value
    timestamp_ms: int | None
    history: tuple[float, ...] = ()
    is_settable: bool = False
    is_synced: bool = False
    format: str = "number"
    sync: SyncState = SyncState.LOCAL
    refusal: str = ""


@template("_values.html")
class ValuesCard(Struct, frozen=True):
    """Fragment: the values of a device. Form: POST `.../set` with `alias`, `value`, where `can_set`."""

    element_id: ClassVar[str] = "values"
    connector_id: str
    rows: tuple[ValueRow, ...]
    history_s: int = 300
    identity: str = ""
    can_set: bool = False


class GrantRow(Struct, frozen=True):
    """Who may do what. `site_name` is the site that knows the subject and where alone the grant acts."""

    kind: str
    name: str
    site_id: str
    site_name: str
    level: str
    expires_ms: int | None
    is_expired: bool
    is_for_all: bool
    sync: SyncState


@template("_grants.html")
class GrantsCard(Struct, frozen=True):
    """Fragment: the permissions of a device, those of the whole connector among them.

    Forms: POST `.../grants` with `scope` (`device` or `all`), `kind`, `name`, `site_id`, `level`, `expires` (a date);
    POST `.../grants/remove` with `scope`, `kind`, `name`, `site_id`.
    """

    element_id: ClassVar[str] = "grants"
    connector_id: str
    identity: str
    rows: tuple[GrantRow, ...]
    can_edit: bool = False


@template("_publish_as.html")
class PublishAsCard(Struct, frozen=True):
    """Fragment: patterns of devices that this one may report for. Forms: POST `.../publish-as[/remove]` with `pattern`."""

    element_id: ClassVar[str] = "publish-as"
    connector_id: str
    identity: str
    patterns: tuple[tuple[str, SyncState], ...]
    can_edit: bool = False


@template("_configuration.html")
class ConfigurationCard(Struct, frozen=True):
    """Fragment: the configuration of a device, indented JSON. Form: POST `.../configuration` with `configuration`."""

    element_id: ClassVar[str] = "configuration"
    text: str
    sync: SyncState


class ChangeRow(Struct, frozen=True):
    """One edit: what became of which field, by whom, at which site, and how far it has come."""

    at_ms: int
    identity: str
    what: str
    before: str
    after: str
    who: str
    site_name: str
    sync: SyncState
    reason: str = ""


class ConflictRow(Struct, frozen=True):
    """Two edits that did not know each other: the value that stands and the one that lost."""

    conflict_id: int
    identity: str
    what: str
    kept: str
    kept_by: str
    lost: str
    lost_by: str
    policy: str
    found_ms: int


@template("_conflicts.html")
class ConflictsCard(Struct, frozen=True):
    """Fragment: conflicts nobody has settled. Form: POST `/connectors/{id}/changes/{conflict}` with `act`, `back`."""

    element_id: ClassVar[str] = "conflicts"
    connector_id: str
    rows: tuple[ConflictRow, ...]
    can_edit: bool = False
    back: str = ""
    shows_device: bool = False


@template("_changes.html")
class ChangesCard(Struct, frozen=True):
    """Fragment: the history of changes, newest first."""

    element_id: ClassVar[str] = "changes"
    connector_id: str
    rows: tuple[ChangeRow, ...]
    shows_device: bool = False
    next_url: str | None = None


@template("changes.html")
class ChangesPage(Struct, frozen=True):
    """Conflicts and the history of changes of a whole connector."""

    shell: Shell
    conflicts: ConflictsCard
    changes: ChangesCard


@template("device.html")
class DevicePage(Struct, frozen=True):
    """One device. `typed` and `errors` bring back a form that was refused; `refused_form` names it."""

    shell: Shell
    facts: DeviceFacts
    tags: TagsCard
    values: ValuesCard
    grants: GrantsCard
    publish_as: PublishAsCard
    configuration: ConfigurationCard
    conflicts: ConflictsCard
    changes: ChangesCard
    sites: tuple[tuple[str, str], ...] = ()
    """UUID and name of the sites that a permission can act at: this one first."""
    known_tag_names: tuple[str, ...] = ()
    """Offered while typing."""
    refused_form: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Errors = field(default_factory=dict)

    def errors_of(self, form: str) -> Errors:
        """What is wrong with a form, nothing where another one was refused."""
        return self.errors if form == self.refused_form else {}

    def typed_in(self, form: str, name: str) -> str:
        """What was typed into a field of a form that was refused."""
        return self.typed.get(name, "") if form == self.refused_form else ""
