"""Who asks: the principal of a request. What he may do is decided by tables of hub and site, through one function."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    """How somebody proved who he is."""

    STRANGER = "stranger"
    USER = "user"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Principal:
    """A stranger, a user with a role, or an API key with scopes. `name` is for the audit log."""

    kind: PrincipalKind
    name: str = ""
    role: str = ""
    scopes: frozenset[str] = frozenset()
    address: str = ""
    connector_id: str = ""
    device: str = ""
    """The device of that connector for which a key speaks; empty for people and for an operator's programs."""


STRANGER = Principal(PrincipalKind.STRANGER)

Authorize = Callable[[Principal, str, object], bool]
"""The shape of `authorize(principal, action, object)`: hub and site each have one, and default to no."""
