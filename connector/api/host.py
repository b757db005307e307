"""The device `host` of a connector: readings of the machine that the site runs on."""

from __future__ import annotations

from typing import Final

import msgspec

from connector.api.operations import ONE, Call, Operation


class HostInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Readings of this machine every so many seconds (0.1 to 3600); 0 for none."""

    every_s: float


async def get_host(call: Call) -> HostInterval:
    """Return how often this machine is reported."""
    return HostInterval(await call.site.host.every_s(call.connector_id))


async def set_host(call: Call) -> HostInterval:
    """Report this machine at another interval, or not any more; what was reported stays."""
    call.site.runtime(call.connector_id)
    wish = await call.body(HostInterval)
    await call.site.host.set(call.connector_id, wish.every_s)
    return wish


_HOST: Final = ONE + "/host"

OPERATIONS: Final = (
    Operation("GET", _HOST, "read", "How often this machine is reported", get_host, answer=HostInterval),
    Operation(
        "PUT",
        _HOST,
        "manage",
        "Report this machine as the device host, or stop it",
        set_host,
        body=HostInterval,
        answer=HostInterval,
        errors=("target_not_writable",),
    ),
)
