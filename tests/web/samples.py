"""One or more contexts for every template, as a site or hub would build them: for tests, screenshots and designers."""

import math
from collections.abc import Iterator
from typing import Any

import segno
from msgspec import Struct
from msgspec.structs import replace

from shared.core.health import FlowState
from web import contexts as c
from web import pairing_text

NOW_MS = 1_795_183_329_000  # 20 November 2026, 14:02:09 UTC
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

CONNECTOR_ID = "K7QM2"
FINGERPRINT = "4F2A-9C71-E08B-5D36"
CONNECTED = c.LinkStatus(FlowState.CONNECTED, round_trip_ms=12.4)
STALLED = c.LinkStatus(FlowState.STALLED, stalled_for_s=183)
NOT_PAIRED = c.LinkStatus(FlowState.NOT_PAIRED)

CHOICES = (
    c.ConnectorChoice(CONNECTOR_ID, "Pump house", c.Role.SOURCE),
    c.ConnectorChoice("T4W8X", "Riverside copy", c.Role.TARGET),
    c.ConnectorChoice("9BD3N", "", c.Role.STANDALONE),
)


def shell(section: c.Section, link: c.LinkStatus | None = CONNECTED, **changes: object) -> c.Shell:
    """Return the frame of a site's page for the first connector."""
    frame = c.Shell(
        place=c.Place.SITE,
        place_name="hillside",
        version="0.1.0",
        section=section,
        user_name="admin",
        connector=CHOICES[0],
        connectors=CHOICES,
        link=c.LinkPill(link) if link else None,
        counts=c.NavCounts(2, f"/connectors/{CONNECTOR_ID}#repairs"),
    )
    return replace(frame, **changes)


def site_shell(section: c.Section, **changes: object) -> c.Shell:
    """Return the frame of a page that belongs to the whole site."""
    return shell(section, connector=None, link=None, **changes)


def hub_shell() -> c.Shell:
    """Return the frame of the hub's page."""
    return c.Shell(c.Place.HUB, "hub.example.net", "0.1.0", c.Section.OPERATOR, "operator")


def wave(count: int, height: float, phase: float = 0.0) -> tuple[float, ...]:
    """Return a calm curve for a sparkline."""
    return tuple(
        round(height * (1 + 0.25 * math.sin(i / 5 + phase) + 0.06 * math.sin(i * 2.1)), 3) for i in range(count)
    )


PAIR = c.PairFacts(
    pair_id="p-7d1f0a92c4e84b13",
    role=c.Role.SOURCE,
    peer_site_name="riverside",
    peer_connector_id="T4W8X",
    fingerprint=FINGERPRINT,
    paired_since_ms=NOW_MS - 9 * DAY_MS,
    key_day="2026-11-20",
    hub_url="wss://hub.example.net/connect",
    link=CONNECTED,
)


def window(left_ms: int = 581_000) -> c.PairingWindow:
    """Return a window with its QR code."""
    text = pairing_text.write("hillside", CONNECTOR_ID, "7K3M-Q9TD-5")
    return c.PairingWindow(
        site_name="hillside",
        connector_id=CONNECTOR_ID,
        code="7K3M-Q9TD-5",
        opened_ms=NOW_MS + left_ms - 600_000,
        expires_ms=NOW_MS + left_ms,
        qr_data_uri=segno.make(text, error="m").svg_data_uri(scale=4, border=1),
    )


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
    backlog=c.BacklogCard(c.Role.SOURCE, 312, 12_168, 1_004, 1_482_752, 4_271.0),
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
    backlog=c.BacklogCard(c.Role.TARGET, 0, 0, 0, 0, None),
    rates=c.RatesCard((c.Rate("Applied here", 0.42, wave(60, 0.4)),), 300, NOW_MS - 183_000),
    heartbeat=c.HeartbeatCard((), 60),
    account=c.AccountCard(
        (
            c.AccountSide("hillside", c.Role.SOURCE, 900, 850, 50, 0, is_own=False, stated_ms=NOW_MS - 65_000),
            c.AccountSide("riverside", c.Role.TARGET, 850, 850, 0, 0, unknown_count=12),
        ),
    ),
)

CONNECTORS = c.ConnectorsPage(
    site_shell(c.Section.CONNECTORS, toasts=c.Toasts((c.Toast(c.ToastKind.DONE, "Connector “Pump house” created."),))),
    c.ConnectorTable(
        (
            c.ConnectorRow(
                CONNECTOR_ID, "Pump house", c.Role.SOURCE, CONNECTED, "riverside", "T4W8X", 14, 9, NOW_MS - 1_000
            ),
            c.ConnectorRow(
                "T4W8X", "Riverside copy", c.Role.TARGET, STALLED, "riverside", "M2KQ7", 3, 5, NOW_MS - 190_000
            ),
            c.ConnectorRow("9BD3N", "", c.Role.STANDALONE, NOT_PAIRED, note="window open, 6 min left"),
            c.ConnectorRow(
                "QX1TT",
                "Workshop",
                c.Role.SOURCE,
                c.LinkStatus(FlowState.RECONNECTING, retry_in_s=4),
                "depot",
                "P0P0P",
                2,
                2,
                NOW_MS - 2 * HOUR_MS,
            ),
            c.ConnectorRow(
                "ZZ9PL",
                "Greenhouse",
                c.Role.SOURCE,
                c.LinkStatus(FlowState.OFFLINE, since_ms=NOW_MS - 3 * DAY_MS),
                "depot",
                "B2B2B",
                7,
                4,
                NOW_MS - 3 * DAY_MS,
            ),
        )
    ),
)
CONNECTORS_EMPTY = c.ConnectorsPage(site_shell(c.Section.CONNECTORS, connectors=()), c.ConnectorTable(()))

