"""Numbers, times and values as people read them."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from tests.web.samples.frame import DAY_MS, NOW_MS
from web import formats, pairing_text, paths
from web.preferences import local_path
from web.viewer import Theme, theme_named, zone_named


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1_482_752, "1.4 MiB"),
        (120 * 2**30, "120 GiB"),
        (2**60, "1048576 TiB"),
    ],
)
def test_byte_size(number: int, text: str) -> None:
    assert formats.byte_size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (581, "9 min 41 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (29.17 * 86_400, "29 d 4 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


def test_rough_duration_names_the_largest_unit_only() -> None:
    assert formats.rough_duration(11_100) == "3 h"


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        (None, "–"),
        (True, "true"),
        (0, "0"),
        (17.4, "17.4"),
        (1e300, "1e+300"),
        (10**18, "1e+18"),
        (10**500, "out of range"),
        ("x" * 300, "x" * 120 + "…"),
    ],
)
def test_value(reading: float | str | None, text: str) -> None:
    assert formats.value(reading) == text


def test_times_name_their_zone() -> None:
    prague, kolkata = ZoneInfo("Europe/Prague"), ZoneInfo("Asia/Kolkata")
    assert "20 Nov 2026, 14:02:09 UTC" in formats.full_time(NOW_MS, UTC)
    assert "20 Nov 2026, 15:02:09 CET" in formats.full_time(NOW_MS, prague)
    assert "19:32 IST" in formats.short_time(NOW_MS, kolkata, NOW_MS)
    assert "15 Nov, 14:02 UTC" in formats.short_time(NOW_MS - 5 * DAY_MS, UTC, NOW_MS)
    assert "20 Nov 2025, 14:02 UTC" in formats.short_time(NOW_MS - 365 * DAY_MS, UTC, NOW_MS)
    assert "UTC+06:00" in formats.full_time(NOW_MS, zone_named("Asia/Dhaka"))


def test_times_carry_iso_8601_in_utc() -> None:
    assert 'datetime="2026-11-20T14:02:09.000Z"' in formats.ago(NOW_MS - 0, UTC, NOW_MS)


def test_ago() -> None:
    assert "just now" in formats.ago(NOW_MS - 900, UTC, NOW_MS)
    assert ">3 min ago<" in formats.ago(NOW_MS - 190_000, UTC, NOW_MS)
    assert ">in 5 min<" in formats.ago(NOW_MS + 300_000, UTC, NOW_MS)


@pytest.mark.parametrize("at_ms", [-(10**18), 10**18])
def test_impossible_times_do_not_break_a_page(at_ms: int) -> None:
    assert formats.full_time(at_ms, ZoneInfo("Pacific/Auckland"))


def test_sparkline_needs_two_finite_values() -> None:
    assert formats.spark_points((), 100, 20) == ""
    assert formats.spark_points((1.0, float("nan"), float("inf")), 100, 20) == ""
    assert formats.spark_points((2.0, 2.0), 100, 20) == "0.0,10.0 100.0,10.0"
    assert formats.spark_points((0.0, 0.0), 100, 20, from_zero=True) == "0.0,18.5 100.0,18.5"
    assert formats.spark_points((0.0, 10.0), 100, 20) == "0.0,18.5 100.0,1.5"
    assert formats.spark_points((5.0, 10.0), 100, 20, from_zero=True) == "0.0,10.0 100.0,1.5"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 100, "Europe"])
def test_strange_zone_becomes_utc(name: str) -> None:
    assert zone_named(name) is UTC


def test_strange_theme_becomes_system() -> None:
    assert theme_named("dark") is Theme.DARK
    assert theme_named("<b>") is Theme.SYSTEM


def test_copied_text_is_read_back() -> None:
    text = pairing_text.write("hill side", "K7QM2", "7K3M-Q9TD-5")
    assert pairing_text.parse(text) == pairing_text.PairingText("hill side", "K7QM2", "7K3M-Q9TD-5")


def test_pasted_text_may_be_framed_reordered_and_incomplete() -> None:
    text = "Hello,\r\n  code = 7K3M Q9TD 5\r\n  SITE: hillside  \r\nbye"
    assert pairing_text.parse(text) == pairing_text.PairingText("hillside", "", "7K3M Q9TD 5")
    assert pairing_text.parse("nothing here") == pairing_text.PairingText()


@pytest.mark.parametrize("text", ["pump-1", "a/b", "~2F", "~7E/~", "..", ".", "ü %?#", "a\\b", "~2E"])
def test_any_text_survives_an_address(text: str) -> None:
    from urllib.parse import unquote

    link = paths.fill(paths.DEVICE, connector_id="K7", device=text)
    part = unquote(link.removeprefix("/connectors/K7/devices/"))
    assert "/" not in part
    assert part not in {".", ".."}
    assert paths.unsegment(part) == text


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("http://127.0.0.1:8471/connectors?x=1", "/connectors?x=1"),
        ("https://evil.example//evil.example", "/"),
        ("https://evil.example/\\evil.example", "/"),
        ("", "/"),
        ("javascript:alert(1)", "/"),
        ("http://[broken", "/"),
    ],
)
def test_theme_form_goes_back_to_a_path_of_this_server(address: str, path: str) -> None:
    assert local_path(address) == path
