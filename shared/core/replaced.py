"""Devices that others have replaced under their names, of which readings still come: told now and then, not one by one."""

from __future__ import annotations

from shared.limits import REPLACED_TOLD_AFTER_MS


class Replaced:
    """Gathers names. In memory only: whoever loads again looks at all that is held anyway."""

    def __init__(self) -> None:
        self._devices: dict[str, None] = {}
        self._due_ms: int | None = None

    @property
    def due_ms(self) -> int | None:
        """When `take` has something to return (wall clock), None where nothing came."""
        return self._due_ms

    def forget(self) -> None:
        """A unit of work was undone."""
        self._devices.clear()
        self._due_ms = None

    def note(self, device: str, now_ms: int) -> None:
        """Readings came of a device that another has replaced; they are held."""
        self._devices[device] = None
        if self._due_ms is None:
            self._due_ms = now_ms + REPLACED_TOLD_AFTER_MS

    def take(self, now_ms: int) -> list[str]:
        """Return the devices whose readings are to be given up now; also where the clock was set back meanwhile."""
        if self._due_ms is None or now_ms < self._due_ms <= now_ms + REPLACED_TOLD_AFTER_MS:
            return []
        devices = list(self._devices)
        self.forget()
        return devices
