"""What a connector shares with its peer (settings, tab *Sharing*)."""

from msgspec import Struct

from web.contexts.base import template
from web.contexts.shell import Shell


class PeerRight(Struct, frozen=True):
    """One thing that the peer may do here, or not."""

    name: str
    label: str
    hint: str
    is_allowed: bool


class ConflictPolicy(Struct, frozen=True):
    """What decides conflicts of a class of edits: `newer`, `source` or `target`."""

    name: str
    label: str
    policy: str


@template("sharing.html")
class SharingPage(Struct, frozen=True):
    """Forms: POST `/connectors/{id}/sharing/rights` with the names of rights (`on` or absent); `.../policies` by class.

    Both say with `was-` and the name what the page showed (`on` or `off`, a policy): what is as it was stays as it is now.

    `peer_site_name` is empty where there is no peer yet; rights can be set only once there is.
    """

    shell: Shell
    connector_id: str
    peer_site_name: str
    rights: tuple[PeerRight, ...]
    policies: tuple[ConflictPolicy, ...]
    can_edit: bool = False
