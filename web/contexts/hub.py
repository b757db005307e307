"""The operator's page of a hub: who may join, who is here, what waits. A hub shows no contents: it has none."""

from dataclasses import dataclass, field
from typing import ClassVar

from web.contexts.base import Errors, Role, template
from web.contexts.shell import LinkStatus, Shell


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """A token that was made: its hint, never itself. `used_ms` and `used_by` once a site joined with it."""

    token_id: str
    hint: str
    site_name: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class NewEnrolmentToken:
    """A token just made: the only time it can be read. `command` is what to type at the site."""

    secret: str
    site_name: str
    expires_ms: int
    command: str


@template("_hub_tokens.html")
@dataclass(frozen=True, slots=True)
class HubTokens:
    """Fragment: enrolment tokens.

    Forms: POST `/operator/tokens` with `site_name`; POST `/operator/tokens/{token_id}/revoke`.
    """

    element_id: ClassVar[str] = "hub-tokens"
    tokens: tuple[EnrolmentToken, ...]
    new_token: NewEnrolmentToken | None = None
    site_name: str = ""
    errors: Errors = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HubSite:
    """An enrolled site. Revoking: GET `/operator/sites/{site_id}/revoke` asks, POST does it."""

    site_id: str
    site_name: str
    key_fingerprint: str
    enrolled_ms: int
    last_seen_ms: int | None
    linked_count: int
    """How many of its connectors are linked now."""
    is_revoked: bool = False


@template("_hub_sites.html")
@dataclass(frozen=True, slots=True)
class HubSites:
    """Fragment: the sites this hub knows."""

    element_id: ClassVar[str] = "hub-sites"
    sites: tuple[HubSite, ...]


@dataclass(frozen=True, slots=True)
class HubConnector:
    """A connector as the hub sees it."""

    site_name: str
    connector_id: str
    role: Role
    link: LinkStatus
    address: str = ""
    linked_since_ms: int | None = None


@template("_hub_connectors.html")
@dataclass(frozen=True, slots=True)
class HubConnectors:
    """Fragment: connectors and their links."""

    element_id: ClassVar[str] = "hub-connectors"
    connectors: tuple[HubConnector, ...]


@dataclass(frozen=True, slots=True)
class HubWindow:
    """A pairing window that is open. The hub never learns the code."""

    site_name: str
    connector_id: str
    opened_ms: int
    expires_ms: int


@template("_hub_windows.html")
@dataclass(frozen=True, slots=True)
class HubWindows:
    """Fragment: open pairing windows."""

    element_id: ClassVar[str] = "hub-windows"
    windows: tuple[HubWindow, ...]


@dataclass(frozen=True, slots=True)
class HubPair:
    """A pair and the sealed segments that the hub holds for it."""

    pair_id: str
    source_site_name: str
    source_connector_id: str
    target_site_name: str
    target_connector_id: str
    paired_since_ms: int
    backlog_segment_count: int
    backlog_bytes: int
    oldest_age_s: float | None
    relayed_bytes_per_s: float = 0.0


@template("_hub_pairs.html")
@dataclass(frozen=True, slots=True)
class HubPairs:
    """Fragment: pairs and their backlog at this hub."""

    element_id: ClassVar[str] = "hub-pairs"
    pairs: tuple[HubPair, ...]


@dataclass(frozen=True, slots=True)
class HubCertificate:
    """What the hub serves TLS with. `warning` is empty where all is well; the fingerprint is what browsers show."""

    names: tuple[str, ...]
    ends_ms: int
    fingerprint: str
    is_self_signed: bool
    warning: str = ""


@template("operator.html")
@dataclass(frozen=True, slots=True)
class OperatorPage:
    """The operator's page, GET `/operator`."""

    shell: Shell
    tokens: HubTokens
    sites: HubSites
    connectors: HubConnectors
    windows: HubWindows
    pairs: HubPairs
    certificate: HubCertificate | None = None
