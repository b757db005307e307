"""The frame around every page of a logged-in user: navigation, connector switcher, link pill, repairs, toasts."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct, field

from shared.core.health import FlowState
from web.contexts.base import Place, Role, template


class Section(StrEnum):
    """The entry of the sidebar that is marked as current."""

    OVERVIEW = "overview"
    DEVICES = "devices"
    RESOURCES = "resources"
    WAYS_IN = "ways_in"
    CHANGES = "changes"
    GAPS = "gaps"
    SETTINGS = "settings"
    HUB = "hub"
    REPAIRS = "repairs"
    CONNECTORS = "connectors"
    API_KEY = "api_key"
    OPERATOR = "operator"
    AUDIT = "audit"
    NONE = "none"


class LinkStatus(Struct, frozen=True):
    """The state of a connector's link and the number that belongs to it; the template makes the sentence.

    `canary_ms` is the last round trip through the whole pair, `oldest_unapplied_s` the age of the oldest reading that waits.
    """

    state: FlowState
    via: str = "hub"
    round_trip_ms: float | None = None
    retry_in_s: float | None = None
    stalled_for_s: float | None = None
    since_ms: int | None = None
    silent_for_s: float | None = None
    canary_ms: float | None = None
    oldest_unapplied_s: float | None = None


@template("_link_pill.html")
class LinkPill(Struct, frozen=True):
    """Fragment in the top bar: what the link of the chosen connector does, and what moves there. Changes on every page.

    On pages of the whole site it is that of the connector that fares worst, with its `name` and ID, which lead there;
    `None` where no connector is paired.
    """

    element_id: ClassVar[str] = "link-pill"
    link: LinkStatus | None
    name: str = ""
    connector_id: str = ""


@template("_nav_counts.html")
class NavCounts(Struct, frozen=True):
    """Fragment in the top bar: how many repairs are open, with a link to them; `urgent` is the title of the worst."""

    element_id: ClassVar[str] = "nav-counts"
    repairs_count: int
    repairs_url: str
    urgent: str = ""


class ConnectorChoice(Struct, frozen=True):
    """One entry of the connector switcher. `name` may be empty: the ID is shown then."""

    connector_id: str
    name: str
    role: Role


@template("_switcher.html")
class Switcher(Struct, frozen=True):
    """Fragment: the connector switcher, which a page has twice: `where` is `side` or `drawer`. Roles change by pairing."""

    where: str
    chosen: ConnectorChoice | None
    connectors: tuple[ConnectorChoice, ...]

    @property
    def element_id(self) -> str:
        """The ID of this copy."""
        return f"switcher-{self.where}"


class ToastKind(StrEnum):
    """How a toast is marked: by an icon and a word, and a colour beside them."""

    DONE = "done"
    NOTE = "note"
    PROBLEM = "problem"


class Toast(Struct, frozen=True):
    """One short message about what just happened, shown once. See `web.flash` for carrying it over a redirect."""

    kind: ToastKind
    text: str


@template("_toasts.html")
class Toasts(Struct, frozen=True):
    """Fragment: the messages of this answer."""

    element_id: ClassVar[str] = "toasts"
    toasts: tuple[Toast, ...] = ()


class Shell(Struct, frozen=True):
    """Everything around the contents of a page.

    On a site, `connector` is the chosen connector, or `None` on pages that belong to the whole site; `connectors` are
    all that the user may choose. A hub has none. `updates_url` is the path of this page's update stream, with its query
    string; `None` means that the page has none.
    """

    place: Place
    place_name: str
    """Site name, or the name of the hub."""
    version: str
    section: Section
    user_name: str
    user_role: str = "admin"
    connector: ConnectorChoice | None = None
    connectors: tuple[ConnectorChoice, ...] = ()
    link: LinkPill | None = None
    counts: NavCounts | None = None
    updates_url: str | None = None
    toasts: Toasts = field(default_factory=Toasts)

    def switcher(self, where: str) -> Switcher:
        """Return the connector switcher for the sidebar (`side`) or the menu of small screens (`drawer`)."""
        return Switcher(where, self.connector, self.connectors)