CONNECTOR_FORM = c.ConnectorFormPage(
    site_shell(c.Section.CONNECTORS),
    c.ConnectorForm(
        name="Riverside copy",
        is_target=True,
        peer_site_name="hillside",
        peer_connector_id=CONNECTOR_ID,
        code="7K3M-Q9TD-4",
        errors={"code": "This code has a typo: its last character does not fit. No attempt was used."},
    ),
)
CONNECTOR_FORM_PLAIN = c.ConnectorFormPage(
    site_shell(c.Section.CONNECTORS), c.ConnectorForm(errors={"": "The hub cannot be reached. Try again in a moment."})
)

PART_FIRST = "Paired with riverside: part from it first."
SETTINGS = c.SettingsPage(
    shell(c.Section.SETTINGS),
    c.GeneralSettings(
        CONNECTOR_ID,
        "Pump house",
        "Pressure and flow of the three pumps",
        c.Role.SOURCE,
        is_enabled=True,
        created_ms=NOW_MS - 12 * DAY_MS,
        drain_bytes_per_s="250000",
        disable_refusal=PART_FIRST,
        delete_refusal=PART_FIRST,
    ),
)
SETTINGS_FREE = c.SettingsPage(
    shell(c.Section.SETTINGS, NOT_PAIRED),
    c.GeneralSettings(
        "9BD3N", "", "", c.Role.STANDALONE, False, NOW_MS - DAY_MS, True, errors={"name": "Use at most 80 characters."}
    ),
)


def remote_sync(state: c.PairingState, **more: object) -> c.RemoteSyncPage:
    """Return the tab in one state."""
    card = c.RemoteSyncCard(CONNECTOR_ID, c.Role.STANDALONE, state)
    return c.RemoteSyncPage(shell(c.Section.SETTINGS, NOT_PAIRED), replace(card, **more))


CLAIM = c.Claim("riverside", "T4W8X", FINGERPRINT, NOW_MS - 2_000, NOW_MS + 9 * MINUTE_MS)
STATE = c.PairingState
REMOTE_SYNC = {
    "idle": remote_sync(STATE.IDLE),
    "not-enrolled": remote_sync(STATE.IDLE, enable_refusal="Enrol this site at a hub first: pairhub enrol."),
    "opening": remote_sync(STATE.OPENING),
    "waiting": remote_sync(STATE.WAITING, window=window()),
    "claiming": remote_sync(STATE.CLAIMING, window=window(48_000), claim=replace(CLAIM, needs_accept=True)),
    "pending-source": remote_sync(STATE.PENDING, role=c.Role.SOURCE, claim=CLAIM),
    "pending-target": remote_sync(STATE.PENDING, role=c.Role.TARGET, claim=CLAIM),
    "paired": c.RemoteSyncPage(
        shell(c.Section.SETTINGS),
        c.RemoteSyncCard(CONNECTOR_ID, c.Role.SOURCE, STATE.PAIRED, pair=PAIR),
        c.PairGuards(CONNECTOR_ID, PART_FIRST, PART_FIRST),
    ),
    "paired-asked": c.RemoteSyncPage(
        shell(c.Section.SETTINGS),
        c.RemoteSyncCard(CONNECTOR_ID, c.Role.SOURCE, STATE.PAIRED, pair=PAIR, peer_asks_to_part=True),
    ),
    "idle-parted": remote_sync(STATE.IDLE, parted_from="riverside"),
    "expired": remote_sync(STATE.EXPIRED, ended_ms=NOW_MS - 30_000),
    "closed": remote_sync(STATE.CLOSED, ended_ms=NOW_MS - 30_000),
    "failed": remote_sync(STATE.FAILED, problem="The hub cannot be reached, so the window could not be opened."),
}

TAGS = (c.Tag("floor", "2"), c.Tag("building", "east"), c.Tag("line", "A"), c.Tag("line", "B"), c.Tag("vendor", "acme"))
DEVICES = c.DevicesPage(
    shell(c.Section.DEVICES),
    c.DeviceTable(
        CONNECTOR_ID,
        (
            c.DeviceRow("host", "This machine", (c.Tag("kind", "server"),), True, NOW_MS - 900, 8, c.SyncState.APPLIED),
            c.DeviceRow("pump-1", "Pump 1", TAGS, True, NOW_MS - 2_100, 4, c.SyncState.PENDING),
            c.DeviceRow("pump-2", "Pump 2", TAGS[:2], False, NOW_MS - 3 * HOUR_MS, 4, c.SyncState.CONFLICT, True),
            c.DeviceRow("weather/roof~north", "", (), None, None, 2, c.SyncState.LOCAL),
        ),
        10_000,
        c.DeviceFilters(
            tag="floor=2", status="online", active=(c.ActiveFilter("tag floor=2", "/x"),), known_tags=("floor",)
        ),
        {"identity": c.SortLink("/x?way=desc", "ascending"), "name": c.SortLink("/x?sort=name")},
        c.AnswerOrigin(c.AnswerKind.LIVE, "riverside", 12.2),
        first_url="/x",
        next_url="/x?after=y",
        can_edit=True,
        is_paired=True,
        csv_url="/x?format=csv",
        json_url="/x?format=json",
    ),
    c.DeviceForm(CONNECTOR_ID),
)
DEVICES_FOUND_NONE = c.DevicesPage(
    shell(c.Section.DEVICES),
    c.DeviceTable(
        CONNECTOR_ID,
        (),
        0,
        c.DeviceFilters(search="boiler", active=(c.ActiveFilter("“boiler”", "/connectors/K7Q2M/devices"),)),
        origin=c.AnswerOrigin(c.AnswerKind.LAST_GOOD, "riverside", age_s=190),
    ),
    c.DeviceForm(CONNECTOR_ID, "pump-1", errors={"identity": "A device of this identity exists already."}),
)
DEVICE_IMPORT = c.DeviceImportPage(
    shell(c.Section.DEVICES),
    CONNECTOR_ID,
    "identity,name\npump-1,Pump 1",
    (
        c.ImportRow(1, "pump-1", "create", "name, floor=2"),
        c.ImportRow(2, "pump-2", "change", "name"),
        c.ImportRow(3, "", "refused", "Identity: it takes 1 to 128 printable characters."),
    ),
    {"create": 1, "change": 1, "refused": 1},
    is_previewed=True,
)
DEVICE_IMPORT_EMPTY = c.DeviceImportPage(shell(c.Section.DEVICES), CONNECTOR_ID, problem="The file is empty.")
DEVICES_EMPTY = c.DevicesPage(shell(c.Section.DEVICES), c.DeviceTable(CONNECTOR_ID, (), 0), c.DeviceForm(CONNECTOR_ID))

