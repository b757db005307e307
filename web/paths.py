"""The addresses of all pages and forms, in one place: templates link to them, sites and hubs must serve them.

They are written as seen from the root of a daemon; `web.front_door` puts a base path before those that leave.
The constants are patterns for routers; `fill` makes links of them. `{device}` and `{alias}` may hold any text: a
handler passes such a path parameter through `unsegment`.
"""

from urllib.parse import quote

STATIC = "/static"
HOME = "/"
SETUP = "/setup"
LOGIN = "/login"
LOGOUT = "/logout"
THEME = "/theme"
API_KEY = "/api-key"
API_KEY_REVOKE = "/api-key/{key_id}/revoke"
API_REFERENCE = "/api"

SITE_HUB = "/hub"
SITE_HUB_UPDATES = "/hub/updates"
SITE_HUB_ENROL = "/hub/enrol"

REPAIRS = "/repairs"
REPAIRS_UPDATES = "/repairs/updates"
REPAIRS_TEST = "/repairs/test-notice"
REPAIRS_DIAGNOSTICS = "/repairs/diagnostics"

CONNECTORS = "/connectors"
CONNECTOR_NEW = "/connectors/new"
CONNECTORS_UPDATES = "/connectors/updates"
OVERVIEW = "/connectors/{connector_id}"
UPDATES = "/connectors/{connector_id}/updates"
SETTINGS = "/connectors/{connector_id}/settings"
DISABLE = "/connectors/{connector_id}/disable"
ENABLE = "/connectors/{connector_id}/enable"
DELETE = "/connectors/{connector_id}/delete"
SHARING = "/connectors/{connector_id}/sharing"
SHARING_RIGHTS = "/connectors/{connector_id}/sharing/rights"
SHARING_POLICIES = "/connectors/{connector_id}/sharing/policies"
REMOTE_SYNC = "/connectors/{connector_id}/remote-sync"
REMOTE_SYNC_ENABLE = "/connectors/{connector_id}/remote-sync/enable"
REMOTE_SYNC_CLOSE = "/connectors/{connector_id}/remote-sync/close"
REMOTE_SYNC_ACCEPT = "/connectors/{connector_id}/remote-sync/accept"
REMOTE_SYNC_REFUSE = "/connectors/{connector_id}/remote-sync/refuse"
REMOTE_SYNC_CANCEL = "/connectors/{connector_id}/remote-sync/cancel"
PART = "/connectors/{connector_id}/remote-sync/part"
PART_AGREE = "/connectors/{connector_id}/remote-sync/part/agree"
PART_DECLINE = "/connectors/{connector_id}/remote-sync/part/decline"
PART_WITHDRAW = "/connectors/{connector_id}/remote-sync/part/withdraw"
DEVICES = "/connectors/{connector_id}/devices"
DEVICES_BULK = "/connectors/{connector_id}/devices-bulk"
DEVICES_DELETE = "/connectors/{connector_id}/devices-delete"
DEVICES_IMPORT = "/connectors/{connector_id}/devices-import"
DEVICES_EXPORT = "/connectors/{connector_id}/devices-export"
DEVICE = "/connectors/{connector_id}/devices/{device}"
DEVICE_LOCK = "/connectors/{connector_id}/devices/{device}/lock"
DEVICE_DELETE = "/connectors/{connector_id}/devices/{device}/delete"
DEVICE_GRANTS = "/connectors/{connector_id}/devices/{device}/grants"
DEVICE_GRANT_REMOVE = "/connectors/{connector_id}/devices/{device}/grants/remove"
DEVICE_PUBLISH_AS = "/connectors/{connector_id}/devices/{device}/publish-as"
DEVICE_PUBLISH_AS_REMOVE = "/connectors/{connector_id}/devices/{device}/publish-as/remove"
DEVICE_CONFIGURATION = "/connectors/{connector_id}/devices/{device}/configuration"
DEVICE_SET = "/connectors/{connector_id}/devices/{device}/set"
DEVICE_REFUSALS = "/connectors/{connector_id}/devices/{device}/refusals"
DEVICE_TAGS = "/connectors/{connector_id}/devices/{device}/tags"
DEVICE_TAG_REMOVE = "/connectors/{connector_id}/devices/{device}/tags/remove"
RESOURCES = "/connectors/{connector_id}/resources"
RESOURCES_SWITCH = "/connectors/{connector_id}/remote-sync/switch"
RESOURCE = "/connectors/{connector_id}/resources/{alias}"
RESOURCE_DELETE = "/connectors/{connector_id}/resources/{alias}/delete"
RESOURCE_EXPORT = "/connectors/{connector_id}/resources/{alias}/export"
RESOURCE_REMOTE_SYNC = "/connectors/{connector_id}/resources/{alias}/remote-sync"
RESOURCE_REPLAY = "/connectors/{connector_id}/resources/{alias}/replay"
RESOURCE_CREATE_HERE = "/connectors/{connector_id}/resources/{alias}/create-here"
RESOURCE_CREATE_THERE = "/connectors/{connector_id}/resources/{alias}/create-there"
WAYS_IN = "/connectors/{connector_id}/ways-in"
HOST_DEVICE = "/connectors/{connector_id}/ways-in/host"
MQTT_TEST = "/connectors/{connector_id}/ways-in/mqtt-test"
MQTT_NEW = "/connectors/{connector_id}/ways-in/mqtt-new"
MQTT_ALL = "/connectors/{connector_id}/ways-in/mqtt"
MQTT_ONE = "/connectors/{connector_id}/ways-in/mqtt/{subscription_id}"
MQTT_DELETE = "/connectors/{connector_id}/ways-in/mqtt/{subscription_id}/delete"
CHANGES = "/connectors/{connector_id}/changes"
CONFLICT_SETTLE = "/connectors/{connector_id}/changes/{conflict_id}"
GAPS = "/connectors/{connector_id}/gaps"
GAPS_EXPORT = "/connectors/{connector_id}/gaps/export"
ACCOUNT = "/connectors/{connector_id}/account"
QUARANTINE = "/connectors/{connector_id}/quarantine"
QUARANTINE_RETRY_ALL = "/connectors/{connector_id}/quarantine/retry"
QUARANTINE_DISCARD_ALL = "/connectors/{connector_id}/quarantine/discard"
QUARANTINE_RETRY = "/connectors/{connector_id}/quarantine/{quarantine_id}/retry"
QUARANTINE_DISCARD = "/connectors/{connector_id}/quarantine/{quarantine_id}/discard"
QUARANTINE_CONTENT = "/connectors/{connector_id}/quarantine/{quarantine_id}/content"
REPLAYS = "/connectors/{connector_id}/replays"
REPLAY_CANCEL = "/connectors/{connector_id}/replays/{replay_id}/cancel"

