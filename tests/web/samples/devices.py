"""Lists of devices, one device, values that are set, and changes."""

from msgspec.structs import replace

from tests.web.samples.frame import CONNECTOR_ID, DAY_MS, HOUR_MS, NOW_MS, shell, wave
from web import contexts as c

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
