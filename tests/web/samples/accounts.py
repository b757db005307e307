"""The account, gaps, and what is in quarantine."""

from msgspec.structs import replace

from tests.web.samples.frame import CONNECTOR_ID, DAY_MS, HOUR_MS, NOW_MS, shell
from tests.web.samples.overview import OVERVIEW, OVERVIEW_TARGET
from web import contexts as c

QUARANTINE = c.QuarantinePage(
    shell(c.Section.GAPS),
    c.QuarantineList(
        CONNECTOR_ID,
        "riverside",
        (
            c.QuarantinedThing(
                7, 4_096, "readings of 'flow' with times before 1970 or far ahead", NOW_MS - DAY_MS, NOW_MS, 20_480
            ),
            c.QuarantinedThing(
                9, None, "a request with names that are too long", NOW_MS - DAY_MS, NOW_MS - HOUR_MS, 312
            ),
            c.QuarantinedThing(12, 1, "malformed batch: truncated", NOW_MS - HOUR_MS, None, 64),
        ),
        51,
        4_097,
        0,
        "/connectors/K7/quarantine?after=x",
        can_retry=True,
        can_discard=True,
        bytes_used=254_803_968,
        bytes_max=268_435_456,
        is_full=True,
    ),
)
QUARANTINE_NONE = c.QuarantinePage(
    shell(c.Section.GAPS), c.QuarantineList(CONNECTOR_ID, "riverside", (), 0, 0, elsewhere_count=1, is_full_there=True)
)
GAPS = c.GapsPage(
    shell(c.Section.GAPS),
    c.GapList(
        (
            c.Gap(
                "g2",
                "older than 30 days",
                NOW_MS - 32 * DAY_MS,
                NOW_MS - 30 * DAY_MS,
                412,
                "hillside",
                c.Role.SOURCE,
                True,
                NOW_MS - HOUR_MS,
                True,
                3,
                "pump-1: pressure; host: cpu_percent",
                12,
            ),
            c.Gap(
                "g1",
                "destination restored from a backup",
                NOW_MS - 9 * DAY_MS,
                NOW_MS - 9 * DAY_MS + 5_000,
                None,
                "riverside",
                c.Role.TARGET,
                False,
                NOW_MS - 8 * DAY_MS,
                False,
            ),
        ),
        485,
        total_count=1_202,
        uncounted_count=1,
        csv_url=f"/connectors/{CONNECTOR_ID}/gaps/export?format=csv",
        json_url=f"/connectors/{CONNECTOR_ID}/gaps/export?format=json",
        newest_url=f"/connectors/{CONNECTOR_ID}/gaps",
        older_url=f"/connectors/{CONNECTOR_ID}/gaps?after=x",
    ),
    c.GapSearch(CONNECTOR_ID, (c.GapCause("retention", "older than 30 days", False),), zone_name="CET"),
)
GAPS_NONE = c.GapsPage(shell(c.Section.GAPS), c.GapList(()))
GAPS_NOT_FOUND = c.GapsPage(
    shell(c.Section.GAPS),
    c.GapList((), is_filtered=True),
    c.GapSearch(
        CONNECTOR_ID,
        (c.GapCause("retention", "older than 30 days", True),),
        "pressure",
        "pump-1",
        errors={"from": "From: it is a date and a time, such as 2026-11-20T14:00."},
    ),
)
_ACCOUNT_ROWS = (
    c.ResourceAccountRow("flow", 12_345, 12_000, 345, 0, overflow_text="drop the oldest readings"),
    c.ResourceAccountRow(
        "pressure",
        1_000,
        500,
        80,
        8,
        (c.Dropped("older than 30 days", 400), c.Dropped("over the size limit", 10)),
        2,
        overflow_text="refuse new readings",
        gap_count=3,
    ),
    c.ResourceAccountRow("old", 7, 7, 0, 0, is_defined=False),
    c.ResourceAccountRow("", 44, 44, 0, 0),
)
ACCOUNT = c.AccountPage(
    shell(c.Section.OVERVIEW),
    OVERVIEW.account,
    c.ResourceAccounts(CONNECTOR_ID, False, _ACCOUNT_ROWS),
    c.RoomCard(4_000_000, 1_000_000, 4 << 30, "drop the oldest readings", 1_200.0, 2.7, 86_400.0 * 12, 86_400.0 * 30),
)
ACCOUNT_TARGET = c.AccountPage(
    shell(c.Section.OVERVIEW),
    OVERVIEW_TARGET.account,
    c.ResourceAccounts(
        CONNECTOR_ID,
        True,
        (
            c.ResourceAccountRow(
                "flow",
                12_000,
                12_000,
                0,
                0,
                compared_text="at the common cut both sides count the same as applied: 12,000",
            ),
            c.ResourceAccountRow(
                "level", 7, 7, 0, 0, is_compared=False, compared_text="the source has stated nothing yet"
            ),
        ),
        "the source spoke last 3 s ago",
    ),
    None,
)
ACCOUNT_NONE = c.AccountPage(shell(c.Section.OVERVIEW), None, None, None)
ACCOUNT_IDLE = replace(
    ACCOUNT,
    resources=c.ResourceAccounts(CONNECTOR_ID, False, ()),
    room=c.RoomCard(0, 0, 4 << 30, "refuse new readings", 0.0, None, None, 86_400.0 * 30),
)
