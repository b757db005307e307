"""Getting in, keys for programs, and the pages that say no: set-up, log-in, API keys, confirmation, error."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, Place, template
from web.contexts.shell import Shell, Toasts


@template("setup.html")
class SetupPage(Struct, frozen=True):
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
class LoginPage(Struct, frozen=True):
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


class ApiKeyRow(Struct, frozen=True):
    """A key as it may be shown after the day it was made: never the secret itself."""

    key_id: str
    name: str
    hint: str
    """The first characters and the last four, as in `phk_3f9K...a1b2`."""
    scopes: tuple[str, ...]
    created_ms: int
    last_used_ms: int | None = None
    expires_ms: int | None = None
    is_expired: bool = False
    connector_name: str = ""
    device: str = ""
    """The device that the key is bound to; empty for none."""


@template("_api_keys.html")
class ApiKeyList(Struct, frozen=True):
    """Fragment: the keys of the site, newest first. Of many, as many as a page takes: `total_count` says how many match.

    Form: GET `/api-key` with `find`. Revoking is confirmed first by GET `/api-key/{key_id}/revoke`.
    """

    element_id: ClassVar[str] = "api-keys"
    keys: tuple[ApiKeyRow, ...]
    total_count: int
    find: str = ""


class ScopeChoice(Struct, frozen=True):
    """One thing that a key may do."""

    name: str
    label: str
    is_chosen: bool


@template("_api_key_form.html")
class ApiKeyForm(Struct, frozen=True):
    """Fragment: the form that makes a key.

    Form: POST `/api-key` with `name`, `kind` (`program` or `device`), `scope-<name>` (`on` or absent), `connector_id`,
    `device`, `expires_days` (empty for never). Errors by these names and `scopes`.
    """

    element_id: ClassVar[str] = "api-key-form"
    scopes: tuple[ScopeChoice, ...]
    connectors: tuple[tuple[str, str], ...]
    """(ID, name) of those that take readings."""
    name: str = ""
    kind: str = "program"
    connector_id: str = ""
    device: str = ""
    expires_days: str = "90"
    errors: Errors = field(default_factory=dict)
    is_open: bool = False


@template("_new_api_key.html")
class NewApiKey(Struct, frozen=True):
    """Fragment: a key just made, the only time that its secret can be read."""

    element_id: ClassVar[str] = "new-api-key"
    name: str
    secret: str
    example: str
    """A line for a shell that posts a reading with the key; empty where the key may not."""


@template("api_key.html")
class ApiKeysPage(Struct, frozen=True):
    """The keys of programs and devices."""

    shell: Shell
    keys: ApiKeyList
    form: ApiKeyForm
    new_key: NewApiKey | None = None


@template("confirm.html")
class ConfirmPage(Struct, frozen=True):
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
class ErrorPage(Struct, frozen=True):
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
