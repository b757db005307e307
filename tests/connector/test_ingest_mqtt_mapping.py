"""What settings of an MQTT subscription are refused for, and what topics and payloads become by them. No broker."""

from __future__ import annotations

from typing import Any

import pytest

from connector.ingest.mqtt_mapping import Mapping
from connector.ingest.mqtt_settings import MqttSettings, checked
from shared.errors import Refused

GOOD: dict[str, Any] = {"name": "line 1", "host": "broker", "template": "plant/{device}/{resource}"}


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"name": " "}, "name"),
        ({"host": "mqtt://broker"}, "host"),
        ({"host": "192.168.1..10"}, "host"),
        ({"host": "x" * 64 + ".example"}, "host"),
        ({"port": 0}, "port"),
        ({"ca": "x"}, "ca"),
        ({"tls": True, "ca": "no certificate"}, "ca"),
        ({"client_id": "x" * 200}, "client_id"),
        ({"template": ""}, "topics"),
        ({"template": "a/{b}/{device}"}, "template"),
        ({"template": "{device}/{device}"}, "template"),
        ({"template": "a/#/{device}"}, "template"),
        ({"topics": ["a/b+"]}, "topics"),
        ({"topics": ["#/a"]}, "topics"),
        ({"device": "pump"}, "device"),
        ({"template": "plant/{resource}"}, "device"),
        ({"resource": "flow"}, "resource"),
        ({"template": "plant/{device}"}, "resource"),
        ({"timestamp_path": "$.at"}, "timestamp_path"),
        ({"value_path": "$.v"}, "value_path"),
        ({"payload": "json", "value_path": "$.v["}, "value_path"),
        ({"template": "plant/{device}", "values": {"flow": "$.f"}}, "values"),
    ],
)
def test_wrong_settings_are_refused_by_the_name_of_their_field(changed: dict[str, Any], what: str) -> None:
    checked(MqttSettings(**GOOD))
    with pytest.raises(Refused) as refused:
        checked(MqttSettings(**{**GOOD, **changed}))
    assert (refused.value.code, refused.value.facts["what"]) == ("invalid", what)
    assert len(str(refused.value.facts["why"])) > 10


@pytest.mark.parametrize(
    ("template", "topic_filter", "topic", "found"),
    [
        ("plant/{device}/{resource}", "plant/+/+", "plant/pump 1/flow", ("pump 1", "flow", "")),
        ("{gateway}/dev-{device}/+/{resource}/#", "+/+/+/+/#", "gw/dev-7/x/flow/a/b", ("7", "flow", "gw")),
        ("a.b/{device}-{resource}", "a.b/+", "a.b/pump-flow-in", ("pump", "flow-in", "")),
    ],
)
def test_a_template_gives_the_filter_and_reads_the_topic(
    template: str, topic_filter: str, topic: str, found: tuple[str, str, str]
) -> None:
    settings = checked(MqttSettings(**{**GOOD, "template": template}))
    assert settings.filters() == [topic_filter]
    mapped = Mapping(settings).read(topic, b"1", {})
    assert (mapped.lines[0].device, mapped.lines[0].resource, mapped.gateway) == found


@pytest.mark.parametrize(
    ("unit", "text", "at"),
    [
        ("ms", b"1763647200000", 1_763_647_200_000),
        ("s", b"1763647200.25", 1_763_647_200_250),
        ("iso", b'"2025-11-20T14:00:00Z"', "2025-11-20T14:00:00Z"),
    ],
)
def test_one_message_of_json_holds_several_values_and_their_time(unit: Any, text: bytes, at: Any) -> None:
    settings = MqttSettings(
        name="x",
        host="b",
        template="{device}",
        payload="json",
        values={"temperature": "$.data.t[1]", "on": "running"},
        timestamp_path="$.at",
        timestamp_unit=unit,
    )
    mapping = Mapping(checked(settings))
    lines = mapping.read("pump", b'{"at": %s, "data": {"t": [1, 2.5]}, "running": true}' % text, {}).lines
    assert [(line.resource, line.value, line.timestamp) for line in lines] == [
        ("temperature", 2.5, at),
        ("on", True, at),
    ]
    for payload, code in (
        (b'{"at": %s, "data": {"t": [1]}, "running": true}' % text, "path_missing"),
        (b'{"at": %s, "data": {"t": [1, {}]}, "running": true}' % text, "payload_unreadable"),
        (b'{"at": true, "data": {"t": [1, 2]}, "running": true}', "bad_time"),
        (b"{", "payload_unreadable"),
        (b"[" * 100_000, "payload_unreadable"),
    ):
        with pytest.raises(Refused) as refused:
            mapping.read("pump", payload, {})
        assert refused.value.code == code, payload[:50]
