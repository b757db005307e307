"""Repairs, and none."""

from tests.web.samples.frame import CONNECTOR_ID, HOUR_MS, MINUTE_MS, NOW_MS, site_shell
from web import contexts as c

REPAIRS_PAGE = c.RepairsPage(
    site_shell(c.Section.REPAIRS, counts=c.NavCounts(2, "/repairs", "The disk refused to store")),
    c.RepairsCard(
        (
            c.Repair(
                "The disk refused to store",
                "The disk is full.",
                since_ms=NOW_MS - 3 * MINUTE_MS,
                is_urgent=True,
                means="Nothing new is taken; what was stored before stays.",
                fix="Free space or replace the disk.",
            ),
            c.Repair(
                "Resource missing at riverside",
                "“cabinet_temperature” does not exist there.",
                "Open resources",
                f"/connectors/{CONNECTOR_ID}/resources",
                NOW_MS - 42 * MINUTE_MS,
                means="Its readings are held back until the same resource exists at riverside.",
                fix="Create it there.",
                where="Pump house",
            ),
        ),
        is_wide=True,
    ),
    c.ClearedRepairs(
        (
            c.Repair(
                "riverside is off line",
                "riverside has no link to the hub.",
                since_ms=NOW_MS - 9 * HOUR_MS,
                where="Pump house",
                cleared_ms=NOW_MS - 8 * HOUR_MS,
            ),
        )
    ),
    c.NoticesCard(
        (
            c.NoticeChannel("webhook", 0, 0, "", NOW_MS - 3 * MINUTE_MS),
            c.NoticeChannel("e-mail", 2, 1, "the mail server cannot be reached", None, NOW_MS - MINUTE_MS),
        ),
        30.0,
    ),
)
REPAIRS_NONE = c.RepairsPage(
    site_shell(c.Section.REPAIRS, counts=c.NavCounts(0, "/repairs")),
    c.RepairsCard(is_wide=True),
    c.ClearedRepairs(),
    c.NoticesCard((), 30.0),
)
