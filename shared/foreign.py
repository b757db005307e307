"""Reading bytes that others wrote: whatever cannot be read is a DecodeError, so that one clause takes it all.

msgspec itself raises RecursionError where values stand in one another too deeply, UnicodeDecodeError where a text is none,
and reads whole numbers that no column takes (SQLite's have 63 bits and a sign).
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar, overload

import msgspec

from shared.limits import SEALED_NUMBER_MAX

T = TypeVar("T")
# How MessagePack writes a whole number of 64 bits. Texts and bytes may look so; what has none of it needs no second look.
_TOO_LARGE: Final = re.compile(rb"\xcf[\x80-\xff]")
_ANY: Final = msgspec.msgpack.Decoder()


def read_packed(decoder: msgspec.msgpack.Decoder[T], packed: bytes | bytearray | memoryview) -> T:
    """Read MessagePack; raises msgspec.DecodeError, also where a whole number is above SEALED_NUMBER_MAX."""
    try:
        found = decoder.decode(packed)
        if _TOO_LARGE.search(packed) and _has_too_large(_ANY.decode(packed)):
            raise msgspec.ValidationError(f"a whole number above {SEALED_NUMBER_MAX}")
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(str(error)) from error
    return found


@overload
def read_json(text: str | bytes) -> Any: ...
@overload
def read_json(text: str | bytes, kind: type[T]) -> T: ...
@overload
def read_json(text: str | bytes, kind: Any) -> Any: ...
def read_json(text: str | bytes, kind: Any = Any) -> Any:
    """Read JSON; raises msgspec.DecodeError."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (RecursionError, UnicodeError) as error:
        raise msgspec.DecodeError(str(error)) from error


def _has_too_large(found: Any) -> bool:
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, int):
            if one > SEALED_NUMBER_MAX:
                return True
        elif isinstance(one, (list, tuple)):
            waiting += one
        elif isinstance(one, dict):
            waiting += one
            waiting += one.values()
    return False
