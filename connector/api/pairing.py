"""Pairing: the window of a source, and the claim of a target."""

from __future__ import annotations

from typing import Final

import msgspec

from connector.api.connectors import shown
from connector.api.etags import Tagged
from connector.api.operations import ONE, Call, Operation
from connector.status import ConnectorStatus, WindowStatus, window_status


class NewTarget(msgspec.Struct, forbid_unknown_fields=True):
    """A target to make and pair, with what the source shows beside its countdown."""

    name: str
    site_name: str
    connector_id: str
    code: str


class Claim(msgspec.Struct, forbid_unknown_fields=True):
    """What the source shows beside its countdown."""

    site_name: str
    connector_id: str
    code: str


async def get_window(call: Call) -> WindowStatus:
    """Return the pairing window as it stands."""
    return window_status(call.site, call.connector_id, await call.site.window(call.connector_id))


async def open_window(call: Call) -> WindowStatus:
    """Open the pairing window of a source."""
    return window_status(call.site, call.connector_id, await call.site.enable_remote_sync(call.connector_id))


async def close_window(call: Call) -> None:
    """Close the window, or put one that is over away."""
    await call.site.close_window(call.connector_id)


async def accept(call: Call) -> None:
    """Let a pending pair be completed."""
    await call.site.accept_claimant(call.connector_id)


async def refuse(call: Call) -> None:
    """Undo a pending pair."""
    await call.site.refuse_claimant(call.connector_id)


async def create_target(call: Call) -> Tagged:
    """Make a connector and pair it as a target."""
    body = await call.body(NewTarget)
    made = await call.site.create_target(
        body.name, site_name=body.site_name, source_connector=body.connector_id, code=body.code
    )
    return await shown(call, made)


async def claim(call: Call) -> Tagged:
    """Let a target that is there already, and not paired, claim a source."""
    body = await call.body(Claim)
    await call.site.claim(
        call.connector_id, site_name=body.site_name, source_connector=body.connector_id, code=body.code
    )
    return await shown(call, await call.site.connector(call.connector_id))


_CLAIM_ERRORS: Final = (
    "no_such_window",
    "window_expired",
    "wrong_code",
    "window_closed",
    "mistyped_code",
    "source_paired",
    "target_paired",
    "same_connector",
    "no_hub",
    "hub_not_reachable",
    "peer_not_linked",
    "source_busy",
    "claim_timed_out",
    "pairing_forged",
    "pairing_declined",
    "too_many_knocks",
)

OPERATIONS: Final = (
    Operation("GET", ONE + "/remote-sync", "manage", "The pairing window of a source", get_window, answer=WindowStatus),
    Operation(
        "POST",
        ONE + "/remote-sync",
        "manage",
        "Open the pairing window of a source",
        open_window,
        answer=WindowStatus,
        errors=("no_hub", "hub_not_reachable", "window_open", "not_source", "source_paired", "connector_disabled"),
    ),
    Operation("DELETE", ONE + "/remote-sync", "manage", "Close the window, or put one that is over away", close_window),
    Operation("POST", ONE + "/remote-sync/accept", "manage", "Let a pending pair be completed", accept),
    Operation("POST", ONE + "/remote-sync/refuse", "manage", "Undo a pending pair", refuse),
    Operation(
        "POST",
        "/targets",
        "manage",
        "Make a connector and pair it with a source",
        create_target,
        body=NewTarget,
        answer=ConnectorStatus,
        has_etag=True,
        errors=("exists", *_CLAIM_ERRORS),
    ),
    Operation(
        "POST",
        ONE + "/claim",
        "manage",
        "Pair a target that is there already with a source",
        claim,
        body=Claim,
        answer=ConnectorStatus,
        has_etag=True,
        errors=_CLAIM_ERRORS,
    ),
)
