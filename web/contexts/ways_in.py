"""How readings come in: over HTTP, by replay, from this machine, and from MQTT brokers."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, template
from web.contexts.shell import Shell


class HttpWay(Struct, frozen=True):
    """How programs post readings. `examples` are (what it is, line for a shell); `key_variable` is named in them."""

    url: str
    examples: tuple[tuple[str, str], ...]
    replay_line: str
    key_variable: str
    creates_devices: bool
    has_device: bool
    has_resource: bool


class HostWay(Struct, frozen=True):
    """Readings of this machine. Form: POST `/connectors/{id}/ways-in/host` with `is_on` (`on` or absent), `every_s`."""

    is_on: bool
    every_s: str
    errors: Errors = field(default_factory=dict)


class MqttState(StrEnum):
    """How a subscription stands."""

    OFF = "off"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    WAITING = "waiting"
    """Connected, but this site takes nothing at the moment: the broker keeps what comes."""


class MqttRefusal(Struct, frozen=True):
    """A message, or a reading of one, that was not taken."""

    at_ms: int
    topic: str
    message: str


class MqttStanding(Struct, frozen=True):
    """What a subscription has done since this start. `refusals` are the last ones, newest first."""

    state: MqttState
    since_ms: int = 0
    why: str = ""
    retry_in_s: float | None = None
    last_message_ms: int | None = None
    message_count: int = 0
    accepted_count: int = 0
    repeated_count: int = 0
    refused_count: int = 0
    ignored_count: int = 0
    dropped_count: int = 0
    refusals: tuple[MqttRefusal, ...] = ()


class MqttRow(Struct, frozen=True):
    """One subscription of the list."""

    subscription_id: str
    name: str
    broker: str
    """Host and port."""
    is_tls: bool
    filters: tuple[str, ...]
    standing: MqttStanding


@template("_mqtt_list.html")
class MqttList(Struct, frozen=True):
    """Fragment: the MQTT subscriptions of a connector, oldest first, and how each stands."""

    element_id: ClassVar[str] = "mqtt-list"
    connector_id: str
    rows: tuple[MqttRow, ...]
    can_edit: bool = False


@template("ways_in.html")
class WaysInPage(Struct, frozen=True):
    """All ways in of a connector. At a target there are none: `source_site_name` says where its readings come from (G19)."""

    shell: Shell
    connector_id: str
    source_site_name: str = ""
    http: HttpWay | None = None
    host: HostWay | None = None
    mqtt: MqttList | None = None
    can_edit: bool = False


@template("_mqtt_standing.html")
class MqttStandingCard(Struct, frozen=True):
    """Fragment: how one subscription stands, with the last messages that were refused."""

    element_id: ClassVar[str] = "mqtt-standing"
    row: MqttRow


@template("_mqtt_trial.html")
class MqttTrial(Struct, frozen=True):
    """Fragment: what came of trying settings; empty (`was_tried` is false) before that.

    `problem` says why nothing was tried or the broker cannot be used. `readings` are (device, resource, value, time) of
    the first message, `refusal` says why it would not be taken.
    """

    element_id: ClassVar[str] = "mqtt-trial"
    was_tried: bool = False
    problem: str = ""
    topic: str = ""
    payload: str = ""
    readings: tuple[tuple[str, str, str, str], ...] = ()
    refusal: str = ""


@template("_mqtt_form.html")
class MqttForm(Struct, frozen=True):
    """Fragment: all settings of a subscription, as texts by the names of their fields, and those that are switched on.

    Form: POST `/connectors/{id}/ways-in/mqtt`, or `.../mqtt/{subscription_id}` where there is one; `.../mqtt-test` tries
    the same fields without storing them. Switches: `tls`, `enabled`, `forget_password`. Errors by these names.
    """

    element_id: ClassVar[str] = "mqtt-form"
    connector_id: str
    texts: Mapping[str, str]
    switched_on: tuple[str, ...] = ()
    subscription_id: str = ""
    has_password: bool = False
    errors: Errors = field(default_factory=dict)
    trial: MqttTrial = field(default_factory=MqttTrial)


@template("mqtt.html")
class MqttPage(Struct, frozen=True):
    """One subscription, or a new one. `form` is `None` for people who may only look."""

    shell: Shell
    connector_id: str
    name: str
    standing: MqttStandingCard | None = None
    form: MqttForm | None = None