VALUES = c.ValuesCard(
    CONNECTOR_ID,
    (
        c.ValueRow("cpu_percent", "%", 17.4, None, NOW_MS - 900, wave(60, 18), is_synced=True),
        c.ValueRow("memory_percent", "%", 61.2, None, NOW_MS - 900, wave(60, 61, 1), is_synced=True),
        c.ValueRow("disk_free", "B", 84_226_998_272, None, NOW_MS - 12_000, (5.0, 5.0, 5.0)),
        c.ValueRow(
            "fan_mode",
            "",
            "auto",
            "full",
            NOW_MS - 2 * HOUR_MS,
            is_settable=True,
            format="string",
            sync=c.SyncState.REFUSED,
            refusal="The value is outside what 'fan_mode' allows (one of auto, off).",
        ),
        c.ValueRow(
            "door_open",
            "",
            False,
            False,
            NOW_MS - 3 * DAY_MS,
            is_settable=True,
            format="boolean",
            sync=c.SyncState.PENDING,
        ),
        c.ValueRow("cabinet_temperature", "°C", None, None, None),
    ),
    identity="host",
    can_set=True,
)
GRANTS = c.GrantsCard(
    CONNECTOR_ID,
    "host",
    (
        c.GrantRow("user", "ann", "s1", "hillside", "manage", None, False, False, c.SyncState.APPLIED),
        c.GrantRow(
            "group", "night shift", "s2", "riverside", "read", NOW_MS + DAY_MS, False, True, c.SyncState.PENDING
        ),
        c.GrantRow("user", "bob", "s2", "riverside", "write", NOW_MS - DAY_MS, True, False, c.SyncState.APPLIED),
    ),
    can_edit=True,
)
CONFLICTS = c.ConflictsCard(
    CONNECTOR_ID,
    (
        c.ConflictRow(
            7, "host", "name", "Host", "ann at hillside", "Server", "bob at riverside", "the newer one stands", NOW_MS
        ),
    ),
    can_edit=True,
    back="/connectors/K7Q2M/changes",
)
CHANGES = c.ChangesCard(
    CONNECTOR_ID,
    (
        c.ChangeRow(NOW_MS - 900, "host", "tag floor=2", "–", "yes", "ann", "hillside", c.SyncState.PENDING),
        c.ChangeRow(
            NOW_MS - HOUR_MS,
            "host",
            "fan_mode, value set",
            '"auto"',
            '"full"',
            "ann",
            "hillside",
            c.SyncState.REFUSED,
            "The value is outside what 'fan_mode' allows.",
        ),
        c.ChangeRow(
            NOW_MS - DAY_MS, "", "permission of group night shift", "–", "read", "", "riverside", c.SyncState.APPLIED
        ),
    ),
)
CHANGES_PAGE = c.ChangesPage(
    shell(c.Section.CHANGES),
    replace(CONFLICTS, shows_device=True),
    replace(CHANGES, shows_device=True, next_url="/connectors/K7Q2M/changes?after=x"),
)
CHANGES_NONE = c.ChangesPage(
    shell(c.Section.CHANGES), c.ConflictsCard(CONNECTOR_ID, ()), c.ChangesCard(CONNECTOR_ID, ())
)
DEVICE = c.DevicePage(
    shell(c.Section.DEVICES, toasts=c.Toasts((c.Toast(c.ToastKind.NOTE, "Tag added here, on its way to riverside."),))),
    c.DeviceFacts(
        CONNECTOR_ID,
        "host",
        "This machine",
        "The machine that runs this site",
        True,
        NOW_MS - 900,
        NOW_MS - 12 * DAY_MS,
        c.SyncState.PENDING,
        origin=c.AnswerOrigin(c.AnswerKind.OWN),
        can_edit=True,
        has_refusals=True,
    ),
    c.TagsCard(
        CONNECTOR_ID,
        "host",
        (
            c.TagChip(c.Tag("kind", "server"), c.SyncState.APPLIED),
            c.TagChip(c.Tag("floor", "2"), c.SyncState.PENDING),
            c.TagChip(c.Tag("floor", "3"), c.SyncState.PENDING, is_removed=True),
            c.TagChip(c.Tag("owner", "plant engineering"), c.SyncState.CONFLICT),
        ),
    ),
    VALUES,
    GRANTS,
    c.PublishAsCard(CONNECTOR_ID, "host", (("hall-*", c.SyncState.APPLIED), ("pump-1", c.SyncState.PENDING)), True),
    c.ConfigurationCard('{\n  "interval_s": 5\n}', c.SyncState.APPLIED),
    CONFLICTS,
    CHANGES,
    sites=(("s1", "hillside"), ("s2", "riverside")),
    known_tag_names=("floor", "kind", "owner"),
)
DEVICE_NEW = c.DevicePage(
    shell(c.Section.DEVICES),
    c.DeviceFacts(CONNECTOR_ID, "p/1", "", "", None, None, None, c.SyncState.LOCAL, is_locked=True),
    c.TagsCard(CONNECTOR_ID, "p/1", (), edit_refusal="riverside does not let this site edit tags.", can_edit=False),
    c.ValuesCard(CONNECTOR_ID, ()),
    c.GrantsCard(CONNECTOR_ID, "p/1", ()),
    c.PublishAsCard(CONNECTOR_ID, "p/1", ()),
    c.ConfigurationCard("{}", c.SyncState.LOCAL),
    c.ConflictsCard(CONNECTOR_ID, ()),
    c.ChangesCard(CONNECTOR_ID, ()),
)
DEVICE_TAG_REFUSED = replace(
    DEVICE,
    refused_form="tags",
    typed={"name": "floor", "value": "2"},
    errors={"value": "The device has this tag already."},
)

