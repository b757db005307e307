"""What every page has around it: places, the link, the menu, and curves to draw."""

import math

from msgspec.structs import replace

from shared.core.health import FlowState
from web import contexts as c

NOW_MS = 1_795_183_329_000  # 20 November 2026, 14:02:09 UTC
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
CONNECTOR_ID = "K7QM2"
FINGERPRINT = "4F2A-9C71-E08B-5D36"
CONNECTED = c.LinkStatus(FlowState.CONNECTED, round_trip_ms=12.4, canary_ms=23.7, oldest_unapplied_s=4.2)
STALLED = c.LinkStatus(FlowState.STALLED, stalled_for_s=183, oldest_unapplied_s=4_271)
NOT_PAIRED = c.LinkStatus(FlowState.NOT_PAIRED)
CHOICES = (
    c.ConnectorChoice(CONNECTOR_ID, "Pump house", c.Role.SOURCE),
    c.ConnectorChoice("T4W8X", "Riverside copy", c.Role.TARGET),
    c.ConnectorChoice("9BD3N", "", c.Role.STANDALONE),
)


def shell(section: c.Section, status: c.LinkStatus | None = CONNECTED, **changes: object) -> c.Shell:
    """Return the frame of a site's page for the first connector."""
    frame = c.Shell(
        place=c.Place.SITE,
        place_name="hillside",
        version="0.1.0",
        section=section,
        user_name="admin",
        connector=CHOICES[0],
        connectors=CHOICES,
        link=c.LinkPill(status) if status else None,
        counts=c.NavCounts(2, f"/connectors/{CONNECTOR_ID}#repairs"),
    )
    return replace(frame, **changes)


def site_shell(section: c.Section, **changes: object) -> c.Shell:
    """Return the frame of a page that belongs to the whole site."""
    worst = c.LinkPill(STALLED, "Riverside copy", "T4W8X")
    return replace(shell(section), connector=None, link=worst, **changes)


def hub_shell() -> c.Shell:
    """Return the frame of the hub's page."""
    return c.Shell(c.Place.HUB, "hub.example.net", "0.1.0", c.Section.OPERATOR, "operator")


def wave(count: int, height: float, phase: float = 0.0) -> tuple[float, ...]:
    """Return a calm curve for a sparkline."""
    return tuple(
        round(height * (1 + 0.25 * math.sin(i / 5 + phase) + 0.06 * math.sin(i * 2.1)), 3) for i in range(count)
    )


RESOURCE_URL = f"/connectors/{CONNECTOR_ID}/resources/pressure"
FROM_MS = NOW_MS - 24 * HOUR_MS
