"""Ways in for readings: HTTP, and brokers of MQTT."""

from msgspec.structs import replace

from tests.web.samples.frame import CONNECTOR_ID, HOUR_MS, MINUTE_MS, NOW_MS, shell
from web import contexts as c

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
