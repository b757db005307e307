"""The hub's side of pairing: which windows are open, who claims them, and which connectors are paired (W1 to W6, G15).

Windows and claims live in memory only. They make a claim fail early and atomically; what decides is the source's own
transaction, and nothing here ever sees a code (SECURITY, pairing).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from shared.certificates import PairCertificate, Party
from shared.errors import ProtocolError, Refused
from shared.limits import (
    CLAIM_BODY_BYTES_MAX,
    CLAIM_DEADLINE_MS,
    FACT_CHARS_MAX,
    FACTS_MAX,
    KNOCKS_PER_MINUTE_MAX,
    MINUTE_MS,
    NAME_CHARS_MAX,
    WINDOW_MS_MAX,
    WINDOW_REMEMBERED_MS,
    WINDOWS_PER_SITE_MAX,
)
from shared.messages import (
    AnyFrame,
    Claim,
    ClaimRefused,
    ClaimStep,
    CloseWindow,
    Knock,
    Notice,
    OpenWindow,
    WindowOpened,
)
from shared.sealing import Side

Connector = tuple[str, str]
"""Site ID and connector ID: what a link is for."""
RegistryFrame = OpenWindow | CloseWindow | Claim | ClaimStep | ClaimRefused
_ID_BYTES: Final = range(8, 65)
# A source closes its window the moment it expires by its own clock; the claim that comes next is told so.
_EXPIRY_SLACK_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a frame on a connector's link, if it has one."""

    to: Connector
    frame: AnyFrame


@dataclass(slots=True)
class Window:
    """A window as filed by its source. `linked` is false while the source's link is away."""

    window_id: bytes
    source: Connector
    site_name: str
    opened_ms: int
    expires_ms: int
    linked: bool = True
    expired: bool = False
    claim_id: bytes | None = None


@dataclass(slots=True)
class _ClaimRoute:
    window_id: bytes
    source: Connector
    target: Connector
    deadline_ms: int

    def other(self, end: Connector) -> Connector | None:
        """The opposite end, or None for a stranger."""
        return {self.source: self.target, self.target: self.source}.get(end)


