"""One or more contexts for every template, as a site or hub would build them: for tests, screenshots and designers."""

from collections.abc import Iterator

from msgspec import Struct

from tests.web.samples.accounts import (
    ACCOUNT,
    ACCOUNT_IDLE,
    ACCOUNT_NONE,
    ACCOUNT_TARGET,
    GAPS,
    GAPS_NONE,
    GAPS_NOT_FOUND,
    QUARANTINE,
    QUARANTINE_NONE,
)
from tests.web.samples.api_keys import API_KEY_NEW, API_KEY_NONE, API_KEY_REFUSED, API_KEYS, API_REFERENCE
from tests.web.samples.connectors import (
    CONNECTOR_FORM,
    CONNECTOR_FORM_PLAIN,
    CONNECTORS,
    CONNECTORS_EMPTY,
    SETTINGS,
    SETTINGS_FREE,
)
from tests.web.samples.devices import (
    CHANGES_NONE,
    CHANGES_PAGE,
    DEVICE,
    DEVICE_IMPORT,
    DEVICE_IMPORT_EMPTY,
    DEVICE_NEW,
    DEVICE_TAG_REFUSED,
    DEVICES,
    DEVICES_EMPTY,
    DEVICES_FOUND_NONE,
)
from tests.web.samples.hub import HUB_AUDIT_PAGE, OPERATOR, OPERATOR_EMPTY, SITE_HUB, SITE_HUB_ASKS
from tests.web.samples.messages import BROKEN, CONFIRM, NOT_FOUND
from tests.web.samples.overview import OVERVIEW, OVERVIEW_ALONE, OVERVIEW_TARGET
from tests.web.samples.pairing import PARTING, REMOTE_SYNC, SHARING, SHARING_ALONE
from tests.web.samples.repairs import REPAIRS_NONE, REPAIRS_PAGE
from tests.web.samples.replays import REPLAYS, REPLAYS_NONE
from tests.web.samples.resources import (
    RESOURCE,
    RESOURCE_EMPTY_RANGE,
    RESOURCE_NEW,
    RESOURCES,
    RESOURCES_EMPTY,
    RESOURCES_TARGET,
)
from tests.web.samples.signing_in import HUB_LOGIN, HUB_SETUP, LOGIN, SETUP
from tests.web.samples.ways_in import MQTT, MQTT_NEW, MQTT_TRIED, MQTT_WATCHED, WAYS_IN, WAYS_IN_EMPTY, WAYS_IN_TARGET
from web import contexts as c

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