OPERATOR = "/operator"
OPERATOR_UPDATES = "/operator/updates"
OPERATOR_AUDIT = "/operator/audit"
OPERATOR_TEST_NOTICE = "/operator/test-notice"
OPERATOR_TOKENS = "/operator/tokens"
OPERATOR_TOKEN_REVOKE = "/operator/tokens/{token_id}/revoke"  # noqa: S105
OPERATOR_SITE_REVOKE = "/operator/sites/{site_id}/revoke"


def fill(pattern: str, **parts: str) -> str:
    """Return the address of `pattern` with its parts quoted, as in `fill(DEVICE, connector_id="K7", device="a/b")`."""
    return pattern.format(**{name: segment(part) for name, part in parts.items()})


def segment(text: str) -> str:
    """Quote `text` as one segment of a path.

    Servers decode `%2F` before they route, so a slash is written as `~2F` and a tilde as `~7E`; `unsegment` undoes it.
    `.` and `..` are quoted the same way, because clients fold such segments away.
    """
    text = text.replace("~", "~7E").replace("/", "~2F")
    if text in {".", ".."}:
        text = text.replace(".", "~2E")
    return quote(text, safe="~")


def unsegment(part: str) -> str:
    """Return the text that `segment` quoted, from a path parameter as the router hands it over."""
    return part.replace("~2E", ".").replace("~2F", "/").replace("~7E", "~")
