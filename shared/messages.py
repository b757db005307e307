"""The frames of a link: what a connector and a hub say to each other over one WebSocket (docs/protocol.md, links).

One frame is one binary WebSocket message: a MessagePack array whose first element is the frame's name. Sealed contents
are opaque here; only their headers (`shared.sealing.Header`) are readable by the hub.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.errors import ProtocolError
from shared.foreign import read_packed
from shared.limits import FRAME_BYTES_MAX

PROTOCOL_LOWEST: Final = 1
PROTOCOL_HIGHEST: Final = 1

# Lanes of a link, most urgent first (G6). Frames that are not `Sealed` travel as control.
LANE_CONTROL: Final = 0
LANE_LIVE: Final = 1
LANE_BACKFILL: Final = 2

# [low, high, low, high, ...], both ends included, ascending, not touching.
FlatIntervals = list[int]


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all frames."""


# --- both directions, hop by hop ---------------------------------------------------------------------------------------


class Hello(Frame, frozen=True):
    """First frame of a connector: protocol versions it speaks and the random ID of this start of the daemon (G2)."""

    lowest: int
    highest: int
    start_id: bytes


class HelloBack(Frame, frozen=True):
    """The hub's answer: the version chosen, the hub's clock, and the segment bytes the connector may send at once."""

    version: int
    time_ms: int
    credit_bytes: int


class Credit(Frame, frozen=True):
    """The receiver of segments allows this many bytes more (sealed body bytes of live and backfill lanes)."""

    body_bytes: int


class Notice(Frame, frozen=True):
    """A refusal that is about the link itself or about an earlier frame: `ref` is that frame's id where it has one."""

    code: str
    facts: dict[str, str]
    ref: bytes = b""


# --- pairing (SECURITY, pairing); bodies are shared.pairing structs the hub does not look into --------------------------


class OpenWindow(Frame, frozen=True):
    """Source: file a pairing window under this link's (site, connector). `for_ms` counts from arrival."""

    window_id: bytes
    for_ms: int


class WindowOpened(Frame, frozen=True):
    """Hub: the window is filed; claims may come."""

    window_id: bytes


class CloseWindow(Frame, frozen=True):
    """Source: the window is over (expired, cancelled, used up, or claimed)."""

    window_id: bytes


class Claim(Frame, frozen=True):
    """Target: claim the window of (site name, connector ID). `body` is the first pairing message."""

    claim_id: bytes
    site_name: str
    connector_id: str
    body: bytes


class Knock(Frame, frozen=True):
    """Hub to source: somebody claims the open window; `site_name` is the claimant's as enrolled."""

    claim_id: bytes
    window_id: bytes
    site_name: str
    body: bytes


class ClaimStep(Frame, frozen=True):
    """A later pairing message of one claim, passed on to its other side."""

    claim_id: bytes
    body: bytes


class ClaimRefused(Frame, frozen=True):
    """The claim is over: refused by hub or source, or given up by the target. Codes of `shared.errors.REFUSALS`."""

    claim_id: bytes
    code: str
    facts: dict[str, str]


class PresentPair(Frame, frozen=True):
    """Either side, at every link's opening while paired: the pair certificate (shared.certificates.PairCertificate)."""

    certificate: bytes


class PairKnown(Frame, frozen=True):
    """Hub: the pair is registered; from here on its frames are relayed. `peer_linked` tells whether the peer is there."""

    pair_id: bytes
    peer_linked: bool


class DissolvePair(Frame, frozen=True):
    """Source: the pending pair was rolled back; signed by the source's identity key (shared.certificates.Dissolution)."""

    dissolution: bytes


class PairDissolved(Frame, frozen=True):
    """Hub to target, which checks it: the source's signed word that the pair is off; to the source: this is stored."""

    dissolution: bytes


class PartPair(Frame, frozen=True):
    """Either side: both have agreed to part. The pair certificate, and the parting that both signed (shared.certificates)."""

    certificate: bytes
    parting: bytes


