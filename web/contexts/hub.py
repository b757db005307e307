"""The operator's page of a hub: who may join, who is here, what waits. A hub shows no contents: it has none."""

from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, Place, Role, template
from web.contexts.overview import RepairsCard
from web.contexts.repairs import NoticesCard
from web.contexts.shell import Shell


class HubPager(Struct, frozen=True):
    """Where one page of a list stands: how many match, how many there are, and the pages before and after."""

    matches_count: int
    total_count: int
    is_narrowed: bool = False
    """Whether a search or a filter leaves some out."""
    first_url: str | None = None
    next_url: str | None = None


class HubSearch(Struct, frozen=True):
    """What the lists are asked for: GET parameters `search` and `state` (empty, or `trouble`)."""

    text: str = ""
    is_trouble: bool = False


@template("_hub_figures.html")
class HubFigures(Struct, frozen=True):
    """Fragment: the whole hub in a few numbers, and the disk under its copies."""

    element_id: ClassVar[str] = "hub-figures"
    sites_count: int
    linked_sites_count: int
    links_count: int
    pairs_count: int
    copies_count: int
    copy_bytes: int
    copy_bytes_max: int
    """The cap on all copies; 0 where none may be kept."""
    oldest_age_s: float | None
    relayed_bytes_per_s: float
    relayed_segments_per_s: float
    database_bytes: int
    disk_free_bytes: int
    started_ms: int


class EnrolmentToken(Struct, frozen=True):
    """A token that was made: its hint, never itself. `used_ms` and `used_by` once a site joined with it."""

    token_id: str
    hint: str
    site_name: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None
    is_revoked: bool = False


class NewEnrolmentToken(Struct, frozen=True):
    """A token just made: the only time it can be read. `command` is what to type at the site."""

    secret: str
    site_name: str
    expires_ms: int
    command: str


@template("_hub_tokens.html")
class HubTokens(Struct, frozen=True):
    """Fragment: enrolment tokens.

    Forms: POST `/operator/tokens` with `site_name`; POST `/operator/tokens/{token_id}/revoke`.
    """

    element_id: ClassVar[str] = "hub-tokens"
    tokens: tuple[EnrolmentToken, ...]
    more_count: int = 0
    """How many there are beyond those shown."""
    new_token: NewEnrolmentToken | None = None
    site_name: str = ""
    errors: Errors = field(default_factory=dict)


class HubSite(Struct, frozen=True):
    """An enrolled site. Revoking: GET `/operator/sites/{site_id}/revoke` asks, POST does it."""

    site_id: str
    site_name: str
    key_fingerprint: str
    enrolled_ms: int
    last_seen_ms: int | None
    linked_count: int
    """How many of its connectors are linked now."""
    is_revoked: bool = False
    protocol: int | None = None
    """The version of the protocol that its links speak; `None` while it has none."""


@template("_hub_sites.html")
class HubSites(Struct, frozen=True):
    """Fragment: one page of the sites this hub knows."""

    element_id: ClassVar[str] = "hub-sites"
    sites: tuple[HubSite, ...]
    pager: HubPager


class HubConnector(Struct, frozen=True):
    """A connector as the hub sees it."""

    site_name: str
    connector_id: str
    role: Role
    is_linked: bool
    address: str = ""
    linked_since_ms: int | None = None
    protocol: int | None = None


@template("_hub_connectors.html")
class HubConnectors(Struct, frozen=True):
    """Fragment: one page of the connectors and their links."""

    element_id: ClassVar[str] = "hub-connectors"
    connectors: tuple[HubConnector, ...]
    pager: HubPager


class HubWindow(Struct, frozen=True):
    """A pairing window that is open. The hub never learns the code."""

    site_name: str
    connector_id: str
    opened_ms: int
    expires_ms: int
    is_claimed: bool = False
    """Whether somebody is pairing with it at this moment."""


@template("_hub_windows.html")
class HubWindows(Struct, frozen=True):
    """Fragment: open pairing windows."""

    element_id: ClassVar[str] = "hub-windows"
    windows: tuple[HubWindow, ...]
    more_count: int = 0
    """How many there are beyond those shown."""


class HubPair(Struct, frozen=True):
    """A pair, what the hub holds for its sides, and what moves: means over the last minute."""

    pair_id: str
    source_site_name: str
    source_connector_id: str
    target_site_name: str
    target_connector_id: str
    paired_since_ms: int
    is_source_linked: bool
    is_target_linked: bool
    copies_count: int
    copy_bytes: int
    oldest_age_s: float | None
    relayed_bytes_per_s: float = 0.0
    relayed_segments_per_s: float = 0.0


@template("_hub_pairs.html")
class HubPairs(Struct, frozen=True):
    """Fragment: one page of the pairs and their backlog at this hub."""

    element_id: ClassVar[str] = "hub-pairs"
    pairs: tuple[HubPair, ...]
    pager: HubPager


class BlockedKind(Struct, frozen=True):
    """One kind of attempt that was turned away: where, why, how often since the hub's start, and when last."""

    door: str
    reason: str
    count: int
    last_ms: int


class BlockedFrom(Struct, frozen=True):
    """Attempts of one kind from one address. `who` is what it called itself, proven by nothing."""

    door: str
    reason: str
    address: str
    who: str
    times: int
    at_ms: int


@template("_hub_blocked.html")
class HubBlocked(Struct, frozen=True):
    """Fragment: attempts that were turned away since the hub's start, the most frequent kinds and the last ones."""

    element_id: ClassVar[str] = "hub-blocked"
    since_ms: int
    total_count: int
    kinds: tuple[BlockedKind, ...] = ()
    last: tuple[BlockedFrom, ...] = ()


class AuditEntry(Struct, frozen=True):
    """Who did what, when, from where."""

    number: int
    at_ms: int
    who: str
    where: str
    action: str
    what: str


@template("_hub_audit.html")
class HubAudit(Struct, frozen=True):
    """Fragment: entries of the audit, newest first; on the operator's page the last few, with `all_url` to the rest."""

    element_id: ClassVar[str] = "hub-audit"
    entries: tuple[AuditEntry, ...]
    all_url: str | None = None
    first_url: str | None = None
    next_url: str | None = None


@template("hub_audit.html")
class HubAuditPage(Struct, frozen=True):
    """The audit, GET `/operator/audit`, with `before` for the entries below a number."""

    shell: Shell
    audit: HubAudit


class HubCertificate(Struct, frozen=True):
    """What the hub serves TLS with. `warning` is empty where all is well; the fingerprint is what browsers show."""

    names: tuple[str, ...]
    ends_ms: int
    fingerprint: str
    is_self_signed: bool
    warning: str = ""


@template("operator.html")
class OperatorPage(Struct, frozen=True):
    """The operator's page, GET `/operator`."""

    shell: Shell
    search: HubSearch
    figures: HubFigures
    tokens: HubTokens
    sites: HubSites
    connectors: HubConnectors
    windows: HubWindows
    pairs: HubPairs
    blocked: HubBlocked
    audit: HubAudit
    certificate: HubCertificate | None = None
    repairs: RepairsCard = field(default_factory=lambda: RepairsCard(is_wide=True))
    notices: NoticesCard = field(default_factory=lambda: NoticesCard((), 0, place=Place.HUB))
