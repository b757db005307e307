"""The form of an MQTT subscription: read as settings, and filled in from settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from connector.ingest.mqtt_settings import CA_CHARS_MAX, MqttSettings, checked_password
from connector.readings import UNREADABLE
from shared.errors import Refused

FIELDS_MAX: Final = 30
_SWITCHES: Final = ("tls", "enabled")
_TEXTS: Final = (
    *("name", "host", "ca", "user_name", "client_id", "template", "device", "resource"),
    *("payload", "value_path", "timestamp_path", "timestamp_unit", "retained"),
)
# A field that is longer was not typed into the form.
_TEXT_CHARS_MAX: Final = CA_CHARS_MAX + 1_024
_LABELS: Final[Mapping[str, str]] = {
    "name": "Name",
    "host": "Broker",
    "port": "Port",
    "ca": "Certificates",
    "user_name": "User name",
    "password": "Password",
    "client_id": "Client ID",
    "qos": "Quality of service",
    "topics": "Filters",
    "template": "Topic template",
    "device": "Device",
    "resource": "Resource",
    "payload": "Payload",
    "value_path": "Path of the value",
    "values": "Several values",
    "timestamp_path": "Path of the time",
    "timestamp_unit": "Time is in",
    "retained": "Retained messages",
}
_AT_FIELD: Final = re.compile(r"^(.*) - at `\$\.(\w+)`$")


def read_settings(typed: Mapping[str, str]) -> MqttSettings:
    """Return the settings of a form, not yet checked; raises Refused('invalid') that names a field."""
    fields: dict[str, Any] = {name: typed[name][:_TEXT_CHARS_MAX] for name in _TEXTS if name in typed}
    fields["ca"] = fields.get("ca", "").replace("\r\n", "\n").strip()
    fields["port"] = _number("port", typed.get("port", ""))
    fields["qos"] = _number("qos", typed.get("qos", "1"))
    fields["topics"] = [line for line in typed.get("topics", "").splitlines() if line.strip()]
    fields["values"] = read_values(typed.get("values", ""))
    fields.update({name: typed.get(name) == "on" for name in _SWITCHES})
    try:
        return msgspec.convert(fields, MqttSettings)
    except msgspec.ValidationError as error:
        found = _AT_FIELD.match(str(error))
        raise Refused("invalid", what=found[2] if found else "", why=found[1] if found else str(error)) from error


def read_password(typed: Mapping[str, str], stored: str | None) -> str | None:
    """Return the password to store; None leaves the stored one. Raises Refused('invalid')."""
    password = checked_password(typed.get("password", ""))
    if password or stored is None:
        return password
    return "" if typed.get("forget_password") == "on" else None


def _number(name: str, text: str) -> int:
    text = text.strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise Refused("invalid", what=name, why="it is a whole number")
    return int(text)


def read_values(text: str) -> dict[str, str]:
    """Read lines of `alias = $.path`, or a JSON object of the same; raises Refused('invalid')."""
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text, type=dict[str, str])
        except UNREADABLE:
            raise Refused("invalid", what="values", why="this is no JSON object of aliases and paths") from None
    found: dict[str, str] = {}
    for at, line in enumerate(text.splitlines(), start=1):
        alias, equals, path = (part.strip() for part in line.partition("="))
        if not alias and not equals:
            continue
        if not alias or not path:
            raise Refused("invalid", what="values", why=f"line {at} is not like temperature = $.t")
        if alias in found:
            raise Refused("invalid", what="values", why=f"line {at} names '{alias[:60]}' again")
        found[alias] = path
    return found


def write_values(values: Mapping[str, str]) -> str:
    """Write values as `read_values` reads them."""
    lines = "\n".join(f"{alias} = {path}" for alias, path in values.items())
    try:
        same = read_values(lines) == dict(values)
    except Refused:
        same = False
    return lines if same else msgspec.json.encode(values).decode()


def texts_of(settings: MqttSettings) -> dict[str, str]:
    """Return the texts of the form for settings."""
    return {
        **{name: str(getattr(settings, name)) for name in _TEXTS},
        "port": str(settings.port),
        "qos": str(settings.qos),
        "topics": "\n".join(settings.topics),
        "values": write_values(settings.values),
    }


def switches_of(settings: MqttSettings) -> tuple[str, ...]:
    """Return what is switched on in settings."""
    return tuple(name for name in _SWITCHES if getattr(settings, name))


def typed_texts(typed: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of the form as they were typed; the password is never shown again."""
    return {name: typed.get(name, "")[:_TEXT_CHARS_MAX] for name in (*_TEXTS, "port", "qos", "topics", "values")}


def typed_switches(typed: Mapping[str, str]) -> tuple[str, ...]:
    """Return what was switched on in a form."""
    return tuple(name for name in (*_SWITCHES, "forget_password") if typed.get(name) == "on")


def field_error(refused: Refused) -> dict[str, str]:
    """Return what is wrong beside the field that it is about."""
    if refused.code == "exists":
        return {"name": str(refused)}
    what = str(refused.facts.get("what", ""))
    if refused.code == "invalid" and what in _LABELS:
        return {what: str(Refused("invalid", what=_LABELS[what], why=refused.facts["why"]))}
    return {"": str(refused)}
