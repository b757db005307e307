"""Repairs, notices of them, and the bundle of diagnostics."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from connector.api.operations import Call, Operation, Query
from connector.diagnostics import BUNDLE_MEDIA, make_bundle
from shared.limits import REPAIRS_KEPT_MAX
from shared.notices.desk import ChannelStatus, TrialOutcome
from shared.notices.repair_status import RepairStatus, repair_status

_CLEARED_SHOWN: Final = 100


class Repairs(msgspec.Struct, frozen=True):
    """Open repairs, the urgent first; those that are over, the last one first; and how notices fare."""

    open: list[RepairStatus]
    cleared: list[RepairStatus]
    notices: list[ChannelStatus]


async def list_repairs(call: Call) -> Repairs:
    """Return what needs a person, and what needed one lately."""
    site = call.site
    for connector_id in list(site.runtimes):
        await site.repairs.facts_now(connector_id)
    cleared = await site.repairs.cleared(min(max(0, call.asked("cleared")), REPAIRS_KEPT_MAX))
    return Repairs(
        [repair_status(repair) for repair in site.repairs.open()],
        [repair_status(repair) for repair in cleared],
        site.notices.status(),
    )


async def send_test_notice(call: Call) -> list[TrialOutcome]:
    """Send a test notice by webhook and e-mail, where they are set, and say what became of each."""
    return await call.site.repairs.test_notice()


async def get_diagnostics(call: Call) -> Response:
    """Make the redacted bundle of diagnostics: one zip, without secrets, names of people and values of readings."""
    return Response(
        await make_bundle(call.site),
        media_type=BUNDLE_MEDIA,
        headers={"Content-Disposition": 'attachment; filename="pairhub-diagnostics.zip"', "Cache-Control": "no-store"},
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        "/repairs",
        "read",
        "What needs a person, each with its fix, and how notices of it fare",
        list_repairs,
        query=(Query("cleared", "how many of those that are over", int, _CLEARED_SHOWN),),
        answer=Repairs,
    ),
    Operation(
        "POST",
        "/notices/test",
        "manage",
        "Send a test notice by webhook and e-mail, now",
        send_test_notice,
        answer=list[TrialOutcome],
    ),
    Operation(
        "GET",
        "/diagnostics",
        "manage",
        "A redacted bundle of diagnostics, as one zip",
        get_diagnostics,
        answer=bytes,
        answer_media=(BUNDLE_MEDIA,),
    ),
)
