"""How much all relays of one hub keep in memory together: a disk that refuses must not cost the hub its memory."""

from __future__ import annotations

from shared.core.relay_effects import Copy
from shared.limits import HUB_COPY_ROW_BYTES, HUB_MEMORY_BYTES_MAX


class RelayMemory:
    """Counts the copies that streams keep in memory. All streams of a hub share one."""

    __slots__ = ("kept_bytes",)

    def __init__(self) -> None:
        self.kept_bytes = 0
        """Bytes of bodies, and what each copy takes beside its own."""

    @property
    def is_short(self) -> bool:
        """Whether more is kept than a hub may keep of what no disk takes."""
        return self.kept_bytes > HUB_MEMORY_BYTES_MAX

    def add(self, copy: Copy) -> None:
        """A copy is kept from now on."""
        self.kept_bytes += len(copy.body) + HUB_COPY_ROW_BYTES

    def remove(self, copy: Copy) -> None:
        """It is not kept any more."""
        self.kept_bytes -= len(copy.body) + HUB_COPY_ROW_BYTES
