"""Whether a text can be the name or the address of a machine at all: what a resolver can be asked for."""

from __future__ import annotations


def is_host(text: str) -> bool:
    """Whether a resolver can be asked for it.

    Of `192.168.1..10`, or of a name with more than 63 characters between two dots, none can be: asyncio and paho raise
    UnicodeError, which is neither an OSError nor in any library's list of its errors.
    """
    try:
        return bool(text.encode("idna")) and text.isprintable()
    except UnicodeError:
        return False
