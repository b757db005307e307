"""What a connector shares with its peer (settings, tab *Sharing*)."""

from dataclasses import dataclass

from web.contexts.base import template
from web.contexts.shell import Shell


@dataclass(frozen=True, slots=True)
class PeerRight:
    """One thing that the peer may do here, or not."""

    name: str
    label: str
    hint: str
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class ConflictPolicy:
    """What decides conflicts of a class of edits: `newer`, `source` or `target`."""

    name: str
    label: str
    policy: str


@template("sharing.html")
@dataclass(frozen=True, slots=True)
class SharingPage:
    """Forms: POST `/connectors/{id}/sharing/rights` with the names of rights (`on` or absent); `.../policies` by class.

    `peer_site_name` is empty where there is no peer yet; rights can be set only once there is.
    """

    shell: Shell
    connector_id: str
    peer_site_name: str
    rights: tuple[PeerRight, ...]
    policies: tuple[ConflictPolicy, ...]
    can_edit: bool = False
