"""A whole binary message as one WebSocket frame (RFC 6455, 5.2), for those who send thousands in a second.

The library passes each through an object, its checks and a list of what is to be written: most of what sending costs.
"""

from __future__ import annotations

import struct
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # where no wheel was built
    from websockets.utils import apply_mask

MASK_BYTES: Final = 4
_FINAL_BINARY: Final = 0x82
_MASKED: Final = 0x80
_SHORT: Final = struct.Struct("!BB")
_MEDIUM: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


def binary_frame(message: bytes, mask: bytes = b"") -> bytes:
    """Return the frame of a message: of a server's without a mask, of a client's with MASK_BYTES that nobody can guess."""
    size, masked = len(message), _MASKED if mask else 0
    if size < 126:
        head = _SHORT.pack(_FINAL_BINARY, masked | size)
    elif size < 1 << 16:
        head = _MEDIUM.pack(_FINAL_BINARY, masked | 126, size)
    else:
        head = _LONG.pack(_FINAL_BINARY, masked | 127, size)
    return b"".join((head, mask, apply_mask(message, mask))) if mask else head + message
