"""The overview of a source, a target and a site without a pair."""

from msgspec.structs import replace

from tests.web.samples.frame import (
    CHOICES,
    CONNECTED,
    CONNECTOR_ID,
    DAY_MS,
    MINUTE_MS,
    NOT_PAIRED,
    NOW_MS,
    STALLED,
    shell,
    wave,
)
from tests.web.samples.pairing import PAIR
from web import contexts as c

BEAT_STATES = ["flowing"] * 21 + ["offline"] * 4 + ["flowing"] * 9 + ["quiet"] * 6 + ["stalled"] * 3 + ["flowing"] * 13
BEATS = tuple(
    c.Beat(NOW_MS - (len(BEAT_STATES) - i) * MINUTE_MS, c.BeatState(state)) for i, state in enumerate(BEAT_STATES)
)
OVERVIEW = c.OverviewPage(
    shell=shell(c.Section.OVERVIEW),
    pairing=c.PairingCard(CONNECTOR_ID, "hillside", c.Role.SOURCE, c.PairingState.PAIRED, CONNECTED, pair=PAIR),
    repairs=c.RepairsCard(
        (
            c.Repair(
                "Resource missing at riverside",
                "readings of “cabinet_temperature” are held back until it exists there.",
                "Open resources",
                f"/connectors/{CONNECTOR_ID}/resources",
                NOW_MS - 42 * MINUTE_MS,
            ),
            c.Repair(
                "Disk almost full",
                "1.2 GiB are left. Below 512 MiB new readings are refused.",
                since_ms=NOW_MS - 3 * DAY_MS,
                is_urgent=True,
            ),
        )
    ),
    backlog=c.BacklogCard(c.Role.SOURCE, 312, 12_168, 1_004, 1_482_752, 4_271.0, 4_271.0),
    rates=c.RatesCard(
        (
            c.Rate("In from devices", 49.8, wave(60, 50)),
            c.Rate("Out to riverside", 118.2, wave(60, 118, 2)),
        ),
        300,
        NOW_MS - 1_400,
    ),
    heartbeat=c.HeartbeatCard(BEATS, 60, 23.7, 4_271.0),
    account=c.AccountCard(
        (
            c.AccountSide(
                "hillside",
                c.Role.SOURCE,
                2_480_912,
                2_466_940,
                13_484,
                3,
                (c.Dropped("older than 30 days", 412), c.Dropped("over the size limit", 73)),
            ),
            c.AccountSide(
                "riverside", c.Role.TARGET, 2_467_947, 2_466_940, 1_004, 3, is_own=False, stated_ms=NOW_MS - 2_300
            ),
        ),
        "compared at segment 8,412, 3 s ago",
        f"/connectors/{CONNECTOR_ID}/gaps",
    ),
)
OVERVIEW_ALONE = c.OverviewPage(
    shell=shell(c.Section.OVERVIEW, NOT_PAIRED, counts=c.NavCounts(0, "#repairs")),
    pairing=c.PairingCard(CONNECTOR_ID, "hillside", c.Role.STANDALONE, c.PairingState.IDLE, NOT_PAIRED),
    repairs=c.RepairsCard(),
    rates=c.RatesCard((c.Rate("In from devices", 0.0, ()),), 300, None),
)
OVERVIEW_TARGET = c.OverviewPage(
    shell=shell(c.Section.OVERVIEW, STALLED, connector=CHOICES[1]),
    pairing=c.PairingCard(
        "T4W8X", "riverside", c.Role.TARGET, c.PairingState.PAIRED, STALLED, pair=replace(PAIR, role=c.Role.TARGET)
    ),
    repairs=c.RepairsCard(),
    backlog=c.BacklogCard(c.Role.TARGET, 0, 0, 0, 0, None, None),
    rates=c.RatesCard((c.Rate("Applied here", 0.42, wave(60, 0.4)),), 300, NOW_MS - 183_000),
    heartbeat=c.HeartbeatCard((), 60),
    account=c.AccountCard(
        (
            c.AccountSide("hillside", c.Role.SOURCE, 900, 850, 50, 0, is_own=False, stated_ms=NOW_MS - 65_000),
            c.AccountSide("riverside", c.Role.TARGET, 850, 850, 0, 0, unknown_count=12),
        ),
    ),
)
