"""A site's hub: where it is, whether the site is enrolled there, and the form for the token."""

from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, template
from web.contexts.shell import Shell


@template("_site_hub.html")
class SiteHubCard(Struct, frozen=True):
    """Fragment: how a site stands at its hub. `hub_url` is empty where none is set; `problem` says what stands in the way.

    `linked_count` of `wanted_count` connectors that want a link have one. `asks_for_token` offers the form.
    Form: POST `/hub/enrol` with `token`, which may be empty where the hub enrols anybody.
    """

    element_id: ClassVar[str] = "site-hub"
    site_name: str
    hub_url: str
    is_enrolled: bool
    problem: str = ""
    linked_count: int = 0
    wanted_count: int = 0
    can_enrol: bool = True
    asks_for_token: bool = False
    errors: Errors = field(default_factory=dict)


@template("site_hub.html")
class SiteHubPage(Struct, frozen=True):
    """The page *Hub* of a site."""

    shell: Shell
    hub: SiteHubCard
