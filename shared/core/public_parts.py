"""What a hub may see of a statement, and what a hub says it holds (G4): in order, once, and no more than honest sides say.

Apart from the rest of a statement: a hub reads no readings, and needs none of the libraries for them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from operator import le, lt

from shared.errors import ProtocolError
from shared.limits import SEALED_NUMBER_MAX, STATEMENT_NONCE_BYTES_MAX, STATEMENT_PUBLIC_BYTES_MAX
from shared.messages import FlatIntervals, Held, Recorded, decode_recorded


def read_stated(public: bytes) -> Recorded:
    """Read the public part of a statement; raises ProtocolError where it is more, or otherwise, than a destination says."""
    if len(public) > STATEMENT_PUBLIC_BYTES_MAX:
        raise ProtocolError("a statement that is too long", 1009)
    recorded = decode_recorded(public)
    check_nonce(recorded.nonce)
    _check_once([stated.epoch for stated in recorded.segments])
    _check_once([epoch for epoch, _ in recorded.control])
    for stated in recorded.segments:
        check_order(stated.recorded)
        check_order(stated.closed)
    return recorded


def check_nonce(nonce: bytes) -> None:
    """Raise ProtocolError where the nonce of a question, or of its answer, is longer than one is."""
    if len(nonce) > STATEMENT_NONCE_BYTES_MAX:
        raise ProtocolError("a nonce that is too long", 1009)


def check_held(held: Held) -> None:
    """Raise ProtocolError where a hub says otherwise than in order, and once, what it holds."""
    _check_once([(part.kind, part.epoch) for part in held.epochs])
    for part in held.epochs:
        check_order(part.numbers)


def check_order(flat: FlatIntervals) -> None:
    """Raise ProtocolError where intervals are not in order, or beyond what numbers can be."""
    lows, highs = flat[::2], flat[1::2]
    in_order = len(lows) == len(highs) and all(map(le, lows, highs)) and all(map(lt, highs, lows[1:]))
    if not in_order or (flat and not 0 <= flat[0] <= flat[-1] <= SEALED_NUMBER_MAX):
        raise ProtocolError("intervals out of order", 1007)


def _check_once(epochs: Sequence[Hashable]) -> None:
    if len(set(epochs)) < len(epochs):
        raise ProtocolError("an epoch that is named twice", 1007)
