"""Opaque cursors of keyset paging: where a list goes on, without counting what came before."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import msgspec

from shared.errors import Refused

# A cursor holds one row's sort key; identities and names are at most a few hundred characters.
_CURSOR_CHARS_MAX: Final = 4_096


def encode_cursor(key: object) -> str:
    """Return the text that names a row by its sort key, fit for a URL."""
    return urlsafe_b64encode(msgspec.msgpack.encode(key)).decode().rstrip("=")


def decode_cursor(text: str, kind: Any) -> Any:
    """Read a cursor that `encode_cursor` made; raises Refused('invalid') for any other text."""
    try:
        if len(text) > _CURSOR_CHARS_MAX:
            raise ValueError
        return msgspec.msgpack.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise Refused(
            "invalid", what="Cursor", why="it is not one that this list gave; start again without it"
        ) from None
