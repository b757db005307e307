"""Lines of readings, before any database: what parses, what is refused, and under which line number."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connector.ingest.line_stream import LineStream
from connector.readings import Outcome, parse_ndjson, read_time
from shared.errors import Refused
from shared.limits import INGEST_BODY_BYTES_MAX, INGEST_LINES_MAX
from tests.connector.site_stage import NOON_MS, line

_GOOD = b'{"device":"pump","resource":"flow","value":1.5}'


def parsed(body: bytes) -> tuple[dict[tuple[str, str], list[Any]], list[tuple[int, str]]]:
    """Return ((device, resource) -> values, [(line, code)])."""
    outcome = Outcome()
    groups = parse_ndjson(body, outcome)
    return (
        {key: group.values for key, group in groups.items()},
        [(refusal.line, refusal.code) for refusal in outcome.refusals],
    )


@pytest.mark.parametrize(
    "text",
    [
        b"hello",
        b"[1, 2]",
        b'"pump"',
        b"{}",
        b'{"device":"pump","resource":"flow"}',
        b'{"device":"pump","resource":"flow","value":null}',
        b'{"device":"pump","resource":"flow","value":[1]}',
        b'{"device":"pump","resource":"flow","value":{"a":1}}',
        b'{"device":5,"resource":"flow","value":1}',
        b'{"device":"pump","resource":"flow","value":1,"timestamp":true}',
        b'{"device":"pump","resource":"flow","value":"\\ud800"}',
        b'{"device":"pump","resource":"flow","value":"\xff"}',
        b'{"device":"pump","resource":"flow","value":1',
        _GOOD + _GOOD,
        b"\xef\xbb\xbf" + _GOOD,
    ],
)
def test_a_line_that_is_no_reading_is_refused_and_its_neighbours_are_kept(text: bytes) -> None:
    values, refused = parsed(_GOOD + b"\n" + text + b"\n" + _GOOD)
    assert values == {("pump", "flow"): [1.5, 1.5]}
    assert refused == [(2, "not_json")]


@pytest.mark.parametrize("text", [b"NaN", b" NaN", b"nan", b"Infinity", b"-Infinity", b"-inf", b"1e999", b"-1e999"])
def test_what_is_not_a_finite_number_is_named_as_such(text: bytes) -> None:
    values, refused = parsed(_GOOD + b'\n{"device":"pump","resource":"flow","value":' + text + b"}")
    assert values == {("pump", "flow"): [1.5]}
    assert refused == [(2, "not_a_number")]


def test_a_text_that_speaks_of_nan_is_a_text() -> None:
    values, refused = parsed(line("pump", "note", "value: NaN, Infinity") + b"\n!")
    assert values == {("pump", "note"): ["value: NaN, Infinity"]}
    assert refused == [(2, "not_json")]


def test_lines_are_counted_as_the_sender_counts_them_also_with_blank_ones_between() -> None:
    body = b"\n" + _GOOD + b"\n\r\n\n" + line("ghost", "flow", 1) + b"\n\n"
    outcome = Outcome()
    groups = parse_ndjson(body, outcome)
    assert {key: group.lines for key, group in groups.items()} == {("pump", "flow"): [2], ("ghost", "flow"): [5]}
    assert outcome.refused == 0


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n \n"])
def test_an_empty_body_is_no_reading_and_no_refusal(body: bytes) -> None:
    assert parsed(body) == ({}, [])


def test_too_many_lines_are_refused_as_a_whole() -> None:
    with pytest.raises(Refused, match="at most 100000 readings") as caught:
        parse_ndjson(b"\n".join([b"{}"] * (INGEST_LINES_MAX + 2)), Outcome())
    assert caught.value.code == "too_many_lines"
    with pytest.raises(Refused, match="at most 100000 readings"):
        parse_ndjson(b"\n".join([_GOOD] * (INGEST_LINES_MAX + 1)), Outcome())


def test_a_body_that_is_too_large_is_refused_as_a_whole() -> None:
    with pytest.raises(Refused) as caught:
        parse_ndjson(b" " * (INGEST_BODY_BYTES_MAX + 1), Outcome())
    assert caught.value.code == "body_too_large"


@pytest.mark.parametrize(
    ("given", "at_ms"),
    [
        (0, 0),
        (NOON_MS, NOON_MS),
        (float(NOON_MS), NOON_MS),
        ("2025-11-20T14:00:00Z", NOON_MS),
        ("2025-11-20T15:00:00.25+01:00", NOON_MS + 250),
        ("2025-11-20T14:00Z", NOON_MS),
        (NOON_MS + 86_400_000, NOON_MS + 86_400_000),
    ],
)
def test_times_are_milliseconds_or_iso_with_a_zone(given: int | float | str, at_ms: int) -> None:
    assert read_time(given, NOON_MS) == at_ms


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (-1, "before_1970"),
        ("1969-12-31T23:59:59Z", "before_1970"),
        ("0001-01-01T00:00:00+14:00", "before_1970"),
        (NOON_MS + 86_400_001, "too_far_ahead"),
        ("9999-12-31T23:59:59-14:00", "too_far_ahead"),
        (10**30, "too_far_ahead"),
        (float(NOON_MS) + 0.5, "bad_time"),
        ("2025-11-20T14:00:00", "bad_time"),
        ("2025-11-20", "bad_time"),
        ("1763647200000", "bad_time"),
        ("noon", "bad_time"),
        ("", "bad_time"),
    ],
)
def test_a_time_that_cannot_be_right_is_refused_with_its_reason(given: int | float | str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        read_time(given, NOON_MS)
    assert caught.value.code == code


_TOKENS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**66), 2**66).map(str),
    st.decimals(-1000, 1000, places=2).map(str),
    st.sampled_from(
        ["-0", "-0.0", "0", "1e5", "1E-7", "1e400", "01", "1.", ".5", "-", "NaN", "null", "true", '"x"', "[]"]
    ),
)
_TIMES = st.one_of(
    st.integers(0, 2**41).map(str),
    st.sampled_from(["1.0", "1.5", "-1", "1e3", "null", '"2025-11-20T15:00:00Z"', "18446744073709551616"]),
)
_NAMES = st.sampled_from(['"pump"', '"p\\u0075mp"', '"a,b"', '"{"', '"Grüße"', '"\\""', "1"])
_SHAPES = st.sampled_from(
    [
        '{"device":%s,"resource":%s,"timestamp":%s,"value":%s}',
        '{ "device": %s, "resource": %s, "timestamp": %s, "value": %s }',
        '{"device":%s,"resource":%s,"timestamp":%s,"value":%s,"more":1}',
        '{"device":"x","device":%s,"resource":%s,"timestamp":%s,"value":%s}',
        '{"device":%s,"resource":%s,"timestamp":%s,"value":1,"value":%s}\r',
    ]
)
_ODD_LINES = st.builds(lambda shape, *parts: shape % parts, _SHAPES, _NAMES, _NAMES, _TIMES, _TOKENS)


def _plain(value: str, at: str = "1763647200000") -> str:
    return f'{{"device":"pump","resource":"flow","timestamp":{at},"value":{value}}}'


@settings(max_examples=150)
@example(lines=[_plain("-0"), _plain("-0.0")], ended=True)
@example(lines=[_plain("9007199254740993"), _plain("1")], ended=False)
@example(lines=[_plain("1", "9223372036854775808")], ended=False)
@given(st.lists(_ODD_LINES, min_size=1, max_size=4), st.booleans())
def test_lines_decoded_together_come_out_as_each_does_alone(lines: list[str], ended: bool) -> None:
    body = "\n".join(lines).encode() + (b"\n" if ended else b"")
    # A blank line more makes the reader look at one line after the other.
    assert _read(body) == _read(body + (b"\n" if ended else b"\n\n"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(_ODD_LINES, st.just(_plain("1")), st.just("")), max_size=12), st.integers(1, 400))
def test_lines_read_while_they_come_in_are_those_of_the_whole_body(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], chunk_bytes: int
) -> None:
    monkeypatch.setattr("connector.ingest.line_stream.INGEST_SLICE_BYTES", 200)
    body = "\n".join(lines).encode()
    assert _read(body, chunk_bytes) == _read(body + b"\n\n")


def _read(body: bytes, chunk_bytes: int = 0) -> tuple[Any, ...]:
    """Return series and refusals of a body, read as a whole or in chunks."""
    outcome = Outcome()
    if chunk_bytes:
        stream = LineStream(outcome)
        for at in range(0, len(body), chunk_bytes):
            stream.feed(body[at : at + chunk_bytes])
        groups = stream.end().grouped()
    else:
        groups = parse_ndjson(body, outcome)
    series = {
        key: (list(group.lines), list(map(repr, group.times)), [_bits(value) for value in group.values])
        for key, group in groups.items()
    }
    return series, outcome.refused, outcome.refusals


def _bits(value: Any) -> Any:
    """A number as a double, so that 5 and 5.0 are the same and -0.0 is not 0.0; what a double cannot hold as it is."""
    exact = type(value) is float or (type(value) is int and abs(value) < 2**53)
    return struct.pack("<d", value) if exact else value