class Registry:
    """Files windows and passes claims. Every event returns what to tell whom, in order."""

    def __init__(
        self, pairs: Iterable[PairCertificate] = (), *, claims_per_minute: int = KNOCKS_PER_MINUTE_MAX
    ) -> None:
        """`pairs` are those the store knows; `claims_per_minute` is how many one target site may start."""
        self._claims_per_minute = claims_per_minute
        self._windows: dict[tuple[str, str], Window] = {}  # by (site name, connector ID), as people type them
        self._claims: dict[bytes, _ClaimRoute] = {}
        self._knocks: dict[str, deque[int]] = {}
        self._paired: dict[Connector, bytes] = {}
        self._paired_names: dict[tuple[str, str], bytes] = {}
        for certificate in pairs:
            self.on_paired(certificate)

    def windows(self, now_ms: int) -> list[Window]:
        """Return the windows that are open now, the oldest first."""
        return [window for window in self._windows.values() if not window.expired and window.expires_ms > now_ms]

    @property
    def pairs_count(self) -> int:
        """Pairs that are registered."""
        return len(set(self._paired.values()))

    def is_claimed(self, window: Window) -> bool:
        """Tell whether a claim on this window is under way."""
        return window.claim_id in self._claims

    # --- events ------------------------------------------------------------------------------------------------------

    def on_frame(self, connector: Connector, site_name: str, frame: RegistryFrame, now_ms: int) -> tuple[Tell, ...]:
        """A frame came on a connector's link; raises ProtocolError where it is out of bounds."""
        return (*self.on_deadline(now_ms), *self._obey(connector, site_name, frame, now_ms))

    def on_unlinked(self, connector: Connector) -> tuple[Tell, ...]:
        """A connector's link ended: its claims end, its window waits for it to be filed again."""
        for window in self._windows.values():
            if window.source == connector:
                window.linked = False
        tells: list[Tell] = []
        for claim_id, route in list(self._claims.items()):
            if (other := route.other(connector)) is not None:
                del self._claims[claim_id]
                tells.append(Tell(other, ClaimRefused(claim_id, "peer_not_linked", {})))
        return tuple(tells)

    def check_free(self, certificate: PairCertificate, ends: Iterable[Side] = Side) -> None:
        """Raise Refused('pair_conflict') where one of the connectors at these ends is in another pair already."""
        for party in map(certificate.party, ends):
            if self._paired.get(_connector(party), certificate.pair_id) != certificate.pair_id:
                raise Refused("pair_conflict")

    def on_paired(self, certificate: PairCertificate, ends: Collection[Side] = tuple(Side)) -> None:
        """A pair was registered: its connectors take no further claim, those under way are over.

        `ends` are those whose sites are enrolled under this name and key. A certificate proves nothing of the other: it
        takes no name, window or connector until its own link presents the pair.
        """
        parties = [certificate.party(side) for side in ends]
        for party in parties:
            self._paired[_connector(party)] = certificate.pair_id
            self._paired_names[party.site_name, party.connector_id] = certificate.pair_id
            self._windows.pop((party.site_name, party.connector_id), None)
        paired = {_connector(party) for party in parties}
        self._claims = {claim_id: route for claim_id, route in self._claims.items() if route.source not in paired}

    def on_dissolved(self, certificate: PairCertificate) -> None:
        """A pair was dissolved or parted: its connectors may pair again."""
        for party in (certificate.source, certificate.target):
            if self._paired.get(_connector(party)) != certificate.pair_id:
                continue  # it is in another pair by now
            self._paired.pop(_connector(party), None)
            self._paired_names.pop((party.site_name, party.connector_id), None)

    def next_deadline(self) -> int | None:
        """When `on_deadline` is due, in ms, or None."""
        times = [route.deadline_ms for route in self._claims.values()]
        times += [w.expires_ms + (WINDOW_REMEMBERED_MS if w.expired else 0) for w in self._windows.values()]
        times += [knocks[-1] + MINUTE_MS for knocks in self._knocks.values()]
        return min(times, default=None)

    def on_deadline(self, now_ms: int) -> tuple[Tell, ...]:
        """Time went by: windows expire, are forgotten, and claims run out."""
        for name, window in list(self._windows.items()):
            if now_ms >= window.expires_ms + WINDOW_REMEMBERED_MS:
                del self._windows[name]
            elif now_ms >= window.expires_ms:
                window.expired = True
        for site_id in [site for site, knocks in self._knocks.items() if knocks[-1] + MINUTE_MS <= now_ms]:
            del self._knocks[site_id]
        tells: list[Tell] = []
        for claim_id, route in list(self._claims.items()):
            if now_ms >= route.deadline_ms:
                del self._claims[claim_id]
                refused = ClaimRefused(claim_id, "claim_timed_out", {})
                tells += [Tell(route.source, refused), Tell(route.target, refused)]
        return tuple(tells)

    def _obey(self, connector: Connector, site_name: str, frame: RegistryFrame, now_ms: int) -> Iterator[Tell]:
        match frame:
            case OpenWindow():
                yield from self._on_open(connector, site_name, frame, now_ms)
            case CloseWindow():
                self._on_close(connector, site_name, frame, now_ms)
            case Claim():
                yield from self._on_claim(connector, site_name, frame, now_ms)
            case ClaimStep():
                yield from self._on_step(connector, frame)
            case ClaimRefused():
                yield from self._on_refused(connector, frame)
            case _:
                assert_never(frame)

    # --- frames ------------------------------------------------------------------------------------------------------

    def _on_open(self, connector: Connector, site_name: str, frame: OpenWindow, now_ms: int) -> Iterator[Tell]:
        _check_id(frame.window_id)
        if frame.for_ms < 1:
            raise ProtocolError("a window that is over already")
        if connector in self._paired:
            yield Tell(connector, Notice("source_paired", {}))
            return
        name = (site_name, connector[1])
        expires_ms = now_ms + min(frame.for_ms, WINDOW_MS_MAX)
        before = self._windows.pop(name, None)
        window = Window(frame.window_id, connector, site_name, now_ms, expires_ms)
        if before is not None and before.window_id == frame.window_id:  # filed again after a new link
            window.opened_ms, window.claim_id = before.opened_ms, before.claim_id
        self._windows[name] = window
        self._make_room(connector[0])
        yield Tell(connector, WindowOpened(frame.window_id))

    def _make_room(self, site_id: str) -> None:
        """Let the oldest window of a site go that opens more than people can type codes for."""
        own = [name for name, window in self._windows.items() if window.source[0] == site_id]
        if len(own) > WINDOWS_PER_SITE_MAX:
            del self._windows[own[0]]

    def _on_close(self, connector: Connector, site_name: str, frame: CloseWindow, now_ms: int) -> None:
        window = self._windows.get((site_name, connector[1]))
        if window is None or window.window_id != frame.window_id or window.source != connector:
            return
        if now_ms >= window.expires_ms - _EXPIRY_SLACK_MS:
            window.expired = True
        else:
            del self._windows[site_name, connector[1]]

    def _on_claim(self, target: Connector, site_name: str, frame: Claim, now_ms: int) -> Iterator[Tell]:
        _check_id(frame.claim_id)
        _check_body(frame.body)
        if (code := self._claim_refusal(target, site_name, frame, now_ms)) is not None:
            yield Tell(target, ClaimRefused(frame.claim_id, code, {}))
            return
        window = self._windows[frame.site_name, frame.connector_id]
        window.claim_id = frame.claim_id
        self._claims[frame.claim_id] = _ClaimRoute(window.window_id, window.source, target, now_ms + CLAIM_DEADLINE_MS)
        yield Tell(window.source, Knock(frame.claim_id, window.window_id, site_name, frame.body))

    def _claim_refusal(self, target: Connector, site_name: str, frame: Claim, now_ms: int) -> str | None:
        """Return the code of the first reason that stands against a claim."""
        if not self._may_knock(target[0], now_ms):
            return "too_many_knocks"
        wanted = (frame.site_name, frame.connector_id)
        if wanted == (site_name, target[1]):
            return "same_connector"
        if target in self._paired:
            return "target_paired"
        if wanted in self._paired_names:
            return "source_paired"
        window = self._windows.get(wanted)
        if window is None:
            return "no_such_window"
        if window.expired:
            return "window_expired"
        if not window.linked:
            return "peer_not_linked"
        if self.is_claimed(window) or frame.claim_id in self._claims:
            return "source_busy"
        return None

    def _may_knock(self, site_id: str, now_ms: int) -> bool:
        knocks = self._knocks.setdefault(site_id, deque(maxlen=self._claims_per_minute))
        if len(knocks) == self._claims_per_minute and knocks[0] + MINUTE_MS > now_ms:
            return False
        knocks.append(now_ms)
        return True

    def _on_step(self, connector: Connector, frame: ClaimStep) -> Iterator[Tell]:
        _check_id(frame.claim_id)
        _check_body(frame.body)
        if (other := self._other(connector, frame.claim_id)) is not None:
            yield Tell(other, frame)
        else:  # it ended meanwhile
            yield Tell(connector, ClaimRefused(frame.claim_id, "claim_timed_out", {}))

    def _on_refused(self, connector: Connector, frame: ClaimRefused) -> Iterator[Tell]:
        _check_id(frame.claim_id)
        if len(frame.code) > NAME_CHARS_MAX:
            raise ProtocolError("a refusal with a code that is too long", 1009)
        if len(frame.facts) > FACTS_MAX or any(len(k) + len(v) > FACT_CHARS_MAX for k, v in frame.facts.items()):
            raise ProtocolError("a refusal with too many facts", 1009)
        if (other := self._other(connector, frame.claim_id)) is not None:
            del self._claims[frame.claim_id]
            yield Tell(other, frame)

    def _other(self, connector: Connector, claim_id: bytes) -> Connector | None:
        route = self._claims.get(claim_id)
        return None if route is None else route.other(connector)


def _connector(party: Party) -> Connector:
    return party.site_id, party.connector_id


def _check_id(some_id: bytes) -> None:
    if len(some_id) not in _ID_BYTES:
        raise ProtocolError("an ID of a wrong length")


def _check_body(body: bytes) -> None:
    if len(body) > CLAIM_BODY_BYTES_MAX:
        raise ProtocolError("a pairing message that is too long", 1009)
