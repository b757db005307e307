"""What a person sets for one MQTT subscription, and what is wrong with it in words."""

from __future__ import annotations

import re
import ssl
from typing import Final, Literal

import msgspec

from connector.ingest.mqtt_mapping import Template, read_path
from shared.errors import Refused
from shared.host_names import is_host
from shared.limits import ALIAS_CHARS_MAX, IDENTITY_CHARS_MAX, NAME_CHARS_MAX

TOPIC_BYTES_MAX: Final = 65_535  # MQTT 3.1.1, 1.5.3
TOPICS_MAX: Final = 50
VALUES_MAX: Final = 100
SECRET_CHARS_MAX: Final = 1_024
CA_CHARS_MAX: Final = 64 * 1024
CLIENT_ID_CHARS_MAX: Final = 128
PORT_PLAIN: Final = 1883
PORT_TLS: Final = 8883

_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}")


class MqttSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One subscription at one broker, without its password, which is kept apart.

    Device and resource come from the levels of `template`, as in `plant/{device}/{resource}`, or are fixed. A payload is
    plain text or JSON; `value_path` finds the value in it, or `values` one for each alias. Paths are dotted: `$.data.temp`.
    """

    name: str
    host: str
    port: int = PORT_PLAIN
    tls: bool = False
    ca: str = ""
    """Certificates (PEM) that sign the broker's; empty for those that this machine trusts."""
    user_name: str = ""
    client_id: str = ""
    """The broker keeps what waits under it; empty for one that is made and stays."""
    qos: Literal[0, 1] = 1
    topics: list[str] = []
    """Filters to subscribe to; empty for the one that follows from the template."""
    template: str = ""
    device: str = ""
    resource: str = ""
    payload: Literal["plain", "json"] = "plain"
    value_path: str = "$"
    values: dict[str, str] = {}
    timestamp_path: str = ""
    timestamp_unit: Literal["ms", "s", "iso"] = "ms"
    retained: Literal["ignore", "take"] = "ignore"
    enabled: bool = True

    def filters(self) -> list[str]:
        """Return what to subscribe to."""
        return list(self.topics) or [Template(self.template).topic_filter]


def checked(settings: MqttSettings) -> MqttSettings:
    """Return the settings as they are kept; raises Refused('invalid') that names the field and what it takes."""
    name, host = settings.name.strip(), settings.host.strip()
    _require(
        1 <= len(name) <= NAME_CHARS_MAX and name.isprintable(), "name", f"it takes 1 to {NAME_CHARS_MAX} characters"
    )
    is_name = _HOST.fullmatch(host) is not None and is_host(host)
    _require(is_name, "host", "it takes the name or address of the broker, without mqtt://")
    _require(1 <= settings.port <= 65_535, "port", "it takes 1 to 65535")
    _require(
        len(settings.user_name) <= SECRET_CHARS_MAX, "user_name", f"it takes at most {SECRET_CHARS_MAX} characters"
    )
    _require(
        len(settings.client_id) <= CLIENT_ID_CHARS_MAX and settings.client_id.isprintable(),
        "client_id",
        f"it takes at most {CLIENT_ID_CHARS_MAX} printable characters",
    )
    _check_ca(settings)
    _check_mapping(settings)
    _check_payload(settings)
    return msgspec.structs.replace(settings, name=name, host=host)


def checked_password(password: str) -> str:
    """Return a password as it is kept; raises Refused('invalid')."""
    _require(len(password) <= SECRET_CHARS_MAX, "password", f"it takes at most {SECRET_CHARS_MAX} characters")
    return password


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return how the broker is checked, None without TLS; raises Refused('invalid'). Reads files: not on the event loop."""
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cadata=settings.ca or None)
    except (ssl.SSLError, ValueError) as error:
        raise Refused("invalid", what="ca", why="it is no certificate in PEM form") from error
    context.sslsocket_class = _ClosingSocket
    return context


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself where the handshake fails: paho leaves it open."""

    def do_handshake(self, block: bool = False) -> None:  # the signature of the base
        """Shake hands, or close."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _check_ca(settings: MqttSettings) -> None:
    _require(len(settings.ca) <= CA_CHARS_MAX, "ca", f"it takes at most {CA_CHARS_MAX} characters")
    _require(settings.tls or not settings.ca, "ca", "certificates serve TLS only; switch TLS on")
    if settings.ca:
        tls_context(settings)


def _check_mapping(settings: MqttSettings) -> None:
    named: frozenset[str] = frozenset()
    if settings.template:
        named = Template(settings.template).names
    _require(len(settings.topics) <= TOPICS_MAX, "topics", f"it takes at most {TOPICS_MAX} filters")
    _require(bool(settings.topics or settings.template), "topics", "a filter or a template is needed")
    for topic in settings.topics:
        _check_filter(topic)
    _require(
        bool(settings.device) != ("device" in named),
        "device",
        "it comes from {device} in the template, or is fixed here",
    )
    _require(len(settings.device) <= IDENTITY_CHARS_MAX, "device", f"it takes at most {IDENTITY_CHARS_MAX} characters")
    ways = bool(settings.resource) + ("resource" in named) + bool(settings.values)
    _require(
        ways == 1,
        "resource",
        "it comes from {resource} in the template, is fixed here, or from a list of values: one of them",
    )
    _require(len(settings.resource) <= ALIAS_CHARS_MAX, "resource", f"it takes at most {ALIAS_CHARS_MAX} characters")


def _check_filter(topic: str) -> None:
    """Check a topic filter as MQTT 3.1.1, 4.7 has it."""
    _require(0 < len(topic.encode()) <= TOPIC_BYTES_MAX and "\0" not in topic, "topics", "a filter is not empty")
    levels = topic.split("/")
    for at, level in enumerate(levels):
        whole = level in ("+", "#") or not ("+" in level or "#" in level)
        _require(
            whole and (level != "#" or at == len(levels) - 1),
            "topics",
            f"'{topic}': + and # fill a whole level, # the last",
        )


def _check_payload(settings: MqttSettings) -> None:
    is_json = settings.payload == "json"
    _require(len(settings.values) <= VALUES_MAX, "values", f"it takes at most {VALUES_MAX}")
    _require(is_json or not settings.values, "values", "they are found in JSON; choose JSON as the payload")
    _require(
        is_json or not settings.timestamp_path, "timestamp_path", "it is found in JSON; choose JSON as the payload"
    )
    _require(
        is_json or settings.value_path in ("", "$"), "value_path", "it is found in JSON; choose JSON as the payload"
    )
    for alias, path in settings.values.items():
        _require(0 < len(alias) <= ALIAS_CHARS_MAX, "values", f"an alias takes 1 to {ALIAS_CHARS_MAX} characters")
        read_path(path, "values")
    read_path(settings.value_path or "$", "value_path")
    if settings.timestamp_path:
        read_path(settings.timestamp_path, "timestamp_path")


def _require(holds: bool, what: str, why: str) -> None:
    if not holds:
        raise Refused("invalid", what=what, why=why)
