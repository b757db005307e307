"""The forms of a body of readings: lines, a list, batches; how each is told, and how refusals say where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from connector.ingest.bodies import form_of, parse_body
from connector.readings import Outcome
from connector.site import Site
from shared.errors import Refused
from shared.limits import INGEST_LINES_MAX, INGEST_REPORTERS_MAX
from tests.connector.site_stage import NOON_MS, line, lone_site, make_connector, stored

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"  # what curl -d says by itself


@pytest_asyncio.fixture
async def plant(tmp_path: Path) -> Any:
    async with lone_site(tmp_path) as site:
        yield site, await make_connector(site, creates_devices=True)


def reading(device: str, resource: str, value: Any, timestamp: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(line(device, resource, value, timestamp))
    return found


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.mark.parametrize("content_type", ["", FORM, JSON, "application/json; charset=utf-8"])
@pytest.mark.parametrize(
    ("body", "form"),
    [
        (line("pump", "flow", 1), "lines"),
        (line("pump", "note", '"payload": []') + b"\n" + line("pump", "flow", 1), "lines"),
        (encode([reading("pump", "flow", 1)]), "list"),
        (b" \n\t[]", "list"),
        (encode({"identity": "pump", "payload": []}), "batches"),
        (msgspec.json.format(encode({"payload": [], "identity": "pump"}), indent=2), "batches"),
        (b"", "lines"),
    ],
)
def test_the_first_bytes_tell_the_form(body: bytes, form: str, content_type: str) -> None:
    assert form_of(body, content_type) == form


def test_a_content_type_of_lines_decides() -> None:
    assert form_of(b"[]", "application/x-ndjson; charset=utf-8") == "lines"
    assert form_of(encode({"identity": "pump", "payload": []}), "application/x-ndjson") == "lines"


async def test_a_list_is_taken_and_its_refusals_name_the_index(plant: tuple[Site, str]) -> None:
    site, connector_id = plant
    body = [
        reading("pump", "flow", 1.5, NOON_MS),
        "oops",
        reading("pump", "heat", 1.5, NOON_MS),
        reading("pump", "on", True, "2025-11-20T15:00:00+01:00"),
        {"device": "pump", "resource": "flow"},
        reading("pump", "flow", 2.5, NOON_MS),
    ]
    outcome = await site.ingest(connector_id, encode(body), JSON)
    assert (outcome.accepted, outcome.repeated, outcome.refused) == (2, 0, 4)
    assert [(refusal.at, refusal.code) for refusal in outcome.refusals] == [
        ("[1]", "not_json"),
        ("[2]", "unknown_resource"),
        ("[4]", "not_json"),
        ("[5]", "timestamp_taken"),
    ]
    good = await site.ingest(connector_id, encode([body[0], body[2]]), JSON)  # the fast way, every item a reading
    assert (good.repeated, [refusal.at for refusal in good.refusals]) == (1, ["[1]"])


async def test_a_batch_of_one_device_is_taken_and_its_refusals_name_the_value(plant: tuple[Site, str]) -> None:
    site, connector_id = plant
    payload: list[Any] = [
        {"timestamp": NOON_MS, "values": {"flow": 1.5, "note": "ok", "heat": 3}},
        {"timestamp": NOON_MS + 1, "values": {"level": 101, "on": False, "mode": "auto"}},
        {"values": {"flow": 2.5}},
    ]
    outcome = await site.ingest(connector_id, encode({"identity": "pump", "payload": payload}), JSON)
    assert (outcome.accepted, outcome.refused) == (5, 2)
    assert [(refusal.at, refusal.code) for refusal in outcome.refusals] == [
        ("payload[0].values.heat", "unknown_resource"),
        ("payload[1].values.level", "not_allowed"),
    ]
    assert await stored(site, connector_id, "mode") == [(NOON_MS + 1, "auto")]
    assert (await site.ingest(connector_id, encode({"identity": "pump", "payload": payload[:2]}))).repeated == 4


async def test_what_is_wrong_inside_a_batch_leaves_the_rest_good(plant: tuple[Site, str]) -> None:
    site, connector_id = plant
    body = (
        b'{"identity": "pump", "payload": [{"timestamp": %d, "values": {"flow": 1.5, "level": [1], "note": null}},'
        b' 7, {"timestamp": [], "values": {}}, {"timestamp": %d, "values": {"flow": 1e400, "level": 5}}]}'
        % (NOON_MS, NOON_MS + 1)
    )
    outcome = await site.ingest(connector_id, body)
    assert [(refusal.at, refusal.code) for refusal in outcome.refusals] == [
        ("payload[0].values.level", "bad_batch"),
        ("payload[0].values.note", "bad_batch"),
        ("payload[1]", "bad_batch"),
        ("payload[2]", "bad_batch"),
        ("payload[3].values.flow", "not_a_number"),
    ]
    assert (outcome.accepted, outcome.refused) == (2, 5)
    assert await stored(site, connector_id, "level") == [(NOON_MS + 1, 5.0)]


async def test_a_list_may_hold_batches_of_many_devices_and_readings_among_them(plant: tuple[Site, str]) -> None:
    site, connector_id = plant
    batch = {"identity": "pump", "payload": [{"timestamp": NOON_MS, "values": {"flow": 1, "heat": 2}}]}
    body = [batch, {**batch, "identity": "fan"}, reading("pump", "level", 3, NOON_MS), {"payload": []}]
    outcome = await site.ingest(connector_id, encode(body))
    assert (outcome.accepted, outcome.refused) == (3, 3)
    assert [(refusal.at, refusal.code) for refusal in outcome.refusals] == [
        ("[0].payload[0].values.heat", "unknown_resource"),
        ("[1].payload[0].values.heat", "unknown_resource"),
        ("[3]", "bad_batch"),
    ]
    assert await stored(site, connector_id, "flow", "fan") == [(NOON_MS, 1.0)]


@pytest.mark.parametrize(
    "body", [b"[", b'[{"device":', b'{"identity": "pump", "payload": [', b'{"identity": 5, "payload": []}', b"[NaN]"]
)
async def test_json_that_cannot_be_read_is_refused_as_a_whole(plant: tuple[Site, str], body: bytes) -> None:
    site, connector_id = plant
    with pytest.raises(Refused) as refused:
        await site.ingest(connector_id, body, JSON)
    assert (refused.value.code, refused.value.facts["what"]) == ("invalid", "Body")


def test_the_bound_of_readings_holds_in_every_form() -> None:
    one = reading("pump", "flow", 1)
    too_many = INGEST_LINES_MAX + 1
    entry = {"values": {"flow": 1}}
    for body in (
        encode([one] * too_many),
        encode([*[one] * too_many, 5]),
        encode({"identity": "pump", "payload": [entry] * too_many}),
        encode([{"identity": "pump", "payload": [entry] * (too_many // 2)}] * 3),
    ):
        with pytest.raises(Refused, match="at most 100000 readings"):
            parse_body(body, JSON, Outcome())


def test_gateways_of_one_request_are_bounded_and_their_lines_kept_apart() -> None:
    def batches(count: int) -> bytes:
        entry = {"device": "pump", "values": {"flow": 1}}
        return encode([{"identity": f"gateway-{at}", "payload": [entry]} for at in range(count)])

    parsed = parse_body(batches(3), JSON, Outcome())
    assert sorted(parsed.parts) == ["gateway-0", "gateway-1", "gateway-2"]
    with pytest.raises(Refused) as refused:
        parse_body(batches(INGEST_REPORTERS_MAX + 2), JSON, Outcome())
    assert refused.value.code == "too_many_reporters"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["identity", "payload", "values", "device", "resource", "value", "x"]), inner)
    ),
    max_leaves=15,
)


@given(_VALUES, st.sampled_from(["", JSON, "application/x-ndjson"]))
def test_every_value_of_a_strange_body_is_read_or_refused_with_its_place(value: Any, content_type: str) -> None:
    outcome = Outcome()
    try:
        parsed = parse_body(encode(value), content_type, outcome)
    except Refused as refused:
        assert refused.code in ("invalid", "too_many_lines")  # noqa: PT017  # either is an answer
        return
    numbers = [number for groups in parsed.parts.values() for group in groups.values() for number in group.lines]
    numbers += [refusal.line for refusal in outcome.refusals]
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert parsed.form == "lines" or parsed.position(number)
