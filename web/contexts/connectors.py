"""The list of connectors, the form that creates one, and the General tab of its settings (page 3)."""

from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, Role, template
from web.contexts.shell import LinkStatus, Shell


class ConnectorRow(Struct, frozen=True):
    """One connector of the list. `name` may be empty; `note` is a short word such as `pairing, 6 min left`."""

    connector_id: str
    name: str
    role: Role
    link: LinkStatus
    peer_site_name: str | None = None
    peer_connector_id: str | None = None
    device_count: int = 0
    resource_count: int = 0
    last_seen_ms: int | None = None
    """When the peer was last heard of."""
    is_enabled: bool = True
    note: str = ""


@template("_connector_table.html")
class ConnectorTable(Struct, frozen=True):
    """Fragment: the connectors of this site."""

    element_id: ClassVar[str] = "connector-table"
    rows: tuple[ConnectorRow, ...]


@template("connectors.html")
class ConnectorsPage(Struct, frozen=True):
    """All connectors of this site."""

    shell: Shell
    table: ConnectorTable
    has_to_enrol: bool = False
    """Whether the site needs a token of its hub's operator before anything can be paired."""


@template("_connector_form.html")
class ConnectorForm(Struct, frozen=True):
    """Fragment: create a connector; as a Remote-Sync Target it claims a pairing at once.

    Form: POST `/connectors` with `name`, `is_target` (`on` or absent), `peer_site_name`, `peer_connector_id`, `code`,
    and `pasted` (the whole text of *copy all*, used where the three fields are empty; see `web.pairing_text`).
    Errors by these names; the empty name for refusals that concern no single field (`hub not reachable`).
    """

    element_id: ClassVar[str] = "connector-form"
    name: str = ""
    is_target: bool = False
    peer_site_name: str = ""
    peer_connector_id: str = ""
    code: str = ""
    pasted: str = ""
    errors: Errors = field(default_factory=dict)


@template("connector_form.html")
class ConnectorFormPage(Struct, frozen=True):
    """The page *Create connector*, GET `/connectors/new`; it comes back with status 422 where something is wrong."""

    shell: Shell
    form: ConnectorForm


@template("_general_settings.html")
class GeneralSettings(Struct, frozen=True):
    """Fragment: name and description of a connector, and whether it may be disabled or deleted.

    Forms: POST `/connectors/{id}/settings` with `name`, `description`, `allows_creation` (`on` or absent), `drain_bytes_per_s`;
    POST `/connectors/{id}/disable` and `/enable`; GET `/connectors/{id}/delete` leads to a confirmation and then POST.
    """

    element_id: ClassVar[str] = "general-settings"
    connector_id: str
    name: str
    description: str | None
    """`None` where connectors have none: the field is left out."""
    role: Role
    is_enabled: bool
    created_ms: int
    allows_creation: bool = False
    """Whether readings for an unknown device create it."""
    drain_bytes_per_s: str = ""
    """What a backlog may take of the link, as typed; empty for what the site's settings say."""
    drain_by_settings: int = 0
    """What those say; 0 for no bound."""
    disable_refusal: str = ""
    """Why it cannot be disabled, such as `paired with riverside: part first`; empty where it can."""
    delete_refusal: str = ""
    errors: Errors = field(default_factory=dict)


@template("settings.html")
class SettingsPage(Struct, frozen=True):
    """Settings of a connector, tab *General*."""

    shell: Shell
    general: GeneralSettings
