"""Who may open a link: nonces used once, assertions, and the rule about two live copies of one site (G2)."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hub.store.rows import Site
from shared.core.registry import Connector
from shared.errors import Refused
from shared.joining import Assertion, check_assertion, check_nonce, claimed_site, make_nonce
from shared.limits import DISPLACEMENT_WINDOW_MS, DISPLACEMENTS_MAX, NONCE_LIFE_S

_START_HEX_MAX = 128
_CONNECTOR_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was proven before the upgrade."""

    connector: Connector
    site_name: str
    start_id: bytes


class Nonces:
    """Makes nonces and takes each back once. What is kept is bounded by those used within NONCE_LIFE_S."""

    def __init__(self) -> None:
        # A secret of this process: nonces of an earlier one are worthless, so none can be used twice over a restart.
        self._secret = secrets.token_bytes(32)
        self._used: dict[bytes, int] = {}

    def make(self, now_ms: int) -> str:
        """Return a fresh nonce."""
        return make_nonce(self._secret, now_s=now_ms / 1000, chance=secrets.token_bytes(8))

    def take(self, nonce: str, now_ms: int) -> None:
        """Use a nonce up; raises Refused('assertion_refused')."""
        check_nonce(nonce, self._secret, now_s=now_ms / 1000)
        raw = bytes.fromhex(nonce)  # as text it could be written in several ways
        if raw in self._used:
            raise Refused("assertion_refused", why="its nonce was used already")
        while self._used and next(iter(self._used.values())) + 2_000 * NONCE_LIFE_S < now_ms:
            del self._used[next(iter(self._used))]
        self._used[raw] = now_ms


class Admission:
    """Decides from the headers of a request, before the upgrade (SECURITY, joining a hub)."""

    def __init__(self, hub_key: str, site_of: Callable[[str], Site | None], nonces: Nonces) -> None:
        """`hub_key` is the hub's public key in hex; `site_of` finds an enrolled site by its ID."""
        self._hub_key = hub_key
        self._site_of = site_of
        self._nonces = nonces

    def admit(self, headers: Mapping[str, str], now_ms: int) -> Admitted:
        """Return who wants to link; raises Refused with the reason."""
        if "origin" in headers:
            raise Refused("browser_origin")
        scheme, _, assertion = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not assertion:
            raise Refused("assertion_refused", why="there is none")
        site = self._site_of(claimed_site(assertion))
        if site is None:
            raise Refused("site_unknown")
        if site.revoked_ms is not None:
            raise Refused("site_revoked")
        checked = self.check(assertion, site.hub_key, now_ms)
        if not is_connector_id(checked.connector_id):
            raise Refused("assertion_refused", why="it names no connector")
        return Admitted((site.site_id, checked.connector_id), site.site_name, _start_id(headers))

    def claimed_name(self, headers: Mapping[str, str]) -> str:
        """Return the name of the site that a request says to be of, proven by nothing; empty where it is unknown."""
        try:
            site = self._site_of(claimed_site(headers.get("authorization", "").partition(" ")[2]))
        except Refused:
            return ""
        return site.site_name if site is not None else ""

    def check(self, assertion: str, public_key: bytes, now_ms: int) -> Assertion:
        """Check an assertion made with this key, and use its nonce up; raises Refused('assertion_refused')."""
        checked = check_assertion(assertion, public_key=public_key, hub_key=self._hub_key)
        self._nonces.take(checked.nonce, now_ms)
        return checked


def is_connector_id(text: str) -> bool:
    """Tell whether this may be the ID of a connector: it stands in links, logs, pages and answers of others."""
    return 1 <= len(text) <= _CONNECTOR_CHARS_MAX and text.isascii() and text.isprintable() and " " not in text


def _start_id(headers: Mapping[str, str]) -> bytes:
    text = headers.get("pairhub-start", "")
    try:
        start_id = bytes.fromhex(text) if 0 < len(text) <= _START_HEX_MAX else b""
    except ValueError:
        start_id = b""
    if not start_id:
        raise Refused("assertion_refused", why="the header Pairhub-Start is missing or is not hex")
    return start_id


@dataclass(slots=True)
class _Displacements:
    displaced: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=64))
    mutual_ms: deque[int] = field(default_factory=lambda: deque(maxlen=DISPLACEMENTS_MAX))


class Displacement:
    """Lets a newer link displace an older one, unless two starts of one site displace each other again and again."""

    def __init__(self) -> None:
        self._by_connector: dict[Connector, _Displacements] = {}

    def check(self, connector: Connector, old_start: bytes, new_start: bytes, now_ms: int) -> bool:
        """Tell whether the displacement would be mutual; raises Refused('duplicate_instance') if once too often."""
        past = self._by_connector.get(connector)
        since_ms = now_ms - DISPLACEMENT_WINDOW_MS
        if past is None or old_start == new_start:
            return False
        if not any(at_ms > since_ms and start == new_start for at_ms, start in past.displaced):
            return False
        if len(past.mutual_ms) == DISPLACEMENTS_MAX and past.mutual_ms[0] > since_ms:
            raise Refused("duplicate_instance")
        return True

    def displace(self, connector: Connector, old_start: bytes, new_start: bytes, now_ms: int) -> None:
        """A link of `new_start` displaces a live one of `old_start`; raises Refused('duplicate_instance')."""
        if old_start == new_start:
            return  # the same daemon noticed sooner than the hub that its link was gone
        if self.check(connector, old_start, new_start, now_ms):
            self._by_connector[connector].mutual_ms.append(now_ms)
        past = self._by_connector.setdefault(connector, _Displacements())
        past.displaced.append((now_ms, old_start))
        if len(self._by_connector) > 10_000:
            self._by_connector.pop(next(iter(self._by_connector)))
