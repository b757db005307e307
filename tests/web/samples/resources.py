"""Lists of resources, and one resource with its chart and readings."""

from msgspec.structs import replace

from tests.web.samples.frame import CHOICES, CONNECTOR_ID, FROM_MS, HOUR_MS, NOT_PAIRED, NOW_MS, RESOURCE_URL, shell
from tests.web.samples.replays import REPLAY_FORM, REPLAY_LIST
from web import contexts as c

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
_CHART = c.ChartCard(
    "pump-1",
    "kPa",
    True,
    '{"from_ms":0,"to_ms":9,"unit":"kPa","points":[[1,2.5],[2,null]],"states":[],"gaps":[[3,4,"older than 30 days"]]}',
    "2 readings, from 400 to 412 kPa; the last is 412 kPa. 1 gap is shaded.",
    "More than 50,000 readings: of each of 1,000 slices, the first 40 are drawn.",
    (
        c.ChartSlice(FROM_MS, FROM_MS + HOUR_MS, 2, 400.0, 412.0, 412.0),
        c.ChartSlice(FROM_MS + HOUR_MS, NOW_MS, None, 400.0, 412.0, 412.0),
    ),
    tuple(
        c.ChartGap("older than 30 days", FROM_MS + at * HOUR_MS, FROM_MS + (at + 1) * HOUR_MS, None if at else 3)
        for at in range(8)
    ),
    FROM_MS,
    NOW_MS,
    True,
)
_RAW = c.RawReadings(
    "kPa",
    (c.RawReading(NOW_MS - 1_000, 412.0), c.RawReading(NOW_MS - 2_000, "fault")),
    NOW_MS,
    RESOURCE_URL + "/export?format=csv",
    RESOURCE_URL + "/export?format=json",
    RESOURCE_URL,
    RESOURCE_URL + "?before=1",
)
_EDIT = c.ResourceEdit(
    CONNECTOR_ID, "pressure", "number", "kPa", "0..500", True, "366", False, "Both sides have to be equal."
)
RESOURCE = c.ResourcePage(
    shell(c.Section.RESOURCES),
    CONNECTOR_ID,
    "pressure",
    c.ResourceFacts(CONNECTOR_ID, c.Role.SOURCE, RESOURCES.table.rows[2], 366.0, 7),
    c.SeriesList(
        "kPa",
        (
            c.SeriesChoice(
                "pump-1", "Feed pump", RESOURCE_URL + "?device=pump-1", 412.0, NOW_MS - 1_000, is_chosen=True
            ),
            c.SeriesChoice("pump-2", "pump-2", RESOURCE_URL + "?device=pump-2", None, None),
        ),
        41,
        "pump",
    ),
    tuple(
        c.RangeChoice(each, RESOURCE_URL + "?range=1h", each == "24 hours")
        for each in ("1 hour", "24 hours", "7 days", "30 days")
    ),
    _CHART,
    _RAW,
    _EDIT,
    "pump-1",
    "24h",
    replay_form=REPLAY_FORM,
    replays=replace(REPLAY_LIST, alias="pressure"),
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
