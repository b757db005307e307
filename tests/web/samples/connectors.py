"""The list of connectors, the form of a new one, and its settings."""

from shared.core.health import FlowState
from tests.web.samples.frame import (
    CONNECTED,
    CONNECTOR_ID,
    DAY_MS,
    HOUR_MS,
    NOT_PAIRED,
    NOW_MS,
    STALLED,
    shell,
    site_shell,
)
from web import contexts as c

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
