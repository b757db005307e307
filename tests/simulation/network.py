"""Links of the fake world: two queues of encoded frames between a site and a hub, and what may happen to them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeGuard

from shared.core import relay_stream
from shared.messages import (
    AnyFrame,
    Credit,
    Held,
    HelloBack,
    PairKnown,
    PeerPresence,
    Sealed,
    Statement,
    decode_frame,
    encode_frame,
)
from shared.sealing import Header, Kind, Side

if TYPE_CHECKING:
    from tests.simulation.hub import SimHub
    from tests.simulation.shell import Shell

_WORDS = (Credit, Held, PeerPresence, Statement)  # after these a segment may not be on its way any more


class Violation(AssertionError):
    """Something that must hold does not."""


class Link:
    """One connection. Each end has its own belief whether it is up; a way that is deaf swallows frames and tells nobody."""

    def __init__(self, site: Shell, hub: SimHub, number: int) -> None:
        self.site = site
        self.hub = hub
        self.side: Side = site.side
        self.number = number
        self.to_hub: deque[bytes] = deque()
        self.to_site: deque[bytes] = deque()
        self.site_end = True
        self.hub_end = True
        self.deaf_to_hub = False
        self.deaf_to_site = False
        self.noticed_ms: int | None = None  # when the ends notice that a way is deaf
        self.slow_until_ms = 0
        self.credit_at_opening = 0
        self._site_may_send_bytes = 0
        self._to_hub_unpaid: set[int] = set()  # lanes with a segment on its way that no credit reached for (G6)
        self._to_site_unpaid: set[int] = set()
        self._hub_may_send_bytes: int = vars(relay_stream)["CREDIT_BYTES"]

    def send_to_hub(self, frame: AnyFrame) -> None:
        """Put a frame on the wire, as the site does; segments are held against the credit that the site was told of."""
        if _is_segment(frame):
            if self._site_may_send_bytes <= 0:
                _overdraw(self._to_hub_unpaid, frame.lane, self.side.word, self._site_may_send_bytes)
            self._site_may_send_bytes -= len(frame.body)
        elif isinstance(frame, Statement):  # what an origin gives up is not on its way any more
            self._to_hub_unpaid.clear()
        if self.site_end and not self.deaf_to_hub:
            self.to_hub.append(encode_frame(frame))

    def send_to_site(self, frame: AnyFrame, *, lie: bool = False) -> None:
        """Put a frame on the wire, as the hub does; segments are held against the credit that the hub was given."""
        if _is_segment(frame) and not lie:
            if self._hub_may_send_bytes <= 0:
                _overdraw(self._to_site_unpaid, frame.lane, "the hub", self._hub_may_send_bytes)
            self._hub_may_send_bytes -= len(frame.body)
        if self.hub_end and not self.deaf_to_site:
            self.to_site.append(encode_frame(frame))

    def arrived_at_hub(self, packet: bytes) -> AnyFrame:
        """Decode what comes to the hub, and note credit."""
        frame = decode_frame(packet)
        if isinstance(frame, _WORDS):
            self._to_site_unpaid.clear()
        if isinstance(frame, Credit):
            self._hub_may_send_bytes += frame.body_bytes
        return frame

    def arrived(self, packet: bytes) -> AnyFrame:
        """Decode what comes to the site, and note credit."""
        frame = decode_frame(packet)
        if isinstance(frame, _WORDS):
            self._to_hub_unpaid.clear()
        if isinstance(frame, Credit):
            self._site_may_send_bytes += frame.body_bytes
        elif isinstance(frame, HelloBack):
            self._site_may_send_bytes += frame.credit_bytes
            self.credit_at_opening = frame.credit_bytes
        return frame

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return bool((self.to_hub and self.hub_end) or (self.to_site and self.site_end))

    def swallow(self, *, to_hub: bool, to_site: bool, noticed_ms: int) -> None:
        """Become deaf in one way or both, for all that is under way too; the ends notice at a time."""
        self.deaf_to_hub |= to_hub
        self.deaf_to_site |= to_site
        if to_hub:
            self.to_hub.clear()
        if to_site:
            self.to_site.clear()
        self.noticed_ms = noticed_ms

    def close(self) -> None:
        """Cut it for both ends."""
        self.site_end = self.hub_end = False
        self.to_hub.clear()
        self.to_site.clear()


def _overdraw(unpaid: set[int], lane: int, who: str, credit_bytes: int) -> None:
    """Note a segment that goes without credit: each lane may have one on its way (docs/protocol.md, section 9)."""
    if lane in unpaid:
        raise Violation(f"{who} sent a second segment of lane {lane} without credit ({credit_bytes})")
    unpaid.add(lane)


def _is_segment(frame: AnyFrame) -> TypeGuard[Sealed]:
    return isinstance(frame, Sealed) and Header.unpack(frame.header).kind == Kind.SEGMENT


def is_opening(packet: bytes) -> bool:
    """Tell whether a packet belongs to a link's opening, which faults of single frames spare: no link, no fault."""
    return isinstance(decode_frame(packet), HelloBack | PairKnown)


def corrupted(packet: bytes, at: int) -> bytes | None:
    """Return a packet with one bit of its sealed body changed, None where it has none."""
    frame = decode_frame(packet)
    if not isinstance(frame, Sealed) or Header.unpack(frame.header).kind not in (Kind.SEGMENT, Kind.CONTROL):
        return None
    body = bytearray(frame.body)
    body[at % len(body)] ^= 1 << (at % 8)
    return encode_frame(Sealed(frame.lane, frame.header, bytes(body)))