RESOURCES = c.ResourcesPage(
    shell(c.Section.RESOURCES),
    c.ResourceTable(
        CONNECTOR_ID,
        c.Role.SOURCE,
        (
            c.ResourceRow(
                "cpu_percent", "number", "%", "0 to 100", False, True, 17.4, NOW_MS - 900, "host", 60.0, 1_204
            ),
            c.ResourceRow(
                "cabinet_temperature",
                "number",
                "°C",
                "-40 to 90",
                False,
                True,
                31.25,
                NOW_MS - 4_000,
                "cabinet",
                6.0,
                840,
                c.Mismatch(
                    "missing at riverside",
                    c.MismatchFix.CREATE_THERE,
                    c.AnswerState.REFUSED,
                    "refused there: the partner may not edit",
                ),
                lag_ms=64_000,
                gap_count=2,
            ),
            c.ResourceRow(
                "pressure",
                "number",
                "kPa",
                "",
                False,
                True,
                412.0,
                NOW_MS - 1_000,
                "pump-1",
                600.0,
                9,
                c.Mismatch("unit differs: kPa here, bar at riverside"),
            ),
            c.ResourceRow("fan_mode", "string", "", "auto, full, off", True, False, "auto", NOW_MS - 2 * HOUR_MS),
            c.ResourceRow("door_open", "boolean", "", "", True, False),
            c.ResourceRow(
                "humidity",
                "number",
                "%",
                "",
                False,
                False,
                mismatch=c.Mismatch("riverside sends it, and it is missing here", c.MismatchFix.CREATE_HERE),
                exists_here=False,
            ),
        ),
        sync_note="A switch sends all readings accepted from then on to riverside.",
        headings=(
            c.Heading("Resource", "/connectors/K7/resources?sort=-alias", "ascending"),
            *(c.Heading(each, "/connectors/K7/resources?sort=x") for each in ("Format",)),
            c.Heading("Remote-Sync"),
            *(
                c.Heading(each, "/connectors/K7/resources?sort=-x", is_number=True)
                for each in ("Last value", "Per minute", "Lag", "Waiting", "Gaps")
            ),
        ),
        search="p",
        query="search=p",
        total_count=240,
        synced_count=3,
        earlier_url="/connectors/K7/resources?search=p",
        later_url="/connectors/K7/resources?search=p&from=200",
        page_text="101 to 200 of 240",
    ),
    c.ResourceForm(CONNECTOR_ID, c.Role.SOURCE),
    search="p",
    sort="-rate",
)
RESOURCES_TARGET = c.ResourcesPage(
    shell(c.Section.RESOURCES, connector=CHOICES[1]),
    c.ResourceTable(
        "T4W8X",
        c.Role.TARGET,
        (c.ResourceRow("cpu_percent", "number", "%", "", False, True, 3, NOW_MS, "host", 60.0),),
        can_sync=False,
        sync_note="The source decides what is sent.",
    ),
    c.ResourceForm(
        "T4W8X",
        c.Role.TARGET,
        "cpu percent",
        errors={"alias": "Use letters, digits, - and _.", "format": "Choose one."},
    ),
)
RESOURCES_EMPTY = c.ResourcesPage(
    shell(c.Section.RESOURCES, NOT_PAIRED),
    c.ResourceTable(CONNECTOR_ID, c.Role.STANDALONE, ()),
    c.ResourceForm(CONNECTOR_ID, c.Role.STANDALONE, is_open=True),
)

