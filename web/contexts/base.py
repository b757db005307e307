"""What all contexts share: the registry of templates, and the small words that many pages use."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from msgspec import Struct

Value = float | int | str | bool | None
"""A value of a resource as a page shows it; `None` means there is none yet."""

Errors = Mapping[str, str]
"""What is wrong with a form: field name to one sentence. The empty name carries what is not about one field."""

TEMPLATES: dict[type, str] = {}
"""Every context type and the one template that it fills."""

_Context = TypeVar("_Context")


def template(name: str) -> Callable[[type[_Context]], type[_Context]]:
    """Register the decorated struct as the context of the template `name`."""

    def register(context: type[_Context]) -> type[_Context]:
        if name in TEMPLATES.values():
            raise ValueError(f"{name} has a context already")
        TEMPLATES[context] = name
        return context

    return register


def template_of(context: object) -> str:
    """Return the name of the template that this context fills; `KeyError` where it fills none."""
    return TEMPLATES[type(context)]


def is_fragment(context: object) -> bool:
    """Tell whether this context fills a fragment, which has an `element_id` and can be sent alone."""
    return template_of(context).startswith("_")


class Place(StrEnum):
    """Which program shows the page."""

    SITE = "site"
    HUB = "hub"


class Role(StrEnum):
    """What a connector is in its pair."""

    STANDALONE = "standalone"
    SOURCE = "source"
    TARGET = "target"


class SyncState(StrEnum):
    """How far an edit, or all edits of a thing, has come."""

    LOCAL = "local"
    """There is no peer: nothing to synchronise."""
    APPLIED = "applied"
    """Applied on both sides."""
    PENDING = "pending"
    """Applied here, waiting for the other side."""
    CONFLICT = "conflict"
    """Both sides changed it; one value won and the other is kept."""
    REFUSED = "refused"
    """The other side refused it and its value stands."""


class AnswerKind(StrEnum):
    """Where the contents of a list come from (rule G10)."""

    OWN = "own"
    """This site's own records, with no peer asked."""
    LIVE = "live"
    """Asked of the peer for this page."""
    LAST_GOOD = "last_good"
    """The last good copy, because the peer cannot be asked now."""


class AnswerOrigin(Struct, frozen=True):
    """Say where an answer comes from. `round_trip_ms` goes with LIVE, `age_s` with LAST_GOOD, where it is known."""

    kind: AnswerKind
    peer_site_name: str = ""
    round_trip_ms: float | None = None
    age_s: float | None = None


class Tag(Struct, frozen=True):
    """A (name, value) pair; a device may hold several values for one name."""

    name: str
    value: str