class PairParted(Frame, frozen=True):
    """Hub to either side: the pair was parted. `known_by_both`: each side has said so to the hub; nobody need be told."""

    parting: bytes
    known_by_both: bool


# --- a pair's traffic ------------------------------------------------------------------------------------------------


class PeerPresence(Frame, frozen=True):
    """Hub: the other side of the pair got or lost its link."""

    pair_id: bytes
    linked: bool


class Sealed(Frame, frozen=True):
    """A segment, control entry, call or answer: packed header (readable) and sealed body (not readable) of the pair."""

    lane: int
    header: bytes
    body: bytes


class Statement(Frame, frozen=True):
    """A destination's acknowledgement (G4): packed header, public part (`Recorded`), and sealed private part."""

    header: bytes
    public: bytes
    body: bytes


class AskStatement(Frame, frozen=True):
    """An origin asks its peer for a whole, fresh statement; `nonce` comes back inside it."""

    pair_id: bytes
    nonce: bytes


class Held(Frame, frozen=True):
    """Hub to origin: what the hub holds durably of this origin's undelivered segments and entries. `whole` at opening."""

    whole: bool
    epochs: list[HeldEpoch]


class HeldEpoch(msgspec.Struct, frozen=True, array_like=True):
    """Numbers of one kind and epoch that the hub holds."""

    kind: int
    epoch: int
    numbers: FlatIntervals


class AskHeld(Frame, frozen=True):
    """Origin: say again, whole, what you hold for me."""


# --- the public part of a statement, by which the hub trims its copies ------------------------------------------------


class RecordedEpoch(msgspec.Struct, frozen=True, array_like=True):
    """Segment numbers of one epoch with a committed word: `recorded` (contents stored) and `closed` (will never be)."""

    epoch: int
    recorded: FlatIntervals
    closed: FlatIntervals


class Recorded(msgspec.Struct, frozen=True, array_like=True):
    """Public part of a statement. `whole`: all epochs are listed; `control`: (epoch, applied up to) of the control log."""

    nonce: bytes
    whole: bool
    segments: list[RecordedEpoch]
    control: list[tuple[int, int]]


AnyFrame = (
    Hello
    | HelloBack
    | Credit
    | Notice
    | OpenWindow
    | WindowOpened
    | CloseWindow
    | Claim
    | Knock
    | ClaimStep
    | ClaimRefused
    | PresentPair
    | PairKnown
    | DissolvePair
    | PairDissolved
    | PartPair
    | PairParted
    | PeerPresence
    | Sealed
    | Statement
    | AskStatement
    | Held
    | AskHeld
)

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
_RECORDED: msgspec.msgpack.Decoder[Recorded] = msgspec.msgpack.Decoder(Recorded)


def encode_frame(frame: AnyFrame) -> bytes:
    """Return the bytes of one WebSocket message."""
    return _ENCODER.encode(frame)


def decode_frame(message: bytes | bytearray | memoryview | str) -> AnyFrame:
    """Read one WebSocket message; raises ProtocolError for text, for over-long and for malformed ones."""
    if isinstance(message, str):
        raise ProtocolError("text message on a connector link", 1003)
    if len(message) > FRAME_BYTES_MAX:
        raise ProtocolError("frame larger than allowed", 1009)
    try:
        return read_packed(_DECODER, message)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"malformed frame: {error}", 1007) from error


def encode_recorded(recorded: Recorded) -> bytes:
    """Return the bytes of a statement's public part."""
    return _ENCODER.encode(recorded)


def decode_recorded(public: bytes) -> Recorded:
    """Read a statement's public part; raises ProtocolError where it is malformed or its intervals are not in order."""
    try:
        recorded = read_packed(_RECORDED, public)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"malformed statement: {error}", 1007) from error
    for stated in recorded.segments:
        for flat in (stated.recorded, stated.closed):
            if (
                len(flat) % 2
                or any(b <= a for a, b in zip(flat[1::2], flat[2::2], strict=False))
                or any(high < low for low, high in zip(flat[::2], flat[1::2], strict=False))
            ):
                raise ProtocolError("statement with intervals out of order", 1007)
    return recorded
