"""Keys of programs, and the reference of the API."""

from msgspec.structs import replace

from tests.web.samples.frame import CONNECTOR_ID, DAY_MS, NOW_MS, site_shell
from web import contexts as c

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
