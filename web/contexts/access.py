"""Getting in, keys for programs, and the pages that say no: set-up, log-in, API key, confirmation, error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from web.contexts.base import Errors, Place, template
from web.contexts.shell import Shell, Toasts


@template("setup.html")
@dataclass(frozen=True, slots=True)
class SetupPage:
    """First run: the one-time token from the console, then the first user. For site and hub.

    Form: POST `/setup` with `token`, `user_name`, `password`, `password_again`. Errors by these names.
    """

    place: Place
    place_name: str
    version: str
    token: str = ""
    """Filled in where the address carried it or the form comes back."""
    user_name: str = "admin"
    errors: Errors = field(default_factory=dict)
    password_length_min: int = 10


@template("login.html")
@dataclass(frozen=True, slots=True)
class LoginPage:
    """Log-in, for site and hub.

    Form: POST `/login` with `user_name`, `password`, `next` (a path on this server). Errors by these names; the empty
    name for `wrong name or password` and for throttling.
    """

    place: Place
    place_name: str
    version: str
    user_name: str = ""
    next_path: str = "/"
    errors: Errors = field(default_factory=dict)
    notice: str = ""
    """Why the user sees this page, such as `Your session ended after 12 hours.`"""
    toasts: Toasts = field(default_factory=Toasts)


@dataclass(frozen=True, slots=True)
class ApiKeyFacts:
    """A key as it may be shown after the day it was made: never the secret itself."""

    name: str
    hint: str
    """The first characters and the last four, as in `phk_3f9K...a1b2`."""
    scopes: tuple[str, ...]
    created_ms: int
    last_used_ms: int | None = None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made: the only time that its secret can be read."""

    secret: str
    post_url: str
    """The absolute address to which a program posts readings, for the example under the key."""


@template("_api_key.html")
@dataclass(frozen=True, slots=True)
class ApiKeyCard:
    """Fragment: the one API key, or the form to make it, or the key just made.

    Forms: POST `/api-key` with `name`, `expires_days` (empty for never); POST `/api-key/revoke` (confirmed first by
    GET `/api-key/revoke`).
    """

    element_id: ClassVar[str] = "api-key"
    key: ApiKeyFacts | None
    new_key: NewApiKey | None = None
    name: str = ""
    errors: Errors = field(default_factory=dict)


@template("api_key.html")
@dataclass(frozen=True, slots=True)
class ApiKeyPage:
    """The page around the API key card."""

    shell: Shell
    card: ApiKeyCard


@template("confirm.html")
@dataclass(frozen=True, slots=True)
class ConfirmPage:
    """Ask before something that cannot be undone. Shown as a page, or in a dialog where scripts run.

    Form: POST `action_url` with the hidden `fields`.
    """

    shell: Shell
    title: str
    text: str
    confirm_label: str
    action_url: str
    cancel_url: str
    consequences: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    is_dangerous: bool = True


@template("error.html")
@dataclass(frozen=True, slots=True)
class ErrorPage:
    """Any refusal or failure as a page: what happened, why, what to do next. `shell` is `None` for strangers."""

    status: int
    title: str
    what: str
    why: str
    next_step: str
    shell: Shell | None = None
    place: Place = Place.SITE
    place_name: str = ""
    next_url: str | None = "/"
    next_label: str = "Go to the start page"
    request_id: str = ""
    """What to look for in the log; empty where there is none."""
