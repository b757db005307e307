"""Settings, tab *Remote-Sync*: opening a pairing window, watching the claim, and the facts of a pair (page 4)."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from web.contexts.base import Role, template
from web.contexts.shell import LinkStatus, Shell


class PairingState(StrEnum):
    """Where a connector stands between alone and paired."""

    IDLE = "idle"
    """Not paired, no window: the button ENABLE REMOTE-SYNC."""
    OPENING = "opening"
    """The window is being filed at the hub."""
    WAITING = "waiting"
    """The window is open: countdown, site name, connector ID, code. Needs `window`."""
    CLAIMING = "claiming"
    """Somebody answered with the right code; the last steps run. Needs `window` and `claim`."""
    PENDING = "pending"
    """Pair agreed, the first sealed message not yet heard. Needs `claim` (or `pair`); a target may cancel."""
    PAIRED = "paired"
    """For good. Needs `pair`."""
    EXPIRED = "expired"
    """The window ran out; ENABLE again."""
    CLOSED = "closed"
    """Too many wrong codes closed the window; ENABLE again."""
    FAILED = "failed"
    """The window could not be opened or the pairing was rolled back: see `problem`."""


class PairingWindow(Struct, frozen=True):
    """What a source shows for the other side to type. The QR code is an SVG data URI of the same text as *copy all*."""

    site_name: str
    connector_id: str
    code: str
    """As people read it, in groups: `7K3M-Q9TD-5`."""
    opened_ms: int
    expires_ms: int
    attempts_left_count: int = 3
    qr_data_uri: str = ""
    """`data:image/svg+xml;base64,...`; empty shows none."""


class Claim(Struct, frozen=True):
    """Who is at the other end of a pairing that is not complete yet."""

    peer_site_name: str
    peer_connector_id: str = ""
    fingerprint: str = ""
    started_ms: int | None = None
    expires_ms: int | None = None
    needs_accept: bool = False
    """Whether this source waits for a person to press *Accept*: POST `/connectors/{id}/remote-sync/accept`."""


class PairFacts(Struct, frozen=True):
    """A pair as both sides know it."""

    pair_id: str
    role: Role
    """The role of the connector whose page this is."""
    peer_site_name: str
    peer_connector_id: str
    fingerprint: str
    """Short, the same on both sides, in groups for reading aloud."""
    paired_since_ms: int
    key_day: str
    """The day of the sealing key in use, `2026-11-20` (UTC)."""
    key_generation_count: int = 1
    hub_url: str = ""
    link: LinkStatus | None = None


@template("_remote_sync.html")
class RemoteSyncCard(Struct, frozen=True):
    """Fragment: everything on the tab; live, so that a claim shows itself.

    Forms, all POST under `/connectors/{id}/remote-sync`: `/enable` opens a window; `/close` closes it early;
    `/accept` and `/refuse` answer a claim that needs a person; `/cancel` gives up a pending target.
    """

    element_id: ClassVar[str] = "remote-sync"
    connector_id: str
    role: Role
    state: PairingState
    window_s: int = 600
    """How long the next window will be open."""
    window: PairingWindow | None = None
    claim: Claim | None = None
    pair: PairFacts | None = None
    ended_ms: int | None = None
    """When the last window expired or was closed."""
    problem: str = ""
    """What went wrong, in a sentence that says what to do."""
    peer_asks_to_part: bool = False
    asked_to_part: bool = False
    """Whether this side has asked, and waits for an answer."""
    parted_from: str = ""
    """The site of the last pair that is over, while there is no other; empty for none."""
    enable_refusal: str = ""
    """Why ENABLE is not offered, such as `enrol this site at a hub first`; empty where it is."""


@template("_pair_guards.html")
class PairGuards(Struct, frozen=True):
    """Fragment: why a paired connector can be neither disabled nor deleted, beside the disabled buttons.

    Live too, so that the buttons follow a pairing that completes while the page is open. Empty where nothing is refused.
    """

    element_id: ClassVar[str] = "pair-guards"
    connector_id: str
    disable_refusal: str = ""
    delete_refusal: str = ""


@template("remote_sync.html")
class RemoteSyncPage(Struct, frozen=True):
    """Settings of a connector, tab *Remote-Sync*."""

    shell: Shell
    card: RemoteSyncCard
    guards: PairGuards | None = None
