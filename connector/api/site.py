"""The site as a whole: its state, and enrolling it at its hub."""

from __future__ import annotations

from typing import Final

import msgspec

from connector.api.operations import Call, Operation
from connector.status import SiteStatus, site_status


class Token(msgspec.Struct, forbid_unknown_fields=True):
    """An enrolment token of the hub's operator; empty where enrolment is open."""

    token: str = ""


class Enrolled(msgspec.Struct, frozen=True):
    """Whether the site is enrolled, and under which name."""

    enrolled: bool
    site_name: str


async def get_status(call: Call) -> SiteStatus:
    """Return the state of the site and of its connectors."""
    return await site_status(call.site)


async def enrol(call: Call) -> Enrolled:
    """Enrol at the hub now."""
    body = await call.body(Token)
    await call.site.enrol(body.token)
    return Enrolled(bool(call.site.identity.enrolment), call.site.identity.site_name)


async def confirm_clock(call: Call) -> None:
    """Say that the clock of this machine is right although it jumped, so that old readings may expire again."""
    call.site.clock_watch.confirm()


OPERATIONS: Final = (
    Operation(
        "POST",
        "/clock/confirm",
        "manage",
        "Say that the clock is right, after a jump that nobody explained",
        confirm_clock,
    ),
    Operation(
        "GET", "/status", "read", "The state of the site and of all its connectors", get_status, answer=SiteStatus
    ),
    Operation(
        "POST",
        "/enrol",
        "manage",
        "Enrol at the hub now",
        enrol,
        body=Token,
        answer=Enrolled,
        errors=(
            "token_unknown",
            "token_used",
            "token_expired",
            "token_other_site",
            "token_required",
            "site_name_taken",
            "site_revoked",
            "no_hub",
            "hub_not_reachable",
        ),
    ),
)