_RESOURCE_URL = f"/connectors/{CONNECTOR_ID}/resources/pressure"
_FROM_MS = NOW_MS - 24 * HOUR_MS
_CHART = c.ChartCard(
    "pump-1",
    "kPa",
    True,
    '{"from_ms":0,"to_ms":9,"unit":"kPa","points":[[1,2.5],[2,null]],"states":[],"gaps":[[3,4,"older than 30 days"]]}',
    "2 readings, from 400 to 412 kPa; the last is 412 kPa. 1 gap is shaded.",
    "More than 50,000 readings: of each of 1,000 slices, the first 40 are drawn.",
    (
        c.ChartSlice(_FROM_MS, _FROM_MS + HOUR_MS, 2, 400.0, 412.0, 412.0),
        c.ChartSlice(_FROM_MS + HOUR_MS, NOW_MS, None, 400.0, 412.0, 412.0),
    ),
    tuple(
        c.ChartGap("older than 30 days", _FROM_MS + at * HOUR_MS, _FROM_MS + (at + 1) * HOUR_MS, None if at else 3)
        for at in range(8)
    ),
    _FROM_MS,
    NOW_MS,
    True,
)
_RAW = c.RawReadings(
    "kPa",
    (c.RawReading(NOW_MS - 1_000, 412.0), c.RawReading(NOW_MS - 2_000, "fault")),
    NOW_MS,
    _RESOURCE_URL + "/export?format=csv",
    _RESOURCE_URL + "/export?format=json",
    _RESOURCE_URL,
    _RESOURCE_URL + "?before=1",
)
_EDIT = c.ResourceEdit(
    CONNECTOR_ID, "pressure", "number", "kPa", "0..500", True, "366", False, "Both sides have to be equal."
)
_REPLAY_FORM = c.ReplayForm(
    _RESOURCE_URL + "/replay", "riverside", True, "2026-11-20T14:00", "", "UTC", "pump-1", is_open=False
)
_REPLAYS = c.ReplayList(
    CONNECTOR_ID,
    tuple(
        c.ReplayRow(
            f"{at:016x}",
            state,
            NOW_MS - 3 * DAY_MS,
            NOW_MS - DAY_MS,
            "pressure of pump-1",
            "eva",
            "riverside",
            NOW_MS - HOUR_MS,
            86_400,
            40_960,
            36_864,
            412,
            36_452,
            3 if state == "done" else 0,
            ("level has its Remote-Sync off at the source",) if state in ("done", "refused") else (),
            state in ("asked", "waiting", "running"),
        )
        for at, state in enumerate(c.ReplayStanding)
    ),
)
REPLAYS = c.ReplaysPage(
    shell(c.Section.RESOURCES),
    CONNECTOR_ID,
    _REPLAYS,
    replace(
        _REPLAY_FORM,
        is_source=False,
        resources=("pressure", "level"),
        chosen=("level",),
        errors={
            "": "It did not work.",
            "to": "It is a time after the first one.",
            "device": "There is no such device.",
        },
        is_open=True,
    ),
)
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
REPLAYS_NONE = replace(REPLAYS, list=c.ReplayList(CONNECTOR_ID, ()), form=None)
RESOURCE = c.ResourcePage(
    shell(c.Section.RESOURCES),
    CONNECTOR_ID,
    "pressure",
    c.ResourceFacts(CONNECTOR_ID, c.Role.SOURCE, RESOURCES.table.rows[2], 366.0, 7),
    c.SeriesList(
        "kPa",
        (
            c.SeriesChoice(
                "pump-1", "Feed pump", _RESOURCE_URL + "?device=pump-1", 412.0, NOW_MS - 1_000, is_chosen=True
            ),
            c.SeriesChoice("pump-2", "pump-2", _RESOURCE_URL + "?device=pump-2", None, None),
        ),
        41,
        "pump",
    ),
    tuple(
        c.RangeChoice(each, _RESOURCE_URL + "?range=1h", each == "24 hours")
        for each in ("1 hour", "24 hours", "7 days", "30 days")
    ),
    _CHART,
    _RAW,
    _EDIT,
    "pump-1",
    "24h",
    replay_form=_REPLAY_FORM,
    replays=replace(_REPLAYS, alias="pressure"),
)
RESOURCE_NEW = replace(
    RESOURCE,
    facts=c.ResourceFacts(CONNECTOR_ID, c.Role.TARGET, RESOURCES.table.rows[4], None),
    series=c.SeriesList("", (), 0),
    chart=None,
    readings=None,
    edit=replace(_EDIT, can_change_format=True, errors={"format": "Choose one.", "retention_days": "It is a number."}),
    device="",
)
RESOURCE_EMPTY_RANGE = replace(
    RESOURCE,
    range_name="custom",
    range_errors={"to": "It is a time after the first one."},
    chart=replace(_CHART, summary="No reading in this range.", note="", slices=(), gaps=(), has_readings=False),
    readings=replace(_RAW, rows=(), newest_url=None, older_url=None),
    edit=None,
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


def parting(stage: c.PartingStage, role: c.Role = c.Role.SOURCE, **more: Any) -> c.PartingPage:
    """Return the page in one stage."""
    card = c.PartingCard(CONNECTOR_ID, role, stage, "riverside")
    return c.PartingPage(
        shell(c.Section.SETTINGS),
        replace(card, **more),
        c.PartingForms(CONNECTOR_ID, "Pump house", role, stage, "riverside"),
    )


_STAGE = c.PartingStage
_ASKED: dict[str, Any] = {"asked_by": "eva", "asked_ms": NOW_MS - 2 * HOUR_MS}
PARTING = {
    "together": parting(_STAGE.TOGETHER, queued_count=12_345, pending_edit_count=2, declined_ms=NOW_MS - DAY_MS),
    "asked-here": parting(_STAGE.ASKED_HERE),
    "asked-there": parting(_STAGE.ASKED_THERE, c.Role.TARGET, held_count=7, quarantined_count=1, **_ASKED),
    "asked-both": parting(_STAGE.ASKED_BOTH, **_ASKED),
    "agreed": parting(_STAGE.AGREED, parted=c.PartedFacts(NOW_MS - 5_000, False, 1_000, 990, 10, 1)),
    "parted": parting(_STAGE.PARTED, c.Role.TARGET, parted=c.PartedFacts(NOW_MS - DAY_MS, True, 1_000, 1_000, 0, 0)),
    "alone": parting(_STAGE.ALONE),
    "wrong": replace(
        parting(_STAGE.ASKED_THERE, c.Role.TARGET, **_ASKED),
        forms=c.PartingForms(
            CONNECTOR_ID,
            "Pump house",
            c.Role.TARGET,
            _STAGE.ASKED_THERE,
            "riverside",
            is_flush=True,
            errors={"name": "This is not the name of this connector.", "what": "Choose what becomes of it."},
        ),
    ),
}
SHARING = c.SharingPage(
    shell(c.Section.SETTINGS),
    CONNECTOR_ID,
    "riverside",
    (
        c.PeerRight("edit_tags", "Edit tags", "", is_allowed=True),
        c.PeerRight("set_values", "Set values", "Of resources that are settable.", is_allowed=False),
    ),
    (c.ConflictPolicy("tags", "Tags", "newer"), c.ConflictPolicy("values", "Values", "source")),
    can_edit=True,
)
SHARING_ALONE = replace(SHARING, peer_site_name="", can_edit=False)

MQTT_ROW = c.MqttRow(
    "m1",
    "line 1",
    "broker.example:8883",
    True,
    ("plant/+/+", "hall/#"),
    c.MqttStanding(
        *(c.MqttState.CONNECTED, NOW_MS - HOUR_MS, "", None, NOW_MS - 4_000, 41_290, 41_200, 12, 90, 3, 2),
        refusals=(c.MqttRefusal(NOW_MS - MINUTE_MS, "plant/pump-9/flow", "There is no such device."),),
    ),
)
MQTT_ROWS = (
    MQTT_ROW,
    c.MqttRow(
        *("m2", "hall 2", "[2001:db8::7]:1883", False, ("hall/2/#",)),
        c.MqttStanding(c.MqttState.RECONNECTING, NOW_MS - MINUTE_MS, "[code:135] Not authorized", 12.4),
    ),
    replace(
        MQTT_ROW, subscription_id="m3", standing=c.MqttStanding(c.MqttState.WAITING, NOW_MS, "The outbox is full.")
    ),
    replace(MQTT_ROW, subscription_id="m4", standing=c.MqttStanding(c.MqttState.OFF)),
)
POST_URL = f"http://127.0.0.1:8471/api/v1/connectors/{CONNECTOR_ID}/readings"
HTTP_WAY = c.HttpWay(
    POST_URL,
    (
        ("Lines of JSON", f"curl -H 'Content-Type: application/x-ndjson' -d '{{}}' {POST_URL}"),
        ("A list", "curl -d '[]'"),
    ),
    "pairhub replay series.csv --device pump-1 --resource pressure",
    "PAIRHUB_API_KEY",
    creates_devices=False,
    has_device=True,
    has_resource=True,
)
WAYS_IN = c.WaysInPage(
    shell(c.Section.WAYS_IN),
    CONNECTOR_ID,
    http=HTTP_WAY,
    host=c.HostWay(True, "5", {"every_s": "Every: it takes 0 (none) or 0.1 to 3600 seconds."}),
    mqtt=c.MqttList(CONNECTOR_ID, MQTT_ROWS, can_edit=True),
    can_edit=True,
)
WAYS_IN_EMPTY = replace(
    WAYS_IN,
    http=replace(HTTP_WAY, has_device=False, has_resource=False, creates_devices=True),
    host=c.HostWay(False, "5"),
    mqtt=c.MqttList(CONNECTOR_ID, (), can_edit=True),
)
WAYS_IN_TARGET = c.WaysInPage(shell(c.Section.WAYS_IN), CONNECTOR_ID, "hillside")
MQTT_TEXTS = {
    "name": "line 1",
    "host": "broker.example",
    "port": "8883",
    "ca": "",
    "user_name": "plant",
    "client_id": "",
    "template": "plant/{device}/{resource}",
    "device": "",
    "resource": "",
    "topics": "",
    "values": "t = $.t",
    "qos": "1",
    "retained": "ignore",
    "payload": "json",
    "value_path": "$",
    "timestamp_path": "",
    "timestamp_unit": "ms",
}
MQTT_FORM = c.MqttForm(CONNECTOR_ID, MQTT_TEXTS, ("tls", "enabled"), "m1", has_password=True)
MQTT = c.MqttPage(shell(c.Section.WAYS_IN), CONNECTOR_ID, "line 1", c.MqttStandingCard(MQTT_ROW), MQTT_FORM)
MQTT_NEW = replace(
    MQTT,
    name="",
    standing=None,
    form=replace(
        MQTT_FORM,
        subscription_id="",
        has_password=False,
        errors={"": "Nothing was stored.", **{name: f"{name}: it takes another." for name in MQTT_TEXTS}},
        trial=c.MqttTrial(True, "The MQTT broker cannot be used: [Errno 111] Connection refused."),
    ),
)
MQTT_TRIED = replace(
    MQTT,
    form=replace(
        MQTT_FORM,
        trial=c.MqttTrial(
            *(True, "", "plant/pump-1/flow", '{"t": 4.2}', (("pump-1", "t", "4.2", "when it arrives"),)),
            refusal="The payload cannot be read.",
        ),
    ),
)
MQTT_WATCHED = replace(MQTT, form=None)

SECRET = "phk_" + "3f9Kx0aZ" * 5 + "q7Ka1b2Zd"
KEYS = c.ApiKeyList(
    (
        c.ApiKeyRow(
            *("k1", "historian", "phk_3f9K…b2Zd", ("read", "readings")),
            *(NOW_MS - DAY_MS, NOW_MS - 4_000, NOW_MS + 89 * DAY_MS),
        ),
        c.ApiKeyRow(
            *("k2", "gateway of hall 2", "phk_77aQ…0fXk", ("readings",), NOW_MS - 99 * DAY_MS, None, NOW_MS - DAY_MS),
            is_expired=True,
            connector_name="Pump house",
            device="pump-1",
        ),
        c.ApiKeyRow("k3", "dashboard", "phk_Qm1r…88ab", ("read",), NOW_MS - 9 * DAY_MS),
    ),
    412,
)
KEY_FORM = c.ApiKeyForm(
    (
        c.ScopeChoice("readings", "Post readings", is_chosen=True),
        c.ScopeChoice("audit", "Read the audit log", is_chosen=False),
    ),
    ((CONNECTOR_ID, "Pump house"), ("9BD3N", "")),
)
API_KEYS = c.ApiKeysPage(site_shell(c.Section.API_KEY), KEYS, KEY_FORM)
API_KEY_NEW = replace(
    API_KEYS,
    new_key=c.NewApiKey("historian", SECRET, f"curl -H 'Authorization: Bearer {SECRET}' -d '{{}}' http://[::1]:8471"),
)
API_KEY_REFUSED = replace(
    API_KEYS,
    keys=c.ApiKeyList((), 0, "hall 9"),
    form=replace(
        KEY_FORM,
        kind="device",
        connector_id=CONNECTOR_ID,
        device="pump-9",
        errors={
            "device": "There is no such device.",
            "scopes": "Scopes: one or more.",
            "expires_days": "Expires: never.",
        },
        is_open=True,
    ),
)
API_KEY_NONE = c.ApiKeysPage(
    site_shell(c.Section.API_KEY),
    c.ApiKeyList((), 0),
    replace(KEY_FORM, connectors=(), errors={"name": "Say which program will use it."}, is_open=True),
)
API_REFERENCE = c.ApiReferencePage(
    site_shell(c.Section.API_KEY),
    topics=(
        c.ApiTopic(
            "Devices",
            (
                c.ApiOperation(
                    operation_id="list_devices",
                    method="GET",
                    path="/api/v1/connectors/{connector_id}/devices",
                    summary="Devices",
                    description="Return devices of this side, or of the other, live.",
                    parameters=(
                        c.ApiField("connector_id", "string", "ID of a connector", "path", is_required=True),
                        c.ApiField("limit", "integer", "how many rows at most", "query"),
                    ),
                    body="",
                    answer="DeviceList",
                    refusals=(("401", "not_signed_in."), ("404", "not_found.")),
                ),
            ),
        ),
    ),
    types=(
        c.ApiType("DeviceList", "A page of devices.", (c.ApiField("total", "integer", is_required=True),)),
        c.ApiType("Delete", "Delete them.", ()),
    ),
    document_url="/api/v1/openapi.json",
)

CONFIRM = c.ConfirmPage(
    site_shell(c.Section.API_KEY),
    "Revoke the key “historian”?",
    "Programs that use it are refused from this moment on.",
    "Revoke key",
    "/api-key/k1/revoke",
    "/api-key",
    ("Readings that were accepted stay.", "A new key can be created at once."),
    {"confirmed": "yes"},
)
NOT_FOUND = c.ErrorPage(
    404,
    "This page does not exist",
    "There is nothing at /connectors/K7QM3.",
    "The address may be mistyped, or the connector was deleted.",
    "Choose a connector from the list.",
    shell=site_shell(c.Section.NONE),
    next_url="/connectors",
    next_label="Show all connectors",
)
BROKEN = c.ErrorPage(
    500,
    "Something went wrong here",
    "The page could not be made.",
    "An error in Pairhub itself; it is written to the log.",
    "Try again. If it stays, send the log line to whoever looks after this site.",
    place_name="hillside",
    request_id="01JD4T7Q2M",
)

LOGIN = c.LoginPage(
    c.Place.SITE,
    "hillside",
    "0.1.0",
    "admin",
    errors={"": "User name or password is wrong."},
    notice="Your session ended after 12 hours without use.",
)
HUB_LOGIN = c.LoginPage(c.Place.HUB, "hub.example.net", "0.1.0")
SETUP = c.SetupPage(c.Place.SITE, "hillside", "0.1.0")
HUB_SETUP = c.SetupPage(
    c.Place.HUB,
    "hub.example.net",
    "0.1.0",
    "phs_abc",
    errors={
        "token": "This is not the token that the program printed when it started last.",
        "password_again": "The two passwords differ.",
    },
)

TOKENS = (
    c.EnrolmentToken("t3", "phe_9sKd…Lw0a", "riverside", NOW_MS - HOUR_MS, NOW_MS + 23 * HOUR_MS),
    c.EnrolmentToken(
        "t2", "phe_Qm21…77Za", "hillside", NOW_MS - 12 * DAY_MS, NOW_MS - 11 * DAY_MS, NOW_MS - 12 * DAY_MS
    ),
    c.EnrolmentToken("t1", "phe_aa0B…x1Yc", "depot", NOW_MS - 20 * DAY_MS, NOW_MS - 19 * DAY_MS, is_revoked=True),
    c.EnrolmentToken("t0", "phe_bb1B…x1Yd", "depot", NOW_MS - 20 * DAY_MS, NOW_MS - 19 * DAY_MS),
)
HUB_AUDIT = c.HubAudit(
    (
        c.AuditEntry(815, NOW_MS - MINUTE_MS, "operator", "203.0.113.9", "site.revoke", "'depot' s3"),
        c.AuditEntry(814, NOW_MS - HOUR_MS, "local command line", "127.0.0.1", "token.make", "for site 'riverside'"),
        c.AuditEntry(813, NOW_MS - DAY_MS, "operator", "203.0.113.9", "log_in", ""),
    ),
    first_url="/operator/audit",
    next_url="/operator/audit?before=813",
)
OPERATOR = c.OperatorPage(
    hub_shell(),
    c.HubSearch("side", is_trouble=True),
    c.HubFigures(
        3, 1, 2, 2, 41, 1_482_752, 2_000_000, 4_271.0, 5_120.0, 1.25, 2_400_000, 81_000_000_000, NOW_MS - 3 * DAY_MS
    ),
    c.HubTokens(
        TOKENS,
        7,
        c.NewEnrolmentToken(
            "phe_" + "9sKdLw0a" * 5 + "Qm2177Zab",
            "riverside",
            NOW_MS + DAY_MS,
            "pairhub enrol https://hub.example.net --site riverside",
        ),
    ),
    c.HubSites(
        (
            c.HubSite("s1", "hillside", "4F2A-9C71", NOW_MS - 12 * DAY_MS, NOW_MS - 600, 2, protocol=1),
            c.HubSite("s2", "riverside", "81BC-0D11", NOW_MS - 12 * DAY_MS, NOW_MS - HOUR_MS, 0),
            c.HubSite("s3", "depot", "77AA-F00D", NOW_MS - 40 * DAY_MS, None, 0, is_revoked=True),
        ),
        c.HubPager(3, 31, is_narrowed=True, first_url="/operator", next_url="/operator?sites=riverside#hub-sites"),
    ),
    c.HubConnectors(
        (
            c.HubConnector("hillside", CONNECTOR_ID, c.Role.SOURCE, True, "203.0.113.7", NOW_MS - 2 * HOUR_MS, 1),
            c.HubConnector("riverside", "T4W8X", c.Role.TARGET, False),
        ),
        c.HubPager(2, 1_204, is_narrowed=True),
    ),
    c.HubWindows((c.HubWindow("hillside", "9BD3N", NOW_MS - 4 * MINUTE_MS, NOW_MS + 6 * MINUTE_MS, True),), 2),
    c.HubPairs(
        (
            c.HubPair(
                "p1",
                "hillside",
                CONNECTOR_ID,
                "riverside",
                "T4W8X",
                NOW_MS - 9 * DAY_MS,
                True,
                False,
                41,
                1_482_752,
                4_271.0,
                5_120.0,
                1.25,
            ),
            c.HubPair("p2", "depot", "QX1TT", "hillside", "M2KQ7", NOW_MS - 30 * DAY_MS, True, True, 0, 0, None),
        ),
        c.HubPager(2, 2, next_url="/operator?pairs=depot%2FQX1TT#hub-pairs"),
    ),
    c.HubBlocked(
        NOW_MS - 3 * DAY_MS,
        1_893,
        (
            c.BlockedKind("Link", "site revoked", 1_880, NOW_MS - 4_000),
            c.BlockedKind("Enrolment", "token expired", 12, NOW_MS - HOUR_MS),
            c.BlockedKind("Log-in", "wrong password", 1, NOW_MS - DAY_MS),
        ),
        (
            c.BlockedFrom("Link", "site revoked", "203.0.113.66", "depot", 1_880, NOW_MS - 4_000),
            c.BlockedFrom("Log-in", "wrong password", "2001:db8::7", "", 1, NOW_MS - DAY_MS),
        ),
    ),
    HUB_AUDIT,
    c.HubCertificate(
        ("hub.example", "10.0.0.5"),
        NOW_MS + 12 * DAY_MS,
        "5F:" * 31 + "5F",
        is_self_signed=True,
        warning="The certificate /etc/pairhub/hub.pem ends in 12 days. Renew it; the daemon loads it by itself.",
    ),
)
OPERATOR_EMPTY = c.OperatorPage(
    hub_shell(),
    c.HubSearch(),
    c.HubFigures(0, 0, 0, 0, 0, 0, 0, None, 0.0, 0.0, 90_112, 81_000_000_000, NOW_MS),
    c.HubTokens(()),
    c.HubSites((), c.HubPager(0, 0)),
    c.HubConnectors((), c.HubPager(0, 0)),
    c.HubWindows(()),
    c.HubPairs((), c.HubPager(0, 0)),
    c.HubBlocked(NOW_MS, 0),
    c.HubAudit((), all_url="/operator/audit"),
)
HUB_AUDIT_PAGE = c.HubAuditPage(hub_shell(), HUB_AUDIT)

SITE_HUB = c.SiteHubPage(
    site_shell(c.Section.HUB),
    c.SiteHubCard("hillside", "https://hub.example.net", True, linked_count=2, wanted_count=3),
)
SITE_HUB_ASKS = replace(
    SITE_HUB,
    hub=c.SiteHubCard(
        "hillside",
        "https://hub.example.net",
        is_enrolled=False,
        asks_for_token=True,
        errors={"token": "The enrolment token was used already. Ask the hub's operator for a new one."},
    ),
)
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

PAGES: dict[str, object] = {
    "setup": SETUP,
    "hub-setup": HUB_SETUP,
    "login": LOGIN,
    "hub-login": HUB_LOGIN,
    "overview": OVERVIEW,
    "overview-alone": OVERVIEW_ALONE,
    "overview-target": OVERVIEW_TARGET,
    "connectors": CONNECTORS,
    "connectors-empty": CONNECTORS_EMPTY,
    "connector-form": CONNECTOR_FORM,
    "connector-form-plain": CONNECTOR_FORM_PLAIN,
    "settings": SETTINGS,
    "settings-free": SETTINGS_FREE,
    **{f"remote-sync-{name}": page for name, page in REMOTE_SYNC.items()},
    **{f"parting-{name}": page for name, page in PARTING.items()},
    "sharing": SHARING,
    "sharing-alone": SHARING_ALONE,
    "changes": CHANGES_PAGE,
    "changes-none": CHANGES_NONE,
    "devices": DEVICES,
    "devices-found-none": DEVICES_FOUND_NONE,
    "devices-empty": DEVICES_EMPTY,
    "device-import": DEVICE_IMPORT,
    "device-import-empty": DEVICE_IMPORT_EMPTY,
    "device": DEVICE,
    "device-new": DEVICE_NEW,
    "device-tag-refused": DEVICE_TAG_REFUSED,
    "resources": RESOURCES,
    "resources-target": RESOURCES_TARGET,
    "resources-empty": RESOURCES_EMPTY,
    "resource": RESOURCE,
    "resource-new": RESOURCE_NEW,
    "resource-empty-range": RESOURCE_EMPTY_RANGE,
    "ways-in": WAYS_IN,
    "ways-in-empty": WAYS_IN_EMPTY,
    "ways-in-target": WAYS_IN_TARGET,
    "mqtt": MQTT,
    "mqtt-new": MQTT_NEW,
    "mqtt-tried": MQTT_TRIED,
    "mqtt-watched": MQTT_WATCHED,
    "site-hub": SITE_HUB,
    "site-hub-asks": SITE_HUB_ASKS,
    "repairs": REPAIRS_PAGE,
    "repairs-none": REPAIRS_NONE,
    "gaps": GAPS,
    "gaps-none": GAPS_NONE,
    "gaps-not-found": GAPS_NOT_FOUND,
    "account": ACCOUNT,
    "account-target": ACCOUNT_TARGET,
    "account-none": ACCOUNT_NONE,
    "account-idle": ACCOUNT_IDLE,
    "quarantine": QUARANTINE,
    "quarantine-none": QUARANTINE_NONE,
    "replays": REPLAYS,
    "replays-none": REPLAYS_NONE,
    "api-keys": API_KEYS,
    "api-key-new": API_KEY_NEW,
    "api-key-refused": API_KEY_REFUSED,
    "api-key-none": API_KEY_NONE,
    "api-reference": API_REFERENCE,
    "confirm": CONFIRM,
    "error-404": NOT_FOUND,
    "error-500": BROKEN,
    "operator": OPERATOR,
    "operator-empty": OPERATOR_EMPTY,
    "hub-audit": HUB_AUDIT_PAGE,
}
"""Every page in the states that matter, by a name fit for a file."""


def contexts_within(context: object) -> Iterator[object]:
    """Yield the context and every context inside it that has a template of its own."""
    if type(context) in c.TEMPLATES:
        yield context
    if isinstance(context, c.Shell) and context.connectors:
        yield from (context.switcher("side"), context.switcher("drawer"))
    if isinstance(context, Struct):
        for name in context.__struct_fields__:
            yield from contexts_within(getattr(context, name))
